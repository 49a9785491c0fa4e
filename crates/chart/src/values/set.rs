//! The grammar of `--set` and its kin: `a.b[1].c=value,d={x,y}`.

use crate::Values;
use serde_json::Value;

/// Why an argument was refused, in Helm's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetError(String);

impl std::fmt::Display for SetError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// `--set`: values are typed by their looks.
pub fn typed(argument: &str, into: &mut Values) -> Result<(), SetError> {
    parse(argument, into, &mut Kind::Typed)
}

/// `--set-string`: values are text.
pub fn string(argument: &str, into: &mut Values) -> Result<(), SetError> {
    parse(argument, into, &mut Kind::Text)
}

/// `--set-file`: values are names of files, which `read` fetches.
pub fn file(
    argument: &str,
    into: &mut Values,
    read: &mut dyn FnMut(&str) -> Result<Vec<u8>, String>,
) -> Result<(), SetError> {
    parse(argument, into, &mut Kind::File(read))
}

/// `--set-json`: values are JSON.
pub fn json(argument: &str, into: &mut Values) -> Result<(), SetError> {
    parse(argument, into, &mut Kind::Json)
}

/// `--set-literal`: one pair, everything behind the first `=` is the text.
pub fn literal(argument: &str, into: &mut Values) -> Result<(), SetError> {
    parse(argument, into, &mut Kind::Literal)
}

const MAX_INDEX: i64 = 65536;
const MAX_NESTING: usize = 30;

enum Kind<'a> {
    Typed,
    Text,
    File(&'a mut dyn FnMut(&str) -> Result<Vec<u8>, String>),
    Json,
    Literal,
}

/// Parsing stopped: because the argument was at its end, which is fine at most places, or because it is wrong.
enum Stop {
    End,
    Wrong(String),
}

impl From<String> for Stop {
    fn from(text: String) -> Stop {
        Stop::Wrong(text)
    }
}

struct Parser<'a, 'k> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    kind: &'a mut Kind<'k>,
}

fn parse(argument: &str, into: &mut Values, kind: &mut Kind<'_>) -> Result<(), SetError> {
    let mut parser = Parser { chars: argument.chars().peekable(), kind };
    loop {
        match parser.key(into, 0) {
            Ok(()) => {}
            Err(Stop::End) => return Ok(()),
            Err(Stop::Wrong(text)) => return Err(SetError(text)),
        }
    }
}

fn quoted(text: &str) -> String {
    gotemplate::quote::quoted(text.as_bytes())
}

/// The Go type behind a value, for the complaint about a key that leads through it.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn wrong_type(value: &Value, wanted: &str) -> Stop {
    let found = go_type(value);
    Stop::Wrong(format!("unable to parse key: interface conversion: interface {{}} is {found}, not {wanted}"))
}

/// An empty key sets nothing.
fn put(map: &mut Values, key: &str, value: Value) {
    if !key.is_empty() {
        map.insert(key.to_string(), value);
    }
}

fn put_index(list: &mut Vec<Value>, index: i64, value: Value) -> Result<(), Stop> {
    if index > MAX_INDEX {
        return Err(Stop::Wrong(format!("index of {index} is greater than maximum supported index of {MAX_INDEX}")));
    }
    let index = usize::try_from(index).map_err(|_| format!("negative {index} index not allowed"))?;
    if list.len() <= index {
        list.resize(index + 1, Value::Null);
    }
    list[index] = value;
    Ok(())
}

impl Parser<'_, '_> {
    /// Takes characters up to one of `stops`, which is taken too. A backslash takes the next character as it is, except in
    /// literals. `None` instead of the stop means the end.
    fn until(&mut self, stops: &[char]) -> (String, Option<char>) {
        let mut text = String::new();
        while let Some(c) = self.chars.next() {
            if stops.contains(&c) {
                return (text, Some(c));
            }
            if c == '\\' && !matches!(self.kind, Kind::Literal) {
                match self.chars.next() {
                    Some(escaped) => text.push(escaped),
                    None => break,
                }
            } else {
                text.push(c);
            }
        }
        (text, None)
    }

