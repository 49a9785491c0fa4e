//! Passwords: derived, hashed, and encryption by one.

use aes::cipher::{Block, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use gotemplate::{CallResult, Functions, NamedType, Str, Type, Value};
use ring::hmac;

use crate::args::{text, utf8};
use crate::encoding::{decode64_or_message, encode64};
use crate::env::Env;

const S: Type = Type::Str;

pub(crate) fn register(table: &mut Functions, env: &Env) {
    static UINT32: NamedType = NamedType { name: "uint32", underlying: Type::Uint, methods: &[] };
    static DERIVE: [Type; 5] = [Type::Named(&UINT32), S, S, S, S];
    table.fixed("derivePassword", &DERIVE, |_, args| {
        let counter = args.first().and_then(Value::as_uint).unwrap_or(0) as u32;
        Ok(derive(counter, &utf8(args, 1), &text(args, 2), &text(args, 3), &text(args, 4)).into())
    });
    let e = env.clone();
    table.fixed("bcrypt", &[S], move |_, args| Ok(hash(&e, &text(args, 0)).into()));
    let e = env.clone();
    table.fixed("htpasswd", &[S, S], move |_, args| {
        let user = utf8(args, 0);
        Ok(if user.contains(':') {
            format!("invalid username: {user}").into()
        } else {
            format!("{user}:{}", hash(&e, &text(args, 1))).into()
        })
    });
    let e = env.clone();
    table.fixed("encryptAES", &[S, S], move |_, args| Ok(encrypt(&e, &text(args, 0), &text(args, 1)).into()));
    table.fixed("decryptAES", &[S, S], |_, args| decrypt(&text(args, 0), &text(args, 1)));
}

/// A bcrypt hash of cost 10. Failures are returned as text: that is what Sprig does.
fn hash(env: &Env, password: &[u8]) -> String {
    const COST: u32 = 10;
    const LONGEST: usize = 72;
    const FAILED: &str = "failed to encrypt string with bcrypt";
    if password.len() > LONGEST {
        return format!("{FAILED}: bcrypt: password length exceeds 72 bytes");
    }
    let mut salt = [0; 16];
    env.fill(&mut salt);
    match bcrypt::hash_with_salt(password, COST, salt) {
        Ok(parts) => parts.format_for_version(bcrypt::Version::TwoA),
        Err(error) => format!("{FAILED}: {error}"),
    }
}

/// Shapes of the passwords of each sort; a letter stands for a set of characters.
fn shapes(sort: &str) -> Option<&'static [&'static str]> {
    Some(match sort {
        "maximum" => &["anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"],
        "long" => &[
            "CvcvnoCvcvCvcv",
            "CvcvCvcvnoCvcv",
            "CvcvCvcvCvcvno",
            "CvccnoCvcvCvcv",
            "CvccCvcvnoCvcv",
            "CvccCvcvCvcvno",
            "CvcvnoCvccCvcv",
            "CvcvCvccnoCvcv",
            "CvcvCvccCvcvno",
            "CvcvnoCvcvCvcc",
            "CvcvCvcvnoCvcc",
            "CvcvCvcvCvccno",
            "CvccnoCvccCvcv",
            "CvccCvccnoCvcv",
            "CvccCvccCvcvno",
            "CvcvnoCvccCvcc",
            "CvcvCvccnoCvcc",
            "CvcvCvccCvccno",
            "CvccnoCvcvCvcc",
            "CvccCvcvnoCvcc",
            "CvccCvcvCvccno",
        ],
        "medium" => &["CvcnoCvc", "CvcCvcno"],
        "short" => &["Cvcn"],
        "basic" => &["aaanaaan", "aannaaan", "aaannaaa"],
        "pin" => &["nnnn"],
        _ => return None,
    })
}

fn characters(class: u8) -> &'static [u8] {
    match class {
        b'V' => b"AEIOU",
        b'C' => b"BCDFGHJKLMNPQRSTVWXYZ",
        b'v' => b"aeiou",
        b'c' => b"bcdfghjklmnpqrstvwxyz",
        b'A' => b"AEIOUBCDFGHJKLMNPQRSTVWXYZ",
        b'a' => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
        b'n' => b"0123456789",
        b'o' => b"@&%?,=[]_:-+*$#!'^~;()/.",
        _ => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
    }
}

