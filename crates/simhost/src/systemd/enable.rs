//! Enabling and disabling units: links below `/etc/systemd/system`, and nothing else.

use super::file::UnitFile;
use crate::toml::host_path;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

const LINKS: &str = "/etc/systemd/system";

/// One change: `symlink` or `unlink`, the link, and what it points to.
pub(crate) type Change = (String, String, String);

/// Why units were not enabled.
#[derive(Debug)]
pub(crate) enum Error {
    /// There is no such unit file.
    Missing(String),
    /// The file is there and has no `[Install]` section that names anything.
    Io(io::Error),
}

/// Makes the links that the `[Install]` sections ask for. Returns whether there were any such sections, and the changes.
pub(crate) fn enable(root: &Path, names: &[String]) -> Result<(bool, Vec<Change>), Error> {
    let mut changes = Vec::new();
    let mut installable = false;
    for name in names {
        // A path is accepted for its last part, as systemd does for units in the search path.
        let name = name.rsplit('/').next().unwrap_or(name);
        let unit = UnitFile::find(root, name).ok_or_else(|| Error::Missing(name.to_owned()))?;
        let mut links: Vec<String> = Vec::new();
        for (key, suffix) in [("WantedBy", "wants"), ("RequiredBy", "requires")] {
            let targets = unit.words("Install", key);
            links.extend(targets.iter().map(|target| format!("{LINKS}/{target}.{suffix}/{name}")));
        }
        links.extend(unit.words("Install", "Alias").iter().map(|alias| format!("{LINKS}/{alias}")));
        for link in links {
            installable = true;
            let path = host_path(root, link.rsplit_once('/').map_or("", |(parent, _)| parent));
            let path = path.join(link.rsplit('/').next().unwrap_or_default());
            if std::fs::read_link(&path).is_ok_and(|target| target.as_os_str() == unit.fragment.as_str()) {
                continue;
            }
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(Error::Io)?;
            }
            let _ = std::fs::remove_file(&path);
            std::os::unix::fs::symlink(&unit.fragment, &path).map_err(Error::Io)?;
            changes.push(("symlink".to_owned(), link, unit.fragment.clone()));
        }
    }
    Ok((installable, changes))
}

/// Removes every link to the units, and directories of links that are empty then.
pub(crate) fn disable(root: &Path, names: &[String]) -> io::Result<Vec<Change>> {
    let names: BTreeSet<&str> = names.iter().map(|name| name.rsplit('/').next().unwrap_or(name)).collect();
    let mut changes = Vec::new();
    let top = host_path(root, LINKS);
    for entry in std::fs::read_dir(&top)?.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = entry.path();
        if path.is_symlink() {
            let target = std::fs::read_link(&path)?;
            let points_to = target.file_name().and_then(|name| name.to_str()).is_some_and(|name| names.contains(name));
            if points_to {
                std::fs::remove_file(&path)?;
                changes.push(("unlink".to_owned(), format!("{LINKS}/{name}"), String::new()));
            }
        } else if path.is_dir() && (name.ends_with(".wants") || name.ends_with(".requires")) {
            for unit in &names {
                if path.join(unit).is_symlink() {
                    std::fs::remove_file(path.join(unit))?;
                    changes.push(("unlink".to_owned(), format!("{LINKS}/{name}/{unit}"), String::new()));
                    // Fails when other links are left, and should.
                    let _ = std::fs::remove_dir(&path);
                }
            }
        }
    }
    Ok(changes)
}

/// The units that a unit pulls in through links.
pub(crate) fn linked(root: &Path, unit: &str) -> Vec<(String, bool)> {
    let mut found = BTreeSet::new();
    for directory in super::file::DIRECTORIES {
        for (suffix, required) in [("wants", false), ("requires", true)] {
            let entries = std::fs::read_dir(host_path(root, &format!("{directory}/{unit}.{suffix}")));
            for entry in entries.into_iter().flatten().flatten() {
                if let Ok(name) = entry.file_name().into_string() {
                    found.insert((name, required));
                }
            }
        }
    }
    found.into_iter().collect()
}

/// What `systemctl is-enabled` says of a unit.
pub(crate) fn state(root: &Path, name: &str) -> &'static str {
    let Some(unit) = UnitFile::find(root, name) else { return "" };
    if unit.masked {
        return "masked";
    }
    let top = host_path(root, LINKS);
    let linked = std::fs::read_dir(top).into_iter().flatten().flatten().any(|entry| {
        let directory = entry.file_name();
        let directory = directory.to_string_lossy();
        (directory.ends_with(".wants") || directory.ends_with(".requires")) && entry.path().join(name).is_symlink()
    });
    let installable = ["WantedBy", "RequiredBy", "Alias"].iter().any(|key| !unit.words("Install", key).is_empty());
    match (linked, installable) {
        (true, _) => "enabled",
        (false, true) => "disabled",
        (false, false) => "static",
    }
}
