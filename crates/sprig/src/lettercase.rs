//! Letter case and word boundaries: camelCase, snake_case, kebab-case, titles.

use gotemplate::{Functions, Str, Type, Value};

use crate::args::{text, utf8};
use crate::strings::{is_space, simple_lower, simple_upper};

pub(crate) fn register(table: &mut Functions) {
    const S: &[Type] = &[Type::Str];
    let mut add = |name: &str, change: fn(&str) -> String| {
        table.fixed(name, S, move |_, args| Ok(Value::from(change(&utf8(args, 0)))));
    };
    add("title", title);
    add("untitle", untitle);
    add("swapcase", swap_case);
    add("camelcase", pascal_case);
    add("snakecase", |text| separated(text, '_'));
    add("kebabcase", |text| separated(text, '-'));
    table.fixed("initials", S, |_, args| {
        // The original takes each byte for a character.
        let text = text(args, 0);
        Ok(Str::from(initials(text.iter().map(|b| *b as char))).into())
    });
}

/// The first character of every word.
fn initials(text: impl Iterator<Item = char>) -> String {
    let mut gap = true;
    text.filter(|c| {
        let starts = gap && !is_space(*c);
        gap = is_space(*c);
        starts
    })
    .collect()
}

/// Go's old idea of what separates words: anything but letters, digits and underscores, beyond ASCII only blanks.
fn separates(c: char) -> bool {
    if c.is_ascii() {
        return !(c.is_ascii_alphanumeric() || c == '_');
    }
    !c.is_alphanumeric() && is_space(c)
}

fn title(text: &str) -> String {
    let mut before = ' ';
    text.chars()
        .map(|c| {
            let start = separates(before);
            before = c;
            if start { title_case(c) } else { c }
        })
        .collect()
}

/// Title case: the few digraphs that have one of their own, upper case else.
fn title_case(c: char) -> char {
    match c {
        '\u{1c4}'..='\u{1c6}' => '\u{1c5}',
        '\u{1c7}'..='\u{1c9}' => '\u{1c8}',
        '\u{1ca}'..='\u{1cc}' => '\u{1cb}',
        '\u{1f1}'..='\u{1f3}' => '\u{1f2}',
        c => simple_upper(c),
    }
}

fn is_title(c: char) -> bool {
    matches!(c, '\u{1c5}' | '\u{1c8}' | '\u{1cb}' | '\u{1f2}')
}

fn untitle(text: &str) -> String {
    let mut start = true;
    text.chars()
        .map(|c| {
            if is_space(c) {
                start = true;
                return c;
            }
            if std::mem::take(&mut start) { simple_lower(c) } else { c }
        })
        .collect()
}

fn swap_case(text: &str) -> String {
    let mut start = true;
    text.chars()
        .map(|c| {
            if c.is_uppercase() || is_title(c) {
                start = false;
                simple_lower(c)
            } else if c.is_lowercase() {
                if std::mem::take(&mut start) { title_case(c) } else { simple_upper(c) }
            } else {
                start = is_space(c);
                c
            }
        })
        .collect()
}

fn connects(c: char) -> bool {
    c == '-' || c == '_' || is_space(c)
}

