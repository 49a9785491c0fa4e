//! What is wrong, each with its cause and the next command: a pure function of what was seen.

use super::picture::{PodTrouble, Seen, Standing};
use crate::summary::NodeSummary;
use contract::code::entry;
use contract::{Code, Stage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most node names that a problem lists; the rest is counted.
pub(crate) const NAMED: usize = 8;
/// A node whose installer has said nothing for so long (seconds) is worth a look.
const SILENT: i64 = 600;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Something does not work.
    Error,
    /// Something deserves a look.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Problem {
    pub(crate) severity: Severity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<Code>,
    /// One line: what, and where.
    pub(crate) title: String,
    /// What is known of the cause, in the words of whoever met it.
    pub(crate) cause: String,
    /// What to do now.
    pub(crate) next: String,
    /// Some of the nodes that it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) nodes: Vec<String>,
    /// How many nodes it is about.
    #[serde(default)]
    pub(crate) count: usize,
}

/// Finds everything that is wrong; the worst comes first.
pub(crate) fn find(seen: &Seen) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    problems.extend(release(seen));
    problems.extend(failed_nodes(seen));
    problems.extend(pods(seen));
    problems.extend(drifted_nodes(seen));
    problems.extend(silent_nodes(seen));
    problems.extend(unready_nodes(seen));
    problems.extend(objects(seen));
    problems.extend(left_behind(seen));
    if !seen.rollouts.is_empty() && seen.nodes.iter().all(|node| !node.selected) {
        problems.push(of_code(
            Severity::Error,
            Code::NO_NODE_SELECTED,
            "no node is selected",
            seen.nodes.iter().find_map(|node| Some(format!("{} {}", node.name, node.skipped.as_ref()?))),
            None,
        ));
    }
    problems.sort_by_key(|problem| problem.severity);
    problems
}

fn of_code(severity: Severity, code: Code, title: &str, cause: Option<String>, next: Option<String>) -> Problem {
    let known = entry(code);
    Problem {
        severity,
        code: Some(code),
        title: title.to_owned(),
        cause: cause.unwrap_or_else(|| known.map(|entry| entry.meaning.to_owned()).unwrap_or_default()),
        next: next.unwrap_or_else(|| known.map(|entry| entry.next.to_owned()).unwrap_or_default()),
        nodes: Vec::new(),
        count: 0,
    }
}

fn about(mut problem: Problem, nodes: &[&str]) -> Problem {
    problem.count = nodes.len();
    problem.nodes = nodes.iter().take(NAMED).map(|name| (*name).to_owned()).collect();
    problem
}

/// `k8s-1`, `k8s-1 and k8s-2`, `12 nodes (a, b, …)`.
pub(crate) fn names(nodes: &[&str]) -> String {
    match nodes {
        [] => "no node".to_owned(),
        [one] => (*one).to_owned(),
        [one, two] => format!("{one} and {two}"),
        many if many.len() <= 4 => format!("{} nodes ({})", many.len(), many.join(", ")),
        many => format!("{} nodes ({}, …)", many.len(), many[..3].join(", ")),
    }
}

fn release(seen: &Seen) -> Option<Problem> {
    let problem = |title: String, cause: String, next: &str| {
        Some(of_code(Severity::Error, Code::RELEASE_BUSY, &title, Some(cause), Some(next.to_owned())))
    };
    let Seen { status, revision, description, .. } = seen;
    match status.as_str() {
        "deployed" | "superseded" => None,
        "failed" => Some(Problem {
            severity: Severity::Error,
            code: description
                .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
                .find_map(|word| word.parse().ok()),
            title: format!("revision {revision} failed"),
            cause: description.clone(),
            next: "remove the cause, then `husk resume` (the same again) or `husk helm rollback` (back to what worked)"
                .to_owned(),
            nodes: Vec::new(),
            count: 0,
        }),
        "uninstalling" | "uninstalled" if seen.holder.as_ref().is_none_or(|holder| !holder.alive) => problem(
            format!("the removal of revision {revision} was cut off"),
            "whoever removed it is gone; some of its objects may be left".to_owned(),
            "`husk recover` finishes the removal",
        ),
        pending => match &seen.holder {
            Some(holder) if holder.alive => Some(Problem {
                severity: Severity::Warning,
                ..problem(
                    format!("revision {revision} is {pending}"),
                    format!("{} is at work on it", holder.name),
                    "wait; `husk status --watch` shows how it gets on",
                )?
            }),
            holder => problem(
                format!("revision {revision} was left {pending}"),
                match holder {
                    Some(holder) => format!("{} was at work on it and is gone", holder.name),
                    None => "nobody left a name; Helm leaves none".to_owned(),
                },
                "`husk recover` takes it over and brings it to its end",
            ),
        },
    }
}

