//! `husk plan`: what `up` would do, asked of the cluster, and done by nobody.

use crate::cli::Plan as Call;
use crate::cluster;
use crate::error::{Failure, Result, exit};
use crate::preflight;
use crate::screen::{Output, Screen, emit};
use crate::subject::Subject;
use crate::up::print_json;
use release::diff::FieldChange;
use release::plan::Action;
use release::{Engine, Options, Reuse};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;

/// What `husk plan -o json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    schema: &'static str,
    release: String,
    namespace: String,
    revision: u32,
    changes: bool,
    selected: Vec<String>,
    skipped: Vec<Skipped>,
    objects: Vec<Object>,
    hooks: Vec<String>,
}

#[derive(Serialize)]
struct Skipped {
    node: String,
    why: String,
}

#[derive(Serialize)]
struct Object {
    action: &'static str,
    object: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<String>,
}

pub(crate) async fn plan(call: Call) -> Result<()> {
    let mut screen = Screen::open(Output::Json); // a plan is its own output
    let subject = Subject::load(&call.subject, &call.values)?;
    let objects = subject.objects()?;
    let rollouts = crate::rollout::rollouts(&objects);
    let cluster = cluster::reach(&call.target, &objects, &rollouts, &mut screen).await?;
    let nodes = preflight::nodes(&cluster.client).await?;
    preflight::check(&rollouts, &nodes)?;
    preflight::objects(&cluster.client, &objects, &subject.namespace).await?;

    let engine = Engine::new(cluster.client.clone(), &subject.namespace);
    let options = Options { create_namespace: true, force_conflicts: true, reuse: Reuse::Never, ..Options::default() };
    let plan = engine
        .plan(&subject.release, subject.source(), subject.values.clone(), &options)
        .await
        .map_err(|error| cluster::release_failure(&error))?;
    let mut report = Report {
        schema: "husk.plan/v1",
        release: plan.name.clone(),
        namespace: plan.namespace.clone(),
        revision: plan.revision,
        changes: !plan.is_empty(),
        selected: Vec::new(),
        skipped: Vec::new(),
        objects: plan
            .objects
            .iter()
            .filter_map(|planned| describe(&planned.object.to_string(), &planned.action))
            .collect(),
        hooks: plan.hooks.iter().map(|hook| format!("{} {} {}", hook.event, hook.kind, hook.name)).collect(),
    };
    for node in &nodes {
        let reasons: Vec<String> = rollouts
            .iter()
            .filter_map(|rollout| rollout.rules.left_out(node))
            .map(|reason| reason.to_string())
            .collect();
        if reasons.len() < rollouts.len() {
            report.selected.push(node.name.clone());
        } else if let Some(why) = reasons.into_iter().next() {
            report.skipped.push(Skipped { node: node.name.clone(), why });
        }
    }
    match call.output {
        Output::Json => print_json(&report)?,
        Output::Text => emit(&text(&report)),
    }
    if report.changes {
        return Err(Failure::plain("changes are pending; `husk up` makes them").exiting(exit::CHANGES));
    }
    Ok(())
}

fn describe(object: &str, action: &Action) -> Option<Object> {
    let (name, fields) = match action {
        Action::Unchanged => return None,
        Action::Create => ("create", Vec::new()),
        Action::Change { fields } => ("change", fields.iter().map(change).collect()),
        Action::Recreate { why } => ("recreate", vec![why.clone()]),
        Action::Delete => ("delete", Vec::new()),
        Action::Keep { why } => ("keep", vec![why.clone()]),
        Action::Blocked { code, why } => ("blocked", vec![format!("{code}: {why}")]),
    };
    Some(Object { action: name, object: object.to_owned(), fields })
}

fn change(field: &FieldChange) -> String {
    let show = |value: &Option<Value>| match value {
        None => "-".to_owned(),
        Some(value) => {
            let text = value.to_string();
            if text.chars().count() > 60 { text.chars().take(59).collect::<String>() + "…" } else { text }
        }
    };
    format!("{}: {} -> {}", field.path, show(&field.before), show(&field.after))
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "release {} in {}, revision {}", report.release, report.namespace, report.revision);
    let _ = writeln!(text, "\nnodes selected: {}", list(&report.selected));
    for skipped in report.skipped.iter().take(20) {
        let _ = writeln!(text, "  {} skipped: {}", skipped.node, skipped.why);
    }
    if report.objects.is_empty() {
        let _ = writeln!(text, "\nno object changes");
    } else {
        let _ = writeln!(text, "\nobjects:");
    }
    for object in &report.objects {
        let _ = writeln!(text, "  {:<8} {}", object.action, object.object);
        for field in &object.fields {
            let _ = writeln!(text, "             {field}");
        }
    }
    for hook in &report.hooks {
        let _ = writeln!(text, "  hook     {hook}");
    }
    text
}

fn list(names: &[String]) -> String {
    match names.len() {
        0 => "none".to_owned(),
        count if count > 20 => format!("{} and {} more", names[..20].join(", "), count - 20),
        _ => names.join(", "),
    }
}
