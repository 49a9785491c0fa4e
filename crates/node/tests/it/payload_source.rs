//! The payload from an archive, a web server and a registry, and all that goes wrong on the way.

use crate::host::{CONFIG, TestHost, payload};
use crate::registry::{Fault, Registry};
use contract::Code;
use flate2::write::GzEncoder;
use std::fs;
use std::path::Path;

type Builder = tar::Builder<Vec<u8>>;

fn append(tar: &mut Builder, path: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    // as it stands, `..` included
    header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_cksum();
    tar.append(&header, bytes).unwrap();
}

fn tree(tar: &mut Builder, directory: &Path, prefix: &str) {
    let mut entries: Vec<_> = fs::read_dir(directory).unwrap().flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            tree(tar, &entry.path(), &format!("{name}/"));
        } else {
            append(tar, &name, &fs::read(entry.path()).unwrap());
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An image as upstream's: other files, the payload, and a layer over it.
fn layers(directory: &Path) -> Vec<Vec<u8>> {
    let mut base = Builder::new(Vec::new());
    append(&mut base, "etc/os-release", b"ID=none\n");
    append(&mut base, "opt/kata-artifacts/tarballs/kata-static-old.tar.zst", b"x");
    append(&mut base, "opt/kata-artifacts/VERSION", b"0.0.0");
    let mut middle = Builder::new(Vec::new());
    tree(&mut middle, directory, "opt/kata-artifacts/");
    append(&mut middle, "opt/kata-artifacts/tarballs/kata-static-unneeded.tar.zst", b"not even an archive");
    let mut top = Builder::new(Vec::new());
    append(&mut top, "opt/kata-artifacts/tarballs/.wh.kata-static-old.tar.zst", b"");
    let last = zstd::encode_all(&top.into_inner().unwrap()[..], 3).unwrap();
    vec![gzip(&base.into_inner().unwrap()), gzip(&middle.into_inner().unwrap()), last]
}

fn archive(directory: &Path) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    tree(&mut tar, directory, "kata-artifacts/");
    zstd::encode_all(&tar.into_inner().unwrap()[..], 3).unwrap()
}

fn host() -> TestHost {
    let mut host = TestHost::containerd("1.7.24", Some(CONFIG));
    host.set("HUSK_NETWORK_TIMEOUT", "1");
    host
}

fn check_installed(host: &TestHost, version: &str) {
    assert_eq!(
        host.host.text("/opt/kata/bin/containerd-shim-kata-v2").as_deref(),
        Some(format!("shim {version}").as_str())
    );
    let names = host.host.names("/opt/kata.d");
    assert_eq!(names.len(), 1, "nothing but the version itself is left: {names:?}");
}

#[test]
fn an_image_comes_straight_from_its_registry() {
    let mut host = host();
    payload(&host.payload(), "5.0.0");
    let registry = Registry::start(layers(&host.payload()), None);
    fs::remove_dir_all(host.payload()).unwrap();
    host.set("PAYLOAD_SOURCE", &format!("oci://{}/kata/payload:v1", registry.address()));
    let first = host.picture();
    host.install().unwrap();
    check_installed(&host, "5.0.0");
    assert_eq!(host.host.text("/opt/kata/VERSION").unwrap().trim(), "5.0.0");
    assert_eq!(registry.served(), 3, "each layer once");
    assert_eq!(host.install().unwrap(), (0, false));
    assert_eq!(registry.served(), 3, "what is on the host is not fetched again");
    host.remove().unwrap();
    assert_eq!(host.picture(), first);
}

