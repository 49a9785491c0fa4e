//! Makes the sandbox's payload: a small stand-in for upstream's kata-deploy image, in upstream's layout.
//!
//! The result is one tar archive, the same bytes on every machine: names sorted, owners 0, times fixed.

#[path = "payload/components.rs"]
mod components;
#[path = "payload/configuration.rs"]
mod configuration;

use components::{FILES, Kind, SHIMS, VERSION};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

/// 2026-01-01T00:00:00Z, the time of every file.
const TIME: u64 = 1_767_225_600;

/// Path to content and mode.
type Tree = BTreeMap<String, (Vec<u8>, u32)>;

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=payload");
    let mut payload = Tree::new();
    for (component, files) in FILES {
        let mut tree = Tree::new();
        for (path, kind) in *files {
            tree.insert(format!("opt/kata/{path}"), placeholder(component, path, *kind));
        }
        for shim in SHIMS {
            let runtime = if shim.is_rust() { "shim-v2-rust" } else { "shim-v2-go" };
            if runtime == *component {
                let directory = if shim.is_rust() { "runtime-rs/" } else { "" };
                let path =
                    format!("opt/kata/share/defaults/kata-containers/{directory}configuration-{}.toml", shim.name);
                tree.insert(path, (configuration::configuration(shim).into_bytes(), 0o644));
            }
        }
        if component.starts_with("shim-v2") {
            tree.insert("opt/kata/VERSION".to_owned(), (format!("{VERSION}\n").into_bytes(), 0o644));
        }
        let archive = zstd::encode_all(archive("./", &tree)?.as_slice(), 19)?;
        payload.insert(format!("tarballs/kata-static-{component}.tar.zst"), (archive, 0o644));
    }
    payload.insert("shim-components.json".to_owned(), (shim_components().into_bytes(), 0o644));
    payload.insert("versions.yaml".to_owned(), (versions().into_bytes(), 0o644));
    for name in ["containerd-nydus-grpc", "nydus-overlayfs"] {
        payload.insert(format!("nydus-snapshotter/{name}"), placeholder("nydus-snapshotter", name, Kind::Program));
    }
    payload.insert("nydus-snapshotter/config-guest-pulling.toml".to_owned(), (NYDUS.as_bytes().to_vec(), 0o644));
    payload.insert("nydus-snapshotter/nydus-snapshotter.service".to_owned(), (NYDUS_UNIT.as_bytes().to_vec(), 0o644));

    let out = std::env::var_os("OUT_DIR").ok_or_else(|| std::io::Error::other("OUT_DIR is not set"))?;
    std::fs::write(Path::new(&out).join("payload.tar"), archive("", &payload)?)
}

/// The configuration of the nydus snapshotter for images that the guest pulls.
const NYDUS: &str = "version = 1\nroot = \"/var/lib/nydus-for-kata-tee\"\n\
address = \"/run/nydus-for-kata-tee/containerd-nydus-grpc.sock\"\ndaemon_mode = \"none\"\n\n\
[daemon]\nfs_driver = \"proxy\"\n\n[snapshot]\nenable_nydus_overlayfs = true\nenable_kata_volume = true\n\n\
[remote.mirrors_config]\ndir = \"\"\n";

/// Its unit.
const NYDUS_UNIT: &str = "[Unit]\nDescription=Nydus snapshotter (a placeholder of the sandbox)\nAfter=network.target local-fs.target\n\
Before=containerd.service\n\n[Service]\nExecStart=/usr/local/bin/containerd-nydus-grpc --config /etc/nydus/config.toml\nRestart=always\n\n\
[Install]\nWantedBy=containerd.service\n";

fn placeholder(component: &str, path: &str, kind: Kind) -> (Vec<u8>, u32) {
    let what = format!("placeholder for {path} of the component {component} {VERSION} in the sandbox's payload");
    match kind {
        Kind::Program => {
            let text = format!(
                "#!/bin/sh\n# A {what}.\ncase \"$1\" in\n--version | version) echo \"{what}\" ;;\n\
                 *) echo \"{what}: it cannot run anything\" >&2; exit 1 ;;\nesac\n"
            );
            (text.into_bytes(), 0o755)
        }
        Kind::Data => (format!("{what}\n").into_bytes(), 0o644),
    }
}

/// Writes a tar archive with the parent directories of every file.
fn archive(prefix: &str, tree: &Tree) -> std::io::Result<Vec<u8>> {
    let mut directories = BTreeSet::new();
    for path in tree.keys() {
        directories.extend(path.match_indices('/').map(|(end, _)| &path[..end]));
    }
    let mut builder = tar::Builder::new(Vec::new());
    let mut append = |path: &str, kind: tar::EntryType, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(TIME);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(content.len() as u64);
        // Set by hand: the builder would drop the leading `./` that upstream's archives have.
        let path = format!("{prefix}{path}");
        if path.len() < 100 {
            header.as_gnu_mut().expect("a GNU header").name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            builder.append(&header, content)
        } else {
            builder.append_data(&mut header, path, content)
        }
    };
    for directory in directories {
        append(&format!("{directory}/"), tar::EntryType::Directory, 0o755, &[])?;
    }
    for (path, (content, mode)) in tree {
        append(path, tar::EntryType::Regular, *mode, content)?;
    }
    builder.into_inner()
}

fn shim_components() -> String {
    let mut text = String::from("{\n  \"shims\": {\n");
    for (index, shim) in SHIMS.iter().enumerate() {
        let components: Vec<String> = shim.components.iter().map(|component| format!("\"{component}\"")).collect();
        let comma = if index + 1 < SHIMS.len() { "," } else { "" };
        let _ = writeln!(text, "    \"{}\": {{ \"x86_64\": [{}] }}{comma}", shim.name, components.join(", "));
    }
    text.push_str("  }\n}\n");
    text
}

fn versions() -> String {
    let mut text = format!(
        "# Versions of what this payload stands for; the files themselves are placeholders.\n\
         version: \"{VERSION}\"\ndescription: Payload of the Husk sandbox\nassets:\n"
    );
    for (component, _) in FILES {
        let _ = writeln!(text, "  {component}:\n    version: \"sandbox\"");
    }
    text
}
