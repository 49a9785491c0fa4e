//! What a host's container runtime does between `ExecStart` and its first answer: its distribution prepares the
//! configuration, then the runtime reads it.

use crate::layout::Flavour;
use crate::refusal::{Effective, Refusal};
use crate::spec::HostSpec;
use crate::toml::{self, host_path};
use crate::{containerd, crio, populate, template};
use std::path::Path;

/// Starts the runtime of a host: writes what its distribution generates, and returns what it serves.
///
/// `version` is what the program that the unit runs says of itself; for k3s, RKE2 and others, of the containerd inside. `config` is
/// the file that the unit's command line names, if it does.
pub(crate) fn start(root: &Path, spec: &HostSpec, version: &str, config: Option<&str>) -> Result<Effective, Refusal> {
    let layout = spec.layout();
    let parsed = containerd::Version::parse(version)
        .ok_or_else(|| Refusal::error(format!("`{version}` is not a version of a container runtime")))?;
    match layout.flavour {
        Flavour::Crio => return crio::start(root, layout.directory, layout.socket),
        Flavour::Containerd => {}
        Flavour::Rancher => render_rancher(root, spec, parsed)?,
        Flavour::Microk8s => render_microk8s(root)?,
        Flavour::K0s => generate_k0s(root)?,
    }
    let (config, named) = match config.filter(|_| layout.flavour == Flavour::Containerd) {
        Some(config) => (config, true),
        None => (layout.config, layout.flavour != Flavour::Containerd),
    };
    containerd::start(&containerd::Start { root, version: parsed, config, named, socket: layout.socket })
}

/// Writes a generated file; all distributions keep theirs from other users.
fn write(root: &Path, path: &str, text: &str) -> Result<(), Refusal> {
    let path = host_path(root, path);
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    let written = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(&path, text))
        .and_then(|()| std::fs::set_permissions(&path, private));
    written.map_err(|error| Refusal::error(format!("cannot write {}: {error}", path.display())))
}

/// k3s and RKE2: the first template found decides the schema; without one the base of the newest schema is used.
fn render_rancher(root: &Path, spec: &HostSpec, version: containerd::Version) -> Result<(), Refusal> {
    let layout = spec.layout();
    let generations: &[(&str, i64)] = if version.major >= 2 {
        &[("config-v3.toml.tmpl", 3), ("config.toml.tmpl", 2)]
    } else {
        &[("config.toml.tmpl", 2)]
    };
    let mut schema = generations[0].1;
    let mut user = None;
    for (name, generation) in generations {
        match std::fs::read_to_string(host_path(root, &format!("{}/{name}", layout.directory))) {
            Ok(text) => {
                schema = *generation;
                user = Some(text);
                break;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Refusal::error(format!("level=fatal msg=\"open {name}: {error}\""))),
        }
    }
    let base = populate::rancher_base(spec, schema, version.major >= 2);
    let text = match user {
        Some(user) => template::rancher(&user, &base)
            .map_err(|error| Refusal::error(format!("level=fatal msg=\"Error: {error}\"")))?,
        None => base,
    };
    write(root, layout.config, &text)
}

fn render_microk8s(root: &Path) -> Result<(), Refusal> {
    let directory = "/var/snap/microk8s/current/args";
    let path = format!("{directory}/containerd-template.toml");
    let text = std::fs::read_to_string(host_path(root, &path))
        .map_err(|error| Refusal::error(format!("sed: can't read {path}: {error}")))?;
    let values = [
        ("SNAP", "/snap/microk8s/current"),
        ("SNAP_DATA", "/var/snap/microk8s/current"),
        ("SNAP_COMMON", "/var/snap/microk8s/common"),
        ("SNAPSHOTTER", "overlayfs"),
        ("RUNTIME", "runc"),
        ("RUNTIME_TYPE", "io.containerd.runc.v2"),
    ];
    write(root, &format!("{directory}/containerd.toml"), &template::shell(&text, &values))
}

/// k0s: merges those files of `containerd.d` that configure the CRI over its own into `/run/k0s/containerd-cri.toml`, and
/// rewrites `containerd.toml` with that and the other files as imports, unless the administrator took it over.
fn generate_k0s(root: &Path) -> Result<(), Refusal> {
    const CRI: &str = "io.containerd.grpc.v1.cri";
    let main = host_path(root, "/etc/k0s/containerd.toml");
    if let Ok(text) = std::fs::read_to_string(&main)
        && !text.contains(populate::K0S_MANAGED)
    {
        return Ok(());
    }
    let mut generated = populate::k0s_generated();
    let mut imports = vec!["/run/k0s/containerd-cri.toml".to_owned()];
    let directory = host_path(root, "/etc/k0s/containerd.d");
    let entries = std::fs::read_dir(&directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    for name in names.iter().filter(|name| name.ends_with(".toml")) {
        let path = format!("/etc/k0s/containerd.d/{name}");
        let text =
            std::fs::read_to_string(directory.join(name)).map_err(|error| k0s_error(&path, &error.to_string()))?;
        let table = toml::parse(&text).map_err(|error| {
            k0s_error(&path, &format!("toml: row {} column {}: {}", error.row, error.column, error.message))
        })?;
        if table.get("plugins").and_then(|plugins| plugins.get(CRI)).is_some() {
            toml::merge_deep(&mut generated, &table);
        } else {
            imports.push(path);
        }
    }
    write(root, "/run/k0s/containerd-cri.toml", &toml::write(&generated))?;
    let list: Vec<String> = imports.iter().map(|import| format!("\t{import:?},")).collect();
    write(root, "/etc/k0s/containerd.toml", &populate::k0s_main(&list.join("\n")))
}

fn k0s_error(path: &str, reason: &str) -> Refusal {
    Refusal::error(format!("level=fatal msg=\"failed to prepare containerd config: {path}: {reason}\""))
}
