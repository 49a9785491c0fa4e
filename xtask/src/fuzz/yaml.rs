//! Random YAML: documents in all styles, odd scalars, and now and then a character too few or too many.

use super::random::Random;

const SCALARS: &[&str] = &[
    "a",
    "foo bar",
    "1",
    "0",
    "-1",
    "+1",
    "007",
    "0o17",
    "0x1F",
    "0b11",
    "1_000",
    "1.5",
    "1e3",
    "1E3",
    "-1.5e-7",
    ".5",
    "5.",
    "1.",
    "1e",
    ".inf",
    "-.inf",
    "+.Inf",
    ".nan",
    ".NaN",
    "inf",
    "NaN",
    "true",
    "True",
    "TRUE",
    "false",
    "yes",
    "No",
    "on",
    "OFF",
    "y",
    "N",
    "~",
    "null",
    "Null",
    "NULL",
    "",
    "2020-01-02",
    "2020-01-02T03:04:05Z",
    "2001-12-14 21:59:43.10 -5",
    "12:30:45",
    "1:20",
    "190:20:30.15",
    "'single'",
    "'it''s'",
    "\"double\"",
    "\"esc\\n\\t\\x41\\u00e9\\U0001F600\"",
    "\"a\\\n  b\"",
    "'multi\n  line'",
    "\"multi\n\n  line\"",
    "a: b",
    "a:b",
    "a #b",
    "a # comment",
    "#c",
    "- x",
    "-x",
    "- - x",
    "?x",
    "? x",
    "[a, b]",
    "[a, [b, c], {d: e}]",
    "{a: b, c: [d]}",
    "{a, b: c}",
    "[]",
    "{}",
    "[a, ]",
    "[,]",
    "{a: }",
    "&x a",
    "*x",
    "&y",
    "!!str 1",
    "!!int \"1\"",
    "!!float 1",
    "!!bool yes",
    "!!null x",
    "!!binary YWJj",
    "!!set {a}",
    "!custom x",
    "!!timestamp 2020-01-02",
    "! x",
    "!<tag:yaml.org,2002:str> 1",
    "|",
    ">",
    "@x",
    "`x`",
    "%x",
    "plain\n  continued\n  lines",
    "é",
    "日本",
    "\u{1F600}",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "123456789012345678901234567890",
    "1e400",
    "0.1",
    "100000000000000000000",
    "1e21",
    "1e20",
    "123456789.0",
    "0.000001",
    "1e-7",
    "0x",
    "08",
    "0777",
    "-0",
    "-0.0",
    "+0x1F",
    "-0b1",
    "0o8",
    "1__0",
    "_1",
    "1_",
    "0x_1",
    "1,000",
    "<<",
    "=",
    "a\tb",
    "\ta",
    "a\t",
    "x y: z",
    "'a'b",
    "\"a\"b",
    "http://x:80/y",
    "a?b",
    "[a: b]",
    "{\"a\":1}",
    "{a:1}",
    "[a]: b",
    "-",
    "--",
    "---x",
    "...x",
    ":",
    ":x",
    "x:",
    "!",
    "&",
    "*",
    "\u{85}",
    "\u{2028}",
    "a\u{feff}b",
    "\"\\q\"",
    "\"\\x4\"",
    "\"unclosed",
    "'unclosed",
    "[unclosed",
    "{unclosed",
    "%TAG",
    "0.30000000000000004",
    "1.0",
    "1.10",
    "3.14159265358979323846",
    "4e5",
    "12e03",
    "-2E+05",
    "0o0",
    "Yes",
    "YES",
    "oN",
    "tRue",
    "nULL",
];

const KEYS: &[&str] = &[
    "a",
    "b",
    "c",
    "x",
    "key",
    "a b",
    "1",
    "1.5",
    "true",
    "yes",
    "null",
    "~",
    "'q'",
    "\"d\"",
    "<<",
    "0x10",
    "2020-01-01",
    "é",
    "a.b/c",
    "? a",
    "-1",
    "&k a",
    "*x",
    "[a]",
    "{a: b}",
    "!!str k",
    "on",
    "n",
    ".inf",
    "1e3",
    "\"\"",
    "''",
    "a:b",
    "01",
    "longer-key_name.with/odd",
];

/// A scalar in some style that stands on one line behind a key.
pub(crate) fn scalar(random: &mut Random) -> &'static str {
    random.pick(SCALARS)
}

