//! `husk plan`: what `up` would do, asked of the cluster, and done by nobody.

use crate::blast::{self, Blast};
use crate::cli::Plan as Call;
use crate::cluster::{self, Cluster, api_failure};
use crate::error::{Failure, Result, exit};
use crate::node_jobs::{self, Wanted};
use crate::preflight::{self, snapshot};
use crate::screen::{Output, Screen, emit};
use crate::subject::Subject;
use crate::up::print_json;
use kube::Api;
use kube::api::{ApiResource, ListParams};
use release::diff::FieldChange;
use release::plan::Action;
use release::{Engine, Options, Reuse};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
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
    blast: Blast,
    selected: Vec<String>,
    skipped: Vec<Skipped>,
    /// What nodes that were asked say would be edited there, line by line.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    edits: BTreeMap<String, Vec<String>>,
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
        blast: blast_of(&cluster, &subject, &objects, &rollouts, &nodes, !plan.is_empty()).await?,
        edits: edits(&cluster, &objects, &nodes, &rollouts, &call).await?,
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
        Output::Text => emit(&text(&report, nodes.len())),
    }
    if report.changes {
        return Err(Failure::plain("changes are pending; `husk up` makes them").exiting(exit::CHANGES));
    }
    Ok(())
}

async fn blast_of(
    cluster: &Cluster,
    subject: &Subject,
    objects: &[Value],
    rollouts: &[crate::rollout::Rollout],
    nodes: &[fleet::node::Node],
    objects_change: bool,
) -> Result<Blast> {
    let engine = Engine::new(cluster.client.clone(), &subject.namespace);
    let (installed, standing) = match engine.get(&subject.release, 0).await {
        Ok(release) => {
            let hooks = release.hooks.iter().map(|hook| hook.manifest.as_str());
            let objects = crate::subject::parse(&release.manifest, hooks)?;
            let rollouts = crate::rollout::rollouts(&objects);
            let standing = crate::convergence::standing(cluster, &subject.namespace, &rollouts, nodes).await?;
            (objects, standing)
        }
        Err(release::Error::NotFound) => (Vec::new(), Vec::new()),
        Err(error) => return Err(cluster::release_failure(&error)),
    };
    let images = |objects: &[Value]| node_jobs::node_pod(objects).map(|pod| pod.images()).unwrap_or_default();
    Ok(blast::radius(&blast::Facts {
        nodes: &snapshot::nodes(&cluster.client).await?,
        standing: &standing,
        wanted: rollouts,
        installed: &crate::rollout::rollouts(&installed),
        images: &images(objects),
        installed_images: &images(&installed),
        sandboxes: &sandboxes(cluster).await?,
        objects_change,
    }))
}

/// The part of a Pod's `spec` that is read.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct PlacedPod {
    node_name: String,
    runtime_class_name: String,
}

/// Counts the pods of Kata's classes on each node, page by page.
async fn sandboxes(cluster: &Cluster) -> Result<BTreeMap<String, usize>> {
    type Placed = kube::core::Object<PlacedPod, kube::core::NotUsed>;
    let resource = ApiResource::erase::<k8s_openapi::api::core::v1::Pod>(&());
    let api: Api<Placed> = Api::all_with(cluster.client.clone(), &resource);
    let mut parameters = ListParams::default().limit(crate::status::PAGE);
    let mut counts = BTreeMap::new();
    loop {
        let page = api.list(&parameters).await.map_err(api_failure)?;
        for pod in page.items.iter().filter(|pod| pod.spec.runtime_class_name.starts_with("kata")) {
            *counts.entry(pod.spec.node_name.clone()).or_default() += 1;
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(counts),
        }
    }
}

/// Asks nodes what the installer would edit there, when the user wants that.
async fn edits(
    cluster: &Cluster,
    objects: &[Value],
    nodes: &[fleet::node::Node],
    rollouts: &[crate::rollout::Rollout],
    call: &Call,
) -> Result<BTreeMap<String, Vec<String>>> {
    let selected = |node: &&fleet::node::Node| rollouts.iter().any(|rollout| rollout.rules.left_out(node).is_none());
    let asked: Vec<String> = match call.ask.as_deref().map(|text| Wanted::read(Some(text))) {
        None | Some(Wanted::None | Wanted::Sample) => return Ok(BTreeMap::new()),
        Some(Wanted::All) => nodes.iter().filter(selected).map(|node| node.name.clone()).collect(),
        Some(Wanted::Named(names)) => {
            node_jobs::check_names(&names, nodes.iter().map(|node| node.name.as_str()))?;
            names
        }
    };
    let Some(pod) = node_jobs::node_pod(objects) else { return Ok(BTreeMap::new()) };
    let verb = ["plan", "--host-root", "/host"];
    let answers = node_jobs::ask(&cluster.client, &pod.with_payload(), &asked, &verb, call.timeout).await?;
    let lines = |answer: node_jobs::Answer| match answer.trouble.filter(|_| answer.output.is_empty()) {
        Some(trouble) => vec![format!("not known: {trouble}")],
        None => answer.output.lines().map(str::to_owned).collect(),
    };
    Ok(answers.into_iter().map(|(node, answer)| (node, lines(answer))).collect())
}