/// `http_server` → `HttpServer`. Leading connectors stay, as do all but the last of several.
fn pascal_case(text: &str) -> String {
    let body = text.trim_start_matches(connects);
    let mut out = text[..text.len() - body.len()].to_owned();
    let mut chars = body.chars();
    let Some(first) = chars.next() else {
        // The original writes the last connector twice when there is nothing else.
        out.extend(text.chars().next_back());
        return out;
    };
    // A run of upper case letters at the start of a word becomes lower case behind the first.
    let mut shouting = first.is_uppercase();
    let mut before = simple_upper(first);
    for c in chars {
        let mut next = c;
        if connects(before) {
            if connects(c) {
                out.push(before);
            } else {
                shouting = c.is_uppercase();
                next = simple_upper(c);
            }
        } else {
            if shouting && c.is_uppercase() {
                next = simple_lower(c);
            } else if shouting {
                shouting = false;
            }
            out.push(before);
        }
        before = next;
    }
    out.push(before);
    out
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Word {
    Number,
    Upper,
    Alphabet,
    Connector,
    Punctuation,
    Other,
}

fn is_punctuation(c: char) -> bool {
    // Unicode's general category P; beyond ASCII the blocks where nearly all of it is.
    match c {
        '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~' => false,
        c if c.is_ascii() => c.is_ascii_punctuation(),
        '\u{a1}' | '\u{a7}' | '\u{ab}' | '\u{b6}' | '\u{b7}' | '\u{bb}' | '\u{bf}' => true,
        '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' => !matches!(c, '\u{2044}' | '\u{2052}'),
        '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301f}' => true,
        '\u{ff01}'..='\u{ff0f}' => !matches!(c, '\u{ff04}' | '\u{ff0b}'),
        _ => false,
    }
}

/// A letter that has case.
fn is_cased(c: char) -> bool {
    c.is_lowercase() || c.is_uppercase() || is_title(c)
}

/// Splits off the first word with its sort.
fn next_word(text: &[char]) -> Option<(Word, &[char], &[char])> {
    let first = *text.first()?;
    let run = |belongs: &dyn Fn(char) -> bool| 1 + text[1..].iter().take_while(|c| belongs(**c)).count();
    let (word, length) = if connects(first) {
        (Word::Connector, run(&connects))
    } else if is_punctuation(first) {
        (Word::Punctuation, run(&is_punctuation))
    } else if first.is_uppercase() {
        (Word::Upper, upper_word(text))
    } else if is_cased(first) {
        (Word::Alphabet, run(&|c| is_cased(c) && !c.is_uppercase()))
    } else if first.is_numeric() {
        (Word::Number, run(&|c| c.is_numeric()))
    } else {
        (Word::Other, run(&|c| !(connects(c) || is_cased(c) || c.is_numeric() || is_punctuation(c))))
    };
    Some((word, &text[..length], &text[length..]))
}

/// The length of a word that starts with an upper case letter: `HTTP` of `HTTPStatus`, `Status` of `StatusCode`.
fn upper_word(text: &[char]) -> usize {
    match text.get(1) {
        Some(c) if c.is_uppercase() => {
            let length = text.iter().take_while(|c| c.is_uppercase()).count();
            // The last upper case letter belongs to the next word.
            if text.get(length).is_some_and(|c| is_cased(*c)) { length - 1 } else { length }
        }
        Some(c) if is_cased(*c) => 1 + text[1..].iter().take_while(|c| is_cased(**c) && !c.is_uppercase()).count(),
        _ => 1,
    }
}

/// `FirstName` → `first_name`.
fn separated(text: &str, connector: char) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::new();
    let write = |out: &mut String, word: Word, part: &[char]| {
        for c in part {
            out.push(match word {
                Word::Connector if connects(*c) => connector,
                Word::Upper | Word::Connector => simple_lower(*c),
                _ => *c,
            });
        }
    };
    let joins = |word: Option<Word>| word.is_some_and(|word| !matches!(word, Word::Connector | Word::Punctuation));
    let mut current = next_word(&chars);
    while let Some((word, part, rest)) = current {
        if rest.is_empty() {
            write(&mut out, word, part);
            break;
        }
        write(&mut out, word, part);
        let mut next = next_word(rest);
        let sort = |next: &Option<(Word, &[char], &[char])>| next.as_ref().map(|(word, ..)| *word);
        match word {
            Word::Connector | Word::Punctuation => {}
            Word::Number => {
                while let Some((word @ (Word::Alphabet | Word::Number), part, rest)) = next {
                    write(&mut out, word, part);
                    next = next_word(rest);
                }
                if joins(sort(&next)) {
                    out.push(connector);
                }
            }
            Word::Upper | Word::Alphabet | Word::Other => match next {
                Some((Word::Number, digits, rest)) if !rest.is_empty() => {
                    next = next_word(rest);
                    if sort(&next) == Some(Word::Alphabet) {
                        // Letters behind the number: they go together, `HTTP2xx` → `http_2xx`.
                        out.push(connector);
                        write(&mut out, Word::Number, digits);
                        while let Some((word @ (Word::Alphabet | Word::Number), part, rest)) = next {
                            write(&mut out, word, part);
                            next = next_word(rest);
                        }
                    } else {
                        // The number belongs to the word before it, `Bld4Floor` → `bld4_floor`.
                        write(&mut out, Word::Number, digits);
                    }
                    if joins(sort(&next)) {
                        out.push(connector);
                    }
                }
                Some((Word::Number, ..)) => {}
                _ if joins(sort(&next)) => out.push(connector),
                _ => {}
            },
        }
        current = next;
    }
    out
}
