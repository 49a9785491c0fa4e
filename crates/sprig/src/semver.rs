//! Semantic versions and constraints, with the rules of Masterminds/semver 3, which Helm uses.

use std::cmp::Ordering;
use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

/// Longer versions are refused.
const LONGEST_VERSION: usize = 256;
/// Longer constraints are refused.
const LONGEST_CONSTRAINT: usize = 512;
/// Constraints with more alternatives are refused.
const MOST_ALTERNATIVES: usize = 32;

/// A version. Parts that are left out count as 0; a leading `v` is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// First number.
    pub major: u64,
    /// Second number.
    pub minor: u64,
    /// Third number.
    pub patch: u64,
    /// What stands behind the dash; empty for a release.
    pub pre: String,
    /// What stands behind the plus sign.
    pub metadata: String,
    /// The text as it was given.
    pub original: String,
}

/// A text that is no version or no constraint, in the words of the Go library.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SemverError(String);

fn error<T>(message: impl Into<String>) -> Result<T, SemverError> {
    Err(SemverError(message.into()))
}

const INVALID: &str = "invalid semantic version";
const TAIL: &str = r"(-([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?(\+([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?";

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap_or_else(|error| unreachable!("a pattern of this file is malformed: {error}"))
}

/// The parts of a version's text.
struct Parts<'t> {
    major: &'t str,
    minor: Option<&'t str>,
    patch: Option<&'t str>,
    pre: &'t str,
    metadata: &'t str,
}

/// The length of the run of bytes at the beginning of a text.
fn run(text: &str, of: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|b| of(*b)).count()
}

