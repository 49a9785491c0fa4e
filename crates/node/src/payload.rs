//! The payload: upstream's image layout, read as it is.
//!
//! `shim-components.json` says which components a shim needs on an architecture (`shims.<shim>.<arch>`), `tarballs/` holds them as
//! `kata-static-<component>.tar.zst`, `nydus-snapshotter/` the nydus programs, `versions.yaml` what they were built from. Two keys
//! of the index are ours and optional: `version`, and `sha256` with one digest for each component.

use crate::error::{NodeError, Result};
use crate::settings::Settings;
use crate::shim::Arch;
use crate::snapshotter;
use contract::Code;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The file that says what a payload has.
pub const INDEX: &str = "shim-components.json";

#[derive(Debug, Deserialize)]
struct Index {
    shims: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    #[serde(default)]
    sha256: BTreeMap<String, String>,
    #[serde(default)]
    version: Option<String>,
}

/// One archive that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The component's name.
    pub component: String,
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest, when the payload gives one.
    pub sha256: Option<String>,
}

/// What an installation takes from a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The archives, in order.
    pub archives: Vec<Archive>,
    /// The nydus programs: name and file; empty when nydus is not asked for.
    pub nydus: Vec<(String, PathBuf)>,
    /// Identifies payload and selection; the name of the directory it is unpacked into.
    pub digest: String,
    /// The payload's version, when it says so.
    pub version: Option<String>,
    /// Bytes it takes when unpacked: exact where the archives tell, estimated otherwise.
    pub unpacked: u64,
}

/// Looks into a payload and selects what the settings need.
///
/// # Errors
/// [`Code::PAYLOAD_MISSING`] without an index or an archive, [`Code::SHIM_NOT_FOR_ARCHITECTURE`] for a shim that the payload
/// does not have for this architecture, [`Code::PAYLOAD_INCOMPLETE`] without a program of a snapshotter.
pub fn select(directory: &Path, asked: &Settings) -> Result<Selection> {
    let path = directory.join(INDEX);
    let text = fs::read(&path).map_err(|error| {
        NodeError::new(
            Code::PAYLOAD_MISSING,
            format!("the payload has no shim-components.json ({}: {error})", path.display()),
        )
    })?;
    let index: Index = serde_json::from_slice(&text)
        .map_err(|error| NodeError::new(Code::PAYLOAD_CORRUPT, format!("{}: {error}", path.display())))?;
    let mut archives: Vec<Archive> = Vec::new();
    for shim in asked.needed_shims() {
        for component in components(&index, &shim, asked.arch)? {
            if archives.iter().all(|archive| archive.component != *component) {
                archives.push(archive(directory, component, &index, &shim)?);
            }
        }
    }
    if archives.is_empty() {
        let message = format!("no enabled shim is for {}, so there is nothing to install on this node", asked.arch);
        return Err(NodeError::new(Code::SHIM_NOT_FOR_ARCHITECTURE, message));
    }
    let nydus = if snapshotter::nydus(asked) { nydus_files(directory)? } else { Vec::new() };
    let version = index.version.or_else(|| version(directory));
    let digest = digest(directory, &text, &archives, &nydus)?;
    let extra: u64 = nydus.iter().filter_map(|(_, path)| fs::metadata(path).ok()).map(|meta| meta.len()).sum();
    let unpacked =
        archives.iter().map(|archive| unpacked_size(&archive.path).unwrap_or(archive.size * 4)).sum::<u64>() + extra;
    Ok(Selection { archives, nydus, digest, version, unpacked })
}

/// The component whose archive has this file name.
pub fn component_of(name: &str) -> Option<&str> {
    name.strip_prefix("kata-static-")?.strip_suffix(".tar.zst")
}

/// The components that the settings need, as far as an index tells; `None` when it cannot be read, which [`select`] will tell.
pub fn needed(index: &Path, asked: &Settings) -> Result<Option<BTreeSet<String>>> {
    let Some(index) = fs::read(index).ok().and_then(|text| serde_json::from_slice::<Index>(&text).ok()) else {
        return Ok(None);
    };
    let mut all = BTreeSet::new();
    for shim in asked.needed_shims() {
        all.extend(components(&index, &shim, asked.arch)?.iter().cloned());
    }
    Ok(Some(all))
}

