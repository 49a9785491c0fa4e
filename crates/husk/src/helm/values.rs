//! Values of a user: `-f` and the five kinds of `--set`.

use super::flags::{Flag, Kind, Parsed};
use chart::Values;
use chart::values::UserValues;
use std::io::Read as _;

pub(super) const VALUES: &[Flag] = &[
    Flag::new("values", Kind::List).short('f'),
    Flag::new("set", Kind::Repeat),
    Flag::new("set-file", Kind::Repeat),
    Flag::new("set-json", Kind::Repeat),
    Flag::new("set-literal", Kind::Repeat),
    Flag::new("set-string", Kind::Repeat),
];

/// Merges what the flags say.
pub(super) fn gather(parsed: &Parsed) -> Result<Values, String> {
    let user = UserValues {
        files: parsed.all("values"),
        json: parsed.all("set-json"),
        set: parsed.all("set"),
        string: parsed.all("set-string"),
        file: parsed.all("set-file"),
        literal: parsed.all("set-literal"),
    };
    user.resolve(read).map_err(|error| error.to_string())
}

fn read(name: &str) -> Result<Vec<u8>, String> {
    if name.trim() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        return Ok(bytes);
    }
    if ["http://", "https://", "oci://"].iter().any(|scheme| name.starts_with(scheme)) {
        return Err(format!("{name}: husk helm reads values from files only"));
    }
    std::fs::read(name).map_err(|error| format!("open {name}: {}", super::os_error(&error)))
}
