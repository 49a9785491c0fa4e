//! Any `.helmignore` is read, or refused, and can be asked.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = chart::load::Rules::parse(text);
});
