//! Label selectors as Kubernetes has them: `a=b`, `a!=b`, `a`, `!a`, `a in (b,c)`, `a notin (b,c)`, `a>1`, with commas.

use std::collections::BTreeMap;

/// One condition on labels.
#[derive(Debug, PartialEq)]
pub(super) struct Term {
    key: String,
    condition: Condition,
}

#[derive(Debug, PartialEq)]
enum Condition {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

impl Term {
    pub(super) fn accepts(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.condition {
            Condition::Exists => value.is_some(),
            Condition::Absent => value.is_none(),
            Condition::In(values) => value.is_some_and(|value| values.contains(value)),
            Condition::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Condition::Greater(bound) => number().is_some_and(|number| number > *bound),
            Condition::Less(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

/// Reads a selector.
pub(super) fn parse(text: &str) -> Result<Vec<Term>, String> {
    let words = words(text);
    let mut words = words.iter().map(String::as_str).peekable();
    let mut terms = Vec::new();
    if words.peek().is_none() {
        return Ok(terms);
    }
    loop {
        terms.push(term(&mut words).map_err(|why| format!("unable to parse requirement: {why}"))?);
        match words.next() {
            None => return Ok(terms),
            Some(",") if words.peek().is_some() => {}
            Some(",") => {
                return Err("unable to parse requirement: found '', expected: identifier after ','".to_owned());
            }
            Some(other) => return Err(format!("found '{other}', expected: ',' or 'end of string'")),
        }
    }
}

fn is_operator(letter: char) -> bool {
    matches!(letter, '=' | '!' | '<' | '>' | '(' | ')' | ',')
}

/// Words and operators, the latter as long as they can be.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter.is_whitespace() {
            continue;
        }
        let mut word = letter.to_string();
        if is_operator(letter) {
            if matches!(letter, '=' | '!') && letters.peek() == Some(&'=') {
                word.extend(letters.next());
            }
        } else {
            while let Some(next) = letters.next_if(|next| !next.is_whitespace() && !is_operator(*next)) {
                word.push(next);
            }
        }
        words.push(word);
    }
    words
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && !word.chars().any(is_operator)
}

fn term<'a>(words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) -> Result<Term, String> {
    let negated = words.next_if_eq(&"!").is_some();
    let key = words.next().unwrap_or_default();
    if !is_word(key) {
        return Err(format!("found '{key}', expected: identifier"));
    }
    let term = |condition| Ok(Term { key: key.to_owned(), condition });
    match words.peek().copied() {
        None | Some(",") => return term(if negated { Condition::Absent } else { Condition::Exists }),
        Some(next) if negated => return Err(format!("found '{next}', expected: ',' or 'end of string'")),
        Some(_) => {}
    }
    let operator = words.next().unwrap_or_default();
    let mut value = || words.next_if(|word| is_word(word)).unwrap_or_default().to_owned();
    let number = |text: String| {
        text.parse::<i64>().map_err(|_| {
            format!("values[0][{key}]: Invalid value: {text:?}: for 'Gt', 'Lt' operators, the value must be an integer")
        })
    };
    match operator {
        "=" | "==" => term(Condition::In(vec![value()])),
        "!=" => term(Condition::NotIn(vec![value()])),
        ">" => term(Condition::Greater(number(value())?)),
        "<" => term(Condition::Less(number(value())?)),
        "in" | "notin" => {
            let open = words.next().unwrap_or_default();
            if open != "(" {
                return Err(format!("found '{open}' expected: '('"));
            }
            let mut values = Vec::new();
            loop {
                values.push(words.next_if(|word| is_word(word)).unwrap_or_default().to_owned());
                match words.next() {
                    Some(",") => {}
                    Some(")") => break,
                    other => return Err(format!("found '{}', expected: ',' or ')'", other.unwrap_or_default())),
                }
            }
            term(if operator == "in" { Condition::In(values) } else { Condition::NotIn(values) })
        }
        other => Err(format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors() {
        let labels = BTreeMap::from([("team".to_owned(), "a".to_owned()), ("n".to_owned(), "5".to_owned())]);
        let holds = |text: &str| parse(text).unwrap().iter().all(|term| term.accepts(&labels));
        for text in ["", "team=a", "team == a, team!=b", "team,!other", "team in (a, b)", "other notin (x)", "n>4,n<6"]
        {
            assert!(holds(text), "{text}");
        }
        for text in ["team=b", "!team", "other", "team in (b)", "team notin (a,b)", "n>5", "team=", "other>1"] {
            assert!(!holds(text), "{text}");
        }
    }

    #[test]
    fn mistakes_are_told_as_kubernetes_tells_them() {
        for (text, wanted) in [
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("a in x", "unable to parse requirement: found 'x' expected: '('"),
            ("a in (x", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("a,", "unable to parse requirement: found '', expected: identifier after ','"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            ("=b", "unable to parse requirement: found '=', expected: identifier"),
        ] {
            assert_eq!(parse(text).unwrap_err(), wanted, "{text}");
        }
    }
}
