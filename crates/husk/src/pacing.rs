//! `husk rollout pause|resume|abort`: a word to the dispatcher that is at work.

use crate::cli::{RolloutOrder, RolloutVerb};
use crate::cluster::{self, api_failure};
use crate::error::{Failure, Result};
use crate::screen::{Output, Screen};
use crate::subject::Subject;
use contract::label;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

pub(crate) async fn order(verb: RolloutVerb) -> Result<()> {
    let (word, done, call): (&str, &str, RolloutOrder) = match verb {
        RolloutVerb::Pause(call) => ("pause", "begins no further node; those in flight are finished", call),
        RolloutVerb::Resume(call) => ("resume", "goes on", call),
        RolloutVerb::Abort(call) => ("abort", "ends when the nodes in flight are finished", call),
    };
    let cluster = cluster::existing(&call.target).await?;
    let names = Subject::names(&call.subject);
    let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), &names.namespace);
    let of_release = format!("{},app.kubernetes.io/instance={}", label::DISPATCHER, names.release);
    let list = jobs.list(&ListParams::default().labels(&of_release)).await.map_err(api_failure)?;
    let at_work: Vec<String> = list
        .into_iter()
        .filter(|job| {
            let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
            !conditions.into_iter().any(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")
        })
        .map(|job| job.name_any())
        .collect();
    if at_work.is_empty() {
        return Err(Failure::plain(format!(
            "no dispatcher of release {} is at work in namespace {}",
            names.release, names.namespace
        )));
    }
    let mut screen = Screen::open(call.output);
    let patch = Patch::Merge(json!({"metadata": {"annotations": {label::ORDER: word}}}));
    for name in &at_work {
        jobs.patch_metadata(name, &PatchParams::default(), &patch).await.map_err(api_failure)?;
        screen.step("rollout", &format!("{name} {done}"));
    }
    match call.output {
        Output::Text => Ok(()),
        Output::Json => crate::up::print_json(&json!({"schema": "husk.rollout/v1", "order": word, "jobs": at_work})),
    }
}
