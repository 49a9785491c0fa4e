//! A payload for tests on nodes without KVM, in upstream's layout: placeholders for everything but the shims, which run containers.

use super::oci::{Recipe, Tree, tar};
use crate::go_program::own;
use std::collections::BTreeMap;

#[path = "../../../crates/sandbox/payload/components.rs"]
#[allow(dead_code, reason = "the sandbox's build needs more of it")]
mod components;
#[path = "../../../crates/sandbox/payload/configuration.rs"]
mod configuration;

use components::{FILES, SHIMS};

/// The shims that the payload has: one of each runtime, and a second that shares its files.
const WANTED: [&str; 3] = ["clh", "qemu", "qemu-runtime-rs"];
/// The program in `bin`, which is not the shim's name.
const SHIM: &str = "bin/containerd-shim-kata-v2";

/// The image, as if upstream had released this version. `without_shim` is a payload that was put together wrongly.
pub(crate) fn recipe(version: &str, without_shim: bool) -> Result<Recipe, String> {
    let program = own("kata-shim", "shim", "no_btrfs")?;
    let program = std::fs::read(&program).map_err(|error| format!("{}: {error}", program.display()))?;
    let shims: Vec<_> = SHIMS.iter().filter(|shim| WANTED.contains(&shim.name)).collect();
    let mut files = Tree::new();
    let mut put = |path: String, content: Vec<u8>| {
        files.insert(format!("opt/kata-artifacts/{path}"), (content, 0o644));
    };
    let fail = |error: std::io::Error| format!("payload: {error}");
    for (component, parts) in FILES {
        if !shims.iter().any(|shim| shim.components.contains(component)) {
            continue;
        }
        let mut tree = Tree::new();
        for (path, _) in *parts {
            let (content, mode) = match path.ends_with(SHIM) {
                true if without_shim => continue,
                true => (program.clone(), 0o755),
                false => (format!("{path} of {component} {version}: a placeholder\n").into_bytes(), 0o755),
            };
            tree.insert(format!("opt/kata/{path}"), (content, mode));
        }
        if component.starts_with("shim-v2") {
            tree.insert("opt/kata/VERSION".to_owned(), (format!("{version}\n").into_bytes(), 0o644));
            for shim in shims.iter().filter(|shim| shim.components.contains(component)) {
                let place = if shim.is_rust() { "runtime-rs/" } else { "" };
                let path = format!("opt/kata/share/defaults/kata-containers/{place}configuration-{}.toml", shim.name);
                tree.insert(path, (configuration::configuration(shim).into_bytes(), 0o644));
            }
        }
        let archive = zstd::encode_all(tar("./", &tree).map_err(fail)?.as_slice(), 3).map_err(fail)?;
        put(format!("tarballs/kata-static-{component}.tar.zst"), archive);
    }
    let index: BTreeMap<&str, BTreeMap<&str, &[&str]>> =
        shims.iter().map(|shim| (shim.name, BTreeMap::from([("x86_64", shim.components)]))).collect();
    let index = serde_json::to_vec_pretty(&serde_json::json!({ "shims": index })).map_err(|error| error.to_string())?;
    put("shim-components.json".to_owned(), index);
    put("versions.yaml".to_owned(), format!("version: \"{version}\"\n").into_bytes());
    let title = ("org.opencontainers.image.title".to_owned(), "A payload for tests".to_owned());
    Ok(Recipe {
        name: "kata-deploy".to_owned(),
        tag: version.to_owned(),
        architecture: "amd64",
        files,
        entrypoint: Vec::new(),
        labels: BTreeMap::from([title, ("org.opencontainers.image.version".to_owned(), version.to_owned())]),
        packed: false,
    })
}

/// The one program of test pods, and the container that holds a pod's namespaces.
pub(crate) fn pod(name: &str, tag: &str) -> Result<Recipe, String> {
    let program = own("pod", "pod", "")?;
    let program = std::fs::read(&program).map_err(|error| format!("{}: {error}", program.display()))?;
    Ok(Recipe {
        name: name.to_owned(),
        tag: tag.to_owned(),
        architecture: "amd64",
        files: Tree::from([("pod".to_owned(), (program, 0o755))]),
        entrypoint: vec!["/pod".to_owned()],
        labels: BTreeMap::new(),
        packed: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wanted_shims_exist() {
        let there: Vec<&str> = SHIMS.iter().map(|shim| shim.name).filter(|name| WANTED.contains(name)).collect();
        assert_eq!(there, WANTED);
        assert!(FILES.iter().flat_map(|(_, files)| files.iter()).filter(|(path, _)| path.ends_with(SHIM)).count() == 2);
    }
}
