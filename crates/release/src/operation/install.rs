//! Installing a chart.

use super::{Work, check_name};
use crate::apply::{ApplyOptions, Item, apply_all, check_adoption, resolve};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::object::{ObjectId, parse_manifest};
use crate::options::{Crds, DryRun, Options, Takeover};
use crate::record::{HookEvent, Info, Release, SERVER_SIDE, Status, Time};
use crate::source::{RenderInput, Source};
use serde_json::{Map, Value, json};
use std::sync::Arc;

impl Engine {
    /// Installs a chart as a new release. With [`Options::replace`] a release that failed or was uninstalled may be there
    /// already; what an earlier attempt left on the cluster and is no longer wanted is removed.
    ///
    /// Errors: [`Error::NameInUse`], [`Error::NotOurs`] for objects of others, everything that applying, waiting and
    /// hooks can meet. After an error past the first store the release is recorded as failed, and may be installed again
    /// with `replace` or upgraded.
    pub async fn install(
        &self,
        name: &str,
        source: Arc<dyn Source>,
        values: Map<String, Value>,
        options: &Options,
    ) -> Result<Release> {
        check_name(name)?;
        if options.dry_run == DryRun::Client {
            return self.rendered(name, &source, values, 1, None, options).await;
        }
        self.cluster.version().await?;
        let history = if options.dry_run == DryRun::No { self.replaceable(name, options).await? } else { vec![] };
        let revision = history.last().map_or(1, |last| last.version + 1);

        if options.dry_run == DryRun::No {
            self.install_crds(&source, &values, options.crds).await?;
        } else if options.crds != Crds::Skip && !source.crds(&values).map_err(Error::Render)?.is_empty() {
            let text = "This chart or one of its subcharts contains CRDs. Rendering may fail or contain inaccuracies.";
            self.cluster.progress.warn(text);
        }
        let facts = self.facts().await?;
        let mut release = self.rendered(name, &source, values, revision, Some(facts), options).await?;
        let objects = self.stamped(&release.manifest, name, &self.namespace).await?;
        if !options.take_ownership {
            let all: Vec<&Item> = objects.iter().collect();
            check_adoption(&self.cluster, &all, name, &self.namespace, "install").await?;
        }
        if options.dry_run == DryRun::Server {
            return Ok(release);
        }
        if options.create_namespace {
            self.create_namespace().await?;
        }
        let earlier = self.left_by(&history).await?;
        self.mark_replaced(&history).await?;
        let _held = self.open(&release, options).await?;

        let work = Work { options, before: HookEvent::PreInstall, after: HookEvent::PostInstall, objects, earlier };
        if let Err(error) = self.carry_out(&mut release, work, &mut Vec::new()).await {
            return Err(self.installation_failed(release, error, options).await);
        }
        let description = options.description.clone().unwrap_or_else(|| "Install complete".to_owned());
        release.set_status(Status::Deployed, description);
        self.record(&release).await?;
        Ok(release)
    }

    pub(super) async fn rendered(
        &self,
        name: &str,
        source: &Arc<dyn Source>,
        values: Map<String, Value>,
        revision: u32,
        cluster: Option<crate::source::ClusterFacts>,
        options: &Options,
    ) -> Result<Release> {
        let input = RenderInput {
            name: name.to_owned(),
            namespace: self.namespace.clone(),
            revision,
            is_upgrade: false,
            values: values.clone(),
            defaults: None,
            cluster,
        };
        let bundle = self.render(source, input).await?;
        let now = Time::now();
        let dry = options.dry_run != DryRun::No;
        let description = if dry { "Dry run complete" } else { "Initial install underway" };
        Ok(Release {
            name: name.to_owned(),
            info: Info {
                first_deployed: Some(now),
                last_deployed: Some(now),
                description: description.to_owned(),
                status: Status::PendingInstall,
                notes: bundle.notes,
                ..Info::default()
            },
            chart: bundle.chart,
            config: values,
            manifest: bundle.manifest,
            hooks: bundle.hooks,
            version: revision,
            namespace: self.namespace.clone(),
            apply_method: SERVER_SIDE.to_owned(),
            labels: options.labels.clone(),
            other: Map::new(),
        })
    }

    /// Returns the history that the new release continues: empty, or one that may be replaced.
    async fn replaceable(&self, name: &str, options: &Options) -> Result<Vec<Release>> {
        let mut history = self.storage.history(name).await?;
        let Some(last) = history.last_mut() else { return Ok(history) };
        if last.info.status.is_pending() && options.takeover != Takeover::Never {
            self.take_over(last, options.takeover).await?;
        }
        match last.info.status {
            Status::Uninstalled | Status::Failed if options.replace => Ok(history),
            _ => Err(Error::NameInUse),
        }
    }

    async fn mark_replaced(&self, history: &[Release]) -> Result<()> {
        match history.last() {
            Some(last) if last.info.status == Status::Uninstalled => {
                let mut last = last.clone();
                last.set_status(Status::Superseded, "superseded by new release");
                self.record(&last).await
            }
            _ => Ok(()),
        }
    }

    /// Brings the chart's own CustomResourceDefinitions to the cluster and waits until they are served.
    pub(super) async fn install_crds(
        &self,
        source: &Arc<dyn Source>,
        values: &Map<String, Value>,
        policy: Crds,
    ) -> Result<()> {
        if policy == Crds::Skip {
            return Ok(());
        }
        for crd in source.crds(values).map_err(Error::Render)? {
            let failed = |error| Error::Crd { name: crd.name.clone(), source: Box::new(error) };
            let objects = parse_manifest(&crd.text).map_err(failed)?;
            let mut items = resolve(&self.cluster, objects, &self.namespace).await.map_err(failed)?;
            if policy == Crds::CreateNew {
                let mut new = Vec::new();
                for item in items {
                    let live = self.cluster.get(&item.resource, &item.id.namespace, &item.id.name).await;
                    if live.map_err(failed)?.is_none() {
                        new.push(item);
                    }
                }
                items = new;
            }
            apply_all(&self.cluster, &items, ApplyOptions::default(), &mut Vec::new()).await.map_err(failed)?;
        }
        Ok(())
    }

    async fn create_namespace(&self) -> Result<()> {
        let name = &self.namespace;
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"name": name}}});
        let items = resolve(&self.cluster, vec![namespace], "").await?;
        for item in items {
            let ObjectId { name, .. } = &item.id;
            if self.cluster.get(&item.resource, "", name).await?.is_none() {
                apply_all(&self.cluster, &[item], ApplyOptions::default(), &mut Vec::new()).await?;
            }
        }
        Ok(())
    }

    async fn installation_failed(&self, mut release: Release, error: Error, options: &Options) -> Error {
        let name = release.name.clone();
        self.record_failure(&mut release, format!("Release {name:?} failed: {}", error.described(options.root_causes)))
            .await;
        if !options.rollback_on_failure {
            return error;
        }
        let undo = Options { keep_history: false, rollback_on_failure: false, ..options.clone() };
        let source = Box::new(error);
        match Box::pin(self.remove_release(&name, &undo)).await {
            Ok(_) => Error::Undone { name, undone: "uninstalled", source },
            Err(second) => {
                Error::UndoFailed { undoing: "uninstalling", operation: "install", source, second: Box::new(second) }
            }
        }
    }
}
