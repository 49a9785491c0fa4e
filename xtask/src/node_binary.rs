//! Our two programs as they are released: one static file each, small enough to be copied to every host or pulled anew.

use crate::programs::{root, run};
use std::path::PathBuf;
use std::process::Command;

/// Crate, program, and how many bytes it may have.
const PROGRAMS: [(&str, &str, u64); 2] = [("node", "husk-node", 12 << 20), ("fleet", "husk-dispatcher", 8 << 20)];
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds both and checks that they are static and small. Prints where they are.
pub(crate) fn check() -> Result<(), String> {
    for (krate, name, most) in PROGRAMS {
        let program = build(krate, name)?;
        let bytes = std::fs::read(&program).map_err(|error| format!("{}: {error}", program.display()))?;
        if let Some(needs) = interpreter(&bytes)? {
            return Err(format!("{} is not static: it needs {needs}", program.display()));
        }
        let size = bytes.len() as u64;
        if size > most {
            return Err(format!("{} has {size} bytes; {most} are allowed", program.display()));
        }
        run(Command::new(&program).arg("--version"))?;
        println!("{}: static, {:.1} MiB", program.display(), size as f64 / f64::from(1 << 20));
    }
    Ok(())
}

/// Builds a program with the C library inside; returns the file.
pub(crate) fn build(krate: &str, name: &str) -> Result<PathBuf, String> {
    let directory = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    run(Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", krate, "--bin", name, "--profile", "dist", "--target", TARGET])
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .current_dir(root()))?;
    Ok(directory.join(TARGET).join("dist").join(name))
}

/// The program that starts an ELF file's shared libraries, which a static one does not have.
fn interpreter(bytes: &[u8]) -> Result<Option<String>, String> {
    const HEADER: usize = 64;
    const INTERPRETER: u32 = 3;
    let number = |at: usize, length: usize| -> Result<u64, String> {
        let bytes = bytes.get(at..at + length).ok_or("the ELF file ends early")?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    if bytes.len() < HEADER || !bytes.starts_with(b"\x7fELF\x02\x01") {
        return Err("not a 64-bit little-endian ELF file".to_owned());
    }
    let place = |at: u64| usize::try_from(at).map_err(|error| error.to_string());
    let (start, size, count) = (place(number(32, 8)?)?, place(number(54, 2)?)?, number(56, 2)?);
    for header in 0..place(count)? {
        let at = start + header * size;
        if number(at, 4)? == u64::from(INTERPRETER) {
            let (from, length) = (place(number(at + 8, 8)?)?, place(number(at + 32, 8)?)?);
            let name = bytes.get(from..from + length).ok_or("the ELF file ends early")?;
            return Ok(Some(String::from_utf8_lossy(name).trim_end_matches('\0').to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_program_with_shared_libraries_is_told() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(interpreter(&own).unwrap().is_some_and(|name| Path::new(&name).is_absolute()));
        assert!(interpreter(b"#!/bin/sh").is_err());
        assert!(interpreter(&own[..100]).is_err());
    }
}
