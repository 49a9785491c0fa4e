//! `helm show`: what a chart says about itself.

use crate::package::yaml;
use crate::{Chart, Error};

/// Which part is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of the following.
    All,
    /// `Chart.yaml`, written anew.
    Chart,
    /// `values.yaml` as it is.
    Values,
    /// The readme.
    Readme,
    /// Custom resource definitions, those of dependencies included.
    Crds,
}

const READMES: &[&str] = &["readme.md", "readme.txt", "readme"];

/// The text of `helm show`.
///
/// Errors: [`Error::Load`]: the metadata has no YAML form.
pub fn show(chart: &Chart, part: Part) -> Result<String, Error> {
    let mut out = String::new();
    let wanted = |one: Part| part == one || part == Part::All;
    let separator = |out: &mut String| {
        if part == Part::All {
            out.push_str("---\n");
        }
    };
    if wanted(Part::Chart) {
        out.push_str(&yaml(&chart.metadata)?);
        out.push('\n');
    }
    let values = chart.raw.iter().find(|f| f.name == "values.yaml");
    if let Some(values) = values.filter(|_| wanted(Part::Values)) {
        separator(&mut out);
        out.push_str(&values.text());
        out.push('\n');
    }
    let readme = chart.files.iter().find(|f| READMES.iter().any(|name| f.name.eq_ignore_ascii_case(name)));
    if let Some(readme) = readme.filter(|_| wanted(Part::Readme)) {
        separator(&mut out);
        out.push_str(&readme.text());
        out.push('\n');
    }
    if wanted(Part::Crds) {
        for crd in chart.crds() {
            let text = crd.file.text();
            if !text.starts_with("---") {
                out.push_str("---\n");
            }
            out.push_str(&text);
            out.push('\n');
        }
    }
    Ok(out)
}
