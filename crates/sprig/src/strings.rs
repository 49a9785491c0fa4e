//! Strings: trimming, cutting, searching, quoting, joining.

use gotemplate::{CallResult, FuncError, Functions, List, Map, Run, Str, Type, Value, format, quote};

use crate::args::{any, int, text, utf8};
use crate::text::{to_text, to_texts};

const S: Type = Type::Str;
const I: Type = Type::Int;

pub(crate) fn register(table: &mut Functions) {
    table.fixed("hello", &[], |_, _| Ok("Hello!".into()));
    table.fixed("fail", &[S], |_, args| Err(FuncError::Message(utf8(args, 0))));
    trimming(table);
    cutting(table);
    searching(table);
    quoting(table);
    splitting(table);
    table.fixed("upper", &[S], |_, args| Ok(utf8(args, 0).chars().map(simple_upper).collect::<String>().into()));
    table.fixed("lower", &[S], |_, args| Ok(utf8(args, 0).chars().map(simple_lower).collect::<String>().into()));
    table.fixed("repeat", &[I, S], |run, args| Ok(repeat(run, int(args, 0), &text(args, 1))?.into()));
    table.fixed("plural", &[S, S, I], |_, args| Ok(any(args, usize::from(int(args, 2) != 1)).clone()));
    table.fixed("toString", &[Type::Any], |_, args| Ok(to_text(any(args, 0)).into()));
    table.fixed("toStrings", &[Type::Any], |_, args| match any(args, 0) {
        Value::List(list) if list.ty() == Type::STRING_LIST => Ok(Value::List(list.clone())),
        other => Ok(List::strings(to_texts(other)).into()),
    });
}

/// Upper case by the simple mapping: one character for one.
pub(crate) fn simple_upper(c: char) -> char {
    let mut mapped = c.to_uppercase();
    match (mapped.next(), mapped.next()) {
        (Some(upper), None) => upper,
        _ => c,
    }
}

/// Lower case by the simple mapping.
pub(crate) fn simple_lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

fn repeat(run: &mut Run<'_>, count: i64, text: &[u8]) -> Result<Str, FuncError> {
    let count = usize::try_from(count).map_err(|_| "strings: negative Repeat count")?;
    let bytes = count.checked_mul(text.len()).ok_or("strings: Repeat output length overflow")?;
    run.claim(bytes)?;
    Ok(Str::from(text.repeat(count)))
}

fn trimming(table: &mut Functions) {
    table.fixed("trim", &[S], |_, args| Ok(trim_space(&text(args, 0)).into()));
    for name in ["trimAll", "trimall"] {
        table.fixed(name, &[S, S], |_, args| {
            let set = utf8(args, 0);
            Ok(utf8(args, 1).trim_matches(|c| set.contains(c)).into())
        });
    }
    table.fixed("trimSuffix", &[S, S], |_, args| {
        let (suffix, text) = (text(args, 0), text(args, 1));
        Ok(text.strip_suffix(&*suffix).map_or_else(|| text.clone(), Str::from).into())
    });
    table.fixed("trimPrefix", &[S, S], |_, args| {
        let (prefix, text) = (text(args, 0), text(args, 1));
        Ok(text.strip_prefix(&*prefix).map_or_else(|| text.clone(), Str::from).into())
    });
    table.fixed("nospace", &[S], |_, args| {
        // The original takes each byte for a character.
        let text = text(args, 0);
        let kept: String = text.iter().map(|b| *b as char).filter(|c| !is_space(*c)).collect();
        Ok(if kept.chars().count() == text.len() { text.into() } else { kept.into() })
    });
}

/// White space by Unicode, as Go has it.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace()
}

fn trim_space(text: &Str) -> Str {
    match text.as_utf8() {
        Some(utf8) => {
            let trimmed = utf8.trim();
            if trimmed.len() == utf8.len() { text.clone() } else { Str::from(trimmed) }
        }
        None => Str::from(text.trim_ascii()),
    }
}

