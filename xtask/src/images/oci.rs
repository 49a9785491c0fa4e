//! Container images as files: the same content gives the same bytes.

use flate2::{Compression, GzBuilder};
use registry::oci::{Descriptor, digest};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const PACKED_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The time of every file and image: nothing here is younger than its sources.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// A file: its content and mode; the path is relative.
pub(crate) type Tree = BTreeMap<String, (Vec<u8>, u32)>;

/// What an image is made from.
pub(crate) struct Recipe {
    /// Its name, without a registry.
    pub(crate) name: String,
    /// Its tag.
    pub(crate) tag: String,
    /// The architecture as image configurations spell it.
    pub(crate) architecture: &'static str,
    /// Its files, owned by root.
    pub(crate) files: Tree,
    /// What runs when nothing else is said.
    pub(crate) entrypoint: Vec<String>,
    /// `org.opencontainers.image.*`.
    pub(crate) labels: BTreeMap<String, String>,
    /// Whether the layer is compressed, which is for images that travel.
    pub(crate) packed: bool,
}

/// An image.
pub(crate) struct Image {
    /// `name:tag`.
    pub(crate) name: String,
    /// Configuration and layer, by digest.
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    /// The manifest.
    pub(crate) manifest: Vec<u8>,
    architecture: &'static str,
    tag: String,
}

impl Recipe {
    /// Assembles the image.
    pub(crate) fn image(&self) -> std::io::Result<Image> {
        let layer = tar("", &self.files)?;
        let unpacked = digest(&layer);
        let (kind, layer) = if self.packed { (PACKED_LAYER, gzip(&layer)?) } else { (LAYER, layer) };
        let config = json!({
            "created": CREATED,
            "architecture": self.architecture,
            "os": "linux",
            "config": { "Entrypoint": self.entrypoint, "WorkingDir": "/", "Labels": self.labels },
            "rootfs": { "type": "layers", "diff_ids": [unpacked] },
            "history": [{ "created": CREATED, "created_by": "cargo xtask images" }],
        });
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described(CONFIG, &config),
            "layers": [described(kind, &layer)],
            "annotations": self.labels,
        });
        let blobs = [config, layer].map(|blob| (digest(&blob), blob));
        Ok(Image {
            name: format!("{}:{}", self.name, self.tag),
            blobs: blobs.into(),
            manifest: manifest.to_string().into_bytes(),
            architecture: self.architecture,
            tag: self.tag.clone(),
        })
    }
}

impl Image {
    /// The digest under which the image is known.
    pub(crate) fn digest(&self) -> String {
        digest(&self.manifest)
    }

    /// The image as an OCI archive, with the names that containerd and others look for.
    pub(crate) fn archive(&self) -> std::io::Result<Vec<u8>> {
        let mut manifest = described(MANIFEST, &self.manifest);
        manifest["platform"] = json!({ "architecture": self.architecture, "os": "linux" });
        manifest["annotations"] =
            json!({ "io.containerd.image.name": self.name, "org.opencontainers.image.ref.name": self.tag });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest] });
        let mut files = Tree::from([
            ("oci-layout".to_owned(), (br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(), 0o644)),
            ("index.json".to_owned(), (index.to_string().into_bytes(), 0o644)),
        ]);
        let manifest = (self.digest(), self.manifest.clone());
        for (digest, blob) in self.blobs.clone().into_iter().chain([manifest]) {
            files.insert(format!("blobs/{}", digest.replace(':', "/")), (blob, 0o644));
        }
        tar("", &files)
    }
}

fn gzip(data: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut packed = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::new(6));
    packed.write_all(data)?;
    packed.finish()
}

fn described(media_type: &str, data: &[u8]) -> Value {
    let Descriptor { media_type, digest, size } = Descriptor::of(media_type, data);
    json!({ "mediaType": media_type, "digest": digest, "size": size })
}

/// Writes a tar archive: parents first, names sorted, everything root's, no times.
pub(crate) fn tar(prefix: &str, files: &Tree) -> std::io::Result<Vec<u8>> {
    let mut directories = BTreeSet::new();
    for path in files.keys() {
        directories.extend(path.match_indices('/').map(|(end, _)| path[..end].to_owned()));
    }
    let mut builder = tar::Builder::new(Vec::new());
    let mut append = |path: &str, kind: tar::EntryType, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, format!("{prefix}{path}"), content)
    };
    for directory in directories {
        append(&format!("{directory}/"), tar::EntryType::Directory, 0o755, &[])?;
    }
    for (path, (content, mode)) in files {
        append(path, tar::EntryType::Regular, *mode, content)?;
    }
    builder.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> Recipe {
        Recipe {
            name: "some/thing".to_owned(),
            tag: "1.0".to_owned(),
            architecture: "amd64",
            files: Tree::from([("usr/bin/thing".to_owned(), (b"#!".to_vec(), 0o755))]),
            entrypoint: vec!["/usr/bin/thing".to_owned()],
            labels: BTreeMap::from([("org.opencontainers.image.title".to_owned(), "thing".to_owned())]),
            packed: true,
        }
    }

    #[test]
    fn the_same_files_give_the_same_image_and_others_another() {
        let image = recipe().image().unwrap();
        assert_eq!(image.archive().unwrap(), recipe().image().unwrap().archive().unwrap());
        let mut other = recipe();
        other.files.insert("etc/thing".to_owned(), (Vec::new(), 0o644));
        assert_ne!(image.digest(), other.image().unwrap().digest());
    }

    #[test]
    fn every_digest_in_an_archive_is_that_of_its_file() {
        let archive = recipe().image().unwrap().archive().unwrap();
        let mut count = 0;
        for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let Some(wanted) = path.strip_prefix("blobs/sha256/").filter(|rest| !rest.is_empty()) else { continue };
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            assert_eq!(digest(&content), format!("sha256:{wanted}"));
            count += 1;
        }
        assert_eq!(count, 3, "configuration, layer and manifest");
    }
}
