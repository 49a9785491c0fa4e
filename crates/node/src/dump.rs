//! `husk-node dump`: what a bug report needs of a host, as one JSON document of paths and texts. Reads only, secrets removed.

use crate::host::Host;
use crate::redact::redact;
use std::collections::BTreeMap;
use std::path::Path;

/// Where runtimes and Husk keep what matters, as paths of the host.
const PLACES: [&str; 12] = [
    "/var/lib/husk",
    "/etc/containerd",
    "/etc/crio",
    "/etc/k0s",
    "/run/k0s",
    "/var/lib/rancher/k3s/agent/etc/containerd",
    "/var/lib/rancher/rke2/agent/etc/containerd",
    "/var/snap/microk8s/current/args",
    "/etc/systemd/system/containerd.service.d",
    "/opt/kata/share/defaults/kata-containers",
    "/etc/kata-containers",
    "/etc/os-release",
];
/// Most bytes of one file, and of all.
const FILE: u64 = 96 << 10;
const ALL: usize = 768 << 10;

/// Reads the files: path to text. What is too large, or no text, is named with the reason instead.
pub fn read(host: &Host) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut room = ALL;
    for place in PLACES {
        walk(host, place, 0, &mut files, &mut room);
    }
    files
}

fn walk(host: &Host, path: &str, depth: u8, files: &mut BTreeMap<String, String>, room: &mut usize) {
    let here = host.path(path);
    let Ok(metadata) = std::fs::symlink_metadata(&here) else { return };
    if metadata.is_dir() && depth < 6 {
        let names = std::fs::read_dir(&here).into_iter().flatten().flatten();
        let mut names: Vec<String> = names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        for name in names {
            walk(host, &format!("{path}/{name}"), depth + 1, files, room);
        }
    } else if metadata.is_file() {
        let text = text(&here, metadata.len());
        if text.len() > *room {
            files.insert(path.to_owned(), "(left out: the answer would be too large)".to_owned());
            return;
        }
        *room -= text.len();
        files.insert(path.to_owned(), text);
    }
}

fn text(path: &Path, length: u64) -> String {
    if length > FILE {
        return format!("(left out: {length} bytes)");
    }
    match std::fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => redact(&text),
        Ok(Err(_)) => format!("(left out: {length} bytes that are no text)"),
        Err(error) => format!("(unreadable: {error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_without_secrets_and_large_ones_are_named() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc/containerd");
        std::fs::create_dir_all(&etc).unwrap();
        std::fs::write(etc.join("config.toml"), "version = 2\npassword = \"x\"\n").unwrap();
        std::fs::write(etc.join("big.toml"), vec![b'#'; 200_000]).unwrap();
        let files = read(&Host::new(root.path().to_owned()));
        assert_eq!(files["/etc/containerd/config.toml"], "version = 2\npassword = (removed)\n");
        assert!(files["/etc/containerd/big.toml"].contains("200000 bytes"));
    }
}
