//! `helm uninstall`.

use super::flags::{Flag, Kind, Parsed};
use super::operation::{self, WAIT, on_cluster};
use super::settings::Settings;
use super::verb::{Arity, Outcome, Verb};
use release::cluster::Cascade;
use release::{DryRun, Error, Options};

pub(super) const UNINSTALL: Verb = Verb {
    names: &["uninstall", "del", "delete", "un"],
    path: "uninstall",
    arguments: "RELEASE_NAME [...]",
    about: "Remove releases and everything that belongs to them.",
    arity: Arity::AtLeast(1),
    flags: &[WAIT, FLAGS],
    run,
};

const FLAGS: &[Flag] = &[
    Flag::new("cascade", Kind::Text),
    Flag::new("description", Kind::Text),
    Flag::new("dry-run", Kind::Switch),
    Flag::new("ignore-not-found", Kind::Switch),
    Flag::new("keep-history", Kind::Switch),
    Flag::new("no-hooks", Kind::Switch),
];

fn run(parsed: &Parsed, settings: &Settings) -> Outcome {
    let cascade = match parsed.text("cascade") {
        None | Some("background") => Cascade::Background,
        Some("foreground") => Cascade::Foreground,
        Some("orphan") => Cascade::Orphan,
        Some(word) => {
            return Err(format!(
                "invalid cascade value ({word}). Must be \"background\", \"foreground\", or \"orphan\""
            ));
        }
    };
    let options = Options {
        cascade,
        dry_run: if parsed.on("dry-run") { DryRun::Server } else { DryRun::No },
        keep_history: parsed.on("keep-history"),
        ..operation::options(parsed)?
    };
    on_cluster(settings, async |engine| {
        for name in &parsed.arguments {
            match engine.uninstall(name, &options).await {
                Ok(done) if done.info.is_empty() => {}
                Ok(done) => super::out(&format!("{}\n", done.info)),
                Err(Error::NotLoaded(_) | Error::NotFound) if parsed.on("ignore-not-found") => {}
                Err(error) => {
                    operation::advise(&engine, name, &error).await;
                    return Err(error.to_string());
                }
            }
            super::out(&format!("release \"{name}\" uninstalled\n"));
        }
        Ok(())
    })
}