/// The password of a site by the Master Password algorithm: the same for the same words, always.
fn derive(counter: u32, sort: &str, password: &[u8], user: &[u8], site: &[u8]) -> String {
    const SCOPE: &[u8] = b"com.lyndir.masterpassword";
    let Some(shapes) = shapes(sort) else {
        return format!("cannot find password template {sort}");
    };
    let length = |text: &[u8]| (text.len() as u32).to_be_bytes();
    let salt = [SCOPE, &length(user), user].concat();
    let mut key = [0; 64];
    let derived = scrypt::Params::new(15, 8, 2).map(|params| scrypt::scrypt(password, &salt, &params, &mut key));
    if !matches!(derived, Ok(Ok(()))) {
        return "failed to derive password: invalid parameters".to_owned();
    }
    let message = [SCOPE, &length(site), site, &counter.to_be_bytes()].concat();
    let seed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &message);
    let seed = seed.as_ref();
    let shape = shapes[usize::from(seed[0]) % shapes.len()];
    let pick = |(class, byte): (u8, &u8)| {
        let set = characters(class);
        set[usize::from(*byte) % set.len()] as char
    };
    shape.bytes().zip(&seed[1..]).map(pick).collect()
}

/// AES-256: the password's first 32 bytes are the key, filled up with zeros.
fn cipher(password: &[u8]) -> aes::Aes256 {
    let mut key = [0; 32];
    let length = password.len().min(key.len());
    key[..length].copy_from_slice(&password[..length]);
    aes::Aes256::new(&key.into())
}

const BLOCK: usize = 16;

/// Cipher block chaining with the random first block in front, as base64.
fn encrypt(env: &Env, password: &[u8], plain: &[u8]) -> String {
    if plain.is_empty() {
        return String::new();
    }
    let padding = BLOCK - plain.len() % BLOCK;
    let padded = [plain, &vec![padding as u8; padding]].concat();
    let cipher = cipher(password);
    let mut before = [0; BLOCK];
    env.fill(&mut before);
    let mut out = before.to_vec();
    for chunk in padded.chunks(BLOCK) {
        let mut block = Block::<aes::Aes256>::from(before);
        block.iter_mut().zip(chunk).for_each(|(b, plain)| *b ^= plain);
        cipher.encrypt_block(&mut block);
        before = block.into();
        out.extend_from_slice(&before);
    }
    encode64(&out)
}

fn decrypt(password: &[u8], encoded: &[u8]) -> CallResult {
    if encoded.is_empty() {
        return Ok("".into());
    }
    let bytes = decode64_or_message(encoded)?;
    let Some((first, chunks)) = bytes.split_first_chunk::<BLOCK>() else {
        let room = encoded.len() / 4 * 3;
        return Err(format!("runtime error: slice bounds out of range [:16] with capacity {room}").into());
    };
    if !chunks.len().is_multiple_of(BLOCK) {
        return Err("crypto/cipher: input not full blocks".into());
    }
    let cipher = cipher(password);
    let mut before = *first;
    let mut out = Vec::with_capacity(chunks.len());
    for chunk in chunks.chunks(BLOCK) {
        let mut bytes = [0; BLOCK];
        bytes.copy_from_slice(chunk);
        let mut block = Block::<aes::Aes256>::from(bytes);
        cipher.decrypt_block(&mut block);
        out.extend(block.iter().zip(before).map(|(b, before)| b ^ before));
        before = bytes;
    }
    let padding = out.last().copied().map(usize::from);
    match padding.and_then(|padding| out.len().checked_sub(padding)) {
        Some(length) => Ok(Str::from(&out[..length]).into()),
        None if out.is_empty() => Err("runtime error: index out of range [-1]".into()),
        None => {
            let bound = out.len() as i64 - padding.unwrap_or(0) as i64;
            Err(format!("runtime error: slice bounds out of range [:{bound}]").into())
        }
    }
}
