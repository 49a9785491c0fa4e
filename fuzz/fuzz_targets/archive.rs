//! Any bytes are unpacked as a chart's archive, or refused; no name leads out of the chart.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(files) = chart::load::archive_files(bytes) {
        for file in &files {
            assert!(!file.name.starts_with('/') && file.name.split('/').all(|part| part != ".."), "{}", file.name);
        }
    }
    let _ = chart::load::archive(bytes, &mut chart::Log::default());
});
