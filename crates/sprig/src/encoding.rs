//! Base64 and base32.

use gotemplate::{Functions, Str, Type, Value};

use crate::args::text;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

pub(crate) fn register(table: &mut Functions) {
    const S: &[Type] = &[Type::Str];
    table.fixed("b64enc", S, |_, args| Ok(encode64(&text(args, 0)).into()));
    // Decoding errors are returned as text: that is what Sprig does.
    table.fixed("b64dec", S, |_, args| Ok(or_message(decode64(&text(args, 0)), "base64")));
    table.fixed("b32enc", S, |_, args| Ok(encode(&text(args, 0), BASE32, 5).into()));
    table.fixed("b32dec", S, |_, args| Ok(or_message(decode(&text(args, 0), BASE32, 5), "base32")));
}

fn or_message(decoded: Result<Vec<u8>, usize>, name: &str) -> Value {
    match decoded {
        Ok(bytes) => Str::from(bytes).into(),
        Err(at) => illegal(name, at).into(),
    }
}

fn illegal(name: &str, at: usize) -> String {
    format!("illegal {name} data at input byte {at}")
}

/// Standard base64 with padding.
pub(crate) fn encode64(bytes: &[u8]) -> String {
    encode(bytes, BASE64, 6)
}

/// Reads standard base64 with padding; line ends are skipped. The error is the offset of what is wrong.
pub(crate) fn decode64(text: &[u8]) -> Result<Vec<u8>, usize> {
    decode(text, BASE64, 6)
}

/// As [`decode64`], with the error as Go words it.
pub(crate) fn decode64_or_message(text: &[u8]) -> Result<Vec<u8>, String> {
    decode64(text).map_err(|at| illegal("base64", at))
}

/// Characters of a full group.
fn group_of(bits: u32) -> usize {
    if bits == 6 { 4 } else { 8 }
}

fn encode(bytes: &[u8], alphabet: &[u8], bits: u32) -> String {
    let mut out = String::with_capacity(bytes.len() * 8 / bits as usize + 8);
    let (mut buffer, mut held) = (0u32, 0);
    for b in bytes {
        buffer = buffer << 8 | u32::from(*b);
        held += 8;
        while held >= bits {
            held -= bits;
            out.push(alphabet[(buffer >> held) as usize & (alphabet.len() - 1)] as char);
        }
        buffer &= (1 << held) - 1;
    }
    if held > 0 {
        out.push(alphabet[(buffer << (bits - held)) as usize & (alphabet.len() - 1)] as char);
    }
    while !out.len().is_multiple_of(group_of(bits)) {
        out.push('=');
    }
    out
}

fn decode(text: &[u8], alphabet: &[u8], bits: u32) -> Result<Vec<u8>, usize> {
    let group = group_of(bits);
    // Offsets in messages are those of the text for base64, and without the line ends for base32.
    let offsets = |i: usize| if bits == 6 { i } else { text[..i].iter().filter(|b| !matches!(b, b'\r' | b'\n')).count() };
    let significant: Vec<(usize, u8)> =
        text.iter().enumerate().filter(|(_, b)| !matches!(b, b'\r' | b'\n')).map(|(i, b)| (offsets(i), *b)).collect();
    let mut out = Vec::with_capacity(text.len());
    for (number, chunk) in significant.chunks(group).enumerate() {
        let start = number * group;
        let digits = chunk.iter().take_while(|(_, b)| *b != b'=').count();
        for (at, b) in &chunk[..digits] {
            if !alphabet.contains(b) {
                return Err(*at);
            }
        }
        if digits < group {
            padding(chunk, digits, group, bits, text.len())?;
            if let Some((at, _)) = significant.get(start + group) {
                return Err(*at);
            }
        }
        let (mut buffer, mut held) = (0u32, 0);
        for (_, b) in &chunk[..digits] {
            let value = alphabet.iter().position(|c| c == b).unwrap_or(0) as u32;
            buffer = (buffer << bits | value) & 0xffff;
            held += bits;
            if held >= 8 {
                held -= 8;
                out.push((buffer >> held) as u8);
            }
        }
    }
    Ok(out)
}

/// Checks the tail of a last group, which has `digits` digits.
fn padding(chunk: &[(usize, u8)], digits: usize, group: usize, bits: u32, length: usize) -> Result<(), usize> {
    let at = |i: usize| chunk.get(i).map_or(length, |(at, _)| *at);
    if chunk.len() < group {
        // The text ends within the group. Go reports where the group began.
        return Err(if chunk.len() > digits && bits == 6 && digits >= 2 { length } else { at(0) });
    }
    let possible = if bits == 6 { matches!(digits, 2 | 3) } else { matches!(digits, 2 | 4 | 5 | 7) };
    if !possible {
        return Err(at(digits));
    }
    match chunk[digits..].iter().find(|(_, b)| *b != b'=') {
        Some((at, _)) => Err(*at),
        None => Ok(()),
    }
}
