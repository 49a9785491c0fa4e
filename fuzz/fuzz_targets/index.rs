//! Any bytes are read as a repository's index, or refused; a chart read alone is the chart of the whole index.
#![no_main]

use libfuzzer_sys::fuzz_target;
use registry::repository::IndexReader;

fuzz_target!(|bytes: &[u8]| {
    let Ok(reader) = IndexReader::parse(bytes.to_vec(), "index.yaml") else { return };
    let names: Vec<String> = reader.names().map(str::to_owned).collect();
    let alone: Vec<_> = names.iter().map(|name| reader.versions(name, &mut |_| {})).collect();
    for name in &names {
        let _ = reader.select(name, ">0.0.0-0", &mut |_| {});
    }
    let Ok(index) = reader.into_index(&mut |_| {}) else { return };
    for (name, versions) in names.iter().zip(alone) {
        assert_eq!(versions.ok().flatten().as_ref(), index.entries.get(name), "{name}");
    }
});
