//! containerd's configuration as each version reads it: [`load`] merges the files, [`plugin`] decides what the CRI
//! plugin makes of them. The rules and where each was learnt are in [`crate::rules`].

mod load;
mod plugin;
mod schema;

use crate::refusal::{Effective, Refusal};
use std::path::Path;

/// A version of containerd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) patch: u32,
}

impl Version {
    /// Reads `1.7.27`, `v2.1.5-k3s1` or `1.6.20~ds1`; what follows the three numbers does not count.
    pub(crate) fn parse(text: &str) -> Option<Version> {
        let mut numbers = text.trim_start_matches('v').split('.').map(|part| {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        });
        let (major, minor) = (numbers.next()??, numbers.next()??);
        Some(Version { major, minor, patch: numbers.next().flatten().unwrap_or(0) })
    }

    fn is_2(self) -> bool {
        self.major >= 2
    }

    /// 1.6.20 and before: schema versions above 2 pass unread, and patterns of imports are not taken relative to
    /// the importing file. Where exactly this ended is not known: 1.6.36 is strict.
    pub(crate) fn is_lenient_1_6(self) -> bool {
        self < Version { major: 1, minor: 6, patch: 21 }
    }
}

/// What a start of containerd is given.
pub(crate) struct Start<'a> {
    /// The host's root.
    pub(crate) root: &'a Path,
    /// Which containerd.
    pub(crate) version: Version,
    /// The main file, as a path on the host.
    pub(crate) config: &'a str,
    /// Whether the main file was named on the command line, so that it must exist.
    pub(crate) named: bool,
    /// The socket unless the configuration says otherwise.
    pub(crate) socket: &'a str,
}

/// Does what the daemon does with its configuration before it serves.
pub(crate) fn start(start: &Start<'_>) -> Result<Effective, Refusal> {
    let loaded = load::load(start)?;
    plugin::effective(start, loaded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(
        version: Version,
        config: &str,
        drop_in: &str,
    ) -> Result<crate::refusal::Effective, crate::refusal::Refusal> {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("config.toml"), config).unwrap();
        std::fs::write(root.path().join("x.toml"), drop_in).unwrap();
        start(&Start { root: root.path(), version, config: "/config.toml", named: true, socket: "/run/c.sock" })
    }

    fn piece() -> impl proptest::strategy::Strategy<Value = String> {
        use proptest::prelude::*;
        let name = prop_oneof![
            Just("'io.containerd.grpc.v1.cri'"),
            Just("'io.containerd.cri.v1.runtime'"),
            Just("'io.containerd.cri.v1.images'"),
            Just("cri"),
        ];
        let rest = prop_oneof![
            Just(".containerd"),
            Just(".containerd.runtimes"),
            Just(".containerd.runtimes.a"),
            Just(".registry"),
            Just("")
        ];
        let key = prop_oneof![
            Just("runtimes"),
            Just("snapshotter"),
            Just("runtime_type"),
            Just("containerd"),
            Just("default_runtime_name")
        ];
        let value = prop_oneof![
            Just("1"),
            Just("'a'"),
            Just("{}"),
            Just("[]"),
            Just("{a = {runtime_type = 'x'}}"),
            Just("true")
        ];
        (name, rest, key, value)
            .prop_map(|(name, rest, key, value)| format!("[plugins.{name}{rest}]\n{key} = {value}\n"))
    }

    proptest::proptest! {
        #[test]
        fn no_configuration_is_a_panic(schema in 0..5, pieces in proptest::collection::vec(piece(), 0..4), drop_in in piece(), more in 0..4) {
            let config = format!("version = {schema}\nimports = ['x.toml', 'y*.toml']\n{}", pieces.concat());
            let drop_in = format!("version = {more}\n{drop_in}");
            for version in ["1.6.20", "1.7.27", "2.1.5"] {
                let version = Version::parse(version).unwrap();
                if let Ok(effective) = started(version, &config, &drop_in) {
                    // Whatever is served, the default handler is.
                    let served = effective.handlers.contains_key(&effective.default_handler);
                    proptest::prop_assert!(served || effective.cri_off.is_some());
                }
            }
        }
    }

    #[test]
    fn versions_of_packages_and_forks_are_read() {
        for (text, expected) in [
            ("v2.1.5-k3s1", Some((2, 1, 5))),
            ("1.6.20~ds1", Some((1, 6, 20))),
            ("2.2", Some((2, 2, 0))),
            ("two", None),
            ("", None),
        ] {
            let parsed = Version::parse(text).map(|version| (version.major, version.minor, version.patch));
            assert_eq!(parsed, expected, "{text}");
        }
    }
}
