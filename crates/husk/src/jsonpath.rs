//! Kubernetes' JSONPath templates: text with `{…}` in which fields are followed, listed, filtered and ranged over.
//!
//! The language is that of `kubectl -o jsonpath`. When a path leads nowhere, nothing is printed.

use serde_json::Value;

/// A template that was parsed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template(Vec<Node>);

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Text(String),
    Path(Vec<Step>),
    Range(Vec<Step>, Vec<Node>),
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// `$`: the whole document.
    Root,
    Field(String),
    /// `*` or `[*]`
    All,
    /// `..`: this and everything below.
    Below,
    /// `[from:to:step]`
    Slice(Option<i64>, Option<i64>, i64),
    /// `[0,2]` or `['a','b']`
    Union(Vec<Step>),
    /// `[?(@.a == 1)]`; without an operator the path has to lead somewhere.
    Filter(Operand, Option<(String, Operand)>),
}

#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Path(Vec<Step>),
    Value(Value),
}

impl Template {
    /// Parses a template.
    pub(crate) fn parse(text: &str) -> Result<Template, String> {
        let mut stack: Vec<(Vec<Step>, Vec<Node>)> = Vec::new();
        let mut nodes = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            if !before.is_empty() {
                nodes.push(Node::Text(before.to_owned()));
            }
            let end = closing(behind).ok_or("unclosed action")?;
            let action = behind[..end].trim();
            rest = &behind[end + 1..];
            if action == "end" {
                let (path, outer) = stack.pop().ok_or("not in range, nothing to end")?;
                let inner = std::mem::replace(&mut nodes, outer);
                nodes.push(Node::Range(path, inner));
            } else if let Some(path) = action.strip_prefix("range") {
                stack.push((steps(path.trim())?, std::mem::take(&mut nodes)));
            } else if action.starts_with(['"', '\'']) {
                nodes.push(Node::Text(quoted(action)?.0));
            } else {
                nodes.push(Node::Path(steps(action)?));
            }
        }
        if !rest.is_empty() {
            nodes.push(Node::Text(rest.to_owned()));
        }
        if stack.is_empty() { Ok(Template(nodes)) } else { Err("unterminated range".to_owned()) }
    }

    /// What the template says about a document; nothing when one of its paths leads nowhere.
    pub(crate) fn render(&self, document: &Value) -> String {
        let mut out = String::new();
        print(&self.0, document, document, &mut out).map_or_else(String::new, |()| out)
    }
}

fn print(nodes: &[Node], root: &Value, here: &Value, out: &mut String) -> Option<()> {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Path(steps) => {
                let found = follow(steps, root, here)?;
                let texts: Vec<String> = found.iter().map(|value| shown(value)).collect();
                out.push_str(&texts.join(" "));
            }
            Node::Range(steps, inner) => {
                for found in follow(steps, root, here)? {
                    match found {
                        // The elements of a list, whether it is named by itself or with `[*]`.
                        Value::Array(items) if steps.last() != Some(&Step::All) => {
                            for item in items {
                                print(inner, root, item, out)?;
                            }
                        }
                        found => print(inner, root, found, out)?,
                    }
                }
            }
        }
    }
    Some(())
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => goyaml::json_text(other),
    }
}

/// Every value that steps lead to; nothing when a field is not there.
fn follow<'a>(steps: &[Step], root: &'a Value, here: &'a Value) -> Option<Vec<&'a Value>> {
    let mut found = vec![here];
    for (place, step) in steps.iter().enumerate() {
        let lenient = place > 0 && steps[..place].contains(&Step::Below);
        let mut next = Vec::new();
        for value in found {
            match one(step, root, value) {
                Some(values) => next.extend(values),
                None if lenient => {}
                None => return None,
            }
        }
        found = next;
    }
    Some(found)
}

fn one<'a>(step: &Step, root: &'a Value, value: &'a Value) -> Option<Vec<&'a Value>> {
    match (step, value) {
        (Step::Root, _) => Some(vec![root]),
        (Step::Field(name), Value::Object(map)) => map.get(name).map(|found| vec![found]),
        (Step::All, Value::Array(items)) => Some(items.iter().collect()),
        (Step::All, Value::Object(map)) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            Some(entries.into_iter().map(|(_, value)| value).collect())
        }
        (Step::All, _) => Some(Vec::new()),
        (Step::Below, _) => {
            let mut found = Vec::new();
            below(value, &mut found);
            Some(found)
        }
        (Step::Slice(from, to, step), Value::Array(items)) => slice(items, *from, *to, *step),
        (Step::Union(steps), _) => {
            let each: Option<Vec<_>> = steps.iter().map(|step| one(step, root, value)).collect();
            each.map(|found| found.into_iter().flatten().collect())
        }
        (Step::Filter(left, test), Value::Array(items)) => {
            Some(items.iter().filter(|item| holds(left, test.as_ref(), root, item)).collect())
        }
        (Step::Filter(..), _) => Some(Vec::new()),
        (Step::Field(_) | Step::Slice(..), _) => None,
    }
}

