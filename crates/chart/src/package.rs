//! Packing a chart into an archive.

use crate::version::Version;
use crate::{Chart, Error, File};
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use jiff::Timestamp;

/// A packed chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// `name-version.tgz`
    pub file_name: String,
    /// The archive.
    pub data: Vec<u8>,
}

/// The extra field by which Helm's archives can be told.
const MARK: &[u8] = b"rr\x28\x00aHR0cHM6Ly95b3V0dS5iZS96OVV6MWljandyTQo=";

/// Two thirds of the time that the usual level takes, for archives that are a twentieth longer.
const LEVEL: Compression = Compression::new(4);

/// Packs a chart and the charts below it. The same chart and the same `stamp` give the same bytes; without a stamp, files
/// keep their own times (the start of 1970 where none is known).
///
/// Errors: [`Error::Argument`] when the version is none, [`Error::Load`] when a listed dependency is missing or the schema
/// is no JSON, [`Error::Validation`] when the metadata is not in order.
pub fn package(chart: &Chart, stamp: Option<Timestamp>) -> Result<Package, Error> {
    Version::parse(&chart.metadata.version).map_err(|e| Error::Argument(e.to_string()))?;
    let missing = chart.missing_dependencies();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        return Err(Error::Load(format!("found in Chart.yaml, but missing in charts/ directory: {missing}")));
    }
    chart.metadata.clone().validate()?;
    let gzip = GzBuilder::new().extra(MARK).comment("Helm").mtime(0).operating_system(255);
    let mut writer = Writer { tar: tar::Builder::new(gzip.write(Vec::new(), LEVEL)), stamp };
    writer.chart(chart, "")?;
    let data = writer.tar.into_inner().and_then(GzEncoder::finish).map_err(|e| failed(&e))?;
    Ok(Package { file_name: format!("{}.tgz", chart.full_name()), data })
}

fn failed(error: &std::io::Error) -> Error {
    Error::Load(format!("failed to save: {error}"))
}

struct Writer {
    tar: tar::Builder<GzEncoder<Vec<u8>>>,
    stamp: Option<Timestamp>,
}

impl Writer {
    fn chart(&mut self, chart: &Chart, prefix: &str) -> Result<(), Error> {
        let base = format!("{prefix}{}", chart.name());
        let mut metadata = chart.metadata.clone();
        if metadata.api_version == "v1" {
            // Charts of the first version keep theirs in a file of its own.
            metadata.dependencies.clear();
        }
        self.file(&format!("{base}/Chart.yaml"), yaml(&metadata)?.as_bytes(), &chart.modtime)?;
        if let Some(mut lock) = chart.lock.clone().filter(|_| chart.metadata.api_version == "v2") {
            if let Some(stamp) = self.stamp {
                lock.generated = stamp.to_string();
            }
            self.file(&format!("{base}/Chart.lock"), yaml(&lock)?.as_bytes(), &lock.generated)?;
        }
        for file in chart.raw.iter().filter(|f| f.name == "values.yaml") {
            self.file(&format!("{base}/{}", file.name), &file.data, &file.modtime)?;
        }
        if let Some(schema) = &chart.schema {
            if serde_json::from_slice::<serde::de::IgnoredAny>(schema).is_err() {
                return Err(Error::Load("failed to save: invalid JSON in values.schema.json".into()));
            }
            self.file(&format!("{base}/values.schema.json"), schema, &chart.schemamodtime)?;
        }
        for File { name, data, modtime } in chart.templates.iter().chain(&chart.files) {
            self.file(&format!("{base}/{name}"), data, modtime)?;
        }
        for below in &chart.dependencies {
            self.chart(below, &format!("{base}/charts/"))?;
        }
        Ok(())
    }

    fn file(&mut self, path: &str, data: &[u8], modtime: &str) -> Result<(), Error> {
        let time = self.stamp.or_else(|| modtime.parse().ok()).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut header = tar::Header::new_ustar();
        header.set_size(data.len() as u64);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(nearest_second(time));
        let plain = header.set_device_major(0).and_then(|()| header.set_device_minor(0));
        if plain.and_then(|()| header.set_path(path)).is_err() {
            // Too long for the plain format: the path goes into an entry of its own.
            return self.tar.append_data(&mut header, path, data).map_err(|e| failed(&e));
        }
        write_checksum(&mut header);
        self.tar.append(&header, data).map_err(|e| failed(&e))
    }
}

/// Writes the checksum the way Go does, with six digits, so that the stream is the same byte for byte.
fn write_checksum(header: &mut tar::Header) {
    let bytes = header.as_mut_bytes();
    bytes[148..156].fill(b' ');
    let sum: u32 = bytes.iter().map(|b| u32::from(*b)).sum();
    bytes[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

/// A structure as Helm writes it to a file: through JSON, keys sorted.
pub(crate) fn yaml(value: &impl serde::Serialize) -> Result<String, Error> {
    let value = serde_json::to_value(value).map_err(|e| Error::Load(e.to_string()))?;
    goyaml::to_yaml(&value).map_err(|e| Error::Load(e.to_string()))
}

/// A time in an archive: Go rounds.
fn nearest_second(time: Timestamp) -> u64 {
    let second = time.as_second() + i64::from(time.subsec_nanosecond() >= 500_000_000);
    u64::try_from(second).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Log, load};

    fn chart() -> Chart {
        let file = |name: &str, text: &str| (name.to_string(), text.as_bytes().to_vec());
        let long = format!("files/{}", "x".repeat(150));
        let files = vec![
            file(
                "Chart.yaml",
                "apiVersion: v2\nname: top\nversion: 1.2.3\ndependencies: [{name: sub, version: '*', repository: ''}]\n",
            ),
            file("values.yaml", "# kept\na: 1\n"),
            file("templates/a.yaml", "a: {{ .Values.a }}\n"),
            file("charts/sub/Chart.yaml", "apiVersion: v2\nname: sub\nversion: 0.1.0\n"),
            (long, b"long".to_vec()),
        ];
        Chart::from_files(files, &|_| Ok(None)).expect("chart")
    }

    #[test]
    fn what_is_packed_unpacks() {
        let packed = package(&chart(), Some(Timestamp::UNIX_EPOCH)).expect("package");
        assert_eq!(packed.file_name, "top-1.2.3.tgz");
        assert_eq!(packed, package(&chart(), Some(Timestamp::UNIX_EPOCH)).expect("again"));
        let back = load::archive(&packed.data, &mut Log::default()).expect("chart");
        assert_eq!(back.metadata, chart().metadata);
        assert_eq!(back.values, chart().values);
        assert_eq!(back.dependencies[0].name(), "sub");
        assert_eq!(*back.files[0].data, *b"long");
    }

    #[test]
    fn times_are_rounded() {
        let time = |text: &str| nearest_second(text.parse().expect("a time"));
        assert_eq!(time("1970-01-01T00:00:07.499999999Z"), 7);
        assert_eq!(time("1970-01-01T00:00:07.5Z"), 8);
        assert_eq!(time("1969-12-31T00:00:00Z"), 0);
    }

    #[test]
    fn a_missing_dependency_is_refused() {
        let mut chart = chart();
        chart.dependencies.clear();
        assert_eq!(
            package(&chart, None).expect_err("missing").to_string(),
            "found in Chart.yaml, but missing in charts/ directory: sub"
        );
    }
}
