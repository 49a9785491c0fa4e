//! Indexes: what Helm generated from the same packages, and reading back what was written.

use crate::place::{Place, copy, data, golden, quiet};
use chart::Metadata;
use jiff::Zoned;
use proptest::prelude::*;
use registry::repository::{ChartVersion, Index, IndexReader, write_index};
use std::path::Path;

/// Times differ from run to run.
fn without_times(text: &str) -> String {
    let line = |line: &str| match line.split_once(": \"") {
        Some((before, after)) if before.contains("created") || before.contains("generated") => {
            let rest = after.split_once('"').map_or("", |(_, rest)| rest);
            format!("{before}: \"TIME\"{rest}")
        }
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn generated(url: &str, merge: bool, json: bool) -> String {
    let place = Place::new();
    let www = place.path("www");
    copy(&data("packages"), &www);
    let old = place.path("old.yaml");
    copy_file("golden/old-index.yaml", &old);
    write_index(&www, url, merge.then_some(old.as_path()), json, &Zoned::now(), &mut quiet).unwrap();
    std::fs::read_to_string(www.join("index.yaml")).unwrap()
}

fn copy_file(from: &str, to: &Path) {
    std::fs::copy(data(from), to).unwrap();
}

#[test]
fn indexes_are_what_helm_generates() {
    for (name, url, merge, json) in [
        ("index.yaml", "", false, false),
        ("index-url.yaml", "https://example.org/charts/", false, false),
        ("index-merged.yaml", "", true, false),
        ("index.json", "", false, true),
    ] {
        let text = generated(url, merge, json);
        assert_eq!(without_times(&text), without_times(&golden(name)), "{name}");
    }
}

#[test]
fn yaml_and_json_say_the_same() {
    let read = |text: String| IndexReader::parse(text.into_bytes(), "x").unwrap().into_index(&mut quiet).unwrap();
    let mut pair = [generated("", false, false), generated("", false, true)].map(read);
    for index in &mut pair {
        index.generated = String::new();
        index.entries.values_mut().flatten().for_each(|version| version.created = String::new());
    }
    assert_eq!(pair[0], pair[1]);
    assert_eq!(pair[0].entries["app"].len(), 4);
}

#[test]
fn a_missing_index_to_merge_is_made() {
    let place = Place::new();
    let www = place.path("www");
    copy(&data("packages"), &www);
    let merge = place.path("none.yaml");
    write_index(&www, "", Some(&merge), false, &Zoned::now(), &mut quiet).unwrap();
    let text = std::fs::read_to_string(merge).unwrap();
    assert!(text.starts_with("apiVersion: v1\nentries: {}\ngenerated: \""), "{text}");
}

fn any_version() -> impl Strategy<Value = ChartVersion> {
    let name = "[a-z][a-z0-9]{0,3}(-[a-z]{1,3})?|on|true|1\\.5";
    let numbers = (0u64..20, 0u64..20, 0u64..3);
    (
        name,
        numbers,
        "\\PC{0,40}",
        proptest::option::of(proptest::collection::vec("[a-z:/#' -]{1,30}", 0..3)),
        any::<bool>(),
    )
        .prop_map(|(name, (a, b, c), description, urls, removed)| ChartVersion {
            metadata: Metadata {
                name,
                version: format!("{a}.{b}.{c}"),
                description,
                api_version: "v2".into(),
                ..Metadata::default()
            },
            urls,
            created: "2026-01-02T03:04:05Z".into(),
            removed,
            ..ChartVersion::default()
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is written is read again, cut into blocks or not.
    #[test]
    fn indexes_are_read_as_they_were_written(versions in proptest::collection::vec(any_version(), 0..12)) {
        let mut index = Index::empty("2026-01-02T03:04:05Z");
        for mut version in versions {
            version.metadata.validate().unwrap();
            index.entries.entry(version.metadata.name.clone()).or_default().push(version);
        }
        index.sort();
        let yaml = index.to_yaml().unwrap();
        let read = |text: &str| IndexReader::parse(text.into(), "x").and_then(|reader| reader.into_index(&mut quiet));
        prop_assert_eq!(read(&yaml).unwrap(), index.clone());
        prop_assert_eq!(read(&index.to_json()).unwrap(), index.clone());
        // Indented further, it is still the same index; the lists' dashes deeper than their key.
        let deeper: String = yaml.lines().map(|line| if line.starts_with(' ') { format!("  {line}\n") } else { format!("{line}\n") }).collect();
        prop_assert_eq!(read(&deeper).unwrap(), index);
    }

    /// No text makes the reader panic.
    #[test]
    fn any_text_is_taken_or_refused(text in "(apiVersion: v1\n|entries:\n|  [a-z\"]{1,4}:\n|  - |    [a-z]{1,9}: [\"'|>&*\\[]?[a-z ]{0,5}\n|generated: x\n|---\n){0,14}") {
        if let Ok(reader) = IndexReader::parse(text.into_bytes(), "x") {
            let _ = reader.into_index(&mut quiet);
        }
    }
}
