//! Checksums.

use gotemplate::{Functions, Type};
use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512, digest};

use crate::args::text;

pub(crate) fn register(table: &mut Functions) {
    const S: &[Type] = &[Type::Str];
    let sums: [(&str, &'static Algorithm); 3] =
        [("sha1sum", &SHA1_FOR_LEGACY_USE_ONLY), ("sha256sum", &SHA256), ("sha512sum", &SHA512)];
    for (name, algorithm) in sums {
        table.fixed(name, S, move |_, args| Ok(hex(digest(algorithm, &text(args, 0)).as_ref()).into()));
    }
    table.fixed("adler32sum", S, |_, args| Ok(adler32(&text(args, 0)).to_string().into()));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    let (mut a, mut b) = (1u32, 0u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % MODULUS;
        b = (b + a) % MODULUS;
    }
    b << 16 | a
}
