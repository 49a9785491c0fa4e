//! Go's regular expressions (RE2), translated for the `regex` crate.
//!
//! The two agree on matching; they differ in what they take for syntax. Here Go's syntax is parsed, with Go's
//! complaints, and written down in a form that leaves the crate no choice: classes spelled out in ASCII where Go means
//! ASCII, every special character as a code point.

use regex::bytes::{Captures, Match, Regex, RegexBuilder};

/// Repetition counts beyond this are refused.
const LARGEST_COUNT: u32 = 1000;
/// Groups nested deeper than this are refused.
const DEEPEST: usize = 250;

/// A compiled expression with Go's meaning.
#[derive(Clone, Debug)]
pub struct Regexp(Regex);

/// A malformed expression, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {what}: `{part}`")]
pub struct RegexpError {
    what: &'static str,
    part: String,
}

impl RegexpError {
    /// The expression is no UTF-8.
    pub fn no_text(expression: &[u8]) -> RegexpError {
        RegexpError { what: "invalid UTF-8", part: String::from_utf8_lossy(expression).into_owned() }
    }
}

impl Regexp {
    /// Compiles an expression.
    ///
    /// # Errors
    /// When it is malformed or too large.
    pub fn new(expression: &str) -> Result<Regexp, RegexpError> {
        let translated = translate(expression)?;
        let too_large = |_| RegexpError { what: "expression too large", part: expression.to_owned() };
        RegexBuilder::new(&translated).size_limit(1 << 24).build().map(Regexp).map_err(too_large)
    }

    /// Does the expression match anywhere in the text?
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }

    /// The first match.
    pub fn find<'t>(&self, text: &'t [u8]) -> Option<Match<'t>> {
        self.0.find(text)
    }

    /// All matches that do not overlap, leftmost first.
    pub fn find_iter<'t>(&'t self, text: &'t [u8]) -> impl Iterator<Item = Match<'t>> {
        self.0.find_iter(text).filter(|found| !splits_character(text, *found))
    }

    /// All matches that do not overlap, with their groups.
    pub fn captures_iter<'t>(&'t self, text: &'t [u8]) -> impl Iterator<Item = Captures<'t>> {
        let whole = |captures: &Captures<'t>| captures.get(0).is_some_and(|found| !splits_character(text, found));
        self.0.captures_iter(text).filter(whole)
    }
}

/// Is it an empty match inside a character? Go steps by characters, the engine by bytes.
fn splits_character(text: &[u8], found: Match<'_>) -> bool {
    const LONGEST: usize = 4;
    let at = found.start();
    if !found.is_empty() || at == 0 || text.get(at).is_none_or(|b| b & 0xc0 != 0x80) {
        return false;
    }
    (1..LONGEST.min(at + 1)).any(|back| {
        let head = &text[at - back..text.len().min(at - back + LONGEST)];
        let first = head.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
        first.is_some_and(|c| c.len_utf8() > back)
    })
}

fn translate(expression: &str) -> Result<String, RegexpError> {
    let mut translator =
        Translator { whole: expression, rest: expression, out: String::new(), depth: 0, names: Vec::new() };
    translator.sequence()?;
    Ok(translator.out)
}

struct Translator<'t> {
    whole: &'t str,
    rest: &'t str,
    out: String,
    depth: usize,
    names: Vec<&'t str>,
}

fn fail<T>(what: &'static str, part: &str) -> Result<T, RegexpError> {
    Err(RegexpError { what, part: part.to_owned() })
}

/// What stands before `after`, which is a tail of `before`.
fn consumed<'t>(before: &'t str, after: &str) -> &'t str {
    &before[..before.len() - after.len()]
}