/// Dotted identifiers at the beginning of a text, and what follows them.
fn identifiers(text: &str) -> Option<(&str, &str)> {
    let end = run(text, |b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    let (mut found, mut rest) = text.split_at(end);
    // A dot that no identifier follows is no part of them.
    while let Some(shorter) = found.strip_suffix('.') {
        found = shorter;
        rest = &text[found.len()..];
    }
    let whole = !found.is_empty() && found.split('.').all(|part| !part.is_empty());
    whole.then_some((found, rest))
}

/// A version at the beginning of a text, and what follows it.
fn version_parts(text: &str) -> Option<(Parts<'_>, &str)> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let digits = |text: &str| run(text, |b| b.is_ascii_digit());
    let (major, mut rest) = text.split_at(digits(text));
    if major.is_empty() {
        return None;
    }
    let mut dotted = || {
        let (number, after) = rest.strip_prefix('.').map(|text| text.split_at(digits(text)))?;
        if number.is_empty() {
            return None;
        }
        rest = after;
        Some(number)
    };
    let minor = dotted();
    let patch = minor.and_then(|_| dotted());
    let (mut pre, mut metadata) = ("", "");
    if let Some((found, after)) = rest.strip_prefix('-').and_then(identifiers) {
        (pre, rest) = (found, after);
    }
    if let Some((found, after)) = rest.strip_prefix('+').and_then(identifiers) {
        (metadata, rest) = (found, after);
    }
    Some((Parts { major, minor, patch, pre, metadata }, rest))
}

impl Version {
    /// Reads a version, leniently: `v1`, `1.2`, `01.2.3`.
    ///
    /// # Errors
    /// When it is no version.
    pub fn parse(text: &str) -> Result<Version, SemverError> {
        if text.len() > LONGEST_VERSION {
            return error(format!("version string is too long (max {LONGEST_VERSION} bytes)"));
        }
        let Some((parts, "")) = version_parts(text) else {
            return error(INVALID);
        };
        let number = |digits: Option<&str>| match digits {
            None => Ok(0),
            Some(digits) => digits.parse().or_else(|_| {
                let digits = gotemplate::quote::quoted(digits.as_bytes());
                error(format!("error parsing version segment: strconv.ParseUint: parsing {digits}: value out of range"))
            }),
        };
        let version = Version {
            major: number(Some(parts.major))?,
            minor: number(parts.minor)?,
            patch: number(parts.patch)?,
            pre: parts.pre.to_owned(),
            metadata: parts.metadata.to_owned(),
            original: text.to_owned(),
        };
        let zero_led = |part: &str| part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit());
        if version.pre.split('.').any(zero_led) {
            return error("version segment starts with 0");
        }
        Ok(version)
    }

    /// Reads a version strictly by SemVer 2: three numbers, no leading `v` or zero.
    ///
    /// # Errors
    /// When it is no version.
    pub fn parse_strict(text: &str) -> Result<Version, SemverError> {
        if text.is_empty() {
            return error("version string empty");
        }
        if text.len() > LONGEST_VERSION {
            return error(format!("version string is too long (max {LONGEST_VERSION} bytes)"));
        }
        let parts: Vec<&str> = text.splitn(3, '.').collect();
        let [major, minor, rest] = parts[..] else {
            return error(INVALID);
        };
        let (rest, metadata) = rest.split_once('+').map_or((rest, None), |(rest, tail)| (rest, Some(tail)));
        let identifier = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if metadata.is_some_and(|metadata| !metadata.split('.').all(identifier)) {
            return error("invalid metadata string");
        }
        let (patch, pre) = rest.split_once('-').map_or((rest, None), |(patch, pre)| (patch, Some(pre)));
        if pre.is_some_and(|pre| !pre.split('.').all(identifier)) {
            return error("invalid prerelease string");
        }
        for part in [major, minor, patch] {
            if !part.bytes().all(|b| b.is_ascii_digit()) {
                return error("invalid characters in version");
            }
            if part.len() > 1 && part.starts_with('0') {
                return error("version segment starts with 0");
            }
            if part.is_empty() {
                return error("strconv.ParseUint: parsing \"\": invalid syntax");
            }
        }
        Version::parse(text)
    }

    fn prefix(&self) -> &str {
        if self.original.starts_with('v') { "v" } else { "" }
    }

    fn renamed(mut self) -> Version {
        self.original = format!("{}{self}", self.prefix());
        self
    }

    /// The next patch version; of a pre-release, its release.
    pub fn inc_patch(&self) -> Version {
        let patch = if self.pre.is_empty() { self.patch.wrapping_add(1) } else { self.patch };
        Version { patch, pre: String::new(), metadata: String::new(), ..self.clone() }.renamed()
    }

    /// The next minor version.
    pub fn inc_minor(&self) -> Version {
        let minor = self.minor.wrapping_add(1);
        Version { minor, patch: 0, pre: String::new(), metadata: String::new(), ..self.clone() }.renamed()
    }

    /// The next major version.
    pub fn inc_major(&self) -> Version {
        let major = self.major.wrapping_add(1);
        Version { major, minor: 0, patch: 0, pre: String::new(), metadata: String::new(), ..self.clone() }.renamed()
    }

    /// The same version with another pre-release, or none.
    ///
    /// # Errors
    /// When it is no pre-release.
    pub fn with_pre(&self, pre: &str) -> Result<Version, SemverError> {
        let identifier = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !pre.is_empty() && !pre.split('.').all(identifier) {
            return error("invalid prerelease string");
        }
        Ok(Version { pre: pre.to_owned(), ..self.clone() }.renamed())
    }

    /// The same version with other metadata, or none.
    ///
    /// # Errors
    /// When it is no metadata.
    pub fn with_metadata(&self, metadata: &str) -> Result<Version, SemverError> {
        let identifier = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !metadata.is_empty() && !metadata.split('.').all(identifier) {
            return error("invalid metadata string");
        }
        Ok(Version { metadata: metadata.to_owned(), ..self.clone() }.renamed())
    }

    /// The order by precedence, in which metadata does not count.
    pub fn compare(&self, other: &Version) -> Ordering {
        let numbers = |v: &Version| (v.major, v.minor, v.patch);
        numbers(self).cmp(&numbers(other)).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => compare_pre(&self.pre, &other.pre),
        })
    }
}