fn cutting(table: &mut Functions) {
    table.fixed("trunc", &[I, S], |_, args| {
        let (count, text) = (int(args, 0), text(args, 1));
        let length = text.len() as i64;
        Ok(if count < 0 && length + count > 0 {
            Str::from(&text[(length + count) as usize..]).into()
        } else if count >= 0 && length > count {
            Str::from(&text[..count as usize]).into()
        } else {
            text.into()
        })
    });
    table.fixed("substr", &[I, I, S], |_, args| {
        let (start, end, text) = (int(args, 0), int(args, 1), text(args, 2));
        let length = text.len() as i64;
        let (start, end) = if start < 0 {
            (0, end)
        } else if end < 0 || end > length {
            (start, length)
        } else {
            (start, end)
        };
        slice(&text, start, end, length)
    });
}

/// `text[start:end]` with the words of Go's bounds check.
fn slice(text: &Str, start: i64, end: i64, length: i64) -> CallResult {
    if !(0..=length).contains(&end) {
        let tail = if end < 0 { String::new() } else { format!(" with length {length}") };
        return Err(format!("runtime error: slice bounds out of range [:{end}]{tail}").into());
    }
    if start > end {
        return Err(format!("runtime error: slice bounds out of range [{start}:{end}]").into());
    }
    Ok(Str::from(&text[start as usize..end as usize]).into())
}

fn searching(table: &mut Functions) {
    table.fixed("contains", &[S, S], |_, args| Ok(find(&text(args, 1), &text(args, 0)).is_some().into()));
    table.fixed("hasPrefix", &[S, S], |_, args| Ok(text(args, 1).starts_with(&text(args, 0)).into()));
    table.fixed("hasSuffix", &[S, S], |_, args| Ok(text(args, 1).ends_with(&text(args, 0)).into()));
    table.fixed("replace", &[S, S, S], |run, args| {
        let (old, new, text) = (text(args, 0), text(args, 1), text(args, 2));
        let places = places(&text, &old);
        let count = places.clone().count();
        if count == 0 {
            return Ok(text.clone().into());
        }
        run.work(count as u64)?;
        run.claim(text.len().saturating_add(new.len().saturating_mul(count)))?;
        let mut out = Vec::with_capacity(text.len() - old.len() * count + new.len() * count);
        let mut at = 0;
        for place in places {
            out.extend_from_slice(&text[at..place]);
            out.extend_from_slice(&new);
            at = place + old.len();
        }
        out.extend_from_slice(&text[at..]);
        Ok(Str::from(out).into())
    });
}

/// Where `old` is found in a text, one after the other; when it is empty, before every character and at the end.
fn places<'t>(text: &'t [u8], old: &'t [u8]) -> impl Iterator<Item = usize> + Clone {
    let between = old.is_empty().then(|| {
        let starts = widths(text).scan(0, |at, width| Some(std::mem::replace(at, *at + width)));
        starts.chain([text.len()])
    });
    let found = (!old.is_empty()).then(|| memchr::memmem::find_iter(text, old));
    between.into_iter().flatten().chain(found.into_iter().flatten())
}

/// The lengths of the characters of a text, a wrong byte being one.
fn widths(text: &[u8]) -> impl Iterator<Item = usize> + Clone {
    text.utf8_chunks()
        .flat_map(|chunk| chunk.valid().chars().map(char::len_utf8).chain(chunk.invalid().iter().map(|_| 1)))
}

fn characters(text: &[u8]) -> Vec<&[u8]> {
    let mut offset = 0;
    let cut = widths(text).map(|width| {
        offset += width;
        &text[offset - width..offset]
    });
    cut.collect()
}

/// Claims the memory for the parts of a text.
fn claim_parts(run: &mut Run<'_>, text: &[u8], separator: &[u8]) -> Result<(), FuncError> {
    let parts = if separator.is_empty() { text.len() } else { memchr::memmem::find_iter(text, separator).count() };
    run.work(parts as u64)?;
    Ok(run.claim(parts.saturating_mul(PART))?)
}

/// What a part of a text takes until it is in a list or map.
const PART: usize = 64;

/// Where `needle` starts in `text`.
fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, needle)
}

