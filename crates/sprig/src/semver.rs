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
#[derive(Clone, Debug, PartialEq, Eq)]
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

static VERSION: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!(r"^v?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?{TAIL}$")));

impl Version {
    /// Reads a version, leniently: `v1`, `1.2`, `01.2.3`.
    ///
    /// # Errors
    /// When it is no version.
    pub fn parse(text: &str) -> Result<Version, SemverError> {
        if text.len() > LONGEST_VERSION {
            return error(format!("version string is too long (max {LONGEST_VERSION} bytes)"));
        }
        let Some(parts) = VERSION.captures(text) else {
            return error(INVALID);
        };
        let number = |i: usize| match parts.get(i) {
            None => Ok(0),
            Some(digits) => digits.as_str().parse().or_else(|_| {
                let digits = gotemplate::quote::quoted(digits.as_str().as_bytes());
                error(format!("error parsing version segment: strconv.ParseUint: parsing {digits}: value out of range"))
            }),
        };
        let part = |i: usize| parts.get(i).map_or("", |part| part.as_str()).to_owned();
        let version = Version {
            major: number(1)?,
            minor: number(2)?,
            patch: number(3)?,
            pre: part(5),
            metadata: part(8),
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

fn is_wildcard(part: &str) -> bool {
    matches!(part, "x" | "X" | "*" | "")
}

impl Condition {
    fn parse(text: &str) -> Result<Condition, SemverError> {
        let improper = || SemverError(format!("improper constraint: {}", gotemplate::quote::quoted(text.as_bytes())));
        let parts = CONDITION.captures(text).ok_or_else(improper)?;
        let part = |i: usize| parts.get(i).map_or("", |part| part.as_str());
        let operator = match part(1) {
            "!=" => Operator::NotEqual,
            ">" => Operator::Greater,
            "<" => Operator::Less,
            ">=" | "=>" => Operator::GreaterEqual,
            "<=" | "=<" => Operator::LessEqual,
            "~" | "~>" => Operator::Tilde,
            "^" => Operator::Caret,
            _ => Operator::Equal,
        };
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