fn compare_pre(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.pre.is_empty() {
            write!(f, "-{}", self.pre)?;
        }
        if !self.metadata.is_empty() {
            write!(f, "+{}", self.metadata)?;
        }
        Ok(())
    }
}

/// A range of versions: alternatives (`||`) of conditions that hold together (blanks or commas).
#[derive(Clone, Debug)]
pub struct Constraint {
    alternatives: Vec<Vec<Condition>>,
}

/// `>= 1.2.x`
#[derive(Clone, Debug)]
struct Condition {
    operator: Operator,
    version: Version,
    /// Some part is left out or a wildcard …
    partial: bool,
    /// … the second one (and the third)
    any_minor: bool,
    /// … or only the third.
    any_patch: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterEqual,
    LessEqual,
    Tilde,
    Caret,
}

impl Operator {
    fn named(word: &str) -> Option<Operator> {
        Some(match word {
            "" | "=" => Operator::Equal,
            "!=" => Operator::NotEqual,
            ">" => Operator::Greater,
            "<" => Operator::Less,
            ">=" | "=>" => Operator::GreaterEqual,
            "<=" | "=<" => Operator::LessEqual,
            "~" | "~>" => Operator::Tilde,
            "^" => Operator::Caret,
            _ => return None,
        })
    }
}

const OPERATORS: &str = r"=||!=|>|<|>=|=>|<=|=<|~|~>|\^";
const PART: &str = r"[0-9|x|X|\*]+";

static CONDITION: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!(r"^\s*({OPERATORS})\s*(v?({PART})(\.{PART})?(\.{PART})?{TAIL})\s*$")));
static HYPHEN: LazyLock<Regex> = LazyLock::new(|| {
    let version = format!(r"v?{PART}(?:\.{PART})?(?:\.{PART})?{}", TAIL.replace('(', "(?:"));
    pattern(&format!(r"\s*({version})\s+-\s+({version})\s*"))
});
static CONDITIONS: LazyLock<Regex> = LazyLock::new(|| {
    let version = format!(r"v?{PART}(?:\.{PART})?(?:\.{PART})?{}", TAIL.replace('(', "(?:"));
    pattern(&format!(r"(?:{OPERATORS})\s*{version}"))
});
static ALTERNATIVE: LazyLock<Regex> = LazyLock::new(|| {
    let version = format!(r"v?{PART}(?:\.{PART})?(?:\.{PART})?{}", TAIL.replace('(', "(?:"));
    let condition = format!(r"(?:{OPERATORS})\s*{version}\s*");
    pattern(&format!(r"^\s*{condition}(?:(?:\s+|,\s*){condition})*$"))
});

impl Constraint {
    /// Reads a constraint.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Constraint, SemverError> {
        if text.len() > LONGEST_CONSTRAINT {
            return error(format!("constraint string is too long (max {LONGEST_CONSTRAINT} bytes)"));
        }
        if let Some(conditions) = simple_conditions(text) {
            return Ok(Constraint { alternatives: vec![conditions] });
        }
        let text = HYPHEN.replace_all(text, ">= $1, <= $2 ").into_owned();
        let parts: Vec<&str> = text.split("||").collect();
        if parts.len() > MOST_ALTERNATIVES {
            return error(format!("too many constraint groups (max {MOST_ALTERNATIVES})"));
        }
        let alternatives: Result<Vec<_>, _> = parts.into_iter().map(Constraint::alternative).collect();
        Ok(Constraint { alternatives: alternatives? })
    }

    fn alternative(text: &str) -> Result<Vec<Condition>, SemverError> {
        if !ALTERNATIVE.is_match(text) {
            return error(format!("improper constraint: {}", gotemplate::quote::quoted(text.as_bytes())));
        }
        CONDITIONS.find_iter(text).map(|found| Condition::parse(found.as_str())).collect()
    }

    /// Is the version within the range? Pre-releases only are when the alternative names one itself.
    pub fn check(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|conditions| {
            let pre = conditions.iter().any(|condition| !condition.version.pre.is_empty());
            (version.pre.is_empty() || pre) && conditions.iter().all(|condition| condition.check(version))
        })
    }
}

