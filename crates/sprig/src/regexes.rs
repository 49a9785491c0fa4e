//! Functions on regular expressions.

use std::cell::RefCell;
use std::collections::HashMap;

use gotemplate::{CallResult, FuncError, Functions, LimitError, List, Run, Str, Type, Value};
use regex::bytes::Captures;

use crate::args::{int, text, utf8};
use crate::lists::{ITEM, strings_or_nil};
use crate::plain_regexp::PlainRegexp;
use crate::regexp::{Regexp, RegexpError};

const S: Type = Type::Str;
const I: Type = Type::Int;

/// Compiled expressions that are kept on each thread: charts use the same few again and again.
const KEPT: usize = 128;

thread_local! {
    static COMPILED: RefCell<HashMap<String, Regexp>> = RefCell::new(HashMap::new());
    /// Those that are simple, and that the others are not.
    static PLAIN: RefCell<HashMap<String, Option<PlainRegexp>>> = RefCell::new(HashMap::new());
}

fn compile(run: &mut Run<'_>, expression: &Str) -> Result<Result<Regexp, RegexpError>, LimitError> {
    let Ok(expression) = std::str::from_utf8(expression) else {
        return Ok(Err(RegexpError::no_text(expression)));
    };
    if let Some(known) = COMPILED.with_borrow(|kept| kept.get(expression).cloned()) {
        return Ok(Ok(known));
    }
    run.work(COMPILING + STATE * states(expression))?;
    Ok(build(expression))
}

/// The steps that compiling takes, and each state that an expression has.
const COMPILING: u64 = 1000;
const STATE: u64 = 20;

/// How many states an expression has, about: repetitions of repetitions multiply.
fn states(expression: &str) -> u64 {
    let mut groups = vec![0u64];
    let mut last = 0u64;
    let mut rest = expression.chars();
    while let Some(c) = rest.next() {
        let mut size = 1;
        match c {
            '\\' => drop(rest.next()),
            '(' => {
                groups.push(0);
                continue;
            }
            ')' if groups.len() > 1 => size = groups.pop().unwrap_or_default(),
            '{' => {
                let counts = rest.as_str().split('}').next().unwrap_or_default();
                let most = counts.rsplit(',').find_map(|count| count.parse::<u64>().ok()).unwrap_or(1);
                size = last.saturating_mul(most.saturating_sub(1));
                last = last.saturating_mul(most);
                rest = rest.as_str()[counts.len()..].chars();
                rest.next();
                if let Some(group) = groups.last_mut() {
                    *group = group.saturating_add(size);
                }
                continue;
            }
            _ => {}
        }
        last = size;
        if let Some(group) = groups.last_mut() {
            *group = group.saturating_add(size);
        }
    }
    groups.into_iter().fold(0, u64::saturating_add)
}

fn build(expression: &str) -> Result<Regexp, RegexpError> {
    let regexp = Regexp::new(expression)?;
    COMPILED.with_borrow_mut(|kept| {
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(expression.to_owned(), regexp.clone());
    });
    Ok(regexp)
}

/// Texts up to this length are not worth building automata for.
const SHORT: usize = 256;

/// The answer for a simple expression and a short text, when they are.
fn plainly(expression: &Str, text: &[u8]) -> Option<bool> {
    let expression = std::str::from_utf8(expression).ok().filter(|_| text.len() <= SHORT)?;
    PLAIN.with_borrow_mut(|kept| {
        if !kept.contains_key(expression) {
            if kept.len() >= KEPT {
                kept.clear();
            }
            kept.insert(expression.to_owned(), PlainRegexp::new(expression));
        }
        kept.get(expression)?.as_ref()?.is_match(text)
    })
}

pub(crate) fn register(table: &mut Functions) {
    table.fixed("regexMatch", &[S, S], |run, args| {
        let (expression, text) = (text(args, 0), text(args, 1));
        if let Some(found) = plainly(&expression, &text) {
            return Ok(found.into());
        }
        run.work(text.len() as u64 / BYTES)?;
        Ok(compile(run, &expression)?.is_ok_and(|regexp| regexp.is_match(&text)).into())
    });
    table.fixed("mustRegexMatch", &[S, S], |run, args| {
        let (expression, text) = (text(args, 0), text(args, 1));
        if let Some(found) = plainly(&expression, &text) {
            return Ok(found.into());
        }
        run.work(text.len() as u64 / BYTES)?;
        let regexp = compile(run, &expression)?.map_err(|error| error.to_string())?;
        Ok(regexp.is_match(&text).into())
    });
    table.fixed("regexQuoteMeta", &[S], |_, args| {
        let mut out = Vec::new();
        for b in text(args, 0).iter() {
            if br"\.+*?()|[]{}^$".contains(b) {
                out.push(b'\\');
            }
            out.push(*b);
        }
        Ok(Str::from(out).into())
    });
    twins(table, "regexFindAll", "mustRegexFindAll", &[S, S, I], |run, regexp, args| {
        let text = text(args, 1);
        let limit = usize::try_from(int(args, 2)).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        for one in regexp.find_iter(&text).take(limit) {
            claim_match(run, found.len())?;
            found.push(Str::from(one.as_bytes()));
        }
        Ok(strings_or_nil(found))
    });
    twins(table, "regexFind", "mustRegexFind", &[S, S], |_, regexp, args| {
        let text = text(args, 1);
        Ok(regexp.find(&text).map_or_else(Str::default, |found| Str::from(found.as_bytes())).into())
    });
    twins(table, "regexReplaceAll", "mustRegexReplaceAll", &[S, S, S], |run, regexp, args| {
        let (text, with) = (text(args, 1), text(args, 2));
        replace(run, &text, regexp, |captures, out| expand(&with, captures, out))
    });
    twins(table, "regexReplaceAllLiteral", "mustRegexReplaceAllLiteral", &[S, S, S], |run, regexp, args| {
        let (text, with) = (text(args, 1), text(args, 2));
        replace(run, &text, regexp, |_, out| out.extend_from_slice(&with))
    });
    twins(table, "regexSplit", "mustRegexSplit", &[S, S, I], |run, regexp, args| {
        let text = text(args, 1);
        let limit = int(args, 2);
        let parts = split(run, regexp, &text, limit, &utf8(args, 0))?;
        // Nothing is wanted: nil. Nothing is found: an empty list.
        Ok(if limit == 0 { strings_or_nil(parts) } else { List::strings(parts).into() })
    });
}