/// Splits at a separator into at most `limit` parts; by characters when the separator is empty.
fn split<'t>(text: &'t [u8], separator: &[u8], limit: Option<usize>) -> Vec<&'t [u8]> {
    let limit = limit.unwrap_or(usize::MAX);
    if separator.is_empty() {
        let mut parts = characters(text);
        if parts.len() > limit {
            let start: usize = parts[..limit - 1].iter().map(|part| part.len()).sum();
            parts.truncate(limit - 1);
            parts.push(&text[start..]);
        }
        return parts;
    }
    let (mut parts, mut start) = (Vec::new(), 0);
    for at in memchr::memmem::find_iter(text, separator).take(limit - 1) {
        parts.push(&text[start..at]);
        start = at + separator.len();
    }
    parts.push(&text[start..]);
    parts
}

fn splitting(table: &mut Functions) {
    table.fixed("splitList", &[S, S], |run, args| {
        let (separator, text) = (text(args, 0), text(args, 1));
        claim_parts(run, &text, &separator)?;
        Ok(List::strings(split(&text, &separator, None)).into())
    });
    table.fixed("split", &[S, S], |run, args| {
        let (separator, text) = (text(args, 0), text(args, 1));
        claim_parts(run, &text, &separator)?;
        Ok(numbered(&split(&text, &separator, None)))
    });
    table.fixed("splitn", &[S, I, S], |run, args| {
        claim_parts(run, &text(args, 2), &text(args, 0))?;
        let limit = int(args, 1);
        if limit == 0 {
            return Ok(numbered(&[]));
        }
        Ok(numbered(&split(&text(args, 2), &text(args, 0), usize::try_from(limit).ok())))
    });
    table.fixed("join", &[S, Type::Any], |_, args| {
        let texts = to_texts(any(args, 1));
        Ok(Str::from(texts.join(&*text(args, 0))).into())
    });
}

/// The parts under the keys `_0`, `_1` …
fn numbered(parts: &[&[u8]]) -> Value {
    let map = Map::typed(Type::STRING_MAP);
    for (i, part) in parts.iter().enumerate() {
        map.insert(format!("_{i}"), Str::from(*part));
    }
    map.into()
}

fn quoting(table: &mut Functions) {
    table.variadic("quote", &[], Type::Any, |_, args| {
        let mut quoted = args.iter().filter(|v| !v.is_nil()).map(|v| quote::quoted(&to_text(v)));
        let first = quoted.next().unwrap_or_default();
        Ok(quoted.fold(first, |all, next| all + " " + &next).into())
    });
    table.variadic("squote", &[], Type::Any, |_, args| {
        let quoted: Vec<Vec<u8>> =
            args.iter().filter(|v| !v.is_nil()).map(|v| [b"'", &*format::to_string(v), b"'"].concat()).collect();
        Ok(Str::from(quoted.join(&b' ')).into())
    });
    table.variadic("cat", &[], Type::Any, |_, args| {
        let texts: Vec<Str> = args.iter().filter(|v| !v.is_nil()).map(format::to_string).collect();
        Ok(Str::from(texts.join(&b' ')).into())
    });
    table.fixed("indent", &[I, S], |run, args| indent(run, int(args, 0), &text(args, 1), ""));
    table.fixed("nindent", &[I, S], |run, args| indent(run, int(args, 0), &text(args, 1), "\n"));
}

/// Puts blanks before every line, also before empty ones.
fn indent(run: &mut Run<'_>, spaces: i64, text: &[u8], lead: &str) -> CallResult {
    let lines = 1 + memchr::memchr_iter(b'\n', text).count();
    let pad = repeat(run, spaces, b" ")?;
    run.claim(pad.len().saturating_mul(lines))?;
    let mut out = Vec::with_capacity(text.len() + pad.len().saturating_mul(lines) + lead.len());
    out.extend_from_slice(lead.as_bytes());
    out.extend_from_slice(&pad);
    let mut from = 0;
    for end in memchr::memchr_iter(b'\n', text) {
        out.extend_from_slice(&text[from..=end]);
        out.extend_from_slice(&pad);
        from = end + 1;
    }
    out.extend_from_slice(&text[from..]);
    Ok(Str::from(out).into())
}
