//! Taking the payload's files out of a tar stream, compressed or not, as it arrives.

use crate::disk::Disk;
use crate::payload;
use crate::settings::Settings;
use crate::unpack::{self, Bound, Refusal};
use flate2::read::MultiGzDecoder;
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// Takes archives, one over the other, into a directory of the host.
pub(super) struct Extract<'e> {
    asked: &'e Settings,
    disk: &'e Disk<'e>,
    spool: &'e str,
    /// The components that are needed, once the index has arrived.
    needed: Option<BTreeSet<String>>,
}

impl<'e> Extract<'e> {
    pub(super) fn new(asked: &'e Settings, disk: &'e Disk<'e>, spool: &'e str) -> Self {
        Extract { asked, disk, spool, needed: None }
    }

    /// Takes one archive of so many bytes. What it is compressed with is told by its first bytes.
    pub(super) fn archive(&mut self, stream: &mut dyn Read, size: u64) -> Result<(), Refusal> {
        let mut magic = [0; 4];
        let mut filled = 0;
        while filled < magic.len() {
            match stream.read(&mut magic[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) => return Err(damaged(error)),
            }
        }
        let whole = (&magic[..filled]).chain(stream);
        let mut reader: Box<dyn Read + '_> = match magic {
            [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(whole)),
            [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::new(whole).map_err(damaged)?),
            _ => Box::new(whole),
        };
        let mut bound = Bound::of(size);
        {
            let mut tar = tar::Archive::new(&mut reader);
            for entry in tar.entries().map_err(damaged)? {
                let mut entry = entry.map_err(damaged)?;
                bound.member()?;
                let path = entry.path().map_err(damaged)?.into_owned();
                let Some(relative) = own(&path)? else { continue };
                if let Some(removed) = whiteout(&relative) {
                    let path = format!("{}/{}", self.spool, removed.display());
                    self.disk.remove_tree(path.trim_end_matches('/')).map_err(Refusal::Failed)?;
                    if removed.as_os_str().is_empty() {
                        self.disk.make_directory(self.spool, 0o700).map_err(Refusal::Failed)?;
                    }
                    continue;
                }
                if !self.wants(&relative) {
                    continue;
                }
                unpack::place(&mut entry, &relative, self.spool, self.disk, &mut bound, &own)?;
                if relative == Path::new(payload::INDEX) {
                    let file = self.disk.host().path(format!("{}/{}", self.spool, payload::INDEX));
                    self.needed = payload::needed(&file, self.asked).map_err(Refusal::Failed)?;
                }
            }
        }
        // to the end of the frame, whose checksum is verified there
        io::copy(&mut reader, &mut io::sink()).map(drop).map_err(damaged)
    }

    fn wants(&self, relative: &Path) -> bool {
        let mut parts = relative.iter().map(|part| part.to_string_lossy());
        match (parts.next().as_deref(), parts.next().as_deref()) {
            (Some(payload::INDEX | "versions.yaml" | "VERSION" | "tarballs"), None) => true,
            (Some("nydus-snapshotter"), _) => crate::snapshotter::nydus(self.asked),
            (Some("tarballs"), Some(name)) => match payload::component_of(name) {
                Some(component) => self.needed.as_ref().is_none_or(|needed| needed.contains(component)),
                None => false,
            },
            _ => false,
        }
    }
}

fn damaged(error: io::Error) -> Refusal {
    Refusal::Damaged(format!("truncated or not a tar archive: {error}"))
}

/// The path inside the payload, whether the archive is an image's layer or was made of the payload's directory itself; `None`
/// for what is not the payload's. A path that leads out of the archive is refused.
fn own(name: &Path) -> Result<Option<PathBuf>, String> {
    let mut parts = Vec::new();
    for part in name.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part),
            _ => return Err(format!("`{}` leads out of the archive", name.display())),
        }
    }
    let rest = match parts.as_slice() {
        [opt, artifacts, rest @ ..] if *opt == "opt" && *artifacts == "kata-artifacts" => rest,
        [artifacts, rest @ ..] if *artifacts == "kata-artifacts" => rest,
        rest => rest,
    };
    Ok((!rest.is_empty()).then(|| rest.iter().collect()))
}

/// What a layer says is gone: a member, or all that lower layers have in a directory.
fn whiteout(relative: &Path) -> Option<PathBuf> {
    let name = relative.file_name()?.to_str()?.strip_prefix(".wh.")?;
    let directory = relative.parent().unwrap_or(Path::new(""));
    match name {
        ".wh..opq" => Some(directory.to_owned()),
        // a name that could lead elsewhere is no member's name
        "" | "." | ".." => None,
        name => Some(directory.join(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_found_wherever_it_stands() {
        let of = |text: &str| own(Path::new(text)).map(|found| found.map(|path| path.display().to_string()));
        for name in ["opt/kata-artifacts/tarballs/x", "./kata-artifacts/tarballs/x", "tarballs/x", "./tarballs/x"] {
            assert_eq!(of(name), Ok(Some("tarballs/x".into())), "{name}");
        }
        assert_eq!(of("./"), Ok(None));
        assert!(of("../x").is_err() && of("/etc/passwd").is_err() && of("opt/kata-artifacts/../../etc/x").is_err());
    }

    #[test]
    fn whiteouts_name_what_is_gone() {
        let of = |text: &str| whiteout(Path::new(text)).map(|path| path.display().to_string());
        assert_eq!(of("tarballs/.wh.kata-static-qemu.tar.zst").as_deref(), Some("tarballs/kata-static-qemu.tar.zst"));
        assert_eq!(of("tarballs/.wh..wh..opq").as_deref(), Some("tarballs"));
        assert_eq!(of(".wh..wh..opq").as_deref(), Some(""));
        assert_eq!(of("tarballs/x"), None);
        assert_eq!(of("a/.wh..."), Some("a/..".to_owned()).filter(|_| false), "never the directory above");
    }
}
