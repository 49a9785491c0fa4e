//! `helm rollback`.

use super::flags::{Flag, Kind, Parsed};
use super::operation::{self, APPLY, WAIT, WAIT_FOR_JOBS, on_cluster};
use super::settings::Settings;
use super::verb::{Arity, Outcome, Verb};
use release::Options;

pub(super) const ROLLBACK: Verb = Verb {
    names: &["rollback"],
    path: "rollback",
    arguments: "<RELEASE> [REVISION]",
    about: "Bring an earlier revision of a release back.",
    arity: Arity::AtLeast(1),
    flags: &[APPLY, WAIT, WAIT_FOR_JOBS, FLAGS],
    run,
};

const FLAGS: &[Flag] = &[Flag::new("cleanup-on-fail", Kind::Switch), Flag::new("history-max", Kind::Number)];

fn run(parsed: &Parsed, settings: &Settings) -> Outcome {
    let revision = match parsed.arguments.get(1) {
        None => 0,
        Some(word) => {
            let invalid =
                |_| format!("could not convert revision to a number: strconv.Atoi: parsing {word:?}: invalid syntax");
            let number = word.parse::<i64>().map_err(invalid)?;
            u32::try_from(number).map_err(|_| "release: not found".to_owned())?
        }
    };
    let options = Options { dry_run: operation::dry_run(parsed, false)?, ..operation::options(parsed)? };
    on_cluster(settings, async |engine| {
        let name = &parsed.arguments[0];
        if let Err(error) = engine.rollback(name, revision, &options).await {
            operation::advise(&engine, name, &error).await;
            return Err(error.to_string());
        }
        super::out("Rollback was a success! Happy Helming!\n");
        Ok(())
    })
}
