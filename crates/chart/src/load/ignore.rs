//! `.helmignore`: which files of a directory are no part of the chart.

use crate::Error;
use crate::glob::PathPattern;

/// The name of the file that holds the rules.
pub(super) const FILE: &str = ".helmignore";

/// The rules, in the order of their lines; the first that decides counts.
#[derive(Debug, Clone)]
pub struct Rules(Vec<Rule>);

#[derive(Debug, Clone)]
struct Rule {
    /// None matches nothing: a line may be well formed and what is left of it not.
    pattern: Option<PathPattern>,
    /// Matches the whole path instead of the last part.
    whole: bool,
    directories_only: bool,
    /// Turned around: whatever does not match is ignored at this point.
    inverted: bool,
}

impl Rules {
    /// What applies without a file: names with a dot in front below `templates/` are out.
    pub fn empty() -> Rules {
        let hidden = PathPattern::new("templates/.?*");
        Rules(vec![Rule { pattern: hidden, whole: true, directories_only: false, inverted: false }])
    }

    /// Reads the lines of a `.helmignore`.
    ///
    /// Errors: [`Error::Load`] for `**` and malformed patterns.
    pub fn parse(text: &str) -> Result<Rules, Error> {
        let mut rules = Vec::new();
        for line in text.strip_prefix('\u{feff}').unwrap_or(text).lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.contains("**") {
                return Err(Error::Load("double-star (**) syntax is not supported".into()));
            }
            if PathPattern::new(line).is_none() {
                return Err(Error::Load("syntax error in pattern".into()));
            }
            let (inverted, line) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
            let (directories_only, line) = line.strip_suffix('/').map_or((false, line), |rest| (true, rest));
            let anchored = line.strip_prefix('/');
            rules.push(Rule {
                whole: anchored.is_some() || line.contains('/'),
                pattern: PathPattern::new(anchored.unwrap_or(line)),
                directories_only,
                inverted,
            });
        }
        rules.extend(Rules::empty().0);
        Ok(Rules(rules))
    }

    /// Whether the file or directory at `path` is out.
    pub fn ignores(&self, path: &str, is_directory: bool) -> bool {
        for rule in &self.0 {
            let name = if rule.whole { path } else { path.rsplit('/').next().unwrap_or(path) };
            let matches = rule.pattern.as_ref().is_some_and(|pattern| pattern.matches(name));
            if rule.inverted {
                if (rule.directories_only && !is_directory) || !matches {
                    return true;
                }
            } else if matches && (is_directory || !rule.directories_only) {
                return true;
            }
        }
        false
    }

    /// Whether the file at `path` is out, itself or through a directory that it lies in.
    pub fn ignores_path(&self, path: &str) -> bool {
        let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
        parents.into_iter().any(|directory| self.ignores(directory, true)) || self.ignores(path, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let rules = Rules::parse("# comment\n*.bak\n/root.txt\ndir/\nsub/*.tmp\n").expect("rules");
        for out in ["a.bak", "x/b.bak", "root.txt", "dir/f", "x/dir/f", "sub/q.tmp", "templates/.hidden"] {
            assert!(rules.ignores_path(out), "{out}");
        }
        for kept in ["x/root.txt", "dir", "x/sub/q.tmp", "sub/q.txt", "templates/a.yaml", ".helmignore"] {
            assert!(!rules.ignores_path(kept), "{kept}");
        }
        assert!(Rules::parse("a/**/b").is_err());
        assert!(Rules::parse("[").is_err());
    }

    #[test]
    fn negation_ignores_everything_else() {
        let rules = Rules::parse("!keep.md").expect("rules");
        assert!(rules.ignores_path("Chart.yaml") && !rules.ignores_path("keep.md"));
    }
}