fn failed_nodes(seen: &Seen) -> Vec<Problem> {
    let mut groups: BTreeMap<(Option<Code>, Option<Stage>), Vec<&NodeSummary>> = BTreeMap::new();
    for node in seen.nodes.iter().filter(|node| Standing::of(node) == Standing::Failed) {
        groups.entry((node.code, node.stage)).or_default().push(node);
    }
    groups
        .into_iter()
        .map(|((code, stage), nodes)| {
            let list: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
            let stage = stage.map(|stage| format!(" at stage {stage}")).unwrap_or_default();
            let what = code.and_then(entry).map_or("failed", |entry| entry.title);
            let title = format!("{}: {what}{stage}", names(&list));
            let first = nodes.first().map_or("", |node| node.message.as_str());
            let cause = if nodes.iter().all(|node| node.message == first) {
                first.to_owned()
            } else {
                format!("{}: {first}", list.first().copied().unwrap_or_default())
            };
            let code = code.unwrap_or(Code::NODES_FAILED);
            let advice = entry(code).map_or("", |entry| entry.next);
            let next = if advice.contains("run the command again") || advice.contains("Run the command again") {
                format!("{advice} The command is `husk resume`.")
            } else {
                format!("{advice} Then: `husk resume`.")
            };
            about(of_code(Severity::Error, code, &title, Some(cause), Some(next)), &list)
        })
        .collect()
}

fn pods(seen: &Seen) -> Vec<Problem> {
    let mut groups: BTreeMap<(&str, &str), Vec<&PodTrouble>> = BTreeMap::new();
    for trouble in &seen.pods {
        groups.entry((&trouble.container, &trouble.reason)).or_default().push(trouble);
    }
    groups
        .into_iter()
        .map(|((container, reason), troubles)| {
            let list: Vec<&str> = troubles.iter().map(|trouble| trouble.node.as_str()).collect();
            let first = troubles[0];
            let place = if container.is_empty() { "the pod".to_owned() } else { format!("container {container}") };
            let (code, what) = obstacle(reason);
            let again = if first.restarts > 0 { format!(", started {} times", first.restarts + 1) } else { String::new() };
            let cause = match first.message.as_str() {
                "" => format!("pod {}: {reason}{again}", first.pod),
                message => format!("pod {}: {reason}{again}: {message}", first.pod),
            };
            let title = format!("{}: {place} {what}", names(&list));
            let next = match code {
                Code::CONTAINER_CANNOT_START if reason.contains("Image") => {
                    "check `image`, `node.image`, `imagePullSecrets` and the registry; the kubelet tries again by itself, \
                     `husk resume` at once"
                        .to_owned()
                }
                Code::CONTAINER_CANNOT_START => {
                    "remove what the cause names; the kubelet tries again by itself, `husk resume` at once".to_owned()
                }
                _ => format!("`husk logs {}` shows its last lines; `husk resume` tries again", first.node),
            };
            about(of_code(Severity::Error, code, &title, Some(cause), Some(next)), &list)
        })
        .collect()
}

/// What a reason of Kubernetes' means here.
fn obstacle(reason: &str) -> (Code, &'static str) {
    match reason {
        "Unschedulable" => (Code::CONTAINER_CANNOT_START, "is not scheduled"),
        "OOMKilled" => (Code::NODE_JOB_FAILED, "was killed for using too much memory"),
        "Evicted" => (Code::NODE_JOB_FAILED, "was evicted"),
        "CrashLoopBackOff" | "Error" => (Code::NODE_JOB_FAILED, "keeps failing"),
        reason if reason.starts_with("Killed") => (Code::NODE_JOB_FAILED, "was killed"),
        _ => (Code::CONTAINER_CANNOT_START, "cannot start"),
    }
}

