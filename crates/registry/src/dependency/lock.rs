//! `Chart.lock`: its digest and its file.

use crate::error::os_text;
use crate::{Error, Result, sha256_hex};
use chart::{Dependency, Lock};
use serde_json::Value;
use std::path::Path;

/// The digest over what is wanted and what was chosen, as Helm 3 and 4 write it into the lock.
pub fn digest(wanted: &[Dependency], locked: &[Dependency]) -> String {
    let pair = (plain(wanted), plain(locked));
    format!("sha256:{}", sha256_hex(crate::go_text::json(&pair).as_bytes()))
}

/// The digest that Helm 2 wrote.
pub fn legacy_digest(wanted: &[Dependency]) -> String {
    let text = format!("{{\"dependencies\":{}}}", crate::go_text::json(&plain(wanted)));
    format!("sha256:{}", sha256_hex(text.as_bytes()))
}

/// Numbers in `import-values` as Go writes them.
fn plain(dependencies: &[Dependency]) -> Vec<Dependency> {
    let mut dependencies = dependencies.to_vec();
    for dependency in &mut dependencies {
        for value in &mut dependency.import_values {
            *value = goyaml::with_json_numbers(std::mem::replace(value, Value::Null));
        }
    }
    dependencies
}

/// Writes the lock into the chart's directory. A symbolic link in its place is not followed.
pub(super) fn write(chart: &Path, lock: &Lock, is_old: bool) -> Result<()> {
    let name = if is_old { "requirements.lock" } else { "Chart.lock" };
    let path = chart.join(name);
    match std::fs::symlink_metadata(&path) {
        Ok(found) if found.is_symlink() => {
            let target = std::fs::read_link(&path).unwrap_or_default();
            return Err(Error::Io(format!(
                "the {name} file is a symlink to {}",
                crate::url::quoted(&target.to_string_lossy())
            )));
        }
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            let shown = crate::url::quoted(&path.to_string_lossy());
            return Err(Error::Io(format!("error getting info for {shown}: {}", os_text(&e))));
        }
        _ => {}
    }
    let value = serde_json::to_value(lock).map_err(|e| Error::Io(e.to_string()))?;
    let text = goyaml::to_yaml(&value).map_err(|e| Error::Io(e.to_string()))?;
    crate::files::replace(&path, text.as_bytes(), 0o644)
}
