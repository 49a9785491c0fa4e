//! Reading what is there: revisions, history, lists, the live objects of a release.

use crate::apply::Item;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::object::ObjectId;
use crate::parallel::side_by_side;
use crate::readiness::{Readiness, Rules, State, judge};
use crate::record::{Release, Status};
use crate::storage::{Summary, newest};
use futures::FutureExt;
use jiff::Timestamp;
use serde_json::Value;

/// An object of a release as it is on the cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveObject {
    /// What it is.
    pub id: ObjectId,
    /// Its state.
    pub readiness: Readiness,
    /// The object itself; null when it does not exist.
    pub object: Value,
}

impl Engine {
    /// Reads a revision; 0 means the newest.
    pub async fn get(&self, name: &str, revision: u32) -> Result<Release> {
        super::check_name(name)?;
        match revision {
            0 => self.storage.last(name).await?.ok_or(Error::NotFound),
            revision => self.storage.get(name, revision).await,
        }
    }

    /// Reads every revision, oldest first.
    pub async fn history(&self, name: &str) -> Result<Vec<Release>> {
        super::check_name(name)?;
        let history = self.storage.history(name).await?;
        if history.is_empty() { Err(Error::NotFound) } else { Ok(history) }
    }

    /// Reads what is to be shown of the newest revision of every release, by namespace and name; `everywhere` in all
    /// namespaces.
    pub async fn list(&self, everywhere: bool) -> Result<Vec<Summary>> {
        let index = self.storage.index(everywhere).await?;
        let among: Vec<Status> = index.iter().map(|entry| entry.status).collect();
        self.storage.summaries(newest(index), &among).await
    }

    /// Reads the live objects of a revision with their states, in the order of its manifest.
    pub async fn objects(&self, release: &Release) -> Result<Vec<LiveObject>> {
        let items = self.recorded(&release.manifest, &release.namespace).await?;
        let now = Timestamp::now().as_second();
        let mut tasks = Vec::new();
        for item in &items {
            tasks.push(self.live_object(item, now).boxed());
        }
        side_by_side(tasks).await.into_iter().collect()
    }

    async fn live_object(&self, item: &Item, now: i64) -> Result<LiveObject> {
        let live = self.cluster.get(&item.resource, &item.id.namespace, &item.id.name).await?;
        let readiness = match &live {
            Some(object) => judge(object, Rules::Objects, now),
            None => Readiness { state: State::NotFound, message: "Resource not found".to_owned() },
        };
        Ok(LiveObject { id: item.id.clone(), readiness, object: live.unwrap_or_default() })
    }
}