    fn key(&mut self, data: &mut Values, nesting: usize) -> Result<(), Stop> {
        let stops: &[char] = if matches!(self.kind, Kind::Literal) { &['=', '[', '.'] } else { &['=', '[', ',', '.'] };
        let (key, stop) = self.until(stops);
        match stop {
            None if key.is_empty() => Err(Stop::End),
            None => Err(Stop::Wrong(format!("key {} has no value", quoted(&key)))),
            Some('[') => {
                let index = self.index()?;
                let mut list = match data.get(&key) {
                    None => Vec::new(),
                    Some(Value::Array(list)) => list.clone(),
                    Some(other) => return Err(wrong_type(other, "[]interface {}")),
                };
                let result = self.list_item(&mut list, index, nesting);
                put(data, &key, Value::Array(list));
                result
            }
            Some('=') => {
                let (value, end) = self.value()?;
                put(data, &key, value);
                if end { Err(Stop::End) } else { Ok(()) }
            }
            Some(',') => Err(Stop::Wrong(format!("key {} has no value (cannot end with ,)", quoted(&key)))),
            Some(_) => {
                if nesting >= MAX_NESTING {
                    return Err(Stop::Wrong(format!(
                        "value name nested level is greater than maximum supported nested level of {MAX_NESTING}"
                    )));
                }
                let mut inner = match data.get(&key) {
                    None => Values::new(),
                    Some(Value::Object(map)) => map.clone(),
                    Some(other) => return Err(wrong_type(other, "map[string]interface {}")),
                };
                let result = self.key(&mut inner, nesting + 1);
                if result.is_ok() && inner.is_empty() {
                    return Err(Stop::Wrong(format!("key map {} has no value", quoted(&key))));
                }
                if !inner.is_empty() {
                    put(data, &key, Value::Object(inner));
                }
                result
            }
        }
    }

    fn index(&mut self) -> Result<i64, Stop> {
        let (text, stop) = self.until(&[']']);
        if stop.is_none() {
            return Err(Stop::End);
        }
        let invalid = |reason: &str| {
            Stop::Wrong(format!("error parsing index: strconv.Atoi: parsing {}: {reason}", quoted(&text)))
        };
        let digits = text.strip_prefix(['+', '-']).unwrap_or(&text);
        if digits.is_empty() {
            return Err(invalid("invalid syntax"));
        }
        // Whichever comes first: a number too long for Go's widest type, or what is no digit.
        digits.bytes().try_fold(0u64, |number, b| {
            let digit = b.checked_sub(b'0').filter(|digit| *digit < 10).ok_or_else(|| invalid("invalid syntax"))?;
            let longer = number.checked_mul(10).and_then(|number| number.checked_add(digit.into()));
            longer.ok_or_else(|| invalid("value out of range"))
        })?;
        text.parse().map_err(|_| invalid("value out of range"))
    }

    /// What follows an index: a value, a further index or a key.
    fn list_item(&mut self, list: &mut Vec<Value>, index: i64, nesting: usize) -> Result<(), Stop> {
        let at = usize::try_from(index).map_err(|_| format!("negative {index} index not allowed"))?;
        let (extra, stop) = self.until(&['[', '.', '=']);
        if !extra.is_empty() {
            let runes: Vec<String> = extra.chars().map(|c| gotemplate::quote::quoted_char(c.into(), false)).collect();
            return Err(Stop::Wrong(format!("unexpected data at end of array index: [{}]", runes.join(" "))));
        }
        match stop {
            None => Err(Stop::End),
            Some('=') => {
                // The end of the argument is found again by the next key.
                let (value, _) = self.value()?;
                put_index(list, index, value)
            }
            Some('[') => {
                let next = self.index()?;
                let there = list.get_mut(at).filter(|value| !value.is_null()).map(Value::take);
                let kept = there.is_some();
                let mut inner = match there {
                    None => Vec::new(),
                    Some(Value::Array(inner)) => inner,
                    Some(other) => return Err(wrong_type(&other, "[]interface {}")),
                };
                let result = self.list_item(&mut inner, next, nesting);
                if result.is_ok() || kept {
                    put_index(list, index, Value::Array(inner))?;
                }
                result
            }
            Some(_) => {
                // What is there and is no mapping becomes one, whatever follows.
                let there = list.get_mut(at).map(Value::take);
                let kept = there.is_some();
                let mut inner = match there {
                    Some(Value::Object(map)) => map,
                    _ => Values::new(),
                };
                let result = self.key(&mut inner, nesting);
                // When the argument ends early, only what was there before keeps what has been set.
                if result.is_ok() || kept {
                    put_index(list, index, Value::Object(inner))?;
                }
                result
            }
        }
    }

