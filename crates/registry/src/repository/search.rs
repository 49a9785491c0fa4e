//! Searching the cached indexes.

use super::{ChartVersion, IndexReader, RepositoryFile};
use crate::notice::{Notify, warning};
use crate::{Error, Paths, Result};
use sprig::Regexp;
use sprig::semver::{Constraint, Version};
use std::cmp::Ordering;
use std::collections::HashSet;

/// Matches at a place further back than this do not count.
const MAX_SCORE: usize = 25;

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Words that must occur as they are; empty for everything.
    pub text: String,
    /// Whether `text` is a regular expression.
    pub regexp: bool,
    /// All versions instead of the newest one.
    pub all_versions: bool,
    /// A constraint; empty means any release.
    pub version: String,
    /// With an empty `version`: pre-releases too.
    pub devel: bool,
}

/// A chart that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// `repository/chart`.
    pub name: String,
    /// Which part of the chart matched: 0 its name, 1 its name with the repository, 2 its description, 3 a keyword.
    pub score: usize,
    /// The version.
    pub chart: ChartVersion,
}

/// Searches all configured repositories. Best matches first, then by name, then newest first. An index that is missing
/// or malformed gives a warning.
///
/// # Errors
/// There are no repositories; the expression or the constraint is malformed.
pub fn search(query: &Query, paths: &Paths, notify: Notify<'_>) -> Result<Vec<Found>> {
    let wanted = match (query.version.as_str(), query.devel) {
        ("", true) => ">0.0.0-0",
        ("", false) => ">0.0.0",
        (version, _) => version,
    };
    let file = match RepositoryFile::load(&paths.repository_config) {
        Ok(file) if !file.repositories.is_empty() => file,
        Err(e) if paths.repository_config.exists() => return Err(e),
        _ => return Err(Error::NotFound("no repositories configured".into())),
    };
    let matcher = Matcher::new(query)?;
    // As in Helm, asking for any version but the default one means looking at all of them.
    let mut found = Vec::new();
    for entry in &file.repositories {
        let name = entry.name.as_str();
        let outcome = IndexReader::open(&paths.cached_index(name))
            .and_then(|reader| look(&reader, name, &matcher, &mut found, notify));
        if let Err(error) = outcome {
            notify(warning("repo is corrupt or missing", vec![("repo", name.into()), ("error", error.to_string())]));
        }
    }
    found.sort_by(order);
    let constraint =
        Constraint::parse(wanted).map_err(|e| Error::Invalid(format!("an invalid version/constraint format: {e}")))?;
    let mut seen = HashSet::new();
    found.retain(|found| {
        let fits = Version::parse(&found.chart.metadata.version).is_ok_and(|version| constraint.check(&version));
        fits && (seen.insert(found.name.clone()) || query.all_versions)
    });
    Ok(found)
}

fn look(
    reader: &IndexReader,
    repository: &str,
    matcher: &Matcher,
    found: &mut Vec<Found>,
    notify: Notify<'_>,
) -> Result<()> {
    let matching = |name: &str, versions: Vec<ChartVersion>| -> Vec<Found> {
        let score = |chart| matcher.score(repository, &chart).map(|score| (score, chart));
        let found = versions.into_iter().filter_map(score);
        found.map(|(score, chart)| Found { name: format!("{repository}/{name}"), score, chart }).collect()
    };
    found.extend(reader.map(matching, notify)?.into_iter().flatten());
    Ok(())
}

fn order(a: &Found, b: &Found) -> Ordering {
    a.score.cmp(&b.score).then_with(|| a.name.cmp(&b.name)).then_with(|| {
        match (Version::parse(&a.chart.metadata.version), Version::parse(&b.chart.metadata.version)) {
            (Ok(a), Ok(b)) => b.compare(&a),
            (a, b) => a.is_err().cmp(&b.is_err()),
        }
    })
}

enum Matcher {
    Everything,
    Words(String),
    Expression(Regexp),
}

impl Matcher {
    fn new(query: &Query) -> Result<Matcher> {
        if query.text.is_empty() {
            return Ok(Matcher::Everything);
        }
        if query.regexp {
            let expression = Regexp::new(&query.text).map_err(|e| Error::Invalid(e.to_string()))?;
            return Ok(Matcher::Expression(expression));
        }
        Ok(Matcher::Words(query.text.to_lowercase()))
    }

    /// Where in the chart's description line the text is found first: the number of the field.
    fn score(&self, repository: &str, chart: &ChartVersion) -> Option<usize> {
        let metadata = &chart.metadata;
        let name = &metadata.name;
        let line =
            format!("{name}\u{b}{repository}/{name}\u{b}{}\u{b}{}", metadata.description, metadata.keywords.join(" "));
        let (line, at) = match self {
            Matcher::Everything => return Some(0),
            Matcher::Words(words) => {
                let line = line.to_lowercase();
                let at = line.find(words)?;
                (line, at)
            }
            Matcher::Expression(expression) => {
                let at = expression.find(line.as_bytes())?.start();
                (line, at)
            }
        };
        let score = line.match_indices('\u{b}').take_while(|(end, _)| at > *end).count();
        (score < MAX_SCORE).then_some(score)
    }
}