fn below<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    found.push(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| below(item, found)),
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            entries.into_iter().for_each(|(_, value)| below(value, found));
        }
        _ => {}
    }
}

fn slice(items: &[Value], from: Option<i64>, to: Option<i64>, step: i64) -> Option<Vec<&Value>> {
    let length = i64::try_from(items.len()).ok()?;
    let place = |place: i64| if place < 0 { place + length } else { place };
    let (from, to) = (place(from.unwrap_or(0)), place(to.unwrap_or(length)).min(length));
    if from < 0 || from >= length && to > from || step <= 0 {
        return None;
    }
    let step = usize::try_from(step).ok()?;
    let range = usize::try_from(from).ok()?..usize::try_from(to.max(from)).ok()?;
    items.get(range).map(|items| items.iter().step_by(step).collect())
}

fn holds(left: &Operand, test: Option<&(String, Operand)>, root: &Value, here: &Value) -> bool {
    let value = |operand: &Operand| match operand {
        Operand::Value(value) => Some(value.clone()),
        Operand::Path(steps) => follow(steps, root, here).and_then(|found| found.first().map(|found| (*found).clone())),
    };
    let Some(left) = value(left) else { return false };
    let Some((operator, right)) = test else { return true };
    let Some(right) = value(right) else { return false };
    let order = match (&left, &right) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    };
    match (operator.as_str(), order) {
        ("==", order) => order.is_some_and(|order| order.is_eq()),
        ("!=", order) => order.is_none_or(|order| order.is_ne()),
        ("<", Some(order)) => order.is_lt(),
        ("<=", Some(order)) => order.is_le(),
        (">", Some(order)) => order.is_gt(),
        (">=", Some(order)) => order.is_ge(),
        _ => false,
    }
}

/// Where an action ends; braces in quotes do not count.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (place, letter) in text.char_indices() {
        match (quote, letter) {
            (None, '}') => return Some(place),
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), letter) if open == letter => quote = None,
            _ => {}
        }
    }
    None
}

/// A quoted text at the start of another, and how long it is with its quotes.
fn quoted(text: &str) -> Result<(String, usize), String> {
    let mut letters = text.char_indices();
    let open = letters.next().map(|(_, letter)| letter).ok_or("unterminated quoted string")?;
    let mut out = String::new();
    while let Some((place, letter)) = letters.next() {
        match letter {
            letter if letter == open => return Ok((out, place + letter.len_utf8())),
            '\\' => match letters.next().map(|(_, letter)| letter) {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => break,
            },
            letter => out.push(letter),
        }
    }
    Err("unterminated quoted string".to_owned())
}

fn steps(text: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        match letter {
            '$' => {
                steps.push(Step::Root);
                rest = &rest[1..];
            }
            '@' => rest = &rest[1..],
            '.' if rest.starts_with("..") => {
                steps.push(Step::Below);
                // A name may follow at once, as in `..name`.
                rest = if rest[2..].starts_with(['[', '.']) { &rest[2..] } else { &rest[1..] };
            }
            '.' => rest = field(&rest[1..], &mut steps)?,
            '[' => {
                let end = bracket(rest).ok_or("unterminated array")?;
                steps.push(index(rest[1..end].trim())?);
                rest = &rest[end + 1..];
            }
            letter if letter.is_alphanumeric() || letter == '*' || letter == '_' => rest = field(rest, &mut steps)?,
            other => return Err(format!("unrecognized character in action: U+{:04X} '{other}'", u32::from(other))),
        }
    }
    Ok(steps)
}

fn field<'a>(text: &'a str, steps: &mut Vec<Step>) -> Result<&'a str, String> {
    let mut name = String::new();
    let mut letters = text.char_indices();
    let end = loop {
        match letters.next() {
            Some((_, '\\')) => name.extend(letters.next().map(|(_, letter)| letter)),
            Some((place, '.' | '[' | ' ' | '@' | '$' | '|' | ')')) => break place,
            Some((_, letter)) => name.push(letter),
            None => break text.len(),
        }
    };
    match name.as_str() {
        "" if end == text.len() && steps.is_empty() => {}
        "" => return Err("invalid path".to_owned()),
        "*" => steps.push(Step::All),
        _ => steps.push(Step::Field(name)),
    }
    Ok(text[end..].trim_start_matches(' '))
}

