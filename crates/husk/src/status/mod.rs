//! `husk status`: what is installed, how the nodes stand, what is wrong and what to do about it.

mod observe;
mod page;
mod picture;
mod problems;
mod terminal;
mod text;

pub(crate) use observe::{PAGE, pod_trouble};
pub(crate) use problems::names;

use crate::cli::Status;
use crate::cluster::{self, Cluster};
use crate::error::{Failure, Result};
use crate::screen::{Output, emit};
use crate::subject::{Names, Subject};
use crate::up::print_json;
use contract::Code;
pub(crate) use picture::Picture;
use std::path::Path;
use std::time::Duration;

pub(crate) async fn status(call: Status) -> Result<()> {
    let names = Subject::names(&call.subject);
    let source = match &call.from {
        Some(file) => Source::File(read(file)?),
        None => Source::Cluster(cluster::existing(&call.target).await?),
    };
    if call.watch {
        return terminal::show(&source, &names, Duration::from_secs(call.interval.max(1))).await;
    }
    let picture = source.look(&names).await?;
    if let Some(file) = &call.html {
        let fail = |error: std::io::Error| Failure::new(Code::UNREADABLE_FILE, format!("{}: {error}", file.display()));
        std::fs::write(file, page::page(&picture)).map_err(fail)?;
    }
    match call.output {
        Output::Json => print_json(&picture)?,
        Output::Text if call.html.is_some() => {}
        Output::Text => emit(&text::text(&picture)),
    }
    Ok(())
}

/// Where pictures come from.
enum Source {
    Cluster(Cluster),
    /// One that was saved with `-o json`.
    File(Box<Picture>),
}

impl Source {
    async fn look(&self, names: &Names) -> Result<Picture> {
        match self {
            Source::Cluster(cluster) => look(cluster, names).await,
            Source::File(picture) => Ok((**picture).clone()),
        }
    }
}

/// Observes an installation and puts its picture together.
pub(crate) async fn look(cluster: &Cluster, names: &Names) -> Result<Picture> {
    Ok(Picture::of(observe::observe(cluster, names).await?))
}

fn read(file: &Path) -> Result<Box<Picture>> {
    let fail = |why: String| Failure::new(Code::UNREADABLE_FILE, format!("{}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| fail(error.to_string()))?;
    let picture: Picture = serde_json::from_str(&text).map_err(|error| fail(error.to_string()))?;
    if picture.schema != picture::SCHEMA {
        return Err(fail(format!("its schema is `{}`, not `{}`", picture.schema, picture::SCHEMA)));
    }
    Ok(Box::new(picture))
}
