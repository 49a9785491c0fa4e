//! Random templates: every action, expressions over every function, well typed for the most part.

use super::functions::{self as pools, Callee};
use super::idioms::IDIOMS;
use super::random::Random;

/// Named templates of a case. One includes only those with a higher number, so that nothing recurses.
const NAMED: usize = 3;

/// Makes the templates of one case.
pub(crate) struct Grammar<'r> {
    random: &'r mut Random,
    table: &'r [Callee],
    /// Variables in scope and their types.
    variables: Vec<(String, char)>,
    /// The lowest number of a named template that may be included here.
    named: usize,
    /// Loops around this place.
    loops: usize,
    /// Inside the argument of `tpl`, which is written in back quotes.
    quoted: bool,
    fresh: usize,
}

impl<'r> Grammar<'r> {
    pub(crate) fn new(random: &'r mut Random, table: &'r [Callee]) -> Grammar<'r> {
        Grammar { random, table, variables: Vec::new(), named: 0, loops: 0, quoted: false, fresh: 0 }
    }

    /// A text with some statements, for a file whose output nobody reads as YAML.
    pub(crate) fn text(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..1 + self.random.below(5) {
            text.push_str(&self.statement(3));
        }
        if self.random.chance(3) {
            self.spoil(&mut text);
        }
        text
    }

    /// A file that is a manifest when nothing goes wrong.
    pub(crate) fn manifest(&mut self) -> String {
        let mut text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\ndata:\n".to_owned();
        for i in 0..1 + self.random.below(4) {
            let value = self.pipeline('a', 2);
            text.push_str(&match self.random.below(4) {
                0 => format!("  k{i}: {{{{ {value} | toString | quote }}}}\n"),
                1 => format!("  k{i}: |-\n    {{{{- {value} | toYaml | nindent 4 }}}}\n"),
                2 => format!("  k{i}: {{{{ {value} | toJson }}}}\n"),
                _ => format!("  {{{{- with {value} }}}}\n  k{i}: {{{{ . | toYaml | quote }}}}\n  {{{{- end }}}}\n"),
            });
        }
        text
    }

    /// The definitions that `include` finds.
    pub(crate) fn definitions(&mut self) -> String {
        let mut text = String::new();
        for i in 0..NAMED {
            self.variables.clear();
            self.named = i + 1;
            let body = self.statement(2);
            text.push_str(&format!("{{{{ define \"t{i}\" }}}}{body}{{{{ end }}}}\n"));
        }
        self.named = 0;
        self.variables.clear();
        text
    }

    fn spoil(&mut self, text: &mut String) {
        let chars: Vec<char> = text.chars().collect();
        let at = self.random.below(chars.len());
        let extra = self.random.pick(&[
            "{", "}", "\"", "(", ")", "|", ".", "$", " ", "-", "'", "{{", "}}", "\\", ":=", ",", "é", "&", "@",
            "{{end}}", "{{- ",
        ]);
        *text = match self.random.below(3) {
            0 => chars[..at].iter().chain(&chars[(at + 1).min(chars.len())..]).collect(),
            1 => format!("{}{extra}{}", chars[..at].iter().collect::<String>(), chars[at..].iter().collect::<String>()),
            _ => chars[..at].iter().collect(),
        };
    }

    /// A literal, in most cases one of the first so many, which are sound.
    fn mostly(&mut self, pool: &[&'static str], sound: usize) -> String {
        let sound = if self.random.chance(75) { &pool[..sound] } else { pool };
        self.literal(sound)
    }

    fn open(&mut self) -> &'static str {
        if self.random.chance(15) {
            "{{- "
        } else if self.random.chance(5) {
            "{{"
        } else {
            "{{ "
        }
    }

    fn close(&mut self) -> &'static str {
        if self.random.chance(15) {
            " -}}"
        } else if self.random.chance(5) {
            "}}"
        } else {
            " }}"
        }
    }

    fn action(&mut self, inner: &str) -> String {
        format!("{}{inner}{}", self.open(), self.close())
    }

    fn block(&mut self, depth: usize) -> String {
        let held = self.variables.len();
        let mut text = String::new();
        for _ in 0..1 + self.random.below(2) {
            text.push_str(&self.statement(depth));
        }
        self.variables.truncate(held);
        text
    }

    fn variable(&mut self, kind: char) -> String {
        self.fresh += 1;
        let name = format!("$v{}", self.fresh);
        self.variables.push((name.clone(), kind));
        name
    }

    fn any_kind(&mut self) -> char {
        self.random.letter("sinbltdaSqDVG")
    }

    fn statement(&mut self, depth: usize) -> String {
        if depth == 0 {
            let value = self.pipeline('a', 1);
            return self.action(&value);
        }
        match self.random.below(42) {
            34.. => self.idiom(),
            0..=12 => {
                let kind = self.any_kind();
                let value = self.pipeline(kind, 3);
                self.action(&value)
            }
            13..=14 => {
                let kind = self.any_kind();
                let value = self.pipeline(kind, 2);
                let name = self.variable(kind);
                let declared = self.action(&format!("{name} := {value}"));
                format!("{declared}{}", self.statement(depth - 1))
            }
            15 => match self.some_variable() {
                Some((name, kind)) => {
                    let value = self.pipeline(kind, 2);
                    self.action(&format!("{name} = {value}"))
                }
                None => self.statement(depth - 1),
            },
            16..=18 => self.conditional(depth),
            19..=20 => self.with(depth),
            21..=24 => self.range(depth),
            25 if self.named < NAMED && !self.quoted => {
                let name = self.named + self.random.below(NAMED - self.named);
                let data = self.pipeline('a', 1);
                self.action(&format!("template \"t{name}\" {data}"))
            }
            26 if !self.quoted => {
                self.fresh += 1;
                let (name, data) = (self.fresh, self.pipeline('a', 1));
                let open = self.action(&format!("block \"b{name}\" {data}"));
                let held = std::mem::take(&mut self.variables);
                let body = self.block(depth - 1);
                self.variables = held;
                format!("{open}{body}{}", self.action("end"))
            }
            27 => self
                .random
                .pick(&["{{/* a comment */}}", "{{- /* c\nd */ -}}", "{{- /* c */}}", "{{/* {{ x }} */ -}}"])
                .to_owned(),
            28 if self.random.chance(12) => self.malformed().to_owned(),
            29 if self.loops > 0 => {
                let condition = self.pipeline('b', 1);
                let word = if self.random.chance(50) { "break" } else { "continue" };
                format!("{}{}{}", self.action(&format!("if {condition}")), self.action(word), self.action("end"))
            }
            30 => {
                let text = self.expression('s', 1);
                self.action(&format!("printf \"%v|%T\" {text} {text}"))
            }
            _ => {
                let words: &[&str] = &[
                    "text ",
                    "\n",
                    "  \n  ",
                    "a: b\n",
                    "{ }",
                    "}}",
                    "- x\n",
                    "\t",
                    "é",
                    " <no value> ",
                    "{ ",
                    "# c\n",
                    "$x",
                    "\r\n",
                    "\"q\"",
                ];
                format!("{}{}", self.random.pick(words), self.statement(depth - 1))
            }
        }
    }

    /// Something usual, its gaps filled.
    fn idiom(&mut self) -> String {
        let mut text = String::new();
        let mut rest = self.random.pick(IDIOMS);
        // Inside the argument of another `tpl` the quotes of one would end it.
        while self.quoted && (rest.contains("{{ tpl") || rest.contains("include")) {
            rest = self.random.pick(IDIOMS);
        }
        while let Some((before, after)) = rest.split_once('<') {
            text.push_str(before);
            let mut letters = after.chars();
            match (letters.next(), letters.next()) {
                (Some(letter), Some('>')) => {
                    let filled = self.expression(letter, 1);
                    text.push_str(&filled);
                    rest = &after[2..];
                }
                _ => {
                    text.push('<');
                    rest = after;
                }
            }
        }
        text + rest
    }

    fn conditional(&mut self, depth: usize) -> String {
        let kind = if self.random.chance(50) { 'b' } else { 'a' };
        let held = self.variables.len();
        let value = self.pipeline(kind, 2);
        let head = if self.random.chance(15) {
            format!("if {} := {value}", self.variable(kind))
        } else {
            format!("if {value}")
        };
        let mut text = self.action(&head);
        text.push_str(&self.block(depth - 1));
        if self.random.chance(30) {
            let value = self.pipeline('b', 1);
            text.push_str(&self.action(&format!("else if {value}")));
            text.push_str(&self.block(depth - 1));
        }
        if self.random.chance(50) {
            text.push_str(&self.action("else"));
            text.push_str(&self.block(depth - 1));
        }
        self.variables.truncate(held);
        text + &self.action("end")
    }

    fn with(&mut self, depth: usize) -> String {
        let kind = self.any_kind();
        let held = self.variables.len();
        let value = self.pipeline(kind, 2);
        let head = if self.random.chance(30) {
            format!("with {} := {value}", self.variable(kind))
        } else {
            format!("with {value}")
        };
        let mut text = self.action(&head);
        let shown = if self.random.chance(80) { "." } else { ". | toYaml" };
        text.push_str(&self.action(shown));
        text.push_str(&self.block(depth - 1));
        if self.random.chance(20) {
            let value = self.pipeline('a', 1);
            text.push_str(&self.action(&format!("else with {value}")));
            text.push_str(&self.block(depth - 1));
        }
        if self.random.chance(40) {
            text.push_str(&self.action("else"));
            text.push_str(&self.block(depth - 1));
        }
        self.variables.truncate(held);
        text + &self.action("end")
    }

    fn range(&mut self, depth: usize) -> String {
        let kind = self.random.letter("ltdiqhas");
        let item = match kind {
            't' => 's',
            'i' => 'i',
            'q' => 'd',
            'h' => 'l',
            _ => 'a',
        };
        let held = self.variables.len();
        // A computed number may be any: a hundred million rounds end Helm by and by and us at once.
        let value = if kind == 'i' { self.leaf(kind) } else { self.pipeline(kind, 2) };
        let head = match self.random.below(4) {
            0 => format!("range {value}"),
            1 => format!("range {} := {value}", self.variable(item)),
            2 => {
                let key = self.variable(if kind == 'd' { 's' } else { 'i' });
                let element = self.variable(item);
                format!("range {key}, {element} := {value}")
            }
            _ => match self.some_variable() {
                Some((name, _)) if self.random.chance(20) => format!("range {name} = {value}"),
                _ => format!("range $_, {} := {value}", self.variable(item)),
            },
        };
        let mut text = self.action(&head);
        self.loops += 1;
        text.push_str(&self.action("."));
        text.push_str(&self.block(depth - 1));
        self.loops -= 1;
        if self.random.chance(30) {
            self.variables.truncate(held);
            text.push_str(&self.action("else"));
            text.push_str(&self.block(depth - 1));
        }
        self.variables.truncate(held);
        text + &self.action("end")
    }

    fn malformed(&mut self) -> &'static str {
        self.random.pick(&[
            "{{ if }}",
            "{{ end }}",
            "{{ .x | }}",
            "{{ \"abc }}",
            "{{ nosuch 1 }}",
            "{{ 1 2 }}",
            "{{ (1 }}",
            "{{ $undefined }}",
            "{{ .a.b. }}",
            "{{/* x }}",
            "{{ nil }}",
            "{{ break }}",
            "{{ else }}",
            "{{ template }}",
            "{{ range $a, $b, $c := . }}{{ end }}",
            "{{ define \"x\" }}",
            "{{ define x }}{{ end }}",
            "{{ with }}{{ end }}",
            "{{ | upper }}",
            "{{ . . }}",
            "{{ if . }}{{ else }}{{ else }}{{ end }}",
            "{{ range . }}",
            "{{ 'ab' }}",
            "{{ 0x }}",
            "{{ 1_ }}",
            "{{ .1 }}",
            "{{ x := 1 }}",
            "{{ $x = 1 }}",
            "{{ \"\\q\" }}",
            "{{- -}}",
            "{{ }}",
            "{{ continue }}",
            "{{ template \"nosuch\" . }}",
            "{{ include \"nosuch\" . }}",
            "{{ . | 1 }}",
            "{{ \"a\" | \"b\" }}",
            "{{ (list) }}{{ (list).x }}",
            "{{ $.x.y.z }}",
            "{{ true.x }}",
            "{{ nil.x }}",
            "{{ .Values.s0.x }}",
            "{{ .Values.nosuch.x.y }}",
            "{{ call .Values.s0 }}",
            "{{ .Release.Name 1 }}",
            "{{ . 1 }}",
            "{{ (.Values.d0) 1 }}",
            "{{ `a\nb }}",
            "{{ \"a\nb\" }}",
            "{{ block \"z\" }}{{ end }}",
            "{{ if $x := 1, 2 }}{{ end }}",
            "{{ $x, $y := 1 }}",
            "{{ else if true }}",
            "{{ with 1 }}{{ else if 2 }}{{ end }}",
            "{{ range 1 }}{{ else with 1 }}{{ end }}",
            "{{ .Values.l0.x }}",
            "{{ .Chart.Nosuch }}",
            "{{ .Capabilities.Nosuch }}",
            "{{ .Files.Nosuch }}",
            "{{ tpl \"{{ .x.y }}\" . }}",
            "{{ tpl \"{{ if }}\" . }}",
            "{{ tpl \"{{ required `m` nil }}\" . }}",
            "{{ 1e400 }}",
            "{{ 9223372036854775808 }}",
            "{{ 1 | add 9999999999999999999 }}",
            "{{ -1 | toString }}",
            "{{ +1 }}",
            "{{ .-1 }}",
            "{{ \"a\"-1 }}",
            "{{ a.b }}",
            "{{/*a*/-}}",
            "{{ /* a */ }}",
            "{{-1}}",
            "{{ 1+2 }}",
            "{{ $ }}x{{ $. }}",
            "{{ $.Values.s0 }}",
            "{{ .Values.s0 -}} x",
            "{{\n.Values.s0\n}}",
            "{{ .Values.s0 | printf \"%s\" | upper }}",
            "{{ not }}",
            "{{ and }}",
            "{{ and 1 nosuch }}",
            "{{ eq 1 }}",
            "{{ len 3 }}",
        ])
    }

    fn some_variable(&mut self) -> Option<(String, char)> {
        if self.variables.is_empty() {
            return None;
        }
        let at = self.random.below(self.variables.len());
        Some(self.variables[at].clone())
    }

    fn literal(&mut self, pool: &[&'static str]) -> String {
        let text = self.random.pick(pool);
        if !self.quoted && !text.contains(['\\', '`']) && self.random.chance(15) {
            return format!("`{text}`");
        }
        if self.quoted && text.contains('`') { "\"q\"".to_owned() } else { format!("\"{text}\"") }
    }

    /// A pipeline that gives the type.
    fn pipeline(&mut self, kind: char, depth: usize) -> String {
        let kind = if kind == 'a' { self.random.letter("snbldStiaa") } else { kind };
        if depth == 0 || kind == 'a' && self.random.chance(40) {
            return self.leaf(kind);
        }
        match self.random.below(10) {
            0..=1 => self.leaf(kind),
            2..=6 => self.call(kind, depth, false),
            _ => self.call(kind, depth, true),
        }
    }

    /// An operand that gives the type.
    fn expression(&mut self, kind: char, depth: usize) -> String {
        if depth == 0 || self.random.chance(45) {
            return self.leaf(kind);
        }
        let inner = self.pipeline(kind, depth - 1);
        format!("({inner})")
    }

    fn call(&mut self, kind: char, depth: usize, piped: bool) -> String {
        let table = self.table;
        let fits = |callee: &&Callee| {
            callee.result == kind
                || kind == 'a'
                || (kind == 'n' && callee.result == 'I')
                || (kind == 'l' && "tKh".contains(callee.result))
                || (kind == 't' && callee.result == 'K')
                || (kind == 'd' && callee.result == 'S')
        };
        let fitting: Vec<&Callee> = table.iter().filter(fits).collect();
        if fitting.is_empty() {
            return self.leaf(kind);
        }
        let callee = fitting[self.random.below(fitting.len())];
        let mut args = Vec::new();
        let params: Vec<char> = callee.params.chars().collect();
        for (i, param) in params.iter().enumerate() {
            if *param == '*' {
                let repeated = params[i - 1];
                for _ in 0..self.random.below(3) {
                    let more = self.argument(repeated, depth);
                    args.push(more);
                }
                // None at all is a case too.
                if self.random.chance(10) {
                    args.pop();
                }
            } else {
                let argument = self.argument(*param, depth);
                args.push(argument);
            }
        }
        if self.random.chance(1) {
            args.pop();
        }
        // Verbs that are not for a time show where in the memory its zone is.
        if callee.name == "printf" && args.iter().any(|argument| argument.contains("oDate")) {
            args[0] = "\"%v\"".to_owned();
        }
        let name = callee.name;
        let called = match args.pop() {
            Some(last) if piped => [&[last + " |", name.to_owned()][..], &args].concat().join(" "),
            Some(last) => [&[name.to_owned()][..], &args, &[last]].concat().join(" "),
            None => name.to_owned(),
        };
        if callee.result == 'K' { format!("{called} | sortAlpha") } else { called }
    }

    fn argument(&mut self, param: char, depth: usize) -> String {
        // A wrong type now and then; what takes small numbers never gets a large one, which would take for ever.
        if !"ED".contains(param) && self.random.chance(2) {
            let kind = self.random.letter(if param == 'i' { "sldbt" } else { "snldb" });
            return self.expression(kind, depth.saturating_sub(1));
        }
        self.expression(param, depth - 1)
    }

    /// A constant, a variable or a value.
    fn leaf(&mut self, kind: char) -> String {
        if self.random.chance(20) {
            let fitting: Vec<String> = self
                .variables
                .iter()
                .filter(|(_, k)| *k == kind || kind == 'a' && *k != 'i')
                .map(|(name, _)| name.clone())
                .collect();
            if !fitting.is_empty() {
                return fitting[self.random.below(fitting.len())].clone();
            }
        }
        match kind {
            's' => match self.random.below(10) {
                0..=5 => self.literal(pools::TEXTS),
                6..=8 => self
                    .random
                    .pick(&[
                        "$.Values.s0",
                        "$.Values.s1",
                        "$.Values.s2",
                        "$.Values.s3",
                        "$.Release.Name",
                        "$.Chart.Name",
                        "$.Values.d0.a",
                        "$.Template.Name",
                        "$.Chart.Version",
                        "($.Files.Get \"f.txt\")",
                    ])
                    .to_owned(),
                _ => self.random.pick(&["$.Values.odd0", "$.Values.odd1", "$.Values.nosuch"]).to_owned(),
            },
            'i' => self
                .random
                .pick(&[
                    "0",
                    "1",
                    "2",
                    "3",
                    "4",
                    "5",
                    "7",
                    "10",
                    "-1",
                    "-2",
                    "0x3",
                    "0b11",
                    "'\\x04'",
                    "1.0",
                    "(len \"abc\")",
                    "(int 3)",
                ])
                .to_owned(),
            'n' => self
                .random
                .pick(&[
                    "0",
                    "1",
                    "2",
                    "-1",
                    "10",
                    "100",
                    "1.5",
                    "-0.5",
                    "0.1",
                    "1e3",
                    "1e100",
                    "0x1F",
                    "0o17",
                    "017",
                    "0b11",
                    "1_000",
                    "'a'",
                    "1e-7",
                    "123456789.0",
                    "2147483648",
                    "9223372036854775807",
                    "-9223372036854775808",
                    "3.0",
                    "1e21",
                    "123456.789e3",
                    "$.Values.i0",
                    "$.Values.f0",
                    "$.Values.f1",
                    "$.Values.set0",
                    "(int 7)",
                    "(int64 9)",
                    "(float64 2.5)",
                    "(add 1 2)",
                    "$.Values.odd2",
                    "0.30000000000000004",
                    "1e6",
                    "18446744073709551615",
                    "2.5",
                    "-2.5",
                    "1e20",
                ])
                .to_owned(),
            'P' => self.random.pick(&["1", "2", "3", "-4", "7", "2.0", "$.Values.i0", "(int 5)", "100"]).to_owned(),
            'E' => self.random.pick(&["0", "1", "1700000000", "-1", "(int64 5)", "(int 951782400)"]).to_owned(),
            'A' => self.random.pick(&["0", "0", "1", "2"]).to_owned(),
            'b' => self
                .random
                .pick(&["true", "false", "$.Values.b0", "$.Values.b1", "$.Release.IsInstall", "(eq 1 1)", "(not true)"])
                .to_owned(),
            'l' => self
                .random
                .pick(&[
                    "$.Values.l0",
                    "$.Values.l1",
                    "$.Values.l2",
                    "(list)",
                    "(list 1 2 3)",
                    "(list \"b\" \"a\" \"b\")",
                    "(list 1 \"a\" nil true)",
                    "$.Values.t0",
                    "(until 3)",
                    "$.Values.nothing",
                    "$.Chart.Keywords",
                ])
                .to_owned(),
            't' => self
                .random
                .pick(&["$.Values.t0", "(list \"x\" \"y\")", "(splitList \",\" \"a,b,c\")", "(list \"b\" \"a\")"])
                .to_owned(),
            'd' => self
                .random
                .pick(&[
                    "$.Values.d0",
                    "$.Values.d1",
                    "$.Values.d2",
                    "$.Values",
                    "(dict)",
                    "(dict \"a\" 1 \"b\" \"x\")",
                    "$.Values.d0.c",
                    "$.Values.empty",
                    "$.Release",
                    "$.Chart.Annotations",
                ])
                .to_owned(),
            'S' => self
                .random
                .pick(&[
                    "(dict)",
                    "(dict \"a\" 1 \"b\" (dict \"c\" 2))",
                    "(deepCopy $.Values.d0)",
                    "(deepCopy $.Values.d1)",
                    "(dict \"x\" (list 1 2))",
                    "(dict \"a\" \"\" \"b\" nil)",
                ])
                .to_owned(),
            'k' => self
                .random
                .pick(&[
                    "\"a\"",
                    "\"b\"",
                    "\"c\"",
                    "\"x\"",
                    "\"nosuch\"",
                    "\"\"",
                    "\"a.b\"",
                    "\"s0\"",
                    "\"Name\"",
                    "$.Values.s0",
                ])
                .to_owned(),
            'q' => self
                .random
                .pick(&[
                    "$.Values.q0",
                    "(list (dict \"a\" 1) (dict \"a\" 2 \"b\" 3))",
                    "(list $.Values.d0 $.Values.d1)",
                    "(list)",
                ])
                .to_owned(),
            'h' => self
                .random
                .pick(&["(list (list 1) (list 2 3))", "(chunk 2 (list 1 2 3))", "(list $.Values.l0 $.Values.t0)"])
                .to_owned(),
            'r' => self.mostly(pools::REGEXES, 23),
            'v' => self.mostly(pools::VERSIONS, 8),
            'V' => format!("(semver {})", self.literal(&pools::VERSIONS[..8])),
            'c' => self.mostly(pools::CONSTRAINTS, 18),
            'u' => self.mostly(pools::URLS, 6),
            'w' => self.literal(pools::DATES),
            'D' => {
                let date = self.random.pick(&[
                    "\"2006-01-02\" \"2020-02-29\"",
                    "\"2006-01-02T15:04:05Z07:00\" \"2021-03-04T05:06:07.089+02:00\"",
                    "\"15:04\" \"12:30\"",
                    "\"2006-01-02 MST\" \"1999-12-31 CEST\"",
                ]);
                format!("(toDate {date})")
            }
            'o' => self.literal(pools::LAYOUTS),
            'g' => self.literal(pools::DURATIONS),
            'G' => format!("(mustToDuration {})", self.random.pick(&["\"1h30m5.25s\"", "90", "\"-3ms\"", "0", "1.5"])),
            'y' => {
                let text = super::yaml::document(self.random);
                if self.quoted || text.contains(['`', '\0', '\r', '\u{feff}']) {
                    "\"a: 1\\nb: [x, yes]\"".to_owned()
                } else {
                    format!("`{text}`")
                }
            }
            'j' => self.literal(pools::JSONS),
            'm' => self.literal(pools::TOMLS),
            'p' => self.literal(pools::PATHS),
            'e' => self
                .random
                .pick(&[
                    "\"YWJj\"",
                    "\"YQ==\"",
                    "\"YQ\"",
                    "\"!\"",
                    "\"\"",
                    "\"YWJj\\n\"",
                    "(b64enc \"xyz\")",
                    "\"_-8=\"",
                    "\"YWJjZA==x\"",
                ])
                .to_owned(),
            'x' => self
                .random
                .pick(&["\"MFRGG===\"", "\"MFRGG\"", "\"1\"", "\"\"", "(b32enc \"xyz\")", "\"mfrgg===\""])
                .to_owned(),
            'z' => self
                .random
                .pick(&[
                    "\"string\"",
                    "\"map\"",
                    "\"slice\"",
                    "\"int\"",
                    "\"float64\"",
                    "\"bool\"",
                    "\"invalid\"",
                    "\"map[string]interface {}\"",
                    "\"[]interface {}\"",
                    "\"int64\"",
                    "\"*x\"",
                    "\"<nil>\"",
                ])
                .to_owned(),
            'f' => self.literal(pools::FORMATS),
            'N' => {
                if self.named < NAMED {
                    format!("\"t{}\"", self.named + self.random.below(NAMED - self.named))
                } else {
                    "\"leaf\"".to_owned()
                }
            }
            'T' => {
                if self.quoted {
                    return self
                        .random
                        .pick(&["\"{{ .Values.s0 }}\"", "$.Values.s1", "\"{{ 1 | add 2 }}\"", "\"plain\""])
                        .to_owned();
                }
                self.quoted = true;
                let held = std::mem::take(&mut self.variables);
                let text = self.statement(1);
                self.variables = held;
                self.quoted = false;
                format!("`{text}`")
            }
            _ => self
                .random
                .pick(&[
                    ".",
                    "$",
                    "nil",
                    "$.Values.n0",
                    "$.Values.nosuch",
                    "$.Values.odd0",
                    "$.Values.odd1",
                    "$.Values.odd2",
                    "$.Values.odd3",
                    "$.Values.d0",
                    "$.Values.l0",
                    "$.Values.s0",
                    "$.Values.i0",
                    "$.Values.b0",
                    "\"\"",
                    "0",
                    "$.Values.set0",
                    "$.Values.set1",
                    "$.Values.set2",
                    "1.5",
                    "(list nil)",
                    "(dict \"a\" nil)",
                    "$.Capabilities.KubeVersion.Major",
                    "$.Capabilities.APIVersions",
                    "$.Chart",
                    "$.Release",
                    "$.Capabilities.KubeVersion.Version",
                    "(toDate \"2006-01-02\" \"2020-01-02\")",
                    "(semver \"1.2.3-a+b\")",
                    "(mustToDuration \"90s\")",
                    "(b64enc \"x\")",
                    "1i",
                    "($.Files.GetBytes \"f.txt\")",
                    "$.Files",
                    "$.Values.float0",
                    "$.Values.nested.deep.er",
                    "($.Values.nested.list | first)",
                    "(index $.Values.nested \"deep\" \"er\")",
                    "($.Files.Lines \"f.txt\")",
                    "($.Files.Glob \"*.txt\").AsConfig",
                    "(($.Files.Glob \"**\").AsSecrets)",
                    "$.Template",
                    "($.Capabilities.APIVersions.Has \"v1\")",
                    "$.Capabilities.HelmVersion.Version",
                    "$.Subcharts",
                ])
                .to_owned(),
        }
    }
}