#[test]
fn a_pull_secret_opens_it_and_a_digest_pins_it() {
    let mut host = host();
    let registry = Registry::start(layers(&host.payload()), Some("dXNlcjpwdw=="));
    let name = format!("oci://{}/kata/payload@{}", registry.address(), registry.digest());
    host.set("PAYLOAD_SOURCE", &name);
    let before = host.picture();
    let error = host.install().unwrap_err();
    assert_eq!(error.code, Code::PAYLOAD_NOT_FETCHED);
    assert!(error.message.contains("401"), "{}", error.message);
    assert_eq!(host.picture(), before);
    let secret = format!(r#"{{"auths": {{"{}": {{"auth": "dXNlcjpwdw=="}}}}}}"#, registry.address());
    host.files.insert("/pull/config.json".into(), secret);
    host.set("PAYLOAD_PULL_SECRET", "/pull/config.json");
    host.install().unwrap();
    check_installed(&host, "4.1.0");
    // the digest of another image
    host.remove().unwrap();
    host.set("PAYLOAD_SOURCE", &format!("oci://{}/kata/payload@sha256:{}", registry.address(), "00".repeat(32)));
    assert_eq!(host.install().unwrap_err().code, Code::PAYLOAD_NOT_FETCHED);
    assert_eq!(host.picture(), before);
}

#[test]
fn mirrors_are_asked_first_and_the_next_one_when_they_fail() {
    let mut host = host();
    let (good, bad) = (Registry::start(layers(&host.payload()), None), Registry::start(Vec::new(), None));
    bad.inject(Fault::Broken);
    host.set("PAYLOAD_SOURCE", &format!("oci://registry.invalid/kata/payload@{}", good.digest()));
    host.set("PAYLOAD_MIRRORS", &format!("registry.invalid={},{}/cache", bad.address(), good.address()));
    host.install().unwrap();
    check_installed(&host, "4.1.0");
    assert!(bad.requests() > 0);
}

#[test]
fn transfers_that_fail_have_their_codes_and_leave_the_host_as_it_was() {
    let mut host = host();
    let registry = Registry::start(layers(&host.payload()), None);
    host.install().unwrap(); // from the container's own payload
    let before = host.picture();
    host.set("PAYLOAD_SOURCE", &format!("oci://{}/kata/payload:v1", registry.address()));
    for (fault, code, word) in [
        (Fault::Truncated, Code::PAYLOAD_NOT_FETCHED, "3 attempts"),
        (Fault::Stalled, Code::PAYLOAD_NOT_FETCHED, "silent"),
        (Fault::Swapped, Code::PAYLOAD_CORRUPT, "SHA-256"),
        (Fault::Broken, Code::PAYLOAD_NOT_FETCHED, "503"),
    ] {
        registry.inject(fault);
        let error = host.install().unwrap_err();
        assert_eq!(error.code, code, "{fault:?}: {}", error.message);
        assert!(error.message.contains(word), "{fault:?}: {}", error.message);
        assert_eq!(host.picture(), before, "{fault:?}");
        assert_eq!(host.machine.borrow().restarts, 1, "{fault:?}");
    }
    registry.inject(Fault::None);
    host.install().unwrap();
    check_installed(&host, "4.1.0");
}

#[test]
fn hostile_layers_are_refused() {
    type Spoil = fn(&mut Builder);
    let cases: [(&str, Spoil); 4] = [
        ("dots", |tar| append(tar, "opt/kata-artifacts/../../../etc/husk-was-here", b"x")),
        ("absolute", |tar| append(tar, "/etc/husk-was-here", b"x")),
        ("a link outward", |tar| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            tar.append_link(&mut header, "opt/kata-artifacts/tarballs", "../../../../etc").unwrap();
        }),
        ("no payload", |tar| append(tar, "etc/x", b"x")),
    ];
    for (name, spoil) in cases {
        let mut host = host();
        let mut tar = Builder::new(Vec::new());
        spoil(&mut tar);
        append(&mut tar, "opt/kata-artifacts/tarballs/kata-static-qemu.tar.zst", b"x");
        let registry = Registry::start(vec![gzip(&tar.into_inner().unwrap())], None);
        host.set("PAYLOAD_SOURCE", &format!("oci://{}/kata/payload:v1", registry.address()));
        let before = host.picture();
        let error = host.install().expect_err(name);
        assert_eq!(error.code, Code::PAYLOAD_CORRUPT, "{name}: {}", error.message);
        assert_eq!(host.picture(), before, "{name}");
    }
}

#[test]
fn an_archive_is_as_good_as_a_directory() {
    let mut host = host();
    payload(&host.payload(), "5.1.0");
    let bytes = archive(&host.payload());
    fs::remove_dir_all(host.payload()).unwrap();
    fs::write(host.directory.path().join("payload.tar.zst"), &bytes).unwrap();
    host.set("PAYLOAD_SOURCE", "/payload.tar.zst");
    let first = host.picture();
    host.install().unwrap();
    check_installed(&host, "5.1.0");
    assert_eq!(host.install().unwrap(), (0, false));
    host.remove().unwrap();
    assert_eq!(host.picture(), first);
    // a sum that is not its own, an end that is missing, nothing at all
    host.set("PAYLOAD_SHA256", &"ab".repeat(32));
    assert_eq!(host.install().unwrap_err().code, Code::PAYLOAD_CORRUPT);
    host.set("PAYLOAD_SHA256", "");
    fs::write(host.directory.path().join("payload.tar.zst"), &bytes[..bytes.len() - 30]).unwrap();
    assert_eq!(host.install().unwrap_err().code, Code::PAYLOAD_CORRUPT);
    fs::remove_file(host.directory.path().join("payload.tar.zst")).unwrap();
    assert_eq!(host.install().unwrap_err().code, Code::PAYLOAD_MISSING);
    assert_eq!(host.picture(), first);
}

#[test]
fn an_archive_comes_from_a_web_server_once_its_sum_is_right() {
    let mut host = host();
    let bytes = archive(&host.payload());
    let sum = crate::registry::digest(&bytes);
    let (address, _) = serve(bytes);
    host.set("PAYLOAD_SOURCE", &format!("http://{address}/payload.tar.zst"));
    host.set("PAYLOAD_SHA256", &"cd".repeat(32));
    let first = host.picture();
    assert_eq!(host.install().unwrap_err().code, Code::PAYLOAD_CORRUPT);
    assert_eq!(host.picture(), first);
    host.set("PAYLOAD_SHA256", &sum);
    host.install().unwrap();
    check_installed(&host, "4.1.0");
}

fn serve(bytes: Vec<u8>) -> (String, std::thread::JoinHandle<()>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len()).as_bytes());
            let _ = stream.write_all(&bytes);
        }
    });
    (address, thread)
}

#[test]
fn killed_anywhere_while_it_arrives_it_converges_or_leaves() {
    let mut host = host();
    let registry = Registry::start(layers(&host.payload()), None);
    host.set("PAYLOAD_SOURCE", &format!("oci://{}/kata/payload:v1", registry.address()));
    let first = host.picture();
    host.install().unwrap();
    let wanted = host.host.names("/opt/kata.d");
    let effects = host.killer.count.get();
    host.remove().unwrap();
    for at in (0..effects).step_by(3) {
        host.revive();
        host.killer.left.set(Some(at));
        assert!(host.install().is_err());
        host.revive();
        host.install().unwrap_or_else(|error| panic!("killed at {at}: {error}"));
        assert_eq!(host.host.names("/opt/kata.d"), wanted, "killed at {at}");
        host.remove().unwrap();
        assert_eq!(host.picture(), first, "killed at {at}");
    }
}
