//! `helm completion` and `helm docs`: the command line about itself.

use super::VERBS;
use super::flags::{Flag, Kind, Parsed};
use super::settings::{GLOBAL, Settings};
use super::verb::{Arity, Outcome, Verb};
use crate::completion::{Words, script};
use std::path::Path;

const DESCRIPTIONS: &[Flag] = &[Flag::new("no-descriptions", Kind::Switch)];

const fn shell(
    names: &'static [&'static str],
    path: &'static str,
    about: &'static str,
    run: fn(&Parsed, &Settings) -> Outcome,
) -> Verb {
    Verb { names, path, arguments: "", about, arity: Arity::None, flags: &[DESCRIPTIONS], run }
}

pub(super) const BASH: Verb =
    shell(&["bash"], "completion bash", "Print the completion script for bash.", |parsed, _| print("bash", parsed));
pub(super) const FISH: Verb =
    shell(&["fish"], "completion fish", "Print the completion script for fish.", |parsed, _| print("fish", parsed));
pub(super) const POWERSHELL: Verb =
    shell(&["powershell"], "completion powershell", "Print the completion script for PowerShell.", |parsed, _| {
        print("powershell", parsed)
    });
pub(super) const ZSH: Verb =
    shell(&["zsh"], "completion zsh", "Print the completion script for zsh.", |parsed, _| print("zsh", parsed));

pub(super) const DOCS: Verb = Verb {
    names: &["docs"],
    path: "docs",
    arguments: "",
    about: "Write a page for each command.",
    arity: Arity::None,
    flags: &[&[
        Flag::new("dir", Kind::Text),
        Flag::new("generate-headers", Kind::Switch),
        Flag::new("type", Kind::Text),
    ]],
    run: docs,
};

fn print(shell: &str, parsed: &Parsed) -> Outcome {
    let script = script(shell, "helm", &words(""), !parsed.on("no-descriptions"));
    super::done(&script.unwrap_or_default())
}

/// Every command and flag; `before` stands in front of all of them.
pub(crate) fn words(before: &str) -> Words {
    let joined = |path: &str| format!("{before} {path}").trim().to_owned();
    let flag = |flag: &Flag| (format!("--{}", flag.name), String::new());
    let global = || GLOBAL.iter().map(flag).chain([("--help".to_owned(), String::new())]);
    let mut words = Words::from([(joined(""), global().collect())]);
    let mut offer = |place: String, word: &str, about: &str| {
        let words: &mut Vec<(String, String)> = words.entry(place).or_default();
        if !words.iter().any(|(other, _)| other == word) {
            words.push((word.to_owned(), about.to_owned()));
        }
    };
    for verb in VERBS {
        match verb.path.split_once(' ') {
            Some((group, name)) => {
                offer(joined(""), group, "");
                offer(joined(group), name, verb.about);
            }
            None => offer(joined(""), verb.path, verb.about),
        }
        for flag in verb.shown_flags() {
            offer(joined(verb.path), &format!("--{}", flag.name), "");
        }
        global().for_each(|(word, about)| offer(joined(verb.path), &word, &about));
    }
    words
}

fn docs(parsed: &Parsed, _: &Settings) -> Outcome {
    let place = Path::new(parsed.text("dir").unwrap_or("./"));
    let write = |name: String, text: String| {
        let path = place.join(name);
        std::fs::write(&path, text).map_err(|error| format!("open {}: {}", path.display(), super::os_error(&error)))
    };
    match parsed.text("type").unwrap_or("markdown") {
        "markdown" | "mdown" | "md" => VERBS.iter().try_for_each(|verb| {
            let name = format!("helm {}", verb.path);
            let header = match parsed.on("generate-headers") {
                true => format!("---\ntitle: \"{}\"\n---\n\n", verb.path),
                false => String::new(),
            };
            let text = format!("{header}## {name}\n\n```\n{}```\n", verb.help());
            write(format!("{}.md", name.replace(' ', "_")), text)
        }),
        "man" => VERBS.iter().try_for_each(|verb| {
            let name = format!("helm-{}", verb.path.replace(' ', "-"));
            let escaped = verb.help().replace('\\', "\\\\").replace('-', "\\-");
            let lines: Vec<String> = escaped.lines().map(|line| format!("\\&{line}")).collect();
            let title = name.to_uppercase();
            let text = format!(
                ".TH \"{title}\" \"1\"\n.SH NAME\n{name} \\- {}\n.SH USAGE\n.nf\n{}\n.fi\n",
                verb.about,
                lines.join("\n")
            );
            write(format!("{name}.1"), text)
        }),
        "bash" => write("completions.bash".to_owned(), script("bash", "helm", &words(""), false).unwrap_or_default()),
        other => Err(format!("unknown doc type {other:?}. Try 'markdown' or 'man'")),
    }
}
