//! What an operation would do: every object is rehearsed on the server, nothing is kept.

use super::{Situation, check_name, without};
use crate::apply::{Item, resolve_beside};
use crate::cluster::{Apply, Cluster};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::hooks::order;
use crate::object::parse_manifest;
use crate::options::{Crds, DryRun, Options};
use crate::ownership;
use crate::parallel::side_by_side;
use crate::plan::{Action, Observed, Plan, Planned, PlannedHook, decide, decide_unwanted};
use crate::record::{HookEvent, Release, Status};
use crate::source::Source;
use chart::render::install_order;
use futures::FutureExt;
use serde_json::{Map, Value};
use std::sync::Arc;

impl Engine {
    /// Plans [`Engine::install_or_upgrade`]: renders for the cluster as it is, and asks the server about every object.
    ///
    /// Errors: as rendering and reading the cluster; what would stop the operation at an object is in the plan.
    pub async fn plan(
        &self,
        name: &str,
        source: Arc<dyn Source>,
        values: Map<String, Value>,
        options: &Options,
    ) -> Result<Plan> {
        check_name(name)?;
        self.cluster.version().await?;
        let options = Options { dry_run: DryRun::Server, ..options.clone() };
        let history = self.storage.history(name).await?;
        let situation = super::resume::situation(&history);
        let deployed = situation == Situation::Deployed;
        let release = if deployed {
            let base = super::upgrade::base_of(&resumed(history.clone())).ok_or(Error::NotFound)?;
            self.next_revision(&source, values, &history, &base, &options).await?
        } else {
            let revision = history.last().map_or(1, |last| last.version + 1);
            let facts = self.facts().await?;
            self.rendered(name, &source, values, revision, Some(facts), &options).await?
        };
        let (events, crds) = if deployed {
            ([HookEvent::PreUpgrade, HookEvent::PostUpgrade], options.crds == Crds::Apply)
        } else {
            ([HookEvent::PreInstall, HookEvent::PostInstall], options.crds != Crds::Skip)
        };

        let crds = if crds { self.crd_items(&source, &release.config).await? } else { vec![] };
        let mut objects = self.planned_crds(&crds, options.crds).await?;
        objects.extend(self.planned_objects(&release, &crds, &history, &options).await?);
        let hooks = if options.hooks { planned_hooks(&release, &events) } else { vec![] };
        Ok(Plan {
            name: name.to_owned(),
            namespace: release.namespace,
            situation,
            revision: release.version,
            objects,
            hooks,
        })
    }

    /// Tells how the objects of a revision differ from what was installed: each is rehearsed on the server, nothing is kept.
    ///
    /// Errors: as reading the cluster.
    pub async fn drift(&self, release: &Release) -> Result<Vec<Planned>> {
        let items = self.stamped(&release.manifest, &release.name, &release.namespace).await?;
        let tasks = items.iter().map(|item| rehearse(&self.cluster, item, true).boxed()).collect();
        let mut differing = Vec::new();
        for (item, rehearsal) in items.iter().zip(side_by_side(tasks).await) {
            let seen = rehearsal?;
            let action = decide(&item.id, &seen.observed(false, false), &release.name, &release.namespace);
            if action != Action::Unchanged {
                differing.push(Planned { object: item.id.clone(), action });
            }
        }
        Ok(differing)
    }

    async fn crd_items(&self, source: &Arc<dyn Source>, values: &Map<String, Value>) -> Result<Vec<Item>> {
        let mut objects = Vec::new();
        for crd in source.crds(values).map_err(Error::Render)? {
            objects.extend(parse_manifest(&crd.text)?);
        }
        resolve_beside(&self.cluster, objects, &[], "").await
    }

    async fn planned_crds(&self, crds: &[Item], policy: Crds) -> Result<Vec<Planned>> {
        let mut planned = Vec::new();
        for item in crds {
            let seen = rehearse(&self.cluster, item, false).await?;
            let action = match (policy, &seen.live) {
                (Crds::CreateNew, Some(_)) => Action::Unchanged,
                _ => decide(&item.id, &seen.observed(false, false), "", ""),
            };
            planned.push(Planned { object: item.id.clone(), action });
        }
        Ok(planned)
    }

    async fn planned_objects(
        &self,
        release: &Release,
        crds: &[Item],
        history: &[Release],
        options: &Options,
    ) -> Result<Vec<Planned>> {
        let (name, namespace) = (&release.name, &release.namespace);
        let mut objects = parse_manifest(&release.manifest)?;
        objects.iter_mut().for_each(|object| ownership::stamp(object, name, namespace));
        let definitions: Vec<Value> = crds.iter().map(|item| item.object.clone()).collect();
        let mut items = resolve_beside(&self.cluster, objects, &definitions, namespace).await?;
        items.sort_by(|a, b| install_order(&a.id.kind, &b.id.kind));
        let earlier = self.left_by(history).await?;

        let mut tasks = Vec::new();
        for item in &items {
            tasks.push(rehearse(&self.cluster, item, options.force_conflicts).boxed());
        }
        let rehearsals = side_by_side(tasks).await;
        let mut planned = Vec::new();
        for (item, rehearsal) in items.iter().zip(rehearsals) {
            let known = earlier.iter().any(|old| old.id.is_same_object(&item.id));
            let seen = rehearsal?;
            let observed = seen.observed(!known && !options.take_ownership, options.recreate);
            planned.push(Planned { object: item.id.clone(), action: decide(&item.id, &observed, name, namespace) });
        }
        for item in without(earlier, &items) {
            let live = self.cluster.get(&item.resource, &item.id.namespace, &item.id.name).await?;
            if let Some(action) = decide_unwanted(&item.object, live.as_ref(), name, namespace) {
                planned.push(Planned { object: item.id, action });
            }
        }
        Ok(planned)
    }
}

struct Rehearsal {
    live: Option<Value>,
    answer: Result<Value>,
}

impl Rehearsal {
    fn observed(&self, must_be_ours: bool, recreate: bool) -> Observed<'_> {
        Observed { live: self.live.as_ref(), rehearsal: self.answer.as_ref(), must_be_ours, recreate }
    }
}

async fn rehearse(cluster: &Cluster, item: &Item, force: bool) -> Result<Rehearsal> {
    let Item { id, resource, object } = item;
    if id.name.is_empty() {
        return Ok(Rehearsal { live: None, answer: cluster.create(resource, &id.namespace, object, true).await });
    }
    let live = cluster.get(resource, &id.namespace, &id.name).await?;
    let answer = match cluster.apply(resource, id, object, Apply { force, dry_run: true }).await {
        Err(error @ Error::Unreachable(_)) => return Err(error),
        answer => answer,
    };
    Ok(Rehearsal { live, answer })
}

/// Returns a history as it is after the unfinished operation at its end was taken over.
fn resumed(mut history: Vec<Release>) -> Vec<Release> {
    if let Some(last) = history.last_mut()
        && last.info.status.is_pending()
    {
        last.info.status = Status::Failed;
    }
    history
}

fn planned_hooks(release: &Release, events: &[HookEvent]) -> Vec<PlannedHook> {
    let mut hooks = Vec::new();
    for event in events {
        for place in order(&release.hooks, *event) {
            let hook = &release.hooks[place];
            let (kind, name, path) = (hook.kind.clone(), hook.name.clone(), hook.path.clone());
            hooks.push(PlannedHook { event: event.as_str(), kind, name, path });
        }
    }
    hooks
}