impl<'t> Translator<'t> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn literal(&mut self, c: char) {
        write_literal(c, &mut self.out);
    }

    /// Everything up to the end of the text. Groups are counted rather than recursed into.
    fn sequence(&mut self) -> Result<(), RegexpError> {
        // Is there something that could be repeated, and was it repeated already (from where)?
        let mut repeatable = false;
        let mut repeated: Option<&'t str> = None;
        while let Some(c) = self.peek() {
            let start = self.rest;
            let mut repeats = None;
            match c {
                '(' => {
                    repeatable = self.open()? && repeatable;
                }
                ')' => {
                    if self.depth == 0 {
                        return fail("unexpected )", self.whole);
                    }
                    self.depth -= 1;
                    self.bump();
                    self.out.push(')');
                    repeatable = true;
                }
                '|' => {
                    self.bump();
                    self.out.push('|');
                    repeatable = false;
                }
                '*' | '+' | '?' => {
                    self.bump();
                    self.repetition(start, repeatable, repeated, &c.to_string())?;
                    repeats = Some(start);
                }
                '{' if count(start).is_some() => {
                    let (least, most, after) = count(start).unwrap_or((0, None, start));
                    self.rest = after;
                    let sane = least <= LARGEST_COUNT && most.is_none_or(|m| m <= LARGEST_COUNT && m >= least);
                    if !sane {
                        return fail("invalid repeat count", consumed(start, after));
                    }
                    let written = consumed(start, after).to_owned();
                    self.repetition(start, repeatable, repeated, &written)?;
                    repeats = Some(start);
                }
                _ => {
                    self.atom(c)?;
                    repeatable = true;
                }
            }
            repeated = repeats;
        }
        if self.depth > 0 { fail("missing closing )", self.whole) } else { Ok(()) }
    }

    fn repetition(
        &mut self,
        start: &'t str,
        repeatable: bool,
        repeated: Option<&'t str>,
        operator: &str,
    ) -> Result<(), RegexpError> {
        let lazy = self.peek() == Some('?');
        if lazy {
            self.bump();
        }
        if let Some(first) = repeated {
            return fail("invalid nested repetition operator", consumed(first, self.rest));
        }
        if !repeatable {
            return fail("missing argument to repetition operator", consumed(start, self.rest));
        }
        self.out.push_str(operator);
        if lazy {
            self.out.push('?');
        }
        Ok(())
    }

    /// An opening parenthesis with what belongs to it. Tells whether what stood before may still be repeated, which is
    /// so when only flags were set.
    fn open(&mut self) -> Result<bool, RegexpError> {
        let start = self.rest;
        let deeper = |translator: &mut Self| {
            translator.depth += 1;
            if translator.depth > DEEPEST { fail("expression nests too deeply", translator.whole) } else { Ok(false) }
        };
        if !start.starts_with("(?") {
            self.bump();
            self.out.push('(');
            return deeper(self);
        }
        let named = start.strip_prefix("(?P<").or_else(|| start.strip_prefix("(?<"));
        if let Some(tail) = named {
            let Some((name, after)) = tail.split_once('>') else {
                return fail("invalid named capture", start);
            };
            let well = !name.is_empty() && name.chars().all(|c| c == '_' || c.is_alphanumeric());
            if !well {
                return fail("invalid named capture", consumed(start, after));
            }
            self.rest = after;
            // The crate wants names to be unique and to start with a letter. Go does not mind.
            let nameable = !name.starts_with(|c: char| c.is_numeric()) && !self.names.contains(&name);
            self.names.push(name);
            self.out.push_str(&if nameable { format!("(?P<{name}>") } else { "(".to_owned() });
            return deeper(self);
        }
        self.bump();
        self.bump();
        let (mut negative, mut any) = (false, false);
        loop {
            match self.bump() {
                Some('i' | 'm' | 's' | 'U') => any = true,
                Some('-') if !negative => (negative, any) = (true, false),
                Some(end @ (':' | ')')) if any || !negative => {
                    let written = consumed(start, self.rest);
                    if written != "(?)" {
                        self.out.push_str(written);
                    }
                    return if end == ':' { deeper(self) } else { Ok(true) };
                }
                _ => return fail("invalid or unsupported Perl syntax", consumed(start, self.rest)),
            }
        }
    }

    fn atom(&mut self, c: char) -> Result<(), RegexpError> {
        match c {
            '[' => self.class(),
            '\\' => self.escape(),
            '.' | '^' | '$' => {
                self.bump();
                self.out.push(c);
                Ok(())
            }
            c => {
                self.bump();
                self.literal(c);
                Ok(())
            }
        }
    }

    fn escape(&mut self) -> Result<(), RegexpError> {
        let second = self.rest.chars().nth(1);
        let simple = match second {
            Some('A') => Some(r"\A"),
            Some('z') => Some(r"\z"),
            Some('b') => Some(r"(?-u:\b)"),
            Some('B') => Some(r"(?-u:\B)"),
            Some(c) => perl_class(c),
            None => return fail("trailing backslash at end of expression", ""),
        };
        if let Some(simple) = simple {
            self.rest = &self.rest[2..];
            self.out.push_str(simple);
            return Ok(());
        }
        if second == Some('Q') {
            let quoted = &self.rest[2..];
            let (literal, after) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
            literal.chars().for_each(|c| self.literal(c));
            self.rest = after;
            return Ok(());
        }
        if let Some(class) = self.unicode_class()? {
            self.out.push_str(&class);
            return Ok(());
        }
        let c = self.escaped_char()?;
        self.literal(c);
        Ok(())
    }

    /// `\pL`, `\p{Greek}`, `\PL`, `\p{^Greek}`
    fn unicode_class(&mut self) -> Result<Option<String>, RegexpError> {
        let start = self.rest;
        let negated = match start.as_bytes() {
            [b'\\', b'p', ..] => false,
            [b'\\', b'P', ..] => true,
            _ => return Ok(None),
        };
        self.rest = &start[2..];
        let name = if let Some(braced) = self.rest.strip_prefix('{') {
            let Some((name, after)) = braced.split_once('}') else {
                return fail("invalid character class range", start);
            };
            self.rest = after;
            name
        } else {
            let before = self.rest;
            if self.bump().is_none() {
                return fail("invalid character class range", start);
            }
            consumed(before, self.rest)
        };
        let (negated, name) = name.strip_prefix('^').map_or((negated, name), |name| (!negated, name));
        let class = format!(r"\{}{{{name}}}", if negated { 'P' } else { 'p' });
        let known = name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) && Regex::new(&class).is_ok();
        if !known {
            return fail("invalid character class range", consumed(start, self.rest));
        }
        Ok(Some(class))
    }

    /// A single escaped character.
    fn escaped_char(&mut self) -> Result<char, RegexpError> {
        let start = self.rest;
        self.bump();
        let invalid = |rest: &str| fail("invalid escape sequence", consumed(start, rest));
        let Some(c) = self.bump() else {
            return fail("trailing backslash at end of expression", "");
        };
        match c {
            '1'..='7' if !self.peek().is_some_and(|c| matches!(c, '0'..='7')) => invalid(self.rest),
            '0'..='7' => {
                let mut code = c.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else { break };
                    code = code * 8 + digit;
                    self.bump();
                }
                char::from_u32(code).map_or_else(|| invalid(self.rest), Ok)
            }
            'x' => {
                let (digits, after) = match self.rest.strip_prefix('{') {
                    Some(braced) => braced.split_once('}').unwrap_or(("", braced)),
                    None => (self.rest.get(..2).unwrap_or(""), self.rest.get(2..).unwrap_or("")),
                };
                self.rest = after;
                let well = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit());
                let code = if well { u32::from_str_radix(digits, 16).ok() } else { None };
                code.and_then(char::from_u32).map_or_else(|| invalid(after), Ok)
            }
            'a' => Ok('\x07'),
            'f' => Ok('\x0c'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'v' => Ok('\x0b'),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Ok(c),
            _ => invalid(self.rest),
        }
    }

    fn class(&mut self) -> Result<(), RegexpError> {
        let start = self.rest;
        self.bump();
        let mut class = "[".to_owned();
        if self.peek() == Some('^') {
            self.bump();
            class.push('^');
        }
        let mut first = true;
        loop {
            match self.peek() {
                None => return fail("missing closing ]", start),
                Some(']') if !first => break,
                _ => {}
            }
            first = false;
            if let Some(named) = self.posix_class()? {
                class.push_str(&named);
                continue;
            }
            if let Some(perl) = self.rest.strip_prefix('\\').and_then(|tail| tail.chars().next()).and_then(perl_class) {
                self.rest = &self.rest[2..];
                class.push_str(perl);
                continue;
            }
            if let Some(unicode) = self.unicode_class()? {
                class.push_str(&unicode);
                continue;
            }
            let from = self.rest;
            let low = self.class_char(start)?;
            let mut high = low;
            if self.rest.starts_with('-') && !self.rest.starts_with("-]") && self.rest.len() > 1 {
                self.bump();
                high = self.class_char(start)?;
                if high < low {
                    return fail("invalid character class range", consumed(from, self.rest));
                }
            }
            write_literal(low, &mut class);
            if high != low {
                class.push('-');
                write_literal(high, &mut class);
            }
        }
        self.bump();
        class.push(']');
        self.out.push_str(&class);
        Ok(())
    }

    fn class_char(&mut self, class: &str) -> Result<char, RegexpError> {
        if self.peek() == Some('\\') {
            return self.escaped_char();
        }
        match self.bump() {
            Some(c) => Ok(c),
            None => fail("missing closing ]", class),
        }
    }

    /// `[:alpha:]`
    fn posix_class(&mut self) -> Result<Option<String>, RegexpError> {
        const NAMES: [&str; 14] = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
            "word", "xdigit",
        ];
        if !self.rest.starts_with("[:") {
            return Ok(None);
        }
        let Some(end) = self.rest[2..].find(":]") else {
            return Ok(None);
        };
        let written = &self.rest[..end + 4];
        let name = &written[2..written.len() - 2];
        if !NAMES.contains(&name.trim_start_matches('^')) || name.starts_with("^^") {
            return fail("invalid character class range", written);
        }
        self.rest = &self.rest[written.len()..];
        Ok(Some(written.to_owned()))
    }
}

/// Go's `\d \s \w` are ASCII.
fn perl_class(c: char) -> Option<&'static str> {
    Some(match c {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => r"[\t\n\x0C\r ]",
        'S' => r"[^\t\n\x0C\r ]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        _ => return None,
    })
}

fn write_literal(c: char, out: &mut String) {
    if c.is_ascii_alphanumeric() || !c.is_ascii() {
        out.push(c);
    } else {
        out.push_str(&format!(r"\x{{{:X}}}", c as u32));
    }
}

/// `{2}`, `{2,}` or `{2,5}` at the start of the text, with what follows. Anything else is literal text.
fn count(text: &str) -> Option<(u32, Option<u32>, &str)> {
    let (inner, after) = text.strip_prefix('{')?.split_once('}')?;
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let leading = digits.len() > 1 && digits.starts_with('0');
        // Numbers too large to read are as wrong as those above the limit.
        (plain && !leading).then(|| digits.parse().unwrap_or(u32::MAX))
    };
    match inner.split_once(',') {
        None => number(inner).map(|n| (n, Some(n), after)),
        Some((least, "")) => number(least).map(|n| (n, None, after)),
        Some((least, most)) => Some((number(least)?, Some(number(most)?), after)),
    }
}