/// The conditions of a constraint without alternatives, wildcards and spans, which is what nearly all charts have; `None`
/// leaves it to the expressions above, malformed ones included.
fn simple_conditions(text: &str) -> Option<Vec<Condition>> {
    let blank = |c: char| matches!(c, ' ' | '\t');
    let mut rest = text.trim_matches(blank);
    let mut conditions = Vec::new();
    loop {
        let word = run(rest, |b| b"=!<>~^".contains(&b));
        let operator = Operator::named(&rest[..word])?;
        rest = rest[word..].trim_start_matches(blank);
        let (parts, after) = version_parts(rest)?;
        let (any_minor, any_patch) = (parts.minor.is_none(), parts.patch.is_none());
        let written = &rest[..rest.len() - after.len()];
        // A part that is left out counts as a wildcard, and the text then is another one.
        let text = match (parts.minor, parts.patch) {
            (None, _) => format!("{}.0.0{}", parts.major, suffix(parts.pre)),
            (Some(minor), None) => format!("{}.{minor}.0{}", parts.major, suffix(parts.pre)),
            _ => written.to_owned(),
        };
        let version = Version::parse(&text).ok()?;
        conditions.push(Condition {
            operator,
            version,
            partial: any_minor || any_patch,
            any_minor,
            any_patch: any_patch && !any_minor,
        });
        let next = after.trim_start_matches(blank);
        if next.is_empty() {
            return Some(conditions);
        }
        rest = match next.strip_prefix(',') {
            Some(next) => next.trim_start_matches(blank),
            None if next.len() < after.len() => next,
            None => return None,
        };
    }
}

/// A pre-release as it is written.
fn suffix(pre: &str) -> String {
    if pre.is_empty() { String::new() } else { format!("-{pre}") }
}

fn is_wildcard(part: &str) -> bool {
    matches!(part, "x" | "X" | "*" | "")
}

impl Condition {
    fn parse(text: &str) -> Result<Condition, SemverError> {
        let improper = || SemverError(format!("improper constraint: {}", gotemplate::quote::quoted(text.as_bytes())));
        let parts = CONDITION.captures(text).ok_or_else(improper)?;
        let part = |i: usize| parts.get(i).map_or("", |part| part.as_str());
        let operator = Operator::named(part(1)).ok_or_else(improper)?;
        let (major, minor, patch, pre) = (part(3), part(4), part(5), part(6));
        let wild = |part: &str| is_wildcard(part.trim_start_matches('.'));
        let (written, partial, any_minor, any_patch) = if wild(major) {
            (format!("0.0.0{pre}"), true, false, false)
        } else if wild(minor) {
            (format!("{major}.0.0{pre}"), true, true, false)
        } else if wild(patch) {
            (format!("{major}{minor}.0{pre}"), true, false, true)
        } else {
            (part(2).to_owned(), false, false, false)
        };
        let version = Version::parse(&written).map_err(|_| SemverError("constraint parser error".to_owned()))?;
        Ok(Condition { operator, version, partial, any_minor, any_patch })
    }

    fn check(&self, v: &Version) -> bool {
        let order = v.compare(&self.version);
        match self.operator {
            Operator::Equal if self.partial => self.tilde(v, order),
            Operator::Equal => order == Ordering::Equal,
            Operator::NotEqual => self.differs(v, order),
            Operator::Greater => self.greater(v, order),
            Operator::Less => order == Ordering::Less,
            Operator::GreaterEqual => order != Ordering::Less,
            Operator::LessEqual => self.less_or_equal(v, order),
            Operator::Tilde => self.tilde(v, order),
            Operator::Caret => self.caret(v, order),
        }
    }

