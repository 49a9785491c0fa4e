//! The pages of the documentation that are made from what the product itself says: the charts' schemas and defaults, and the
//! error catalogue.
//!
//! A page is text of people's with blocks in it, each between `<!-- generated: WHAT … -->` and `<!-- end -->`. WHAT is
//! `values CHART KEY…` (a table of these keys and everything below them; `<name>` stands for any name), `older CHART KEY` (the
//! keys below it that are older spellings of others), `changed CHART DEPENDENCY` (defaults of a dependency that a chart sets
//! anew) or `codes`. A key of a schema that is on no page is an error, and so is a link
//! that leads nowhere.

mod codes;
mod links;
mod values;

use crate::programs::root;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use values::ChartValues;

const BEGIN: &str = "<!-- generated: ";
const END: &str = "<!-- end -->";

/// Writes the blocks anew; with `check` says instead which pages are not what they should be.
pub(crate) fn generate(check: bool) -> Result<(), String> {
    let mut covered = BTreeSet::new();
    let mut stale = Vec::new();
    let mut pages = 0;
    for path in markdown()? {
        let fail = |error: std::io::Error| format!("{}: {error}", path.display());
        let old = std::fs::read_to_string(&path).map_err(fail)?;
        let new = page(&old, &mut covered).map_err(|error| format!("{}: {error}", path.display()))?;
        pages += usize::from(old.contains(BEGIN));
        if new == old {
            continue;
        }
        if !check {
            std::fs::write(&path, new).map_err(fail)?;
        }
        stale.push(path.display().to_string());
    }
    for chart in ["kata-deploy", "confidential-containers"] {
        for key in ChartValues::load(chart)?.keys() {
            if !covered.contains(&format!("{chart} {key}")) {
                return Err(format!("`{key}` of {chart} is on no page: add it to a block `values {chart} …`"));
            }
        }
    }
    let faults = links::broken(&root())?;
    if !faults.is_empty() {
        return Err(faults.join("\n"));
    }
    match (check, stale.as_slice()) {
        (_, []) => println!("{pages} pages are as they should be"),
        (false, stale) => println!("written: {}", stale.join(", ")),
        (true, stale) => return Err(format!("stale, run `cargo xtask docs`: {}", stale.join(", "))),
    }
    Ok(())
}

fn markdown() -> Result<Vec<PathBuf>, String> {
    let source = root().join("docs/src");
    let entries = std::fs::read_dir(&source).map_err(|error| format!("{}: {error}", source.display()))?;
    let mut pages: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    Ok(pages)
}

/// A page with its blocks made anew. `covered` takes the keys of the charts that are on it.
fn page(old: &str, covered: &mut BTreeSet<String>) -> Result<String, String> {
    let mut new = String::new();
    let mut rest = old;
    while let Some((before, block)) = rest.split_once(BEGIN) {
        let (what, after) = block.split_once(" -->").ok_or("a block's first line has no end")?;
        let (_, after) = after.split_once(END).ok_or_else(|| format!("the block `{what}` has no {END}"))?;
        let _ = write!(new, "{before}{BEGIN}{what} -->\n{}{END}", content(what, covered)?);
        rest = after;
    }
    new.push_str(rest);
    Ok(new)
}

fn content(what: &str, covered: &mut BTreeSet<String>) -> Result<String, String> {
    let words: Vec<&str> = what.split_whitespace().collect();
    match words.as_slice() {
        ["codes"] => Ok(codes::all()),
        ["values", chart, keys @ ..] => {
            covered.extend(keys.iter().map(|key| format!("{chart} {key}")));
            ChartValues::load(chart)?.table(keys)
        }
        ["older", chart, key] => ChartValues::load(chart)?.older(key),
        ["changed", chart, dependency] => ChartValues::load(chart)?.changed(dependency),
        _ => Err(format!("`{what}` is no block that is known")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_stays_and_blocks_are_made_anew() {
        let mut covered = BTreeSet::new();
        let old = "# Title\n\n<!-- generated: values kata-deploy devkit -->\nold\n<!-- end -->\n\nText.\n";
        let new = page(old, &mut covered).unwrap();
        assert!(new.starts_with("# Title\n\n<!-- generated: values kata-deploy devkit -->\n| key |"), "{new}");
        assert!(new.contains("| `devkit` | true/false | `false` |") && !new.contains("old"), "{new}");
        assert!(new.ends_with("<!-- end -->\n\nText.\n"), "{new}");
        assert_eq!(page(&new, &mut covered).unwrap(), new);
        assert!(covered.contains("kata-deploy devkit"));
        assert!(page("<!-- generated: values kata-deploy devkit -->\n", &mut covered).is_err(), "no end");
        assert!(page("<!-- generated: nonsense -->\n<!-- end -->", &mut covered).is_err());
        assert!(page("<!-- generated: values kata-deploy nonsense -->\n<!-- end -->", &mut covered).is_err());
    }
}
