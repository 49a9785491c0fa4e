//! Semantic versions read as loosely as Helm does, and constraints on them.

use std::cmp::Ordering;

/// A version; missing parts are zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Major, minor and patch number.
    pub numbers: [u64; 3],
    /// What follows `-`.
    pub prerelease: String,
    /// What follows `+`.
    pub metadata: String,
}

/// Splits a text into its numbers (missing or wild ones are `None`), prerelease and metadata.
fn split(text: &str, wild: bool) -> Option<([Option<u64>; 3], &str, &str)> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (text, metadata) = text.split_once('+').map_or((text, None), |(a, b)| (a, Some(b)));
    let (core, prerelease) = text.split_once('-').map_or((text, None), |(a, b)| (a, Some(b)));
    let word_ok = |word: &str| {
        word.split('.').all(|s| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
    };
    let leading_zero = |s: &str| s.len() > 1 && s.starts_with('0') && s.bytes().all(|b| b.is_ascii_digit());
    if prerelease.is_some_and(|p| !word_ok(p) || p.split('.').any(leading_zero))
        || metadata.is_some_and(|m| !word_ok(m))
    {
        return None;
    }
    let mut numbers = [None; 3];
    let mut count = 0;
    for part in core.split('.') {
        let slot = numbers.get_mut(count)?;
        if wild && matches!(part, "x" | "X" | "*") {
            *slot = None;
        } else if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
            *slot = Some(part.parse().ok()?);
        } else {
            return None;
        }
        count += 1;
    }
    Some((numbers, prerelease.unwrap_or(""), metadata.unwrap_or("")))
}

/// Reads `1`, `v1.2`, `1.2.3-rc.1+build` and the like; `None` when the text is no version.
pub fn parse(text: &str) -> Option<Version> {
    let (numbers, prerelease, metadata) = split(text, false)?;
    Some(Version { numbers: numbers.map(|n| n.unwrap_or(0)), prerelease: prerelease.into(), metadata: metadata.into() })
}

impl Version {
    /// Precedence: numbers first, a release after its prereleases, metadata does not count.
    pub fn precedence(&self, other: &Version) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.prerelease.as_str(), other.prerelease.as_str()) {
            ("", "") => Ordering::Equal,
            ("", _) => Ordering::Greater,
            (_, "") => Ordering::Less,
            (a, b) => prereleases(a, b),
        })
    }
}

