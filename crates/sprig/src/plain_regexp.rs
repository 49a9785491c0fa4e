//! Simple regular expressions, answered without the regex engine.
//!
//! Building the engine's automata costs far more than a chart's few questions to them (`^[a-z0-9-]+$` of one word). The
//! expressions here are those that mean the same in every dialect: ASCII letters, classes, groups, alternatives, counts
//! and anchors, asked of printable ASCII. Everything else is left to the engine.

/// What one step consumes: a set of ASCII characters.
type Set = u128;

const PRINTABLE: std::ops::RangeInclusive<u8> = 0x20..=0x7e;
/// Longer programs are left to the engine.
const LONGEST_PROGRAM: usize = 512;
/// Expressions nested deeper are left to the engine.
const DEEPEST: usize = 16;

fn bit(c: u8) -> Set {
    1 << (c & 0x7f)
}

fn range(from: u8, to: u8) -> Set {
    (from..=to).map(bit).fold(0, |set, one| set | one)
}

#[derive(Clone, Copy, Debug)]
enum Step {
    One(Set),
    /// Goes on at both places.
    Split(usize, usize),
    Jump(usize),
    Start,
    End,
    Match,
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct PlainRegexp(Vec<Step>);

impl PlainRegexp {
    /// Compiles an expression; `None` when it is not of the simple kind, well formed or not.
    pub fn new(expression: &str) -> Option<PlainRegexp> {
        let mut parser = Parser { rest: expression.as_bytes() };
        let tree = parser.alternatives(0)?;
        if !parser.rest.is_empty() {
            return None;
        }
        let mut steps = Vec::new();
        write(&tree, &mut steps)?;
        steps.push(Step::Match);
        Some(PlainRegexp(steps))
    }

    /// Does the expression match anywhere in the text? `None` when the text is not printable ASCII.
    pub fn is_match(&self, text: &[u8]) -> Option<bool> {
        if !text.iter().all(|c| PRINTABLE.contains(c)) {
            return None;
        }
        let mut now = States::new(self.0.len());
        let mut next = States::new(self.0.len());
        for at in 0..=text.len() {
            // A match may begin everywhere.
            if self.follow(0, at, text.len(), &mut now) {
                return Some(true);
            }
            let Some(c) = text.get(at) else { break };
            for i in 0..now.list.len() {
                if let Step::One(set) = self.0[now.list[i]]
                    && set & bit(*c) != 0
                    && self.follow(now.list[i] + 1, at + 1, text.len(), &mut next)
                {
                    return Some(true);
                }
            }
            std::mem::swap(&mut now, &mut next);
            next.clear();
        }
        Some(false)
    }

    /// Adds all states that are reached from one without consuming anything; says whether the end is among them.
    fn follow(&self, from: usize, at: usize, length: usize, states: &mut States) -> bool {
        let mut open = vec![from];
        while let Some(state) = open.pop() {
            if !states.add(state) {
                continue;
            }
            match self.0[state] {
                Step::Match => return true,
                Step::Jump(to) => open.push(to),
                Step::Split(one, other) => open.extend([one, other]),
                Step::Start if at == 0 => open.push(state + 1),
                Step::End if at == length => open.push(state + 1),
                Step::Start | Step::End | Step::One(_) => {}
            }
        }
        false
    }
}

/// The states in which a match may be.
struct States {
    list: Vec<usize>,
    known: Vec<bool>,
}

impl States {
    fn new(count: usize) -> States {
        States { list: Vec::new(), known: vec![false; count] }
    }

    fn add(&mut self, state: usize) -> bool {
        let new = !std::mem::replace(&mut self.known[state], true);
        if new {
            self.list.push(state);
        }
        new
    }

    fn clear(&mut self) {
        self.list.clear();
        self.known.fill(false);
    }
}

enum Tree {
    One(Set),
    Start,
    End,
    Sequence(Vec<Tree>),
    Either(Vec<Tree>),
    /// At least so many times, at most so many.
    Repeat(Box<Tree>, usize, Option<usize>),
}

struct Parser<'t> {
    rest: &'t [u8],
}

