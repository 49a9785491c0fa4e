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
    table.fixed("b32dec", S, |_, args| Ok(or_message(decode32(&text(args, 0)), "base32")));
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

/// Reads standard base64 with padding; line ends are skipped. The error is the offset of what is wrong, as Go counts
/// it: for a text that ends too early, the offset of its last group.
pub(crate) fn decode64(text: &[u8]) -> Result<Vec<u8>, usize> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let line_end = |i: usize| matches!(text.get(i), Some(b'\r' | b'\n'));
    let (mut buffer, mut digits, mut at) = (0u32, 0, 0);
    while let Some(b) = text.get(at).copied() {
        at += 1;
        match b {
            b'\r' | b'\n' => {}
            b'=' if digits < 2 => return Err(at - 1),
            b'=' => {
                while line_end(at) {
                    at += 1;
                }
                if digits == 2 {
                    match text.get(at) {
                        None => return Err(text.len()),
                        Some(b'=') => at += 1,
                        Some(_) => return Err(at - 1),
                    }
                }
                while line_end(at) {
                    at += 1;
                }
                if at < text.len() {
                    return Err(at);
                }
                let bytes = (buffer << (6 * (4 - digits))).to_be_bytes();
                out.extend_from_slice(&bytes[1..digits as usize]);
                return Ok(out);
            }
            b => {
                let value = BASE64.iter().position(|c| *c == b).ok_or(at - 1)?;
                buffer = buffer << 6 | value as u32;
                digits += 1;
                if digits == 4 {
                    out.extend_from_slice(&buffer.to_be_bytes()[1..]);
                    (buffer, digits) = (0, 0);
                }
            }
        }
    }
    if digits == 0 { Ok(out) } else { Err(at - digits as usize) }
}

/// As [`decode64`], with the error as Go words it.
pub(crate) fn decode64_or_message(text: &[u8]) -> Result<Vec<u8>, String> {
    decode64(text).map_err(|at| illegal("base64", at))
}

fn encode(bytes: &[u8], alphabet: &[u8], bits: u32) -> String {
    let group = if bits == 6 { 4 } else { 8 };
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
    while !out.len().is_multiple_of(group) {
        out.push('=');
    }
    out
}

/// Reads base32. Offsets of errors do not count line ends.
fn decode32(text: &[u8]) -> Result<Vec<u8>, usize> {
    const GROUP: usize = 8;
    let significant: Vec<u8> = text.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
    let mut out = Vec::with_capacity(text.len());
    for (number, chunk) in significant.chunks(GROUP).enumerate() {
        let start = number * GROUP;
        let digits = chunk.iter().take_while(|b| **b != b'=').count();
        if let Some(at) = chunk[..digits].iter().position(|b| !BASE32.contains(b)) {
            return Err(start + at);
        }
        if digits < GROUP {
            padding32(chunk, digits).map_err(|at| start + at)?;
            if start + GROUP < significant.len() {
                return Err(start + GROUP);
            }
        }
        let (mut buffer, mut held) = (0u32, 0);
        for b in &chunk[..digits] {
            let value = BASE32.iter().position(|c| c == b).unwrap_or(0) as u32;
            buffer = (buffer << 5 | value) & 0xffff;
            held += 5;
            if held >= 8 {
                held -= 8;
                out.push((buffer >> held) as u8);
            }
        }
    }
    Ok(out)
}

/// Checks the tail of a last group, which has `digits` digits.
fn padding32(chunk: &[u8], digits: usize) -> Result<(), usize> {
    if chunk.len() < 8 {
        // The text ends within the group. Go reports where the group began.
        return Err(0);
    }
    if !matches!(digits, 2 | 4 | 5 | 7) {
        return Err(digits);
    }
    match chunk[digits..].iter().position(|b| *b != b'=') {
        Some(at) => Err(digits + at),
        None => Ok(()),
    }
}
