//! Any text is parsed, or refused; nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

fuzz_target!(|text: &str| {
    let mut set = gotemplate::TemplateSet::new(Arc::new(gotemplate::Functions::new()));
    let _ = set.parse("t", text);
});
