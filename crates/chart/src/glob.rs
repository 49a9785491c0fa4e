//! The two pattern languages that charts meet: Go's `filepath.Match` (`.helmignore`, `--show-only`) and the globs of
//! `.Files.Glob`.

/// Whether `pattern` is well formed for [`matches_path`].
pub fn is_path_pattern(pattern: &str) -> bool {
    PathPattern::new(pattern).is_some()
}

/// Go's `filepath.Match`: `*` and `?` stop at `/`, `[a-z]` and `[^a-z]` are classes, a backslash takes the next character as
/// it is. A malformed pattern matches nothing.
pub fn matches_path(pattern: &str, name: &str) -> bool {
    PathPattern::new(pattern).is_some_and(|pattern| pattern.matches(name))
}

#[derive(Debug, Clone)]
enum Part {
    Literal(char),
    /// One character that is no `/`.
    Any,
    /// Any number of characters without `/`.
    Star,
    /// Any number of characters at all.
    DoubleStar,
    /// One character in (or not in) ranges.
    Class {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
    /// One of several patterns.
    Alternatives(Vec<Vec<Part>>),
}

/// A pattern of [`matches_path`] that is asked more than once.
#[derive(Debug, Clone)]
pub(crate) struct PathPattern(Vec<Part>);

impl PathPattern {
    /// `None` when the pattern is malformed.
    pub(crate) fn new(pattern: &str) -> Option<PathPattern> {
        PathPattern::parts(pattern).map(PathPattern)
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        matches_parts(&self.0, name)
    }

    fn parts(pattern: &str) -> Option<Vec<Part>> {
        let mut parts = Vec::new();
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            parts.push(match c {
                '*' => Part::Star,
                '?' => Part::Any,
                '\\' => Part::Literal(chars.next()?),
                '[' => {
                    let negated = chars.next_if_eq(&'^').is_some();
                    let mut ranges = Vec::new();
                    loop {
                        let mut low = chars.next()?;
                        match low {
                            ']' if !ranges.is_empty() => break,
                            ']' | '-' => return None,
                            '\\' => low = chars.next()?,
                            _ => {}
                        }
                        let mut high = low;
                        if chars.next_if_eq(&'-').is_some() {
                            high = chars.next()?;
                            match high {
                                ']' | '-' => return None,
                                '\\' => high = chars.next()?,
                                _ => {}
                            }
                        }
                        ranges.push((low, high));
                    }
                    Part::Class { ranges, negated }
                }
                c => Part::Literal(c),
            });
        }
        Some(parts)
    }
}

/// Whether `parts` match all of `name`. The set of reachable places is carried along, so that many stars cost no more than
/// the product of both lengths.
fn matches_parts(parts: &[Part], name: &str) -> bool {
    // Most patterns begin with letters and most names with others.
    let mut after = name.chars();
    let letters = parts.iter().map_while(|part| if let Part::Literal(c) = part { Some(*c) } else { None });
    let mut count = 0;
    for letter in letters {
        if after.next() != Some(letter) {
            return false;
        }
        count += 1;
    }
    let mut parts = &parts[count..];
    // And of those that are left, most end with other letters.
    while let [before @ .., Part::Literal(letter)] = parts {
        if after.next_back() != Some(*letter) {
            return false;
        }
        parts = before;
    }
    let name = after.collect::<Vec<char>>();
    if parts.is_empty() {
        return name.is_empty();
    }
    let name = name.as_slice();
    let mut reachable = vec![false; name.len() + 1];
    reachable[0] = true;
    advance(parts, name, &mut reachable);
    reachable[name.len()]
}

fn advance(parts: &[Part], name: &[char], reachable: &mut Vec<bool>) {
    for part in parts {
        let mut next = vec![false; name.len() + 1];
        match part {
            Part::Star | Part::DoubleStar => {
                let mut open = false;
                for at in 0..=name.len() {
                    open |= reachable[at];
                    next[at] = open;
                    if matches!(part, Part::Star) && name.get(at) == Some(&'/') {
                        open = false;
                    }
                }
            }
            Part::Alternatives(choices) => {
                for choice in choices {
                    let mut after = reachable.clone();
                    advance(choice, name, &mut after);
                    next.iter_mut().zip(after).for_each(|(n, a)| *n |= a);
                }
            }
            Part::Literal(_) | Part::Any | Part::Class { .. } => {
                for (at, c) in name.iter().enumerate() {
                    let fits = match part {
                        Part::Literal(l) => l == c,
                        Part::Any => *c != '/',
                        Part::Class { ranges, negated } => {
                            ranges.iter().any(|(low, high)| low <= c && c <= high) != *negated && *c != '/'
                        }
                        _ => false,
                    };
                    next[at + 1] = reachable[at] && fits;
                }
            }
        }
        *reachable = next;
    }
}