fn drifted_nodes(seen: &Seen) -> Vec<Problem> {
    let drifted: Vec<&NodeSummary> = seen.nodes.iter().filter(|node| Standing::of(node) == Standing::Drifted).collect();
    let (blind, unmarked): (Vec<&NodeSummary>, Vec<&NodeSummary>) =
        drifted.into_iter().partition(|node| !node.missing.is_empty());
    let mut problems = Vec::new();
    if let Some(first) = blind.first() {
        let list: Vec<&str> = blind.iter().map(|node| node.name.as_str()).collect();
        let title = format!("{}: handlers are not served", names(&list));
        let cause = format!("the kubelet does not report {}, which the runtime had proven", first.missing.join(", "));
        let next = "restart the kubelet (and the runtime, if somebody changed its configuration) on the node, then \
                    `husk resume`"
            .to_owned();
        problems.push(about(of_code(Severity::Error, Code::HANDLERS_NOT_SEEN, &title, Some(cause), Some(next)), &list));
    }
    if !unmarked.is_empty() {
        let list: Vec<&str> = unmarked.iter().map(|node| node.name.as_str()).collect();
        let title = format!("{}: not labelled as served", names(&list));
        let cause = "the installer was through and somebody changed the node's labels since".to_owned();
        problems.push(about(
            of_code(Severity::Error, Code::LABEL_FAILED, &title, Some(cause), Some("`husk resume`".to_owned())),
            &list,
        ));
    }
    problems
}

fn silent_nodes(seen: &Seen) -> Option<Problem> {
    let age = |node: &NodeSummary| {
        let at: jiff::Timestamp = node.updated_at.as_ref()?.parse().ok()?;
        Some(seen.now - at.as_second())
    };
    let silent: Vec<&NodeSummary> = seen
        .nodes
        .iter()
        .filter(|node| Standing::of(node) == Standing::UnderWay && age(node).is_some_and(|age| age > SILENT))
        .collect();
    let list: Vec<&str> = silent.iter().map(|node| node.name.as_str()).collect();
    let first = silent.first()?;
    let stage = first.stage.map_or("", Stage::name);
    let title = format!("{}: no news at stage {stage} for {} min", names(&list), age(first).unwrap_or(0) / 60);
    let cause = "the installer is still at it, or was ended before it could say so".to_owned();
    let next = format!("`husk logs {}` shows what it does; `husk resume` begins anew", first.name);
    let problem = of_code(Severity::Warning, Code::NODE_JOB_LOST, &title, Some(cause), Some(next));
    Some(about(problem, &list))
}

fn unready_nodes(seen: &Seen) -> Option<Problem> {
    let list: Vec<&str> =
        seen.nodes.iter().filter(|node| node.selected && !node.ready).map(|node| node.name.as_str()).collect();
    let first = list.first()?;
    let title = format!("{}: not Ready", names(&list));
    let next = format!("`kubectl describe node {first}`, and `journalctl -u kubelet` on the node");
    let cause = "the kubelet does not report the node as Ready".to_owned();
    Some(about(of_code(Severity::Error, Code::NODE_NOT_READY, &title, Some(cause), Some(next)), &list))
}

fn objects(seen: &Seen) -> Option<Problem> {
    let first = seen.objects.first()?;
    let count = seen.objects.len();
    let title = match count {
        1 => format!("{} is not as it was installed", first.what),
        count => format!("{count} objects are not as they were installed"),
    };
    let cause = seen.objects.iter().take(5).map(|drift| format!("{}: {}", drift.what, drift.how));
    Some(Problem {
        severity: Severity::Warning,
        code: None,
        title,
        cause: cause.collect::<Vec<_>>().join("; "),
        next: "`husk resume` puts them back; to keep the change, say it in the values and run `husk up`".to_owned(),
        nodes: Vec::new(),
        count: 0,
    })
}

