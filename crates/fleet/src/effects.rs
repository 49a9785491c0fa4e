//! What the plan asks for, done: one future for each action.

use crate::job_name::job_name;
use crate::node::Node;
use crate::observe::{self, ApiJob};
use crate::patience::{patiently, patiently_for};
use crate::plan::{Action, Event, Fleet};
use crate::run::Run;
use crate::template::Owner;
use crate::{marks, records, sandboxes};
use contract::{Code, NodeRecord, State, label};
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DeleteParams, ListParams, LogParams, PostParams, Preconditions, Request};
use kube::core::Status;
use kube::{Api, Client};
use std::time::Duration;

/// Lines kept of a failed container's log.
const LINES: i64 = 20;
/// How long a log is asked for: a kubelet that restarts is back by then.
const LOG_PATIENCE: Duration = Duration::from_secs(5);
/// Finished Jobs that one request deletes at most: it is through long before it is taken for lost.
const TOGETHER: u32 = 500;

/// How an effect ended.
#[allow(clippy::large_enum_variant, reason = "nearly all of them are events, and none is kept")]
pub(crate) enum Done {
    /// With news for the plan.
    Event(Event),
    /// The record of this node was written.
    Written(String),
    /// With nothing to say.
    Nothing,
}

pub(crate) fn carry_out(client: Client, run: &Run, fleet: &Fleet, action: Action) -> BoxFuture<'static, Done> {
    let namespace = run.namespace.clone();
    match action {
        Action::Create(name) => {
            let Some(node) = fleet.node(&name) else { return Box::pin(async { Done::Nothing }) };
            let job = run.template.pinned(&node, &run.settings.prefix, &namespace, &run.settings.owner).to_string();
            let labels = run.claim.then(|| marks::claim(&node.labels, &run.settings.install)).flatten();
            let (owner, prefix) = (run.settings.owner.clone(), run.settings.prefix.clone());
            Box::pin(async move {
                if let Some(labels) = labels
                    && let Err(error) = patiently(|| marks::set(&client, &node.name, &node.uid, &labels)).await
                {
                    return refused(node, format!("the node cannot be labelled: {error}"), Code::DISPATCHER_FAILED);
                }
                created(&client, &namespace, node, &owner, &prefix, job).await
            })
        }
        Action::Find { node, name, uid } => Box::pin(async move {
            let api = jobs(&client, &namespace);
            match patiently(|| api.get_opt(&name)).await {
                Ok(Some(job)) if job.metadata.uid.as_ref() == Some(&uid) => {
                    Done::Event(Event::Found(observe::job(job)))
                }
                Ok(_) => Done::Event(Event::JobGone { name, uid, node }),
                Err(error) => {
                    tracing::warn!("the Job {name} cannot be read: {error}");
                    Done::Nothing // the watch will tell
                }
            }
        }),
        Action::Delete { node, name, uid } => Box::pin(async move {
            let api: Api<Job> = Api::namespaced(client, &namespace);
            // Foreground: the Job stays until its pods are gone, so two installers never meet on a node.
            let parameters = DeleteParams::foreground()
                .preconditions(Preconditions { uid: Some(uid.clone()), resource_version: None });
            match patiently(|| api.delete(&name, &parameters)).await {
                // 409: another Job has the name by now; the watch brings it.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                    Done::Event(Event::JobGone { name, uid, node })
                }
                Err(error) => {
                    let message = format!("the Job {name} of an earlier run cannot be deleted: {error}");
                    Done::Event(Event::Undeletable { name, node, message })
                }
                Ok(_) => Done::Nothing,
            }
        }),
        Action::DeleteEarlier(count) => {
            let owner = run.settings.owner.clone();
            Box::pin(async move {
                let mut good = true;
                for _ in 0..count.div_ceil(TOGETHER as usize) {
                    if let Err(error) = patiently(|| delete_earlier(&client, &namespace, &owner)).await {
                        tracing::warn!("finished Jobs of earlier runs are deleted one by one: {error}");
                        good = false;
                        break;
                    }
                }
                Done::Event(Event::DeletedEarlier { good })
            })
        }
        Action::ReadLines { node, pod, container } => Box::pin(async move {
            let api: Api<Pod> = Api::namespaced(client, &namespace);
            let parameters = LogParams { container: Some(container), tail_lines: Some(LINES), ..LogParams::default() };
            let lines = match patiently_for(LOG_PATIENCE, || api.logs(&pod, &parameters)).await {
                Ok(text) => text.lines().map(|line| line.chars().take(500).collect()).collect(),
                Err(error) => vec![format!("(the log cannot be read: {error})")],
            };
            Done::Event(Event::Lines { node, lines })
        }),
        Action::CountSandboxes(name) => Box::pin(async move {
            let pods = patiently(|| sandboxes::on_node(&client, &name)).await;
            counted(name, pods.map(|pods| pods.len()))
        }),
        Action::Drain(name) => {
            let Some(node) = fleet.node(&name) else { return Box::pin(async { Done::Nothing }) };
            Box::pin(async move { counted(name, patiently(|| sandboxes::drain(&client, &node)).await) })
        }
        Action::Uncordon(name) => Box::pin(async move {
            if let Err(error) = patiently(|| sandboxes::uncordon(&client, &name)).await {
                tracing::warn!("node {name} cannot be uncordoned: {error}");
            }
            Done::Nothing
        }),
        Action::Forget(name) => {
            let install = run.settings.install.clone();
            Box::pin(async move {
                if let Err(error) = patiently(|| records::forget(&client, &namespace, &install, &name)).await {
                    tracing::warn!("the record of node {name}, which is gone, cannot be deleted: {error}");
                }
                Done::Nothing
            })
        }
    }
}