impl Parser<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn take(&mut self, c: u8) -> bool {
        let found = self.rest.first() == Some(&c);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    fn alternatives(&mut self, depth: usize) -> Option<Tree> {
        if depth > DEEPEST {
            return None;
        }
        let mut found = vec![self.sequence(depth)?];
        while self.take(b'|') {
            found.push(self.sequence(depth)?);
        }
        Some(Tree::Either(found))
    }

    fn sequence(&mut self, depth: usize) -> Option<Tree> {
        let mut parts = Vec::new();
        while let Some(c) = self.rest.first()
            && !matches!(c, b'|' | b')')
        {
            let part = self.part(depth)?;
            parts.push(self.repeated(part)?);
        }
        Some(Tree::Sequence(parts))
    }

    fn part(&mut self, depth: usize) -> Option<Tree> {
        Some(match self.next()? {
            b'^' => Tree::Start,
            b'$' => Tree::End,
            b'.' => Tree::One(range(*PRINTABLE.start(), *PRINTABLE.end())),
            b'[' => Tree::One(self.class()?),
            b'\\' => Tree::One(self.escape(br"\.+*?()|[]{}^$/")?),
            b'(' => {
                if self.take(b'?') && !self.take(b':') {
                    return None;
                }
                let inner = self.alternatives(depth + 1)?;
                if !self.take(b')') {
                    return None;
                }
                inner
            }
            b'*' | b'+' | b'?' | b'{' | b'}' | b']' => return None,
            c if PRINTABLE.contains(&c) => Tree::One(bit(c)),
            _ => return None,
        })
    }

    /// What stands behind a backslash: a class, or one of the characters that may be escaped here.
    fn escape(&mut self, literal: &[u8]) -> Option<Set> {
        let all = range(*PRINTABLE.start(), *PRINTABLE.end());
        let digits = range(b'0', b'9');
        let word = digits | range(b'a', b'z') | range(b'A', b'Z') | bit(b'_');
        Some(match self.next()? {
            b'd' => digits,
            b'D' => all & !digits,
            b'w' => word,
            b'W' => all & !word,
            b's' => bit(b' '),
            b'S' => all & !bit(b' '),
            c if literal.contains(&c) => bit(c),
            _ => return None,
        })
    }

    /// A class behind its bracket.
    fn class(&mut self) -> Option<Set> {
        let negated = self.take(b'^');
        let mut set = 0;
        let mut items = 0;
        loop {
            let c = self.next()?;
            match c {
                b']' if items > 0 => break,
                // Classes in classes, and what some dialects take for operations on sets.
                b']' | b'[' | b'&' | b'~' | b'^' => return None,
                b'-' if items > 0 && self.rest.first() != Some(&b']') => return None,
                b'\\' => set |= self.escape(br"\.+*?()|[]{}^$/-")?,
                _ if !PRINTABLE.contains(&c) => return None,
                _ => match self.rest {
                    [b'-', b']', ..] => set |= bit(c),
                    [b'-', to, ..] if c.is_ascii_alphanumeric() && to.is_ascii_alphanumeric() && c <= *to => {
                        set |= range(c, *to);
                        self.rest = &self.rest[2..];
                    }
                    [b'-', ..] => return None,
                    _ => set |= bit(c),
                },
            }
            items += 1;
        }
        Some(if negated { range(*PRINTABLE.start(), *PRINTABLE.end()) & !set } else { set })
    }

    /// A part with the count behind it.
    fn repeated(&mut self, part: Tree) -> Option<Tree> {
        let (least, most) = match self.rest.first() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => {
                let end = self.rest.iter().position(|c| *c == b'}')?;
                let counts = std::str::from_utf8(&self.rest[1..end]).ok()?;
                let number = |text: &str| match text.len() {
                    1..=3 if text.bytes().all(|c| c.is_ascii_digit()) => text.parse::<usize>().ok(),
                    _ => None,
                };
                self.rest = &self.rest[end..];
                match counts.split_once(',') {
                    None => (number(counts)?, Some(number(counts)?)),
                    Some((least, "")) => (number(least)?, None),
                    Some((least, most)) => (number(least)?, Some(number(most)?)),
                }
            }
            _ => return Some(part),
        };
        self.rest = &self.rest[1..];
        let again = self.rest.first().is_some_and(|c| b"*+?{".contains(c));
        let fits = most.is_none_or(|most| least <= most && most > 0) && !matches!(part, Tree::Start | Tree::End);
        (fits && !again).then(|| Tree::Repeat(Box::new(part), least, most))
    }
}

