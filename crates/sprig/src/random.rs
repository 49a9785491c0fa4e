//! Random strings.

use gotemplate::{Functions, Run, Type, Value};

use crate::args::{int, utf8};
use crate::encoding::encode64;
use crate::env::Env;

pub(crate) fn register(table: &mut Functions, env: &Env) {
    const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
    const DIGITS: &str = "0123456789";
    let printable: String = (' '..='~').collect();
    let sets = [
        ("randAlphaNum", [UPPER, LOWER, DIGITS].concat()),
        ("randAlpha", [UPPER, LOWER].concat()),
        ("randNumeric", DIGITS.to_owned()),
        ("randAscii", printable),
    ];
    for (name, set) in sets {
        let env = env.clone();
        table.fixed(name, &[Type::Int], move |run, args| {
            let count = length(run, int(args, 0))?;
            let set = set.as_bytes();
            Ok((0..count).map(|_| set[env.below(set.len() as u64) as usize] as char).collect::<String>().into())
        });
    }
    let source = env.clone();
    table.fixed("randBytes", &[Type::Int], move |run, args| {
        if int(args, 0) < 0 {
            return Err("runtime error: makeslice: len out of range".into());
        }
        let mut bytes = vec![0; length(run, int(args, 0))?];
        source.fill(&mut bytes);
        Ok(encode64(&bytes).into())
    });
    let source = env.clone();
    table.fixed("uuidv4", &[], move |_, _| Ok(Value::from(uuid(&source))));
    let source = env.clone();
    table.fixed("shuffle", &[Type::Str], move |_, args| {
        let mut chars: Vec<char> = utf8(args, 0).chars().collect();
        for i in (1..chars.len()).rev() {
            chars.swap(i, source.below(i as u64 + 1) as usize);
        }
        Ok(chars.into_iter().collect::<String>().into())
    });
}

/// A length, of which negative ones mean nothing.
fn length(run: &mut Run<'_>, count: i64) -> Result<usize, gotemplate::LimitError> {
    let count = usize::try_from(count).unwrap_or(0);
    run.claim(count)?;
    Ok(count)
}

/// A random UUID, version 4 (RFC 9562).
fn uuid(env: &Env) -> String {
    let mut bytes = [0u8; 16];
    env.fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