/// Where the bracket that opens a text is closed.
fn bracket(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (place, letter) in text.char_indices() {
        match (quote, letter) {
            (None, '[') => depth += 1,
            (None, ']') if depth == 1 => return Some(place),
            (None, ']') => depth -= 1,
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), letter) if open == letter => quote = None,
            _ => {}
        }
    }
    None
}

fn index(text: &str) -> Result<Step, String> {
    let invalid = || format!("invalid array index {text}");
    if let Some(filter) = text.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
        return self::filter(filter.trim());
    }
    if text.contains(',') {
        return text.split(',').map(|part| index(part.trim())).collect::<Result<_, _>>().map(Step::Union);
    }
    if text == "*" {
        return Ok(Step::All);
    }
    if text.starts_with(['"', '\'']) {
        return quoted(text).map(|(name, _)| Step::Field(name));
    }
    let number = |text: &str| match text.trim() {
        "" => Ok(None),
        text => text.parse::<i64>().map(Some).map_err(|_| invalid()),
    };
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [one] => {
            let place = number(one)?.ok_or_else(invalid)?;
            // The last element has no place behind it.
            Ok(Step::Slice(Some(place), if place == -1 { None } else { Some(place + 1) }, 1))
        }
        [from, to] => Ok(Step::Slice(number(from)?, number(to)?, 1)),
        [from, to, step] => Ok(Step::Slice(number(from)?, number(to)?, number(step)?.unwrap_or(1))),
        _ => Err(invalid()),
    }
}

fn filter(text: &str) -> Result<Step, String> {
    let (mut quote, mut found) = (None, None);
    for (place, letter) in text.char_indices() {
        match (quote, letter) {
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), letter) if open == letter => quote = None,
            (None, '=' | '!' | '<' | '>') => {
                let length = if text[place + 1..].starts_with('=') { 2 } else { 1 };
                found = Some((place, length));
                break;
            }
            _ => {}
        }
    }
    let Some((place, length)) = found else { return Ok(Step::Filter(operand(text)?, None)) };
    let operator = text[place..place + length].to_owned();
    Ok(Step::Filter(operand(text[..place].trim())?, Some((operator, operand(text[place + length..].trim())?))))
}

fn operand(text: &str) -> Result<Operand, String> {
    if text.starts_with(['@', '$']) {
        return steps(text).map(Operand::Path);
    }
    if text.starts_with(['"', '\'']) {
        return quoted(text).map(|(text, _)| Operand::Value(text.into()));
    }
    serde_json::from_str(text).map(Operand::Value).map_err(|_| format!("unrecognized operand {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(template: &str) -> String {
        let document = json!({
            "image": {"tag": "1.2", "pull": null}, "n": 3, "flag": true, "a.b": "dots",
            "list": [{"name": "x", "v": 1}, {"name": "y", "v": 2}, {"name": "z", "v": 3}],
        });
        Template::parse(template).unwrap().render(&document)
    }

    #[test]
    fn paths() {
        for (template, wanted) in [
            ("{.image.tag}", "1.2"),
            ("tag={.image.tag}, n={.n}{'\\n'}", "tag=1.2, n=3\n"),
            ("{.list[0].name}{.list[-1].name}", "xz"),
            ("{.list[*].name}", "x y z"),
            ("{.list[1:].v}", "2 3"),
            ("{.list[0:3:2].v}", "1 3"),
            ("{.list[0,2].name}", "x z"),
            ("{.list[?(@.v > 1)].name}", "y z"),
            ("{.list[?(@.name == 'x')].v}", "1"),
            ("{..v}", "1 2 3"),
            ("{.a\\.b}{['a.b']}", "dotsdots"),
            ("{range .list[*]}{.name}={.v};{end}", "x=1;y=2;z=3;"),
            ("{$.flag} {@.n} {.image.*}", "true 3  1.2"),
            ("{.image}", "{\"pull\":null,\"tag\":\"1.2\"}"),
            ("before {.nope} behind", ""),
        ] {
            assert_eq!(render(template), wanted, "{template}");
        }
    }

    #[test]
    fn mistakes() {
        for (template, wanted) in [
            ("{.a", "unclosed action"),
            ("{end}", "not in range, nothing to end"),
            ("{range .list[*]}", "unterminated range"),
            ("{.list[0}", "unterminated array"),
            ("{.list[x]}", "invalid array index x"),
            ("{'a}", "unclosed action"),
        ] {
            assert_eq!(Template::parse(template).unwrap_err(), wanted, "{template}");
        }
    }
}
