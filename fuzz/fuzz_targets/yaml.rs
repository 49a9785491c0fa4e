//! Any text is read as YAML, or refused; what was read can be written, and reads as the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = goyaml::parse_strict(text);
    let Ok(value) = goyaml::unmarshal(text) else { return };
    let Ok(written) = goyaml::to_yaml(&value) else { return };
    // Helm writes these as they are or as a space, and reads the line breaks that they are in YAML 1.1 as spaces.
    if value.to_string().contains(['\u{85}', '\u{2028}', '\u{2029}']) {
        return;
    }
    assert_eq!(goyaml::unmarshal(&written).as_ref(), Ok(&value), "{written}");
});
