//! Programs of a simulated host: small scripts that a simulated systemd recognises by one comment line.
//!
//! A unit's `ExecStart` decides what runs, as on a real host. A containerd that someone places elsewhere and names in a
//! drop-in of the unit is started with the version that its own file states.

use std::io::Read;
use std::path::Path;

const MARK: &str = "# simulated-runtime: ";

/// A container runtime that a program stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// `containerd` or `cri-o`.
    pub name: String,
    /// Its version, such as `1.7.27`, without a leading `v`.
    pub version: String,
}

/// Returns the text of a program; `runtime` is the container runtime that it contains, and that runtime's version.
///
/// The script answers any call with its name, or with containerd's line about its version.
pub fn text(name: &str, runtime: Option<(&str, &str)>) -> String {
    match runtime {
        Some((runtime, version)) => {
            let version = version.trim_start_matches('v');
            let line = match runtime {
                "containerd" => format!("containerd github.com/containerd/containerd v{version} simulated"),
                _ => format!("{name} version {version}"),
            };
            format!("#!/bin/sh\n# A simulated program.\n{MARK}{runtime} {version}\necho '{line}'\n")
        }
        None => format!("#!/bin/sh\n# A simulated program.\necho '{name}'\n"),
    }
}

/// Reads which runtime a program contains; `None` when it says nothing of one.
pub fn runtime(path: &Path) -> Option<Runtime> {
    let mut head = Vec::new();
    std::fs::File::open(path).ok()?.take(4096).read_to_end(&mut head).ok()?;
    let head = String::from_utf8_lossy(&head);
    let line = head.lines().find_map(|line| line.strip_prefix(MARK))?;
    let (name, version) = line.trim().split_once(' ')?;
    Some(Runtime { name: name.to_owned(), version: version.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_says_which_runtime_it_contains() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text("k3s", Some(("containerd", "v2.1.5-k3s1")))).unwrap();
        let runtime = super::runtime(file.path()).unwrap();
        assert_eq!((runtime.name.as_str(), runtime.version.as_str()), ("containerd", "2.1.5-k3s1"));
        std::fs::write(file.path(), [0x7f, b'E', b'L', b'F', 0xff]).unwrap();
        assert_eq!(super::runtime(file.path()), None);
    }
}
