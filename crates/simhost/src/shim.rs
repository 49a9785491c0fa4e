//! The program that a pod of a handler is started with. Runtimes look for it when a pod asks, not when they read their configuration.

use crate::containerd::Version;
use crate::toml::host_path;
use serde_json::Value;
use std::path::Path;

/// The path of the runtime's unit.
const PATH: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Where a pod of a handler looks for its shim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shim {
    /// It comes with the runtime.
    BuiltIn,
    /// At this path of the host.
    At(String),
    /// Along the runtime's path, by this name.
    Named {
        /// The runtime's type in the configuration.
        kind: String,
        /// The program's name, made of the type.
        program: String,
    },
    /// Nowhere: the type is no name of a program.
    Nonsense(String),
}

impl Shim {
    /// As containerd finds it. 1.6.20 and before read `runtime_path` and do not use it.
    pub(crate) fn of_containerd(version: Version, handler: &Value) -> Shim {
        let text = |key: &str| handler.get(key).and_then(Value::as_str).unwrap_or_default();
        let (kind, path) = (text("runtime_type"), text("runtime_path"));
        if !path.is_empty() && !version.is_lenient_1_6() {
            return Shim::At(path.to_owned());
        }
        if kind.starts_with('/') {
            return Shim::At(kind.to_owned());
        }
        let mut parts = kind.rsplit('.');
        match (parts.next(), parts.next()) {
            (Some("v1" | "v2"), Some("runc")) => Shim::BuiltIn,
            (Some(version), Some(name)) if !kind.contains('/') && !version.is_empty() && !name.is_empty() => {
                Shim::Named { kind: kind.to_owned(), program: format!("containerd-shim-{name}-{version}") }
            }
            _ => Shim::Nonsense(kind.to_owned()),
        }
    }

    /// As CRI-O finds it; what is missing there is missing from its handlers too.
    pub(crate) fn of_crio(handler: &Value) -> Shim {
        match handler.get("runtime_path").and_then(Value::as_str) {
            Some(path) if !path.is_empty() => Shim::At(path.to_owned()),
            _ => Shim::BuiltIn,
        }
    }

    /// Why a pod cannot be started with it on this host, in containerd's words; `None` when it can.
    pub fn trouble(&self, root: &Path) -> Option<String> {
        match self {
            Shim::BuiltIn => None,
            Shim::At(path) => (!host_path(root, path).is_file())
                .then(|| format!("invalid custom binary path: stat {path}: no such file or directory")),
            Shim::Named { kind, program } => {
                let there = PATH.iter().any(|directory| host_path(root, &format!("{directory}/{program}")).is_file());
                (!there).then(|| format!("runtime {kind:?} binary not installed {program:?}: file does not exist"))
            }
            Shim::Nonsense(kind) => Some(format!(
                "invalid runtime name {kind}, correct runtime name should be either format like `io.containerd.runc.v2` or a full path to the binary"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_version_looks_where_the_real_one_does() {
        let handler = json!({"runtime_type": "io.containerd.kata-qemu.v2", "runtime_path": "/opt/kata/bin/shim"});
        let of = |version: &str, handler: &Value| Shim::of_containerd(Version::parse(version).unwrap(), handler);
        for new in ["1.6.21", "1.7.27", "2.1.5"] {
            assert_eq!(of(new, &handler), Shim::At("/opt/kata/bin/shim".to_owned()));
        }
        let root = tempfile::tempdir().unwrap();
        let old = of("1.6.20~ds1", &handler);
        let trouble = old.trouble(root.path()).unwrap();
        assert!(trouble.contains("containerd-shim-kata-qemu-v2"), "{trouble}");
        std::fs::create_dir_all(root.path().join("usr/local/bin")).unwrap();
        std::fs::write(root.path().join("usr/local/bin/containerd-shim-kata-qemu-v2"), "").unwrap();
        assert_eq!(old.trouble(root.path()), None);
        let absolute = of("1.6.20", &json!({"runtime_type": "/opt/kata/bin/shim"}));
        assert_eq!(absolute, Shim::At("/opt/kata/bin/shim".to_owned()));
        assert!(absolute.trouble(root.path()).is_some());
        assert_eq!(of("1.6.20", &json!({"runtime_type": "io.containerd.runc.v2"})), Shim::BuiltIn);
        for nonsense in ["", "runc", "a/b.v2"] {
            assert!(of("2.1.5", &json!({"runtime_type": nonsense})).trouble(root.path()).is_some(), "{nonsense}");
        }
    }
}
