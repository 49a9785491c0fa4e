//! Flags as Helm's command line has them: their grammar, and the sentences about what does not fit it.

use std::collections::BTreeMap;
use std::time::Duration;

/// What stands behind a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing, or `=true` and `=false`.
    Switch,
    /// One text; the last one counts.
    Text,
    /// Like a text, but a bare flag means this.
    Bare(&'static str),
    /// Texts, each a list with commas.
    List,
    /// Texts as they are.
    Repeat,
    /// A whole number.
    Number,
    /// A duration such as `5m0s`.
    Duration,
    /// `key=value` pairs with commas.
    Pairs,
}

/// A flag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag {
    pub(super) name: &'static str,
    pub(super) short: Option<char>,
    pub(super) kind: Kind,
    /// Taken, but not shown.
    hidden: bool,
    /// What to use instead.
    deprecated: Option<&'static str>,
}

impl Flag {
    pub(super) const fn new(name: &'static str, kind: Kind) -> Flag {
        Flag { name, short: None, kind, hidden: false, deprecated: None }
    }

    pub(super) const fn short(mut self, letter: char) -> Flag {
        self.short = Some(letter);
        self
    }

    pub(super) const fn hidden(mut self) -> Flag {
        self.hidden = true;
        self
    }

    pub(super) const fn deprecated(mut self, instead: &'static str) -> Flag {
        self.deprecated = Some(instead);
        self
    }

    /// Is it shown in help? Neither hidden nor deprecated ones are.
    pub(super) fn is_shown(&self) -> bool {
        !self.hidden && self.deprecated.is_none()
    }
}

/// A command line, taken apart.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    values: BTreeMap<&'static str, Vec<String>>,
    /// What is no flag.
    pub(super) arguments: Vec<String>,
    /// `-h`.
    pub(super) help: bool,
    /// What is to be said about the flags.
    pub(super) notices: Vec<String>,
}

impl Parsed {
    /// Reads arguments against the flags of a command.
    pub(super) fn read(arguments: &[String], flags: &[&[Flag]]) -> Result<Parsed, String> {
        let mut parsed = Parsed::default();
        let mut rest = arguments.iter().cloned();
        while let Some(argument) = rest.next() {
            if argument == "--" {
                parsed.arguments.extend(rest);
                break;
            } else if let Some(long) = argument.strip_prefix("--") {
                parsed.long(long, flags, &mut rest)?;
            } else if argument.len() > 1 && argument.starts_with('-') {
                parsed.shorts(&argument[1..], flags, &mut rest)?;
            } else {
                parsed.arguments.push(argument);
            }
        }
        Ok(parsed)
    }