    fn differs(&self, v: &Version, order: Ordering) -> bool {
        let c = &self.version;
        if !self.partial || c.major != v.major {
            return order != Ordering::Equal;
        }
        if c.minor != v.minor && !self.any_minor {
            return true;
        }
        if self.any_minor {
            return false;
        }
        if c.patch != v.patch && !self.any_patch {
            return true;
        }
        if self.any_patch {
            let pre = !v.pre.is_empty() || !c.pre.is_empty();
            return pre && compare_pre(&v.pre, &c.pre) != Ordering::Equal;
        }
        order != Ordering::Equal
    }

    fn greater(&self, v: &Version, order: Ordering) -> bool {
        if !self.partial {
            return order == Ordering::Greater;
        }
        match v.major.cmp(&self.version.major) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal if self.any_minor => false,
            Ordering::Equal if self.any_patch => v.minor > self.version.minor,
            Ordering::Equal => order == Ordering::Greater,
        }
    }

    fn less_or_equal(&self, v: &Version, order: Ordering) -> bool {
        if !self.partial {
            return order != Ordering::Greater;
        }
        let c = &self.version;
        v.major < c.major || (v.major == c.major && (v.minor <= c.minor || self.any_minor))
    }

    fn tilde(&self, v: &Version, order: Ordering) -> bool {
        let c = &self.version;
        if order == Ordering::Less {
            return false;
        }
        if (c.major, c.minor, c.patch) == (0, 0, 0) && !self.any_minor && !self.any_patch {
            return true;
        }
        v.major == c.major && (v.minor == c.minor || self.any_minor)
    }

    fn caret(&self, v: &Version, order: Ordering) -> bool {
        let c = &self.version;
        if order == Ordering::Less {
            return false;
        }
        if c.major > 0 || self.any_minor {
            return v.major == c.major;
        }
        if v.major > 0 {
            return false;
        }
        if c.minor > 0 || self.any_patch {
            return v.minor == c.minor;
        }
        v.minor == 0 && v.patch == c.patch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_expression(text: &str) -> Option<(String, String, String, String, String)> {
        let version = pattern(&format!(r"^v?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?{TAIL}$"));
        let parts = version.captures(text)?;
        let part = |i: usize| parts.get(i).map_or("", |part| part.as_str()).to_owned();
        Some((part(1), part(2), part(3), part(5), part(8)))
    }

    #[test]
    fn simple_conditions_are_found() {
        for text in ["1.2.3", ">= 1.20.0-0", "~1.2", ">=1, <2.0.0", " ^0.3.1+b "] {
            assert!(simple_conditions(text).is_some(), "{text}");
        }
        for text in ["", "1.x", "1 - 2", "1 || 2", ">=1,,<2", "1 2.", "junk"] {
            assert!(simple_conditions(text).is_none(), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn versions_have_the_parts_of_the_expression(text in "v?([0-9]{1,2}|[.+-]|a){0,9}") {
            let read = version_parts(&text).filter(|(_, rest)| rest.is_empty()).map(|(parts, _)| {
                let or_empty = |part: Option<&str>| part.unwrap_or_default().to_owned();
                (
                    parts.major.to_owned(),
                    or_empty(parts.minor),
                    or_empty(parts.patch),
                    parts.pre.to_owned(),
                    parts.metadata.to_owned(),
                )
            });
            prop_assert_eq!(read, by_expression(&text));
        }

        #[test]
        fn simple_conditions_are_those_of_the_expressions(text in "((=|>|<|!=|~|\\^|>=)? ?v?[0-9](\\.[0-9]){0,3}(-[a0](\\.1)?)?(\\+b)?(,| |, | - )?){1,3}") {
            if let Some(simple) = simple_conditions(&text) {
                let spanned = HYPHEN.replace_all(&text, ">= $1, <= $2 ").into_owned();
                let found = Constraint::alternative(&spanned);
                prop_assert_eq!(format!("{:?}", found), format!("{:?}", Ok::<_, SemverError>(simple)));
            }
        }
    }
}
