//! What a program is, as far as it can be told without starting the service: for which machine, and of which version.

use super::wish::triple;
use crate::shim::Arch;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks a program for its version. `None` when it cannot be run in here, such as one that needs the host's libraries.
///
/// # Errors
/// One sentence when it is no program for this architecture.
pub(super) fn version(path: &Path, arch: Arch) -> Result<Option<String>, String> {
    check_machine(path, arch)?;
    let said = say_version(path).unwrap_or_default();
    let word = said.split_whitespace().find(|word| triple(word).is_some());
    Ok(word.map(|word| word.trim_start_matches('v').to_owned()))
}

/// Reads the header of a program; scripts are for every machine.
fn check_machine(path: &Path, arch: Arch) -> Result<(), String> {
    let mut head = [0; 20];
    let read = File::open(path).and_then(|mut file| file.read(&mut head)).map_err(|error| error.to_string())?;
    if head.starts_with(b"#!") {
        return Ok(());
    }
    if read < head.len() || !head.starts_with(b"\x7fELF") {
        return Err("bin/containerd is not a program".to_owned());
    }
    let word = [head[18], head[19]];
    let machine = if head[5] == 2 { u16::from_be_bytes(word) } else { u16::from_le_bytes(word) };
    // e_machine, elf(5)
    let wanted = match arch {
        Arch::X86_64 => 62,
        Arch::Aarch64 => 183,
        Arch::S390x => 22,
        Arch::Ppc64le => 21,
    };
    if machine == wanted { Ok(()) } else { Err(format!("bin/containerd is not a program for {arch}")) }
}

/// What `--version` prints. Whatever goes wrong, the proof after the restart is the one that counts.
fn say_version(path: &Path) -> Option<String> {
    let start = Instant::now();
    let mut child = loop {
        let spawned = Command::new(path)
            .arg("--version")
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        match spawned {
            Ok(child) => break child,
            // a process that another thread has just started still has it open for writing
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(_) => return None,
        }
    };
    let status = loop {
        match child.try_wait() {
            Ok(None) if start.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(5)),
            Ok(Some(status)) => break status,
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    };
    let mut text = Vec::new();
    // a program that has ended wrote at most what the pipe holds
    child.stdout.take()?.take(1 << 16).read_to_end(&mut text).ok()?;
    status.success().then(|| String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn programs_tell_their_version_and_their_machine() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("containerd");
        let put = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            version(&path, Arch::X86_64)
        };
        assert_eq!(
            put(b"#!/bin/sh\necho containerd github.com/containerd/containerd/v2 v2.1.4 7c3a\n"),
            Ok(Some("2.1.4".to_owned()))
        );
        assert_eq!(put(b"#!/no/such/interpreter\n"), Ok(None));
        assert_eq!(put(b"#!/bin/sh\nexit 3\n"), Ok(None));
        assert!(put(b"<html>not found</html> and more").is_err());
        let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0".to_vec();
        assert!(put(&elf).unwrap_err().contains("x86_64"), "183 is AArch64");
        elf[18] = 62;
        assert_eq!(put(&elf), Ok(None), "right machine, but nothing that could run");
    }
}