    fn long(&mut self, text: &str, flags: &[&[Flag]], rest: &mut impl Iterator<Item = String>) -> Result<(), String> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value.to_owned())));
        if name.is_empty() || name.starts_with('-') {
            return Err(format!("bad flag syntax: --{text}"));
        }
        let Some(flag) = flags.iter().flat_map(|group| group.iter()).find(|flag| flag.name == name) else {
            if name == "help" {
                self.help = true;
                return Ok(());
            }
            return Err(format!("unknown flag: --{name}"));
        };
        let value = match (value, flag.kind) {
            (Some(value), _) => value,
            (None, Kind::Switch) => "true".to_owned(),
            (None, Kind::Bare(meant)) => meant.to_owned(),
            (None, _) => rest.next().ok_or_else(|| format!("flag needs an argument: --{name}"))?,
        };
        self.put(flag, value)
    }

    fn shorts(&mut self, text: &str, flags: &[&[Flag]], rest: &mut impl Iterator<Item = String>) -> Result<(), String> {
        let mut letters = text;
        while let Some(letter) = letters.chars().next() {
            letters = &letters[letter.len_utf8()..];
            let Some(flag) = flags.iter().flat_map(|group| group.iter()).find(|flag| flag.short == Some(letter)) else {
                if letter == 'h' {
                    self.help = true;
                    return Ok(());
                }
                return Err(format!("unknown shorthand flag: '{letter}' in -{text}"));
            };
            if let Some(value) = letters.strip_prefix('=') {
                return self.put(flag, value.to_owned());
            }
            match flag.kind {
                Kind::Switch => self.put(flag, "true".to_owned())?,
                Kind::Bare(meant) => self.put(flag, meant.to_owned())?,
                _ if !letters.is_empty() => return self.put(flag, letters.to_owned()),
                _ => {
                    let missing = || format!("flag needs an argument: '{letter}' in -{text}");
                    return self.put(flag, rest.next().ok_or_else(missing)?);
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, flag: &Flag, value: String) -> Result<(), String> {
        if let Some(instead) = flag.deprecated {
            self.notices.push(format!("Flag --{} has been deprecated, {instead}", flag.name));
        }
        let shown = match flag.short {
            Some(letter) => format!("-{letter}, --{}", flag.name),
            None => format!("--{}", flag.name),
        };
        let refused = |why: String| format!("invalid argument {value:?} for {shown:?} flag: {why}");
        let slot = self.values.entry(flag.name).or_default();
        match flag.kind {
            Kind::Switch => {
                let word = boolean(&value)
                    .ok_or_else(|| refused(format!("strconv.ParseBool: parsing {value:?}: invalid syntax")))?;
                *slot = vec![word.to_string()];
            }
            Kind::Number => {
                let invalid = || refused(format!("strconv.ParseInt: parsing {value:?}: invalid syntax"));
                value.parse::<i64>().map_err(|_| invalid())?;
                *slot = vec![value];
            }
            Kind::Duration => {
                duration(&value).ok_or_else(|| refused(format!("time: invalid duration {value:?}")))?;
                *slot = vec![value];
            }
            Kind::Text | Kind::Bare(_) => *slot = vec![value],
            Kind::List => slot.extend(commas(&value)),
            Kind::Repeat => slot.push(value),
            Kind::Pairs => {
                for pair in commas(&value) {
                    if !pair.contains('=') {
                        return Err(refused(format!("{pair} must be formatted as key=value")));
                    }
                    slot.push(pair);
                }
            }
        }
        Ok(())
    }

    /// Was it given at all?
    pub(super) fn given(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// A switch.
    pub(super) fn on(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }

    /// One text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.last().map(String::as_str)
    }

    /// All texts.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        self.values.get(name).cloned().unwrap_or_default()
    }

    /// A number that was checked when it was read.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// A duration that was checked when it was read.
    pub(super) fn duration(&self, name: &str) -> Option<Duration> {
        duration(self.text(name)?)
    }

    /// Pairs.
    pub(super) fn pairs(&self, name: &str) -> BTreeMap<String, String> {
        let split = |pair: String| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        self.all(name).into_iter().filter_map(split).collect()
    }
}

/// The words for yes and no.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Splits at commas that stand outside of double quotes.
fn commas(text: &str) -> Vec<String> {
    let (mut parts, mut current, mut quoted) = (Vec::new(), String::new(), false);
    for letter in text.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => parts.push(std::mem::take(&mut current)),
            letter => current.push(letter),
        }
    }
    if !text.is_empty() {
        parts.push(current);
    }
    parts
}

/// Reads a duration as Go writes it: `1h2m3.5s`, `300ms`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let amount: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        rest = &rest[end..];
        total += amount * unit;
    }
    Duration::try_from_secs_f64(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        Flag::new("values", Kind::List).short('f'),
        Flag::new("set", Kind::Repeat),
        Flag::new("dry-run", Kind::Bare("unset")),
        Flag::new("install", Kind::Switch).short('i'),
        Flag::new("max", Kind::Number).short('m'),
        Flag::new("timeout", Kind::Duration),
    ];

    fn read(line: &str) -> Result<Parsed, String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Parsed::read(&words, &[FLAGS])
    }

    #[test]
    fn every_form_of_a_flag() {
        let parsed = read("a -f x,y --values=z -ifw --set a=1,b=2 --dry-run b -m3 --timeout 1m30s -- -c").unwrap();
        assert_eq!(parsed.arguments, ["a", "b", "-c"]);
        assert_eq!(parsed.all("values"), ["x", "y", "z", "w"]);
        assert_eq!(parsed.all("set"), ["a=1,b=2"]);
        assert_eq!(
            (parsed.text("dry-run"), parsed.on("install"), parsed.number("max")),
            (Some("unset"), true, Some(3))
        );
        assert_eq!(parsed.duration("timeout"), Some(Duration::from_secs(90)));
    }

    #[test]
    fn what_does_not_fit_is_told_in_helms_words() {
        let cases = [
            ("--nope", "unknown flag: --nope"),
            ("-ix", "unknown shorthand flag: 'x' in -ix"),
            ("--set", "flag needs an argument: --set"),
            ("-m", "flag needs an argument: 'm' in -m"),
            ("--timeout x", "invalid argument \"x\" for \"--timeout\" flag: time: invalid duration \"x\""),
            ("-m x", "invalid argument \"x\" for \"-m, --max\" flag: strconv.ParseInt: parsing \"x\": invalid syntax"),
        ];
        for (line, wanted) in cases {
            assert_eq!(read(line).unwrap_err(), wanted, "{line}");
        }
    }
}
