//! Unit files, their drop-ins, and where they are looked for.

use crate::toml::host_path;
use std::path::Path;
use std::time::Duration;

/// Where unit files live, the strongest first.
pub(crate) const DIRECTORIES: [&str; 4] =
    ["/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"];

/// A unit file with its drop-ins applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UnitFile {
    /// The unit's own name; an alias leads to it.
    pub(crate) id: String,
    /// The file, as a path on the host; empty for transient units.
    pub(crate) fragment: String,
    /// Whether the unit is linked to `/dev/null`.
    pub(crate) masked: bool,
    settings: Vec<(String, String, String)>,
}

impl UnitFile {
    /// Looks a unit up; `None` when there is no file of that name.
    pub(crate) fn find(root: &Path, name: &str) -> Option<UnitFile> {
        let (fragment, metadata) = DIRECTORIES.iter().find_map(|directory| {
            let path = format!("{directory}/{name}");
            let metadata = host_path(root, directory).join(name).symlink_metadata().ok()?;
            Some((path, metadata))
        })?;
        let mut id = name.to_owned();
        let mut path = host_path(root, fragment.rsplit_once('/')?.0).join(name);
        if metadata.is_symlink() {
            let target = std::fs::read_link(&path).ok()?.to_string_lossy().into_owned();
            if target == "/dev/null" {
                return Some(UnitFile { id, fragment, masked: true, settings: Vec::new() });
            }
            target.rsplit('/').next()?.clone_into(&mut id);
            path = host_path(root, &fragment);
        }
        let mut settings = parse(&std::fs::read_to_string(path).ok()?);
        for text in drop_ins(root, &id) {
            settings.extend(parse(&text));
        }
        Some(UnitFile { id, fragment, masked: false, settings })
    }

    /// Makes a unit without a file, from settings.
    pub(crate) fn transient(id: &str, settings: Vec<(&str, &str, String)>) -> UnitFile {
        let settings = settings.into_iter().map(|(section, key, value)| (section.to_owned(), key.to_owned(), value));
        UnitFile { id: id.to_owned(), fragment: String::new(), masked: false, settings: settings.collect() }
    }

    /// The values of a setting; an empty assignment forgets those before it.
    pub(crate) fn values(&self, section: &str, key: &str) -> Vec<&str> {
        let mut values = Vec::new();
        for (_, _, value) in self.settings.iter().filter(|(s, k, _)| s == section && k == key) {
            if value.is_empty() {
                values.clear();
            } else {
                values.push(value.as_str());
            }
        }
        values
    }

    /// The last value of a setting.
    pub(crate) fn value(&self, section: &str, key: &str) -> Option<&str> {
        self.values(section, key).pop()
    }

    /// The words of all values of a setting, for lists of units.
    pub(crate) fn words(&self, section: &str, key: &str) -> Vec<&str> {
        self.values(section, key).into_iter().flat_map(str::split_whitespace).collect()
    }

    /// The program and arguments of `ExecStart`, without the prefixes that systemd gives a meaning.
    pub(crate) fn command(&self) -> Vec<String> {
        let line = self.value("Service", "ExecStart").unwrap_or_default();
        let words = line.trim_start_matches(['-', '@', ':', '+', '!']).split_whitespace();
        words.map(|word| word.trim_matches(['"', '\'']).to_owned()).collect()
    }

    /// How long after a failure the service is started again; `None` when it is not.
    pub(crate) fn restarts_after(&self) -> Option<Duration> {
        match self.value("Service", "Restart").unwrap_or("no") {
            "always" | "on-failure" => {
                let delay = self.value("Service", "RestartSec").and_then(seconds);
                Some(delay.unwrap_or(Duration::from_millis(100)))
            }
            _ => None,
        }
    }
}

/// Reads a time span such as `5`, `5s`, `1min 30s` or `250ms`.
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    for word in text.split_whitespace() {
        let unit = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number: f64 = word[..word.len() - unit.len()].parse().ok()?;
        let factor = match unit {
            "" | "s" | "sec" => 1.0,
            "ms" | "msec" => 0.001,
            "us" | "usec" => 0.000_001,
            "m" | "min" => 60.0,
            "h" | "hr" => 3600.0,
            _ => return None,
        };
        total += Duration::try_from_secs_f64(number * factor).ok()?;
    }
    Some(total)
}

fn drop_ins(root: &Path, id: &str) -> Vec<String> {
    let mut names: Vec<(String, String)> = Vec::new();
    for directory in DIRECTORIES {
        let directory = format!("{directory}/{id}.d");
        for entry in std::fs::read_dir(host_path(root, &directory)).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            // A stronger directory hides files of the same name.
            if name.ends_with(".conf") && !names.iter().any(|(known, _)| *known == name) {
                names.push((name.clone(), format!("{directory}/{name}")));
            }
        }
    }
    names.sort();
    names.iter().filter_map(|(_, path)| std::fs::read_to_string(host_path(root, path)).ok()).collect()
}

fn parse(text: &str) -> Vec<(String, String, String)> {
    let mut settings = Vec::new();
    let mut section = String::new();
    let joined = text.replace("\\\n", " ");
    for line in joined.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else if let Some((key, value)) = line.split_once('=') {
            settings.push((section.clone(), key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "usr/lib/systemd/system/a.service",
            "# note\n[Unit]\nAfter=b.service c.service\n[Service]\nExecStart=-/usr/bin/a --x \\\n  y\nRestart=always\nRestartSec=1min 2s\n",
        );
        write("etc/systemd/system/a.service.d/10-x.conf", "[Service]\nExecStart=\nExecStart=/opt/a\n");
        root
    }

    #[test]
    fn drop_ins_replace_what_they_reset() {
        let root = host();
        let unit = UnitFile::find(root.path(), "a.service").unwrap();
        assert_eq!(unit.command(), ["/opt/a"]);
        assert_eq!(unit.words("Unit", "After"), ["b.service", "c.service"]);
        assert_eq!(unit.restarts_after(), Some(Duration::from_secs(62)));
        std::fs::remove_dir_all(root.path().join("etc")).unwrap();
        let unit = UnitFile::find(root.path(), "a.service").unwrap();
        assert_eq!(unit.command(), ["/usr/bin/a", "--x", "y"]);
    }

    #[test]
    fn links_are_aliases_or_masks() {
        let root = host();
        std::os::unix::fs::symlink(
            "/usr/lib/systemd/system/a.service",
            root.path().join("etc/systemd/system/b.service"),
        )
        .unwrap();
        std::os::unix::fs::symlink("/dev/null", root.path().join("etc/systemd/system/c.service")).unwrap();
        assert_eq!(UnitFile::find(root.path(), "b.service").unwrap().id, "a.service");
        assert!(UnitFile::find(root.path(), "c.service").unwrap().masked);
        assert_eq!(UnitFile::find(root.path(), "d.service"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_unit_file_is_a_panic(text in "(\\[[A-Z][a-z]*\\]|[A-Za-z]*=[ -~]{0,12}|\\\\|#x|.{0,9}|\n){0,12}") {
            let settings = parse(&text);
            proptest::prop_assert!(settings.iter().all(|(_, key, value)| key.trim() == key && value.trim() == value));
            let _ = seconds(&text);
        }
    }

    #[test]
    fn time_spans_are_read() {
        for (text, expected) in [("5", Some(5000)), ("250ms", Some(250)), ("1min 30s", Some(90_000)), ("soon", None)] {
            assert_eq!(seconds(text), expected.map(Duration::from_millis), "{text}");
        }
    }
}
