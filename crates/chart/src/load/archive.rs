//! The files of a chart archive, a gzip-compressed tar file whose entries share one top directory.

use crate::load::strip_byte_order_mark;
use crate::{Chart, Error, File, Log};
use flate2::read::GzDecoder;
use std::io::Read;

/// How many bytes a chart may have once it is unpacked: 100 MiB.
pub const MAX_UNPACKED: u64 = 100 << 20;

/// How many files a chart may have, those of charts inside it included. The largest honest ones have a few hundred.
pub const MAX_FILES: usize = 50_000;

/// How many charts a chart may consist of.
pub const MAX_CHARTS: usize = 1_000;

/// What a chart with all charts inside it may still take.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    bytes: u64,
    files: usize,
    charts: usize,
}

impl Allowance {
    /// What is left for the archives among these files.
    pub(super) fn beside(files: &[File]) -> Allowance {
        let bytes = files.iter().map(|file| file.data.len() as u64).sum();
        let files = MAX_FILES.saturating_sub(files.len());
        Allowance { bytes: MAX_UNPACKED.saturating_sub(bytes), files, charts: MAX_CHARTS }
    }

    /// Another chart.
    pub(super) fn chart(&mut self) -> Result<(), Error> {
        let left = self.charts.checked_sub(1);
        self.charts = left.ok_or_else(|| Error::Load(format!("chart consists of more than {MAX_CHARTS} charts")))?;
        Ok(())
    }
}

pub(super) fn too_many_files() -> Error {
    Error::Load(format!("chart has more than {MAX_FILES} files"))
}

/// Loads an archive that a user named.
pub(super) fn named(data: &[u8], name: &str, log: &mut Log) -> Result<Chart, Error> {
    if !data.starts_with(b"\x1f\x8b\x08") {
        return Err(Error::Load(if name.ends_with(".yml") || name.ends_with(".yaml") {
            format!("file '{name}' seems to be a YAML file, but expected a gzipped archive")
        } else {
            let kind = if data.iter().take(512).any(|b| *b == 0) {
                "application/octet-stream"
            } else {
                "text/plain; charset=utf-8"
            };
            format!("file '{name}' does not appear to be a gzipped archive; got '{kind}'")
        }));
    }
    super::archive(data, log)
}

/// Unpacks an archive into memory. Nothing outside the top directory is accepted.
///
/// Errors: [`Error::Load`] for what is no archive, for paths that lead elsewhere, and for too much content.
pub fn files(data: &[u8]) -> Result<Vec<File>, Error> {
    files_within(data, &mut Allowance::beside(&[]))
}

/// As [`files`], within what is left.
pub(super) fn files_within(data: &[u8], allowance: &mut Allowance) -> Result<Vec<File>, Error> {
    let broken = |e: std::io::Error| Error::Load(format!("unable to load chart archive: {e}"));
    let too_large = || Error::Load(format!("decompressed chart is larger than the maximum size {MAX_UNPACKED}"));
    // The limit counts compressed padding and headers too, so that an archive of nothing but those ends as well.
    let unpacked = GzDecoder::new(data).take(MAX_UNPACKED * 2);
    let mut tar = tar::Archive::new(unpacked);
    let mut files = Vec::new();
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let kind = entry.header().entry_type();
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if kind.is_dir() || name.ends_with('/') || kind.is_pax_global_extensions() || kind.is_pax_local_extensions() {
            continue;
        }
        let name = checked_name(&name)?;
        let left = allowance.bytes;
        if entry.size() > left {
            return Err(too_large());
        }
        allowance.files = allowance.files.checked_sub(1).ok_or_else(too_many_files)?;
        let mut data = Vec::new();
        (&mut entry).take(left + 1).read_to_end(&mut data).map_err(broken)?;
        allowance.bytes = left.checked_sub(data.len() as u64).ok_or_else(too_large)?;
        let modtime = entry
            .header()
            .mtime()
            .ok()
            .and_then(|seconds| jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok())
            .map(|time| time.to_string())
            .unwrap_or_default();
        files.push(File { name, data: strip_byte_order_mark(&data), modtime });
    }
    if files.is_empty() {
        return Err(Error::Load("no files in chart archive".into()));
    }
    Ok(files)
}

/// The path below the archive's top directory, with `/`.
fn checked_name(name: &str) -> Result<String, Error> {
    let refuse = |text: &str| Err(Error::Load(text.to_string()));
    let delimiter = if name.contains('\\') { '\\' } else { '/' };
    let (top, rest) = name.split_once(delimiter).unwrap_or((name, ""));
    let rest = rest.replace(delimiter, "/");
    if rest.starts_with('/') {
        return refuse("chart illegally contains absolute paths");
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in rest.split('/').filter(|p| !p.is_empty() && *p != ".") {
        if part != ".." {
            parts.push(part);
        } else if parts.pop().is_none() {
            return refuse("chart illegally references parent directory");
        }
    }
    if parts.is_empty() {
        return refuse(&format!(
            "chart illegally contains content outside the base directory: {}",
            gotemplate::quote::quoted(name.as_bytes())
        ));
    }
    let clean = parts.join("/");
    if clean.starts_with("..") {
        return refuse("chart illegally references parent directory");
    }
    let drive = clean.as_bytes();
    if drive.len() > 2 && drive[0].is_ascii_alphabetic() && &drive[1..3] == b":/" {
        return refuse("chart contains illegally named files");
    }
    if top == "Chart.yaml" {
        return refuse("chart yaml not in base directory");
    }
    Ok(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        assert_eq!(checked_name("top/templates/a.yaml").as_deref(), Ok("templates/a.yaml"));
        assert_eq!(checked_name("top\\templates\\a.yaml").as_deref(), Ok("templates/a.yaml"));
        assert_eq!(checked_name("top/./a/../b").as_deref(), Ok("b"));
        for bad in
            ["top//etc/passwd", "top/../../etc/passwd", "top/..", "lonely", "top/c:/x", "Chart.yaml/x", "top/..x"]
        {
            assert!(checked_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn junk_is_refused() {
        assert!(files(b"").is_err());
        assert!(files(b"\x1f\x8b\x08junk").is_err());
        assert!(named(b"a: 1", "x.yaml", &mut Log::default()).expect_err("no archive").to_string().contains("YAML"));
    }
}
