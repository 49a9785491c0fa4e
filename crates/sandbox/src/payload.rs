//! The sandbox's payload, made when the program was built: upstream's layout with placeholders for the programs.

use std::io;
use std::path::Path;

/// The archive: `tarballs/`, `shim-components.json`, `versions.yaml` and `nydus-snapshotter/`.
pub static ARCHIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/payload.tar"));

/// The name of the file that marks a complete payload; it holds the archive's length.
const MARK: &str = ".complete";

/// Unpacks the payload into a directory, unless it is there already.
pub fn unpack(directory: &Path) -> io::Result<()> {
    let mark = directory.join(MARK);
    let stamp = stamp();
    if std::fs::read_to_string(&mark).is_ok_and(|text| text == stamp) {
        return Ok(());
    }
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::create_dir_all(directory)?;
    let mut archive = tar::Archive::new(ARCHIVE);
    archive.set_preserve_permissions(true);
    archive.set_preserve_mtime(true);
    archive.unpack(directory)?;
    std::fs::write(mark, stamp)
}

/// Tells one archive from another: a hash of its bytes.
fn stamp() -> String {
    format!("{:016x}", crate::fnv::fnv64(ARCHIVE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn every_component_that_a_shim_names_is_in_the_payload() {
        let directory = tempfile::tempdir().unwrap();
        unpack(directory.path()).unwrap();
        let text = std::fs::read_to_string(directory.path().join("shim-components.json")).unwrap();
        let components: serde_json::Value = serde_json::from_str(&text).unwrap();
        let shims = components["shims"].as_object().unwrap();
        assert_eq!(shims.len(), 25);
        for (shim, architectures) in shims {
            for component in architectures["x86_64"].as_array().unwrap() {
                let name = format!("tarballs/kata-static-{}.tar.zst", component.as_str().unwrap());
                assert!(directory.path().join(&name).is_file(), "{shim} needs {name}");
            }
        }
        let program = directory.path().join("nydus-snapshotter/containerd-nydus-grpc");
        assert_eq!(std::fs::metadata(program).unwrap().permissions().mode() & 0o777, 0o755);
        assert!(ARCHIVE.len() < 1 << 20, "{} bytes", ARCHIVE.len());
    }

    #[test]
    fn a_damaged_payload_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        unpack(directory.path()).unwrap();
        std::fs::write(directory.path().join(MARK), "another").unwrap();
        std::fs::remove_file(directory.path().join("versions.yaml")).unwrap();
        unpack(directory.path()).unwrap();
        assert!(directory.path().join("versions.yaml").is_file());
    }
}