fn left_behind(seen: &Seen) -> Option<Problem> {
    let list: Vec<&str> = seen.left_behind.iter().map(String::as_str).collect();
    if list.is_empty() {
        return None;
    }
    Some(about(
        Problem {
            severity: Severity::Warning,
            code: None,
            title: format!("{}: installed and no longer selected", names(&list)),
            cause: "the selection or the node's labels changed after the installation".to_owned(),
            next: "`husk resume` cleans them in DaemonSet mode; otherwise select them again, or `husk down`".to_owned(),
            nodes: Vec::new(),
            count: 0,
        },
        &list,
    ))
}

#[cfg(test)]
mod tests {
    use super::super::picture::tests::{node, seen};
    use super::super::picture::{Drift, Holder};
    use super::*;
    use contract::State;

    fn failed(name: &str, message: &str) -> NodeSummary {
        let mut failed = node(name, Stage::Cri, State::Failed);
        failed.code = Some(Code::RUNTIME_REFUSED);
        failed.message = message.into();
        failed
    }

    #[test]
    fn equal_failures_of_nodes_are_one_problem_with_cause_and_next_command() {
        let nodes = (0..12).map(|n| failed(&format!("n{n:02}"), "containerd did not come back")).collect();
        let problems = find(&seen(nodes));
        assert_eq!(problems.len(), 1);
        let problem = &problems[0];
        assert_eq!(problem.code, Some(Code::RUNTIME_REFUSED));
        assert!(problem.title.starts_with("12 nodes (n00, n01, n02, …)"), "{}", problem.title);
        assert_eq!(problem.cause, "containerd did not come back");
        assert!(problem.next.contains("`husk resume`"), "{}", problem.next);
        assert_eq!((problem.nodes.len(), problem.count), (NAMED, 12));
    }

    #[test]
    fn a_healthy_installation_has_no_problems() {
        assert_eq!(find(&seen(vec![node("a", Stage::Label, State::Done)])), []);
    }

    #[test]
    fn a_release_that_was_left_pending_is_recovered_and_one_at_work_is_waited_for() {
        let mut facts = seen(vec![node("a", Stage::Label, State::Done)]);
        facts.status = "pending-upgrade".into();
        facts.holder = Some(Holder { name: "laptop/1".into(), alive: false });
        let gone = &find(&facts)[0];
        assert!(gone.next.contains("husk recover") && gone.severity == Severity::Error);
        facts.holder = Some(Holder { name: "laptop/1".into(), alive: true });
        let alive = &find(&facts)[0];
        assert!(alive.next.contains("--watch") && alive.severity == Severity::Warning);
        facts.status = "uninstalling".into();
        facts.holder = None;
        assert!(find(&facts)[0].next.contains("finishes the removal"));
    }

    #[test]
    fn pods_that_cannot_start_tell_in_the_kubelets_words() {
        let mut facts = seen(vec![NodeSummary { name: "a".into(), selected: true, ready: true, ..Default::default() }]);
        facts.pods = vec![PodTrouble {
            pod: "kata-deploy-x".into(),
            node: "a".into(),
            container: "prepare".into(),
            reason: "ImagePullBackOff".into(),
            message: "manifest unknown".into(),
            restarts: 0,
        }];
        let problem = &find(&facts)[0];
        assert_eq!(problem.code, Some(Code::CONTAINER_CANNOT_START));
        assert!(problem.cause.contains("manifest unknown") && problem.next.contains("imagePullSecrets"));
    }

    #[test]
    fn drift_silence_and_readiness_are_told() {
        let mut blind = node("blind", Stage::Label, State::Done);
        blind.missing = vec!["kata-clh".into()];
        let mut silent = node("silent", Stage::Cri, State::Running);
        silent.updated_at = Some("1970-01-12T13:00:00Z".into());
        let mut down = node("down", Stage::Label, State::Done);
        down.ready = false;
        let mut facts = seen(vec![blind, silent, down]);
        facts.objects = vec![Drift { what: "RuntimeClass kata-clh".into(), how: "is gone".into() }];
        facts.left_behind = vec!["old".into()];
        let titles: Vec<String> = find(&facts).into_iter().map(|problem| problem.title).collect();
        let expected = [
            "blind: handlers are not served",
            "down: not Ready",
            "silent: no news at stage cri for 46 min",
            "RuntimeClass kata-clh is not as it was installed",
            "old: installed and no longer selected",
        ];
        assert_eq!(titles, expected);
    }
}