fn write(tree: &Tree, steps: &mut Vec<Step>) -> Option<()> {
    if steps.len() > LONGEST_PROGRAM {
        return None;
    }
    match tree {
        Tree::One(set) => steps.push(Step::One(*set)),
        Tree::Start => steps.push(Step::Start),
        Tree::End => steps.push(Step::End),
        Tree::Sequence(parts) => {
            for part in parts {
                write(part, steps)?;
            }
        }
        Tree::Either(parts) => {
            let mut ends = Vec::new();
            for (i, part) in parts.iter().enumerate() {
                if i + 1 == parts.len() {
                    write(part, steps)?;
                    break;
                }
                let split = steps.len();
                steps.push(Step::Split(split + 1, split + 1));
                write(part, steps)?;
                ends.push(steps.len());
                steps.push(Step::Jump(0));
                steps[split] = Step::Split(split + 1, steps.len());
            }
            for end in ends {
                steps[end] = Step::Jump(steps.len());
            }
        }
        Tree::Repeat(part, least, most) => {
            for _ in 0..*least {
                write(part, steps)?;
            }
            let begin = steps.len();
            match most {
                None => {
                    steps.push(Step::Split(begin + 1, begin + 1));
                    write(part, steps)?;
                    steps.push(Step::Jump(begin));
                    steps[begin] = Step::Split(begin + 1, steps.len());
                }
                Some(most) => {
                    let mut splits = Vec::new();
                    for _ in *least..*most {
                        splits.push(steps.len());
                        steps.push(Step::Jump(0));
                        write(part, steps)?;
                    }
                    for split in splits {
                        steps[split] = Step::Split(split + 1, steps.len());
                    }
                }
            }
        }
    }
    (steps.len() <= LONGEST_PROGRAM).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Regexp;
    use proptest::prelude::*;

    #[test]
    fn expressions_of_charts_are_simple() {
        for (expression, yes, no) in [
            ("^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$", "a-b", "a-"),
            ("^[0-9]+%$", "25%", "%"),
            ("^\\s*(error|warn|info)?\\s*$", " warn ", "warning"),
            ("-se(-runtime-rs)?$", "qemu-se", "qemu-se-x"),
            ("(^|/)\\.\\.(/|$)|[^A-Za-z0-9/._+-]", "/a/../b", "/a/..b"),
            ("a{2,}b{3}", "aaabbb", "abbb"),
            ("", "anything", "\u{1}"),
        ] {
            let plain = PlainRegexp::new(expression).expect(expression);
            assert_eq!(plain.is_match(yes.as_bytes()), Some(true), "{expression} {yes}");
            assert_ne!(plain.is_match(no.as_bytes()), Some(true), "{expression} {no}");
        }
    }

    #[test]
    fn dialects_are_left_to_the_engine() {
        for expression in [
            "a**",
            "a*?",
            "(?i)a",
            "[[:alpha:]]",
            "[a&&b]",
            "\\pL",
            "\\bA",
            "a{1,2000}",
            "(a",
            "a)",
            "é",
            "[]a]",
            "^*",
            "x{,3}",
            "x{0}",
        ] {
            assert!(PlainRegexp::new(expression).is_none(), "{expression}");
        }
        assert_eq!(PlainRegexp::new("a.").expect("simple").is_match("aé".as_bytes()), None);
    }

    const FRAGMENTS: &[&str] = &[
        "a", "b", "^", "$", ".", "|", "(", ")", "(?:", "*", "+", "?", "{2}", "{0,2}", "{1,}", "[a-b]", "[^b-]", "[.c]",
        "\\.", "\\d", "\\S", "-",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn it_says_what_the_engine_says(
            parts in proptest::collection::vec(proptest::sample::select(FRAGMENTS), 0..9),
            text in "[abc. 1-]{0,8}",
        ) {
            let expression = parts.concat();
            if let Some(plain) = PlainRegexp::new(&expression) {
                let engine = Regexp::new(&expression).expect(&expression);
                prop_assert_eq!(plain.is_match(text.as_bytes()), Some(engine.is_match(text.as_bytes())), "{}", expression);
            }
        }
    }
}
