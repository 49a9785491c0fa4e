//! Making an index from a directory of packaged charts.

use super::{ChartVersion, Index, IndexReader};
use crate::files::{bounded_read, replace};
use crate::notice::{Notify, pass_on};
use crate::url::{clean_join, join};
use crate::{Error, MAX_ARCHIVE, Result, sha256_hex};
use jiff::Zoned;
use std::path::{Path, PathBuf};

/// Lists the `*.tgz` of a directory and of the directories in it. Files that are no charts are passed over.
///
/// `base_url` goes in front of the charts' names; empty for relative URLs. The versions are not sorted.
///
/// # Errors
/// [`Error::Io`] when the directory cannot be read, [`Error::TooLarge`] for an archive that no chart can be.
pub fn generate(directory: &Path, base_url: &str, now: &Zoned, notify: Notify<'_>) -> Result<Index> {
    let now = crate::go_text::time_nano(now);
    let mut index = Index::empty(now.clone());
    let mut archives = Vec::new();
    let mut below = Vec::new();
    for entry in sorted(directory)? {
        if is_archive(&entry) {
            archives.push((String::new(), entry));
        } else if entry.is_dir() {
            let parent = file_name(&entry);
            let inner = sorted(&entry).unwrap_or_default();
            below.extend(inner.into_iter().filter(|path| is_archive(path)).map(|path| (parent.clone(), path)));
        }
    }
    archives.extend(below);
    for (parent, path) in archives {
        let data = bounded_read(&path, MAX_ARCHIVE)?;
        let mut log = chart::Log::default();
        let Ok(chart) = chart::load::archive(&data, &mut log) else { continue };
        pass_on(log, notify);
        let file = file_name(&path);
        let parent_url = join(base_url, &parent).unwrap_or_else(|_| clean_join(&[base_url, &parent]));
        let url = match parent_url.as_str() {
            "" => file.clone(),
            base => join(base, &file).unwrap_or_else(|_| clean_join(&[base, &file])),
        };
        let version = ChartVersion {
            metadata: chart.metadata,
            urls: Some(vec![url]),
            created: now.clone(),
            digest: sha256_hex(&data),
            ..ChartVersion::default()
        };
        index.entries.entry(version.metadata.name.clone()).or_default().push(version);
    }
    Ok(index)
}

/// Makes `index.yaml` in a directory; with `merge`, versions of that index that are not in the directory are kept, and
/// a missing one is made.
///
/// # Errors
/// As [`generate`]; or the index to merge is malformed, or a file cannot be written.
pub fn write_index(
    directory: &Path,
    base_url: &str,
    merge: Option<&Path>,
    json: bool,
    now: &Zoned,
    notify: Notify<'_>,
) -> Result<()> {
    let write = |index: &Index, to: &Path| -> Result<()> {
        let text = if json { index.to_json() } else { index.to_yaml()? };
        replace(to, text.as_bytes(), 0o644)
    };
    let mut index = generate(directory, base_url, now, notify)?;
    match merge {
        Some(path) if path.exists() => {
            let failed = |e: Error| e.during("merge failed");
            index.merge(IndexReader::open(path).and_then(|reader| reader.into_index(notify)).map_err(failed)?);
        }
        // Helm does not mind when this fails; the merged index is written all the same.
        Some(path) => drop(write(&Index::empty(crate::go_text::time_nano(now)), path)),
        None => {}
    }
    index.sort();
    write(&index, &directory.join("index.yaml"))
}

fn sorted(directory: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e: std::io::Error| Error::io("open", directory, &e);
    let entries = std::fs::read_dir(directory).map_err(failed)?;
    let mut paths =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
    paths.sort();
    Ok(paths)
}

fn is_archive(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tgz") && path.is_file()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