fn describe(object: &str, action: &Action) -> Option<Object> {
    let (name, fields) = match action {
        Action::Unchanged => return None,
        Action::Create => ("create", Vec::new()),
        Action::Change { fields } => ("change", fields.iter().flat_map(change).collect()),
        Action::Recreate { why } => ("recreate", vec![why.clone()]),
        Action::Delete => ("delete", Vec::new()),
        Action::Keep { why } => ("keep", vec![why.clone()]),
        Action::Blocked { code, why } => ("blocked", vec![format!("{code}: {why}")]),
    };
    Some(Object { action: name, object: object.to_owned(), fields })
}

/// Says what changes in a field: the values, or of texts of many lines the lines.
fn change(field: &FieldChange) -> Vec<String> {
    if let (Some(Value::String(before)), Some(Value::String(after))) = (&field.before, &field.after)
        && before.contains('\n')
        && after.contains('\n')
    {
        let lines = changed_lines(before, after);
        let shown = lines.iter().take(LINES).map(|line| format!("  {line}"));
        let rest = lines.len().saturating_sub(LINES);
        let rest = (rest > 0).then(|| format!("  and {rest} more lines"));
        return [format!("{}:", field.path)].into_iter().chain(shown).chain(rest).collect();
    }
    let show = |value: &Option<Value>| match value {
        None => "-".to_owned(),
        Some(value) => {
            let text = value.to_string();
            if text.chars().count() > 60 { text.chars().take(59).collect::<String>() + "…" } else { text }
        }
    };
    vec![format!("{}: {} -> {}", field.path, show(&field.before), show(&field.after))]
}

/// Most lines of a text that are shown as changed; the rest is counted.
const LINES: usize = 12;

/// Returns the lines that go (`- …`) and come (`+ …`), in order; what is the same at both ends is not looked at.
fn changed_lines(before: &str, after: &str) -> Vec<String> {
    let (mut old, mut new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    (old, new) = (old.split_off(same), new.split_off(same));
    while !old.is_empty() && old.last() == new.last() {
        old.pop();
        new.pop();
    }
    if old.len().saturating_mul(new.len()) > 1_000_000 {
        return vec![format!("{} lines become {}", old.len(), new.len())];
    }
    // How long the longest common part of the rests is, from each place on.
    let mut common = vec![vec![0usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] =
                if old[i] == new[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(format!("- {}", cut(old[i].trim())));
            i += 1;
        } else {
            lines.push(format!("+ {}", cut(new[j].trim())));
            j += 1;
        }
    }
    lines
}

fn cut(text: &str) -> String {
    if text.chars().count() > 100 { text.chars().take(99).collect::<String>() + "…" } else { text.to_owned() }
}

fn text(report: &Report, total: usize) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "release {} in {}, revision {}", report.release, report.namespace, report.revision);
    let _ = write!(text, "\n{}", blast::text(&report.blast, total));
    let _ = writeln!(text, "\nnodes selected: {}", list(&report.selected));
    for skipped in report.skipped.iter().take(20) {
        let _ = writeln!(text, "  {} skipped: {}", skipped.node, skipped.why);
    }
    for (node, lines) in &report.edits {
        let _ = writeln!(text, "\nedits on {node}:");
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_long_texts_the_lines_that_differ_are_shown() {
        let before = "a\nshims: qemu\nb\nc\nd\n";
        assert_eq!(changed_lines(before, "a\nshims: qemu clh\nb\nd\n"), ["- shims: qemu", "+ shims: qemu clh", "- c"]);
        assert_eq!(changed_lines(before, before), Vec::<String>::new());
        assert_eq!(changed_lines("a\n", "a\nb\n"), ["+ b"]);
        let (many, more) = ("x\n".repeat(2000), "y\n".repeat(2000));
        assert_eq!(changed_lines(&many, &more), ["2000 lines become 2000"]);
        let field = FieldChange {
            path: "data.f".into(),
            before: Some(Value::String((0..40).map(|n| format!("{n}\n")).collect())),
            after: Some(Value::String("\n".into())),
        };
        let lines = change(&field);
        assert_eq!((lines[0].as_str(), lines.len(), lines[13].as_str()), ("data.f:", 14, "  and 29 more lines"));
    }
}