/// A pattern of `.Files.Glob`: `*` and `?` stop at `/`, `**` does not, `[abc]`, `[a-z]` and `[!a]` are classes, `{a,b}` are
/// alternatives.
#[derive(Debug, Clone)]
pub struct Glob(Vec<Part>);

impl Glob {
    /// `None` when the pattern is malformed.
    pub fn parse(pattern: &str) -> Option<Glob> {
        let mut chars = pattern.chars().peekable();
        let parts = glob_parts(&mut chars, 0)?;
        Some(Glob(parts))
    }

    /// Whether the pattern matches all of `name`.
    pub fn matches(&self, name: &str) -> bool {
        matches_parts(&self.0, name)
    }
}

/// How deep alternatives may lie in each other.
const MAX_DEPTH: usize = 16;

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn glob_parts(chars: &mut Chars<'_>, depth: usize) -> Option<Vec<Part>> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut parts = Vec::new();
    while let Some(c) = chars.peek().copied() {
        if depth > 0 && (c == ',' || c == '}') {
            break;
        }
        chars.next();
        parts.push(match c {
            '*' if chars.next_if_eq(&'*').is_some() => Part::DoubleStar,
            '*' => Part::Star,
            '?' => Part::Any,
            '\\' => Part::Literal(chars.next()?),
            '[' => glob_class(chars)?,
            '{' => {
                let mut choices = Vec::new();
                loop {
                    choices.push(glob_parts(chars, depth + 1)?);
                    // Braces that are never closed close at the end.
                    if chars.next() != Some(',') {
                        break;
                    }
                }
                Part::Alternatives(choices)
            }
            c => Part::Literal(c),
        });
    }
    Some(parts)
}

/// The inside of brackets: one range, or characters to choose from. A range with more behind it is malformed.
fn glob_class(chars: &mut Chars<'_>) -> Option<Part> {
    let negated = chars.next_if_eq(&'!').is_some();
    let first = chars.next()?;
    if chars.next_if_eq(&'-').is_some() {
        let last = chars.next()?;
        return (chars.next()? == ']').then(|| Part::Class { ranges: vec![(first, last)], negated });
    }
    let mut ranges = Vec::new();
    let mut next = first;
    while next != ']' {
        let c = if next == '\\' { chars.next()? } else { next };
        ranges.push((c, c));
        next = chars.next()?;
    }
    (!ranges.is_empty()).then_some(Part::Class { ranges, negated })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_patterns() {
        for (pattern, name, yes) in [
            ("templates/*.yaml", "templates/a.yaml", true),
            ("templates/*.yaml", "templates/x/a.yaml", false),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("\\*", "*", true),
            ("*a*a*a*a*b", &"a".repeat(200), false),
        ] {
            assert_eq!(matches_path(pattern, name), yes, "{pattern} {name}");
        }
        assert!(!is_path_pattern("[") && !is_path_pattern("a\\") && !is_path_pattern("[]a]"));
    }

    #[test]
    fn globs() {
        for (pattern, name, yes) in [
            ("**", "a/b/c", true),
            ("config/*", "config/a.txt", true),
            ("config/*", "config/x/a.txt", false),
            ("config/**.txt", "config/x/a.txt", true),
            ("{a,b/*}.y", "b/c.y", true),
            ("[!a]b", "ab", false),
            ("[a-c]b", "bb", true),
        ] {
            assert_eq!(Glob::parse(pattern).expect(pattern).matches(name), yes, "{pattern} {name}");
        }
        assert!(Glob::parse("{a,b").expect("closed at the end").matches("b"));
        for malformed in ["[a", "[a-zA-Z]", "[a-]", "[]", "a\\"] {
            assert!(Glob::parse(malformed).is_none(), "{malformed}");
        }
    }
}
