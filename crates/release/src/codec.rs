//! A record as text: JSON, gzip, base64, as Helm stores it.

use crate::record::Release;
use crate::storage::Excerpt;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::read::DecoderReader;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{BufReader, Read, Write};

/// A record that unpacks to more than this is refused: no cluster stores one, and a small text could fill the memory.
const LIMIT: u64 = 256 << 20;

/// Returns the text that Helm keeps under the key `release`.
pub fn encode(release: &Release) -> Result<String, String> {
    // Values hold floats where YAML has numbers; Go writes those without a point when they are whole.
    let record = serde_json::to_value(release).map_err(|error| error.to_string())?;
    let json = serde_json::to_vec(&goyaml::with_json_numbers(record)).map_err(|error| error.to_string())?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&json).map_err(|error| error.to_string())?;
    let packed = gzip.finish().map_err(|error| error.to_string())?;
    Ok(STANDARD.encode(packed))
}

/// Reads what [`encode`] or any Helm wrote; records older than compression are plain JSON below the base64.
pub fn decode(text: &str) -> Result<Release, String> {
    read(text)
}

/// Reads only what a list shows of a record; what comes behind that is neither unpacked nor checked.
pub(crate) fn decode_excerpt(text: &str) -> Result<Excerpt, String> {
    let text = text.trim();
    let packed = DecoderReader::new(text.as_bytes(), &STANDARD);
    // The magic number of gzip is three bytes: four characters.
    let read = if text.starts_with("H4sI") {
        Excerpt::read(BufReader::new(MultiGzDecoder::new(packed).take(LIMIT)))
    } else {
        Excerpt::read(BufReader::new(packed))
    };
    read.map_err(|error| format!("not a release: {error}"))
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let packed = STANDARD.decode(text.trim()).map_err(|error| format!("not base64: {error}"))?;
    let json = if packed.starts_with(&[0x1f, 0x8b, 0x08]) {
        let mut json = Vec::new();
        let read = MultiGzDecoder::new(packed.as_slice())
            .take(LIMIT + 1)
            .read_to_end(&mut json)
            .map_err(|error| format!("not gzip: {error}"))?;
        if read as u64 > LIMIT {
            return Err(format!("unpacks to more than {LIMIT} bytes"));
        }
        json
    } else {
        packed
    };
    serde_json::from_slice(&json).map_err(|error| format!("not a release: {error}"))
}

/// Returns the parts of a record that take most room, largest first, sizes in bytes before packing.
pub fn largest_parts(release: &Release) -> Vec<(String, usize)> {
    let mut parts: Vec<(String, usize)> = vec![
        ("manifest".to_owned(), release.manifest.len()),
        ("hooks".to_owned(), release.hooks.iter().map(|hook| hook.manifest.len()).sum()),
        ("config".to_owned(), serde_json::to_string(&release.config).map_or(0, |text| text.len())),
    ];
    for list in ["templates", "files"] {
        for file in release.chart[list].as_array().into_iter().flatten() {
            let name = file["name"].as_str().unwrap_or_default();
            parts.push((name.to_owned(), file["data"].as_str().map_or(0, str::len) * 3 / 4));
        }
    }
    for field in ["values", "schema"] {
        let size = match &release.chart[field] {
            Value::Null => 0,
            value => value.to_string().len(),
        };
        parts.push((format!("chart {field}"), size));
    }
    parts.retain(|(_, size)| *size > 0);
    parts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_is_written_is_read() {
        let release: Release = serde_json::from_value(json!({
            "name": "web", "version": 7, "namespace": "n", "manifest": "---\n# Source: c/t.yaml\nkind: X\n",
            "config": {"a": {"b": [1, 2.5, null]}}, "chart": {"metadata": {"name": "c", "version": "1.0.0"}},
            "info": {"status": "deployed", "description": "Install complete"}, "apply_method": "ssa"
        }))
        .unwrap();
        let text = encode(&release).unwrap();
        assert!(STANDARD.decode(&text).unwrap().starts_with(&[0x1f, 0x8b, 0x08]));
        assert_eq!(decode(&text).unwrap(), release);
    }

    #[test]
    fn whole_numbers_are_written_as_go_writes_them() {
        let release: Release = serde_json::from_value(json!({"config": {"a": 3.0, "b": 0.5}})).unwrap();
        assert_eq!(
            serde_json::to_value(decode(&encode(&release).unwrap()).unwrap().config).unwrap().to_string(),
            "{\"a\":3,\"b\":0.5}"
        );
    }

    #[test]
    fn plain_json_is_read() {
        let text = STANDARD.encode(r#"{"name":"old","version":1,"info":{"status":"deployed"}}"#);
        assert_eq!(decode(&text).unwrap().name, "old");
    }

    /// A record as Helm 4.3.1 wrote it into a Secret, which adds one more base64.
    #[test]
    fn a_record_of_helm_is_read_and_written_back() {
        let data = STANDARD.decode(include_str!("../tests/data/helm-record.txt").trim()).unwrap();
        let release = decode(std::str::from_utf8(&data).unwrap()).unwrap();
        assert_eq!((release.name.as_str(), release.version, release.apply_method.as_str()), ("web", 1, "ssa"));
        assert_eq!((release.chart_field("name"), release.config["k"].as_str()), ("tiny", Some("two")));
        assert_eq!(release.hooks[0].last_run.phase, "Succeeded");
        assert_eq!(release.info.notes, "Thanks for web.");
        assert!(release.other.is_empty() && release.info.other.is_empty(), "every field is known");
        let again = decode(&encode(&release).unwrap()).unwrap();
        assert_eq!(again, release);
    }

    #[test]
    fn rubbish_is_an_error() {
        for text in ["", "%%%", &STANDARD.encode("no json"), &STANDARD.encode([0x1f, 0x8b, 0x08, 1, 2, 3])] {
            assert!(decode(text).is_err(), "{text}");
            assert!(decode_excerpt(text).is_err(), "{text}");
        }
    }

    #[test]
    fn large_parts_are_named() {
        let release: Release = serde_json::from_value(json!({
            "manifest": "x", "chart": {"files": [{"name": "video.mp4", "data": "A".repeat(4000)}]}
        }))
        .unwrap();
        assert_eq!(largest_parts(&release)[0], ("video.mp4".to_owned(), 3000));
    }

    proptest! {
        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for text in [STANDARD.encode(&bytes), String::from_utf8_lossy(&bytes).into_owned()] {
                let _ = decode(&text);
                let _ = decode_excerpt(&text);
            }
        }
    }
}
