//! `helm repo`: the repositories that a user has added.

use super::flags::{Flag, Kind, Parsed};
use super::output::{Format, OUTPUT, table};
use super::remote::{self, paths, to_out, wait};
use super::settings::Settings;
use super::verb::{Arity, Outcome, Verb};
use registry::repository::{self, Entry, RepositoryFile};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

pub(super) const ADD: Verb = Verb {
    names: &["add"],
    path: "repo add",
    arguments: "[NAME] [URL]",
    about: "Add a repository.",
    arity: Arity::Exactly(2),
    flags: &[ADD_FLAGS],
    run: add,
};

const ADD_FLAGS: &[Flag] = &[
    Flag::new("allow-deprecated-repos", Kind::Switch),
    Flag::new("ca-file", Kind::Text),
    Flag::new("cert-file", Kind::Text),
    Flag::new("force-update", Kind::Switch),
    Flag::new("insecure-skip-tls-verify", Kind::Switch),
    Flag::new("key-file", Kind::Text),
    Flag::new("pass-credentials", Kind::Switch),
    Flag::new("password", Kind::Text),
    Flag::new("password-stdin", Kind::Switch),
    Flag::new("timeout", Kind::Duration),
    Flag::new("username", Kind::Text),
];

pub(super) const INDEX: Verb = Verb {
    names: &["index"],
    path: "repo index",
    arguments: "[DIR]",
    about: "Make the index of a directory of packed charts.",
    arity: Arity::Exactly(1),
    flags: &[&[Flag::new("json", Kind::Switch), Flag::new("merge", Kind::Text), Flag::new("url", Kind::Text)]],
    run: index,
};

pub(super) const LIST: Verb = Verb {
    names: &["list", "ls"],
    path: "repo list",
    arguments: "",
    about: "List the repositories.",
    arity: Arity::None,
    flags: &[OUTPUT, &[Flag::new("no-headers", Kind::Switch)]],
    run: list,
};

pub(super) const REMOVE: Verb = Verb {
    names: &["remove", "rm"],
    path: "repo remove",
    arguments: "[REPO1 [REPO2 ...]]",
    about: "Remove repositories.",
    arity: Arity::AtLeast(1),
    flags: &[],
    run: |parsed, _| {
        repository::remove(&parsed.arguments, &paths(parsed), &mut to_out).map_err(|error| error.to_string())
    },
};

pub(super) const UPDATE: Verb = Verb {
    names: &["update", "up"],
    path: "repo update",
    arguments: "[REPO1 [REPO2 ...]]",
    about: "Fetch the indexes of repositories anew.",
    arity: Arity::Any,
    flags: &[&[Flag::new("timeout", Kind::Duration)]],
    run: |parsed, _| {
        let paths = paths(parsed);
        wait(async || repository::update(&parsed.arguments, timeout(parsed), &paths, &mut to_out).await)
    },
};

fn timeout(parsed: &Parsed) -> Option<Duration> {
    Some(parsed.duration("timeout").unwrap_or(Duration::from_secs(120)))
}

fn add(parsed: &Parsed, _: &Settings) -> Outcome {
    let text = |name: &str| parsed.text(name).unwrap_or_default().to_owned();
    let mut password = text("password");
    if !text("username").is_empty() && password.is_empty() {
        password = match parsed.on("password-stdin") {
            true => remote::password_from_stdin()?,
            false => remote::ask("Password: ", true).inspect_err(|_| super::out("\n"))?,
        };
    }
    let entry = Entry {
        name: parsed.arguments[0].clone(),
        url: parsed.arguments[1].clone(),
        username: text("username"),
        password,
        cert_file: text("cert-file"),
        key_file: text("key-file"),
        ca_file: text("ca-file"),
        insecure_skip_tls_verify: parsed.on("insecure-skip-tls-verify"),
        pass_credentials_all: parsed.on("pass-credentials"),
    };
    let (force, gone) = (parsed.on("force-update"), parsed.on("allow-deprecated-repos"));
    let paths = paths(parsed);
    wait(async || repository::add(entry, force, gone, timeout(parsed), &paths, &mut to_out).await)
}

fn index(parsed: &Parsed, _: &Settings) -> Outcome {
    let directory = std::path::absolute(&parsed.arguments[0]).map_err(|error| error.to_string())?;
    let merge = parsed.text("merge").filter(|text| !text.is_empty()).map(Path::new);
    let url = parsed.text("url").unwrap_or_default();
    repository::write_index(&directory, url, merge, parsed.on("json"), &jiff::Zoned::now(), &mut to_out)
        .map_err(|error| error.to_string())
}

fn list(parsed: &Parsed, _: &Settings) -> Outcome {
    let format = Format::of(parsed)?;
    let file = RepositoryFile::load_or_empty(&paths(parsed).repository_config).map_err(|error| error.to_string())?;
    let entries = file.repositories;
    if entries.is_empty() && format == Format::Table {
        super::err("no repositories to show");
        return Ok(());
    }
    let value: Value = entries.iter().map(|entry| json!({"name": entry.name, "url": entry.url})).collect();
    format.emit(&value, || {
        let mut rows = Vec::new();
        if !parsed.on("no-headers") {
            rows.push(vec!["NAME".to_owned(), "URL".to_owned()]);
        }
        rows.extend(entries.into_iter().map(|entry| vec![entry.name, entry.url]));
        table(&rows)
    })
}