/// A document, or several.
pub(crate) fn document(random: &mut Random) -> String {
    let mut text = String::new();
    match random.below(20) {
        0 => text.push_str("---\n"),
        1 => text.push_str("# comment\n\n"),
        2 => text.push_str("%YAML 1.1\n---\n"),
        3 => text.push_str("--- "),
        _ => {}
    }
    node(random, 0, 3, &mut text);
    match random.below(20) {
        0 => text.push_str("---\nsecond: 2\n"),
        1 => text.push_str("...\n"),
        2 => text.push_str("# end"),
        3 => text.push('\n'),
        _ => {}
    }
    if random.chance(15) {
        text = spoiled(random, &text);
    }
    text
}

/// Values of a chart: a mapping that is nearly always well formed.
pub(crate) fn values(random: &mut Random, keys: &[&str]) -> String {
    let plain: &[&str] = &[
        "a",
        "1",
        "1.5",
        "true",
        "null",
        "''",
        "\"x\"",
        "{}",
        "[]",
        "[1, a]",
        "{a: 1}",
        "0",
        "false",
        "~",
        "{a: {b: {c: 1}}}",
        "007",
        "1e3",
        "yes",
        "[{a: 1}]",
        "100000000",
        "12345678901234567890",
    ];
    let mut text = String::new();
    for key in keys {
        if random.chance(70) {
            text.push_str(&format!("{key}: {}\n", random.pick(plain)));
        } else if random.chance(50) {
            text.push_str(&format!("{key}:\n"));
            for inner in ["a", "b", "c"] {
                if random.chance(60) {
                    text.push_str(&format!("  {inner}: {}\n", random.pick(plain)));
                }
            }
        }
    }
    text
}

fn spoiled(random: &mut Random, text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = random.below(chars.len());
    let (before, after): (String, String) = (chars[..at].iter().collect(), chars[at..].iter().collect());
    let extra = random.pick(&[
        "\t", " ", "\n", ":", "-", "{", "}", "[", "]", "\"", "'", "&", "*", "!", "|", ">", "%", "#", ",", "?", "\\",
        "\u{0}", "\u{7}", "\r", "\u{feff}", "---\n", "...\n", "  - ", ": ",
    ]);
    match random.below(3) {
        0 => before + after.get(after.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default(),
        1 => before + extra + &after,
        _ => before,
    }
}

/// A node at an indentation, in block style where it can be.
fn node(random: &mut Random, indent: usize, depth: usize, text: &mut String) {
    let pad = " ".repeat(indent);
    match random.below(if depth == 0 { 2 } else { 9 }) {
        0..=1 => {
            text.push_str(&pad);
            text.push_str(scalar(random));
            text.push('\n');
        }
        2..=5 => {
            if random.chance(8) {
                text.push_str(&format!("{pad}&x\n"));
            }
            for _ in 0..1 + random.below(3) {
                text.push_str(&pad);
                text.push_str(random.pick(KEYS));
                text.push(':');
                entry(random, indent, depth, text);
            }
        }
        6..=7 => {
            for _ in 0..1 + random.below(3) {
                text.push_str(&pad);
                text.push('-');
                entry(random, indent, depth, text);
            }
        }
        _ => {
            text.push_str(&pad);
            block(random, indent, text);
        }
    }
}

/// What stands behind `key:` or `-`.
fn entry(random: &mut Random, indent: usize, depth: usize, text: &mut String) {
    match random.below(10) {
        0..=4 => {
            text.push(' ');
            if random.chance(8) {
                text.push_str("&x ");
            }
            text.push_str(scalar(random));
            text.push_str(random.pick(&["\n", "\n", "\n", "\n", " # c\n", "  \n"]));
        }
        5 => {
            text.push(' ');
            block(random, indent, text);
        }
        6 => text.push('\n'),
        _ => {
            text.push('\n');
            let step = if random.chance(10) { 0 } else { 1 + random.below(4) };
            node(random, indent + step, depth - usize::from(depth > 0), text);
        }
    }
}

fn block(random: &mut Random, indent: usize, text: &mut String) {
    text.push_str(random.pick(&["|", ">", "|-", ">-", "|+", ">+", "|2", ">1-", "|+2", "| # c", ">x", "|0"]));
    text.push('\n');
    let pad = " ".repeat(indent + 2);
    for _ in 0..random.below(5) {
        let line = random.pick(&[
            "line",
            "  more",
            "",
            "- item",
            "# no comment",
            "key: value",
            "\ttab",
            "a very long line that goes on beyond eighty columns so that a folding writer has something to do here",
            "trailing  ",
            "---",
            "é",
        ]);
        text.push_str(&format!("{pad}{line}\n"));
    }
}