fn prereleases(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => match (x.parse::<u64>(), y.parse::<u64>()) {
                (Ok(x), Ok(y)) => x.cmp(&y),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => x.cmp(y),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        if !self.prerelease.is_empty() {
            write!(f, "-{}", self.prerelease)?;
        }
        if !self.metadata.is_empty() {
            write!(f, "+{}", self.metadata)?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Tilde,
    Caret,
}

#[derive(Debug, Clone)]
struct Bound {
    operator: Operator,
    version: Version,
    /// Any part was missing or wild.
    open: bool,
    minor_open: bool,
    patch_open: bool,
}

/// A condition on versions: alternatives of bounds that all must hold.
#[derive(Debug, Clone)]
pub struct Constraint(Vec<Vec<Bound>>);

impl Constraint {
    /// Reads `>=1.20-0 <2`, `1.2.x || ^2`, `1 - 2` and the like; `None` when the text is no constraint.
    pub fn parse(text: &str) -> Option<Constraint> {
        text.split("||").map(alternative).collect::<Option<Vec<_>>>().map(Constraint)
    }

    /// Whether `version` meets the condition. A prerelease only meets bounds that name a prerelease themselves.
    pub fn allows(&self, version: &Version) -> bool {
        self.0.iter().any(|bounds| bounds.iter().all(|bound| bound.allows(version)))
    }
}

/// Whether `version` lies in `range`; never when either is malformed.
pub fn in_range(range: &str, version: &str) -> bool {
    match (Constraint::parse(range), parse(version)) {
        (Some(constraint), Some(version)) => constraint.allows(&version),
        _ => false,
    }
}

const OPERATORS: &[(&str, Operator)] = &[
    ("!=", Operator::NotEqual),
    (">=", Operator::GreaterOrEqual),
    ("=>", Operator::GreaterOrEqual),
    ("<=", Operator::LessOrEqual),
    ("=<", Operator::LessOrEqual),
    ("~>", Operator::Tilde),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("=", Operator::Equal),
];

/// One alternative: bounds separated by commas or blanks, or a range `a - b`.
fn alternative(text: &str) -> Option<Vec<Bound>> {
    let mut bounds = Vec::new();
    let mut words = text.split([',', ' ', '\t', '\n']).filter(|w| !w.is_empty()).peekable();
    while let Some(word) = words.next() {
        let (operator, rest) = OPERATORS
            .iter()
            .find_map(|(sign, operator)| Some((Some(*operator), word.strip_prefix(sign)?)))
            .unwrap_or((None, word));
        let rest = if rest.is_empty() { words.next()? } else { rest };
        if operator.is_none() && words.peek() == Some(&"-") {
            words.next();
            bounds.push(bound(Operator::GreaterOrEqual, rest)?);
            bounds.push(bound(Operator::LessOrEqual, words.next()?)?);
            continue;
        }
        bounds.push(bound(operator.unwrap_or(Operator::Equal), rest)?);
    }
    (!bounds.is_empty()).then_some(bounds)
}

fn bound(operator: Operator, text: &str) -> Option<Bound> {
    let ([major, minor, patch], prerelease, metadata) = split(text, true)?;
    // A wild major number leaves nothing to compare with, which the tilde rule takes to mean anything.
    let (minor_open, patch_open) = (major.is_some() && minor.is_none(), major.is_some() && patch.is_none());
    let numbers = match major {
        Some(major) if minor_open => [major, 0, 0],
        Some(major) => [major, minor.unwrap_or(0), patch.unwrap_or(0)],
        None => [0, 0, 0],
    };
    Some(Bound {
        operator,
        version: Version { numbers, prerelease: prerelease.into(), metadata: metadata.into() },
        open: major.is_none() || minor_open || patch_open,
        minor_open,
        patch_open,
    })
}

impl Bound {
    fn allows(&self, v: &Version) -> bool {
        if !v.prerelease.is_empty() && self.version.prerelease.is_empty() {
            return false;
        }
        let order = v.precedence(&self.version);
        let ([major, minor, _], [own_major, own_minor, _]) = (v.numbers, self.version.numbers);
        match self.operator {
            Operator::Equal if self.open => self.tilde(v, order),
            Operator::Equal => order == Ordering::Equal,
            Operator::NotEqual => self.differs(v, order),
            Operator::Greater if !self.open => order == Ordering::Greater,
            Operator::Greater => major > own_major || (major == own_major && !self.minor_open && minor > own_minor),
            Operator::GreaterOrEqual => order != Ordering::Less,
            Operator::Less => order == Ordering::Less,
            Operator::LessOrEqual if !self.open => order != Ordering::Greater,
            Operator::LessOrEqual => {
                major < own_major || (major == own_major && (self.minor_open || minor <= own_minor))
            }
            Operator::Tilde => self.tilde(v, order),
            Operator::Caret => self.caret(v, order),
        }
    }

    fn tilde(&self, v: &Version, order: Ordering) -> bool {
        if order == Ordering::Less {
            return false;
        }
        let anything = self.version.numbers == [0, 0, 0] && !self.minor_open && !self.patch_open;
        anything
            || (v.numbers[0] == self.version.numbers[0] && (self.minor_open || v.numbers[1] == self.version.numbers[1]))
    }

    fn caret(&self, v: &Version, order: Ordering) -> bool {
        let ([major, minor, patch], [own_major, own_minor, own_patch]) = (v.numbers, self.version.numbers);
        if order == Ordering::Less {
            return false;
        }
        if own_major > 0 || self.minor_open {
            return major == own_major;
        }
        if major > own_major {
            return false;
        }
        if own_minor > 0 || self.patch_open {
            return minor == own_minor;
        }
        minor == 0 && patch == own_patch
    }

    fn differs(&self, v: &Version, order: Ordering) -> bool {
        if !self.open {
            return order != Ordering::Equal;
        }
        let (numbers, own) = (v.numbers, self.version.numbers);
        numbers[0] != own[0]
            || (!self.minor_open && numbers[1] != own[1])
            || (!self.minor_open && !self.patch_open && numbers[2] != own[2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loose_versions() {
        for yes in ["1", "v1.2", "1.2.3-rc.1+build.5", "01.2.3"] {
            assert!(parse(yes).is_some(), "{yes}");
        }
        for no in ["", "not.semver", "1.2.3.4", "1.2.3-", "1.2.3-01", "1..2", "v"] {
            assert!(parse(no).is_none(), "{no}");
        }
        assert_eq!(parse("v1.2").map(|v| v.to_string()).as_deref(), Some("1.2.0"));
    }

    #[test]
    fn ranges() {
        for (range, version, allowed) in [
            (">=1.20", "1.37.0", true),
            (">=1.20", "1.37.0-gke.1", false),
            (">=1.20-0", "1.37.0-gke.1", true),
            (">= 1.20.0, < 2", "1.37.0", true),
            ("1.2.x", "1.2.9", true),
            ("1.2", "1.3.0", false),
            ("1 - 2", "2.0.0", true),
            ("1 - 2", "3.0.0", false),
            ("^0.2.3", "0.2.9", true),
            ("^0.2.3", "0.3.0", false),
            ("~1.2.3", "1.2.9", true),
            ("<1 || >2", "3.0.0", true),
            ("!=1.2.3", "1.2.3", false),
            ("*", "1.2.3", true),
            ("", "1.2.3", false),
            ("junk", "1.2.3", false),
            (">=1.99.0", "v1.99.1", true),
        ] {
            assert_eq!(in_range(range, version), allowed, "{range} {version}");
        }
    }
}
