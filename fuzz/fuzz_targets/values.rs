//! A values file and one argument of each kind of `--set`, one a line after it.
#![no_main]

use chart::values::UserValues;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (arguments, file) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = arguments.lines().map(str::to_owned);
    let user = UserValues {
        files: vec!["f".to_owned()],
        set: lines.next().into_iter().collect(),
        string: lines.next().into_iter().collect(),
        json: lines.next().into_iter().collect(),
        literal: lines.next().into_iter().collect(),
        file: Vec::new(),
    };
    let _ = user.resolve(|_| Ok(file.as_bytes().to_vec()));
});
