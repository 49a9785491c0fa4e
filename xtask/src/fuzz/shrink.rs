//! Making a case that differs as small as it gets.

use super::Case;

/// Tries smaller cases as long as one of them still differs.
pub(crate) fn shrink(
    mut case: Case,
    mut differs: impl FnMut(&[Case]) -> Result<Option<usize>, String>,
) -> Result<Case, String> {
    for _ in 0..60 {
        let smaller = candidates(&case);
        match differs(&smaller)? {
            Some(at) => case = smaller[at].clone(),
            None => break,
        }
    }
    Ok(case)
}

/// Cases with something less, the boldest first.
fn candidates(case: &Case) -> Vec<Case> {
    let mut found = Vec::new();
    let lists: [fn(&mut Case) -> &mut Vec<String>; 5] =
        [|c| &mut c.values, |c| &mut c.json, |c| &mut c.set, |c| &mut c.string, |c| &mut c.literal];
    for list in lists {
        let mut copy = case.clone();
        for at in 0..list(&mut copy).len() {
            let mut smaller = case.clone();
            list(&mut smaller).remove(at);
            found.push(smaller);
        }
    }
    for at in 0..case.files.len() {
        if !case.files[at].0.ends_with("Chart.yaml") {
            let mut smaller = case.clone();
            smaller.files.remove(at);
            found.push(smaller);
        }
    }
    for text in shorter(&case.text) {
        found.push(Case { text, ..case.clone() });
    }
    for list in lists {
        let texts = list(&mut case.clone()).clone();
        for (at, text) in texts.iter().enumerate() {
            for less in shorter(text) {
                let mut smaller = case.clone();
                list(&mut smaller)[at] = less;
                found.push(smaller);
            }
        }
    }
    for at in 0..case.files.len() {
        for less in shorter(&case.files[at].1) {
            let mut smaller = case.clone();
            smaller.files[at].1 = less;
            found.push(smaller);
        }
    }
    found
}

/// Texts without a stretch: halves, quarters, and so on down to pieces that are one token each.
fn shorter(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    let mut size = tokens.len();
    while size > 0 {
        let step = if size > 8 { size / 2 } else { 1 };
        for start in (0..tokens.len()).step_by(step.max(1)) {
            let end = (start + size).min(tokens.len());
            if tokens.len() < 400 || size > 4 {
                found.push(tokens[..start].concat() + &tokens[end..].concat());
            }
        }
        size = if size > 12 { size / 2 } else { size - 1 };
    }
    found
}

/// Words, blanks, and single other characters.
fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let alike = |c: char| {
            if first.is_alphanumeric() {
                c.is_alphanumeric()
            } else {
                first == ' ' && c == ' ' || first == '{' && c == '{' || first == '}' && c == '}'
            }
        };
        let end = rest.char_indices().skip(1).find(|(_, c)| !alike(*c)).map_or(rest.len(), |(i, _)| i);
        let (token, tail) = rest.split_at(end);
        found.push(token);
        rest = tail;
    }
    found
}
