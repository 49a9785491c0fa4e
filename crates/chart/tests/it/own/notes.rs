//! What the notes tell of another containerd.

use super::{first, own, parse};
use chart::Values;

fn notes(values: &Values) -> String {
    chart::render(&own("confidential-containers"), values, &first("confidential-containers")).unwrap().notes
}

/// The lines that tell of archives without a checksum.
fn unverified(notes: &str) -> Vec<&str> {
    notes.lines().filter(|line| line.contains("NOT verified: no sha256")).map(str::trim).collect()
}

#[test]
fn an_archive_without_checksum_is_told_of() {
    let one = "customContainerd: {enabled: true, tarballUrl: 'https://m/c.tar.gz'";
    let told = notes(&parse(&format!("{one}}}")));
    assert_eq!(unverified(&told), ["any     https://m/c.tar.gz  (NOT verified: no sha256)"]);
    let sum = "0".repeat(64);
    let told = notes(&parse(&format!("{one}, sha256: '{sum}'}}")));
    assert!(told.contains("any     https://m/c.tar.gz\n") && unverified(&told).is_empty(), "{told}");

    // Each architecture has an archive and a checksum of its own; the one for any other says nothing of theirs.
    let each = "tarballUrls: {amd64: 'https://m/x.tar.gz', arm64: 'https://m/a.tar.gz'}";
    let told = notes(&parse(&format!("{one}, sha256: '{sum}', {each}, sha256s: {{arm64: '{sum}'}}}}")));
    assert_eq!(unverified(&told), ["amd64   https://m/x.tar.gz  (NOT verified: no sha256)"], "{told}");
    assert!(told.contains("arm64   https://m/a.tar.gz\n"), "{told}");
}

#[test]
fn without_another_containerd_nothing_is_told_of_one() {
    let told = notes(&parse("customContainerd: {tarballUrl: 'https://m/c.tar.gz'}"));
    assert!(!told.contains("containerd ") && !told.contains("https://m"), "{told}");
}
