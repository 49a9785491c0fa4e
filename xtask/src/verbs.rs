//! The verbs and flags of real Helm's help beside those of `husk helm`.

use crate::programs::run;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Verbs of Helm that are not here. COMPATIBILITY.md says so, too.
const NOT_HERE: &[&str] = &["help", "plugin package", "plugin verify"];
/// What is shown in help here and not there: a verb and its flags.
const ADDED: &[(&str, &str)] =
    &[("install", "explain"), ("lint", "explain"), ("template", "explain"), ("upgrade", "explain"), ("docs", "*")];

/// Compares; prints what differs.
pub(crate) fn check(husk: &Path, helm: &Path) -> Result<(), String> {
    let theirs = real(helm, &[])?;
    let mut wrong = Vec::new();
    for (verb, flags) in &theirs {
        if NOT_HERE.contains(&verb.as_str()) {
            continue;
        }
        let words: Vec<&str> = verb.split(' ').collect();
        let text = help(Command::new(husk).arg("helm").args(&words))?;
        let ours = flags_of(&text);
        if !text.contains(&format!("Usage:\n  helm {verb}")) {
            wrong.push(format!("husk helm has no verb {verb:?}"));
            continue;
        }
        let added = |flag: &String| ADDED.contains(&(verb.as_str(), flag.as_str()));
        let missing: Vec<&String> = flags.difference(&ours).collect();
        let more: Vec<&String> = ours.difference(flags).filter(|flag| !added(flag)).collect();
        if !missing.is_empty() || !more.is_empty() {
            wrong.push(format!("helm {verb}: only Helm has {missing:?}, only husk has {more:?}"));
        }
    }
    println!("{} verbs of Helm, {} differ", theirs.len(), wrong.len());
    if wrong.is_empty() && theirs.len() > 40 { Ok(()) } else { Err(wrong.join("\n")) }
}

fn help(command: &mut Command) -> Result<String, String> {
    let output = run(command.arg("--help"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Every verb of Helm with its flags, found by going down its help.
fn real(helm: &Path, words: &[String]) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
    let text = help(Command::new(helm).args(words))?;
    let mut found = BTreeMap::new();
    let below = text.split_once("\nAvailable Commands:\n").map(|(_, rest)| rest);
    match below {
        None => {
            found.insert(words.join(" "), flags_of(&text));
        }
        Some(list) => {
            for line in list.lines().take_while(|line| line.starts_with("  ")) {
                let name = line.split_whitespace().next().unwrap_or_default().to_owned();
                found.extend(real(helm, &[words, &[name]].concat())?);
            }
        }
    }
    Ok(found)
}

/// The flags of a verb's own in its help.
fn flags_of(text: &str) -> BTreeSet<String> {
    let own = text.split("\nGlobal Flags:\n").next().unwrap_or_default();
    let shown = own.split_once("\nFlags:\n").map_or("", |(_, flags)| flags);
    let name = |line: &str| {
        let flag = line.split_whitespace().find_map(|word| word.strip_prefix("--"))?;
        Some(flag.split(['[', '=']).next().unwrap_or_default().to_owned())
    };
    shown
        .lines()
        .filter(|line| line.trim_start().starts_with('-'))
        .filter_map(name)
        .filter(|name| name != "help")
        .collect()
}
