//! Helm 4.3's command line: the same words, flags, texts and exit statuses. `husk helm …`, or the binary called `helm`.
//!
//! A [`verb::Verb`] is a command with its flags; one family of verbs a file. What Helm has and is not here is refused by
//! name. Errors are texts here, because Helm's have no codes.

mod chart_ref;
pub(crate) mod completion;
mod dependency;
mod environment;
mod flags;
mod get;
mod go_template;
mod history;
mod install;
mod lint;
mod list;
mod name_template;
mod operation;
mod output;
mod package;
mod plugin;
mod provenance;
mod registries;
mod remote;
mod repo;
mod resources;
mod rollback;
mod search;
mod selector;
mod settings;
mod show;
mod status;
mod template;
mod test;
mod uninstall;
mod upgrade;
mod values;
mod verb;

pub(crate) use flags::duration;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use verb::{Outcome, Verb};

const VERBS: &[Verb] = &[
    completion::BASH,
    completion::FISH,
    completion::POWERSHELL,
    completion::ZSH,
    package::CREATE,
    dependency::BUILD,
    dependency::LIST,
    dependency::UPDATE,
    completion::DOCS,
    environment::ENV,
    get::ALL,
    get::HOOKS,
    get::MANIFEST,
    get::METADATA,
    get::NOTES,
    get::VALUES,
    history::HISTORY,
    install::INSTALL,
    lint::LINT,
    list::LIST,
    package::PACKAGE,
    plugin::INSTALL,
    plugin::LIST,
    plugin::UNINSTALL,
    plugin::UPDATE,
    registries::PULL,
    registries::PUSH,
    registries::LOGIN,
    registries::LOGOUT,
    repo::ADD,
    repo::INDEX,
    repo::LIST,
    repo::REMOVE,
    repo::UPDATE,
    provenance::VERIFY,
    rollback::ROLLBACK,
    search::HUB,
    search::REPO,
    show::ALL,
    show::CHART,
    show::CRDS,
    show::README,
    show::VALUES,
    status::STATUS,
    template::TEMPLATE,
    test::TEST,
    uninstall::UNINSTALL,
    upgrade::UPGRADE,
    environment::VERSION,
];

/// Commands of Helm that are not here.
const ABSENT: &[&str] = &["plugin package", "plugin verify"];

/// Runs a command line: everything behind the program's name.
pub(crate) fn main(arguments: &[OsString]) -> ExitCode {
    let words: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    match call(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            err(&format!("Error: {text}"));
            ExitCode::FAILURE
        }
    }
}

fn call(words: &[String]) -> Outcome {
    let (path, rest) = split(words);
    let mut matching = VERBS.iter().filter(|verb| is_named(verb, &path));
    if let Some(verb) = matching.next() {
        return verb.call(&rest);
    }
    let Some(first) = path.first() else {
        return match flags::Parsed::read(&rest, &[settings::GLOBAL]) {
            Ok(_) => done(&overview("")),
            Err(text) => Err(text),
        };
    };
    if first == "help" {
        return done(&overview(""));
    }
    let called = path.join(" ");
    if let Some(absent) = ABSENT.iter().find(|absent| **absent == called) {
        return Err(format!("husk helm has no command {absent:?}"));
    }
    let group = VERBS.iter().any(|verb| verb.group() == Some(first));
    match group {
        // Whatever the second word is: Helm prints its help and is content.
        true => done(&overview(first)),
        false => Err(format!("unknown command {first:?} for \"helm\"\nRun 'helm --help' for usage.")),
    }
}

/// Takes the command's words out of a command line; global flags may stand before and between them.
fn split(words: &[String]) -> (Vec<String>, Vec<String>) {
    let (mut path, mut rest): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut words = words.iter();
    let takes_value = |word: &str| {
        let long = |name: &str| settings::GLOBAL.iter().find(|flag| flag.name == name);
        match word.strip_prefix("--") {
            Some(name) => long(name).is_some_and(|flag| flag.kind != flags::Kind::Switch),
            None => word == "-n",
        }
    };
    while let Some(word) = words.next() {
        if word.starts_with('-') {
            rest.push(word.clone());
            if takes_value(word) {
                rest.extend(words.next().cloned());
            }
            continue;
        }
        let word = match word.as_str() {
            "inspect" if path.is_empty() => "show",
            "dep" | "dependencies" if path.is_empty() => "dependency",
            word => word,
        };
        path.push(word.to_owned());
        let is_group = path.len() == 1 && VERBS.iter().any(|verb| verb.group() == Some(word));
        if !is_group {
            break;
        }
    }
    rest.extend(words.cloned());
    (path, rest)
}

fn is_named(verb: &Verb, path: &[String]) -> bool {
    match (verb.group(), path) {
        (None, [name]) => verb.names.contains(&name.as_str()),
        (Some(group), [first, name]) => group == first && verb.names.contains(&name.as_str()),
        _ => false,
    }
}

fn overview(group: &str) -> String {
    let shown = if group.is_empty() { String::new() } else { format!(" {group}") };
    let mut text = format!(
        "Charts and their releases on Kubernetes, as Helm 4.3 has them.\n\nUsage:\n  helm{shown} [command]\n\nAvailable Commands:\n"
    );
    for verb in VERBS.iter().filter(|verb| group.is_empty() || verb.group() == Some(group)) {
        let _ = writeln!(text, "  {:<19}{}", verb.path, verb.about);
    }
    text
}

/// Prints a result.
fn out(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Prints a result that is everything there is to do.
fn done(text: &str) -> Outcome {
    out(text);
    Ok(())
}

/// Prints a line that is no result.
fn err(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints a warning as Helm's log has it.
fn warn(message: &str) {
    let mut log = chart::Log::default();
    log.add(chart::LogLevel::Warn, message, Vec::new());
    say(&mut log);
}

/// Prints what was said on the way, and forgets it.
fn say(log: &mut chart::Log) {
    log.0.drain(..).for_each(|line| err(&line.to_string()));
}

/// Reads the flag `--revision`; 0 is the newest.
fn revision(parsed: &flags::Parsed) -> Result<u32, String> {
    let number = parsed.number("revision").unwrap_or(0);
    u32::try_from(number).map_err(|_| format!("invalid revision {number}"))
}

/// Reads a revision from a cluster that answers.
async fn reach_and_get(engine: &release::Engine, name: &str, revision: u32) -> Result<release::Release, String> {
    engine.cluster.version().await.map_err(|error| error.to_string())?;
    engine.get(name, revision).await.map_err(|error| error.to_string())
}

/// The words of Go for an error of the system.
fn os_error(error: &std::io::Error) -> String {
    let text = error.to_string();
    let bare = text.split(" (os error").next().unwrap_or_default();
    let mut letters = bare.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