/// The version as a file of its own says it, or the top level of `versions.yaml`.
fn version(directory: &Path) -> Option<String> {
    let own = fs::read_to_string(directory.join("VERSION")).ok();
    let listed = || {
        let text = fs::read_to_string(directory.join("versions.yaml")).ok()?;
        text.lines()
            .find_map(|line| line.strip_prefix("version:"))
            .map(|value| value.trim().trim_matches('"').to_owned())
    };
    own.map(|text| text.trim().to_owned()).or_else(listed).filter(|text| !text.is_empty())
}

fn components<'i>(index: &'i Index, shim: &str, arch: Arch) -> Result<&'i [String]> {
    let refuse = |message: String| NodeError::new(Code::SHIM_NOT_FOR_ARCHITECTURE, message);
    let by_arch = index.shims.get(shim).ok_or_else(|| {
        let known: Vec<&str> =
            index.shims.iter().filter(|(_, by)| by.contains_key(arch.key())).map(|(name, _)| name.as_str()).collect();
        refuse(format!("the payload has no shim `{shim}`; for {arch} it has {}", known.join(", ")))
    })?;
    by_arch.get(arch.key()).map(Vec::as_slice).filter(|list| !list.is_empty()).ok_or_else(|| {
        let there: Vec<&str> = by_arch.keys().map(String::as_str).collect();
        refuse(format!("shim `{shim}` is not available for {arch}; the payload has it for {}", there.join(", ")))
    })
}

fn archive(directory: &Path, component: &str, index: &Index, shim: &str) -> Result<Archive> {
    let path = directory.join("tarballs").join(format!("kata-static-{component}.tar.zst"));
    let meta = fs::metadata(&path).map_err(|error| {
        NodeError::new(
            Code::PAYLOAD_MISSING,
            format!("shim `{shim}` needs component `{component}`, but {}: {error}", path.display()),
        )
    })?;
    Ok(Archive {
        component: component.to_owned(),
        size: meta.len(),
        sha256: index.sha256.get(component).cloned(),
        path,
    })
}

fn nydus_files(directory: &Path) -> Result<Vec<(String, PathBuf)>> {
    let base = directory.join("nydus-snapshotter");
    let places = ["", "bin", "etc", "config"];
    snapshotter::NYDUS_FILES
        .iter()
        .map(|name| {
            let found = places.iter().map(|place| base.join(place).join(name)).find(|path| path.is_file());
            found.map(|path| ((*name).to_owned(), path)).ok_or_else(|| {
                NodeError::new(
                    Code::PAYLOAD_INCOMPLETE,
                    format!("the nydus snapshotter is asked for, but the payload has no {}/{name}", base.display()),
                )
            })
        })
        .collect()
}

/// Index and versions, and of each archive its size and its end: a Zstandard archive ends in a checksum of its content.
fn digest(directory: &Path, index: &[u8], archives: &[Archive], nydus: &[(String, PathBuf)]) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(index);
    hash.update(fs::read(directory.join("versions.yaml")).unwrap_or_default());
    let mut files: Vec<(&str, &Path)> = archives.iter().map(|a| (a.component.as_str(), a.path.as_path())).collect();
    files.extend(nydus.iter().map(|(name, path)| (name.as_str(), path.as_path())));
    files.sort_unstable();
    for (name, path) in files {
        let tail = tail(path).map_err(|error| NodeError::io("reading", path, &error))?;
        hash.update(name.as_bytes());
        hash.update([0]);
        hash.update(tail);
    }
    Ok(hex::encode(&hash.finalize()[..10]))
}

fn tail(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(4096)))?;
    let mut bytes = size.to_le_bytes().to_vec();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unpacked_size(path: &Path) -> Option<u64> {
    let mut head = [0; 32];
    let read = File::open(path).and_then(|mut file| file.read(&mut head)).ok()?;
    zstd::zstd_safe::get_frame_content_size(&head[..read]).ok().flatten()
}
