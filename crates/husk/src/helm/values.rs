//! Values of a user: `-f` and the five kinds of `--set`.

use super::flags::{Flag, Kind, Parsed};
use super::remote;
use chart::Values;
use chart::values::UserValues;
use registry::repository::Access;
use std::io::Read as _;

pub(super) const VALUES: &[Flag] = &[
    Flag::new("values", Kind::List).short('f'),
    Flag::new("set", Kind::Repeat),
    Flag::new("set-file", Kind::Repeat),
    Flag::new("set-json", Kind::Repeat),
    Flag::new("set-literal", Kind::Repeat),
    Flag::new("set-string", Kind::Repeat),
];

/// Values from a web server are not larger than this, in bytes.
const MAX_FETCHED: u64 = 16 << 20;

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
    if name.starts_with("oci://") {
        return Err(format!("{name}: husk helm reads values from files and web servers only"));
    }
    if name.starts_with("http://") || name.starts_with("https://") {
        let access = Access { url: name.to_owned(), ..Access::default() };
        return remote::wait(async || access.fetch(name, None, MAX_FETCHED).await).map(Into::into);
    }
    std::fs::read(name).map_err(|error| format!("open {name}: {}", super::os_error(&error)))
}