/// Deletes finished Jobs of earlier runs of this owner, as many as one request may take. They have no pod at work any more,
/// so nobody waits for those.
async fn delete_earlier(client: &Client, namespace: &str, owner: &Owner) -> kube::Result<()> {
    let which = ListParams::default()
        .labels(&format!("{}={},{}!={}", label::JOB_OWNER, owner.name, label::RUN, owner.uid))
        .fields("status.successful=1")
        .limit(TOGETHER);
    let request = Request::new(jobs(client, namespace).resource_url());
    let request = request.delete_collection(&DeleteParams::background(), &which).map_err(kube::Error::BuildRequest)?;
    let (mut parts, body) = request.into_parts();
    // The answer has all that was deleted; little is enough, and nothing of it is kept.
    let metadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
    parts.headers.insert(http::header::ACCEPT, http::HeaderValue::from_static(metadata));
    let answer = client.send(http::Request::from_parts(parts, body.into())).await?;
    if !answer.status().is_success() {
        let status = Status::failure("", "").with_code(answer.status().as_u16());
        return Err(kube::Error::Api(status.boxed()));
    }
    let mut body = answer.into_body();
    while let Some(piece) = body.frame().await {
        piece?;
    }
    Ok(())
}

fn jobs(client: &Client, namespace: &str) -> Api<ApiJob> {
    Api::namespaced_with(client.clone(), namespace, &ApiResource::erase::<Job>(&()))
}

fn counted(node: String, result: kube::Result<usize>) -> Done {
    Done::Event(match result {
        Ok(left) => Event::Sandboxes { node, left },
        Err(error) => {
            let message = format!("its Kata sandboxes cannot be seen to: {error}");
            Event::Refused { node, message, code: Code::DISPATCHER_FAILED }
        }
    })
}

fn refused(node: Node, message: String, code: Code) -> Done {
    Done::Event(Event::Refused { node: node.name, message, code })
}

/// Creates a Job, written out as JSON: nothing of the answer but its identity is read.
async fn created(client: &Client, namespace: &str, node: Node, owner: &Owner, prefix: &str, job: String) -> Done {
    let name = job_name(prefix, &node.name);
    let existing = jobs(client, namespace);
    let create = || async {
        let request = Request::new(existing.resource_url());
        let request = request.create(&PostParams::default(), job.clone().into_bytes());
        client.request::<ApiJob>(request.map_err(kube::Error::BuildRequest)?).await
    };
    loop {
        return match patiently(create).await {
            Ok(job) => Done::Event(Event::Created {
                node: node.name,
                node_uid: node.uid,
                uid: job.metadata.uid.unwrap_or_default(),
            }),
            Err(kube::Error::Api(status)) if status.code == 409 => {
                match patiently(|| existing.get_opt(&name)).await {
                    Ok(None) => continue, // it went away between the two answers
                    // Ours, or an earlier run's, which then has to go first: the plan tells by the identity.
                    Ok(Some(existing)) => {
                        let existing = observe::job(existing);
                        if existing.owner == owner.name && existing.node == node.name {
                            return Done::Event(Event::Found(existing));
                        }
                        let whose = if existing.owner.is_empty() { "nobody" } else { &existing.owner };
                        let message = format!("a Job {name} exists and belongs to {whose}");
                        refused(node, message, Code::JOB_NAME_TAKEN)
                    }
                    Err(error) => {
                        let message = format!("the Job {name} exists and cannot be read: {error}");
                        refused(node, message, Code::DISPATCHER_FAILED)
                    }
                }
            }
            Err(error) => refused(node, format!("the Job cannot be created: {error}"), Code::DISPATCHER_FAILED),
        };
    }
}

/// Writes a node's record, then perhaps an Event. `through` is the Node's identity when the run is through with it, `tell` when
/// an Event is to be left.
pub(crate) fn written(
    client: Client,
    run: &Run,
    record: NodeRecord,
    through: Option<String>,
    tell: Option<String>,
) -> BoxFuture<'static, Done> {
    let (namespace, removal) = (run.namespace.clone(), run.settings.removal);
    let through = through.filter(|_| !removal).map(|node| (run.settings.owner.uid.clone(), node));
    Box::pin(async move {
        let event = tell.map(|uid| records::event(&record, &uid, removal));
        let name = record.node.clone();
        let result = if removal && record.state == State::Done {
            patiently(|| records::forget(&client, &namespace, &record.install, &record.node)).await
        } else {
            let map = records::config_map(&namespace, record, through.as_ref());
            patiently(|| records::write(&client, &namespace, &map)).await
        };
        if let Err(error) = result {
            tracing::warn!("the record of node {name} cannot be written: {error}");
        }
        if let Some(event) = event
            && let Err(error) = patiently(|| records::announce(&client, &event)).await
        {
            tracing::warn!("no Event can be left on node {name}: {error}");
        }
        Done::Written(name)
    })
}
