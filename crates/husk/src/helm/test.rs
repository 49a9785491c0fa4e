//! `helm test`: runs the tests of a release.

use super::flags::{Flag, Kind, Parsed};
use super::operation::{self, on_cluster};
use super::output::Format;
use super::settings::Settings;
use super::status::{self, Shown};
use super::verb::{Arity, Outcome, Verb};
use release::TestFilter;

pub(super) const TEST: Verb = Verb {
    names: &["test"],
    path: "test",
    arguments: "[RELEASE]",
    about: "Run the tests of a release.",
    arity: Arity::Exactly(1),
    flags: &[FLAGS],
    run,
};

const FLAGS: &[Flag] =
    &[Flag::new("filter", Kind::List), Flag::new("logs", Kind::Switch), Flag::new("timeout", Kind::Duration)];

fn run(parsed: &Parsed, settings: &Settings) -> Outcome {
    let filter = filter(&parsed.all("filter"));
    let options = operation::options(parsed)?;
    on_cluster(settings, async |engine| {
        let (release, failure) = match engine.test(&parsed.arguments[0], &filter, &options).await {
            Ok(release) => (release, None),
            Err((Some(release), error)) => (*release, Some(error.to_string())),
            Err((None, error)) => return Err(error.to_string()),
        };
        status::emit(&release, Format::Table, Shown { debug: settings.debug, recorded: false, hide_notes: true }, "")?;
        let mut failures: Vec<String> = failure.into_iter().collect();
        if parsed.on("logs") {
            super::out("\n");
            match engine.test_logs(&release, &filter).await {
                Ok(logs) => logs
                    .iter()
                    .for_each(|log| super::out(&format!("POD LOGS: {} ({})\n{}\n", log.pod, log.container, log.text))),
                Err(error) => failures.push(error.to_string()),
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
    })
}

/// Reads `name=x` and `!name=x`; what is neither says nothing, as in Helm.
fn filter(words: &[String]) -> TestFilter {
    let mut filter = TestFilter::default();
    for word in words {
        if let Some(name) = word.strip_prefix("name=") {
            filter.only.push(name.to_owned());
        } else if let Some(name) = word.strip_prefix('!').and_then(|rest| rest.trim_start().strip_prefix("name=")) {
            filter.not.push(name.to_owned());
        }
    }
    filter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        let words: Vec<String> = ["name=a", "!name=b", "! name=c", "d"].map(str::to_owned).to_vec();
        let filter = filter(&words);
        assert_eq!((filter.only, filter.not), (vec!["a".to_owned()], vec!["b".to_owned(), "c".to_owned()]));
    }
}