/// Two functions that differ in how they complain about a malformed expression.
fn twins(
    table: &mut Functions,
    name: &str,
    must: &str,
    params: &'static [Type],
    function: fn(&mut Run<'_>, &Regexp, &[Value]) -> CallResult,
) {
    table.fixed(name, params, move |run, args| {
        let expression = text(args, 0);
        let complain = |error| {
            let shown = if gotemplate::quote::can_backquote(&expression) {
                format!("`{expression}`")
            } else {
                gotemplate::quote::quoted(&expression)
            };
            FuncError::Message(format!("regexp: Compile({shown}): {error}"))
        };
        let regexp = compile(run, &expression)?.map_err(complain)?;
        run.work(text(args, 1).len() as u64 / BYTES)?;
        function(run, &regexp, args)
    });
    table.fixed(must, params, move |run, args| {
        let regexp = compile(run, &text(args, 0))?.map_err(|error| error.to_string())?;
        run.work(text(args, 1).len() as u64 / BYTES)?;
        function(run, &regexp, args)
    });
}

fn replace(run: &mut Run<'_>, text: &[u8], regexp: &Regexp, with: impl Fn(&Captures<'_>, &mut Vec<u8>)) -> CallResult {
    let (mut out, mut at) = (Vec::with_capacity(text.len()), 0);
    for captures in regexp.captures_iter(text) {
        let Some(found) = captures.get(0) else { continue };
        let before = out.len();
        out.extend_from_slice(&text[at..found.start()]);
        with(&captures, &mut out);
        run.work(2 * MATCH)?;
        run.claim(out.len() - before)?;
        if out.len() > run.limits().claim {
            run.claim(out.len())?;
        }
        at = found.end();
    }
    out.extend_from_slice(&text[at..]);
    Ok(Str::from(out).into())
}

/// Writes a replacement: `$name`, `${name}`, `$1`, `$$`; a dollar before anything else stands for itself.
fn expand(with: &[u8], captures: &Captures<'_>, out: &mut Vec<u8>) {
    let mut rest = with;
    while let Some(at) = rest.iter().position(|b| *b == b'$') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(b"$") {
            out.push(b'$');
            rest = after;
            continue;
        }
        let Some((name, after)) = reference(rest) else {
            out.push(b'$');
            continue;
        };
        let group = match name.parse::<usize>() {
            Ok(number) => captures.get(number),
            Err(_) => captures.name(name),
        };
        out.extend_from_slice(group.map_or(&[], |found| found.as_bytes()));
        rest = after;
    }
    out.extend_from_slice(rest);
}

/// The name of a group behind a dollar, and what follows it.
fn reference(text: &[u8]) -> Option<(&str, &[u8])> {
    let body = text.strip_prefix(b"{").unwrap_or(text);
    let valid = body.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let length = valid.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(valid.len());
    let name = &valid[..length];
    let after = &body[length..];
    let after = if body.len() < text.len() { after.strip_prefix(b"}")? } else { after };
    (!name.is_empty()).then_some((name, after))
}

/// Go's Split: at most `limit` parts, all when negative, none when 0. An empty match at the end does not split.
fn split(
    run: &mut Run<'_>,
    regexp: &Regexp,
    text: &[u8],
    limit: i64,
    expression: &str,
) -> Result<Vec<Str>, LimitError> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    if !expression.is_empty() && text.is_empty() {
        return Ok(vec![Str::default()]);
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut parts, mut start, mut end) = (Vec::new(), 0, 0);
    for found in regexp.find_iter(text) {
        if parts.len() + 1 >= limit {
            break;
        }
        claim_match(run, parts.len())?;
        end = found.start();
        if found.end() != 0 {
            parts.push(Str::from(&text[start..end]));
        }
        start = found.end();
    }
    if end != text.len() {
        parts.push(Str::from(&text[start..]));
    }
    Ok(parts)
}

/// Claims the memory of one more match in a list of so many.
fn claim_match(run: &mut Run<'_>, already: usize) -> Result<(), LimitError> {
    const PORTION: usize = 1024;
    run.work(MATCH)?;
    // The whole list so far, so that it is bounded as one result.
    if already % PORTION == PORTION - 1 { run.claim(already * 2 * ITEM) } else { Ok(()) }
}

/// Bytes that are searched in a step.
const BYTES: u64 = 4;

/// The steps that finding a match costs.
const MATCH: u64 = 2;

#[cfg(test)]
mod tests {
    use super::states;

    #[test]
    fn repetitions_multiply() {
        assert_eq!(states("abc"), 3);
        assert_eq!(states("a{2,30}b"), 31);
        assert_eq!(states("(a{0,30}){0,40}b"), 1201);
        assert_eq!(states(r"^\d{1,3}(\.\d{1,3}){3}$"), 17);
        assert_eq!(states("((((a{9}){9}){9}){9}"), 6561);
        assert_eq!(states("{})({"), 1);
    }
}