    /// What stands behind `=`, and whether that was the end of the argument with nothing behind `=`.
    fn value(&mut self) -> Result<(Value, bool), Stop> {
        if matches!(self.kind, Kind::Json) {
            return self.json_value().map(|v| (v, false));
        }
        if matches!(self.kind, Kind::Literal) {
            return Ok((Value::String(self.until(&[]).0), false));
        }
        match self.chars.peek() {
            None => Ok((Value::String(String::new()), true)),
            Some('{') => {
                self.chars.next();
                self.list().map(|items| (Value::Array(items), false))
            }
            Some(_) => {
                let (text, _) = self.until(&[',']);
                self.convert(text).map(|v| (v, false))
            }
        }
    }

    fn list(&mut self) -> Result<Vec<Value>, Stop> {
        let mut items = Vec::new();
        loop {
            let (text, stop) = self.until(&[',', '}']);
            match stop {
                None => return Err(Stop::Wrong("list must terminate with '}'".into())),
                Some('}') => {
                    if self.chars.peek() == Some(&',') {
                        self.chars.next();
                    }
                    items.push(self.convert(text)?);
                    return Ok(items);
                }
                Some(_) => items.push(self.convert(text)?),
            }
        }
    }

    fn convert(&mut self, text: String) -> Result<Value, Stop> {
        Ok(match self.kind {
            Kind::Typed => typed_value(text),
            Kind::File(read) => Value::String(gotemplate::lossy(&read(&text)?).into_owned()),
            Kind::Text | Kind::Json | Kind::Literal => Value::String(text),
        })
    }

    fn json_value(&mut self) -> Result<Value, Stop> {
        if self.skip_to_value() {
            return Ok(Value::Null);
        }
        let rest: String = self.chars.clone().collect();
        // Go stops behind a number or a word whatever follows.
        let rest = plain_value(&rest).map_or_else(|| rest.clone(), str::to_owned);
        let mut stream = serde_json::Deserializer::from_str(&rest).into_iter::<Value>();
        let value = match stream.next() {
            Some(Ok(value)) => goyaml::with_float_numbers(value),
            _ => return Err(Stop::Wrong("invalid JSON".into())),
        };
        let used = rest[..stream.byte_offset()].chars().count();
        for _ in 0..used {
            self.chars.next();
        }
        self.skip_to_value();
        Ok(value)
    }

    /// Skips blanks and one comma; whether that leaves no value.
    fn skip_to_value(&mut self) -> bool {
        loop {
            match self.chars.peek() {
                None => return true,
                Some(',') => {
                    self.chars.next();
                    return true;
                }
                Some(c) if c.is_whitespace() => {
                    self.chars.next();
                }
                Some(_) => return false,
            }
        }
    }
}

/// The number or the word that a text begins with.
fn plain_value(text: &str) -> Option<&str> {
    if let Some(word) = ["true", "false", "null"].into_iter().find(|word| text.starts_with(word)) {
        return text.get(..word.len());
    }
    let digits = |from: usize| from + text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let begin = usize::from(text.starts_with('-'));
    let mut end = if text[begin..].starts_with('0') { begin + 1 } else { digits(begin) };
    if end == begin {
        return None;
    }
    if text[end..].starts_with('.') {
        end = digits(end + 1);
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        end = digits(end + 1 + sign);
    }
    text.get(..end)
}

fn typed_value(text: String) -> Value {
    for (word, value) in [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)] {
        if text.eq_ignore_ascii_case(word) {
            return value;
        }
    }
    if text == "0" {
        return Value::from(0i64);
    }
    match text.parse::<i64>() {
        Ok(number) if !text.starts_with('0') => Value::from(number),
        _ => Value::String(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_refused_for_what_comes_first() {
        let reason = |argument: &str| literal(argument, &mut Values::new()).expect_err("refused").to_string();
        for text in ["a[19223372036854775808[]=1", "a[9223372036854775808]=1", "a[18446744073709551616x]=1"] {
            assert!(reason(text).ends_with("value out of range"), "{text}");
        }
        for text in ["a[9223372036854775808[]=1", "a[1x]=1", "a[]=1", "a[+]=1"] {
            assert!(reason(text).ends_with("invalid syntax"), "{text}");
        }
    }
}
