//! The judgement of a snapshot: a pure function.

use super::Question;
use super::snapshot::{NodeSeen, Snapshot};
use contract::{Code, Verdict};
use serde::Serialize;
use std::collections::BTreeMap;

/// What installing needs: verb, API group, resource.
pub(crate) const PERMISSIONS: [(&str, &str, &str); 9] = [
    ("create", "", "namespaces"),
    ("create", "", "secrets"),
    ("patch", "", "serviceaccounts"),
    ("patch", "", "configmaps"),
    ("list", "", "nodes"),
    ("patch", "node.k8s.io", "runtimeclasses"),
    ("patch", "rbac.authorization.k8s.io", "clusterroles"),
    ("patch", "apps", "daemonsets"),
    ("create", "batch", "jobs"),
];

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// The installation would fail.
    Fail,
    /// Works now and will probably hurt later.
    Warn,
    /// It could not be found out.
    Unknown,
    /// Not looked at, on purpose.
    Skipped,
    /// Fine.
    Pass,
}

impl Outcome {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Outcome::Fail => "fail",
            Outcome::Warn => "warn",
            Outcome::Unknown => "unknown",
            Outcome::Skipped => "skipped",
            Outcome::Pass => "pass",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    pub(crate) group: &'static str,
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    /// What was seen.
    pub(crate) detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<Code>,
    /// What to do about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) hint: String,
    /// Where it is explained.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) link: String,
}

/// The documentation's page about codes.
const PAGE: &str = "troubleshooting.html";

fn finding(group: &'static str, name: &str, outcome: Outcome, detail: impl Into<String>) -> Finding {
    let detail = detail.into();
    Finding { group, name: name.to_owned(), outcome, detail, code: None, hint: String::new(), link: String::new() }
}

impl Finding {
    fn with(mut self, code: Code) -> Finding {
        self.code = Some(code);
        self.link = format!("{PAGE}#{}", code.to_string().to_lowercase());
        if self.hint.is_empty() {
            self.hint = contract::code::entry(code).map(|entry| entry.next.to_owned()).unwrap_or_default();
        }
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Finding {
        self.hint = hint.into();
        self
    }
}

/// Judges a snapshot by what the values want.
pub(crate) fn judge(question: &Question<'_>, seen: &Snapshot) -> Vec<Finding> {
    let mut findings = Vec::new();
    cluster(question, seen, &mut findings);
    permissions(seen, &mut findings);
    release(question, seen, &mut findings);
    nodes(question, seen, &mut findings);
    hosts(seen, &mut findings);
    findings
}

/// The oldest Kubernetes that serves everything that the charts use: server-side apply and RuntimeClasses `v1`.
const OLDEST: u32 = 22;

fn cluster(question: &Question<'_>, seen: &Snapshot, findings: &mut Vec<Finding>) {
    let minor = seen.kubernetes.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
    findings.push(match minor {
        Some(minor) if minor < OLDEST => finding("cluster", "version", Outcome::Fail, &seen.kubernetes)
            .hint(format!("Kubernetes 1.{OLDEST} or newer is needed"))
            .with(Code::API_REFUSED),
        Some(30..) => finding("cluster", "version", Outcome::Pass, &seen.kubernetes),
        Some(_) => finding("cluster", "version", Outcome::Warn, &seen.kubernetes)
            .hint("kubelets before 1.30 do not report handlers: that they are served is known from the installer only"),
        None => finding("cluster", "version", Outcome::Unknown, &seen.kubernetes),
    });
    let missing: Vec<&str> = seen
        .kinds
        .iter()
        .filter(|(kind, there)| !**there && !question.own_kinds.contains(kind))
        .map(|(kind, _)| kind.as_str())
        .collect();
    findings.push(if missing.is_empty() {
        finding("cluster", "kinds", Outcome::Pass, format!("all {} kinds are served", seen.kinds.len()))
    } else {
        finding("cluster", "kinds", Outcome::Fail, format!("not served: {}", missing.join(", ")))
            .with(Code::BAD_MANIFEST)
    });
    let level = seen.namespace.as_ref().and_then(|labels| labels.get("pod-security.kubernetes.io/enforce"));
    findings.push(match level.map(String::as_str) {
        Some(level @ ("baseline" | "restricted")) => {
            let detail = format!("namespace {} enforces Pod Security `{level}`", question.namespace);
            finding("cluster", "pod security", Outcome::Fail, detail)
                .hint(format!(
                    "the installer mounts host directories: `kubectl label namespace {} \
                     pod-security.kubernetes.io/enforce=privileged --overwrite`",
                    question.namespace
                ))
                .with(Code::NOT_ALLOWED)
        }
        Some(level) => finding("cluster", "pod security", Outcome::Pass, format!("enforces `{level}`")),
        None if seen.namespace.is_none() => {
            let detail = format!("namespace {} will be made", question.namespace);
            finding("cluster", "pod security", Outcome::Pass, detail)
        }
        None => finding("cluster", "pod security", Outcome::Pass, "the namespace enforces nothing of its own"),
    });
    for class in question.classes {
        let Some(there) = seen.classes.get(&class.name) else { continue };
        if there.release.as_deref() != Some(question.release) {
            let owner = there.release.as_deref().map_or("nobody".to_owned(), |name| format!("release {name}"));
            let detail = format!("RuntimeClass {} exists and belongs to {owner}", class.name);
            findings.push(finding("cluster", "classes", Outcome::Fail, detail).with(Code::NOT_OURS));
        }
    }
}

fn permissions(seen: &Snapshot, findings: &mut Vec<Finding>) {
    let mut denied = Vec::new();
    let mut unknown = Vec::new();
    for (verb, _, resource) in PERMISSIONS {
        let name = format!("{verb} {resource}");
        match seen.permissions.get(&name) {
            Some(true) => {}
            Some(false) => denied.push(name),
            None => unknown.push(name),
        }
    }
    if !denied.is_empty() {
        let detail = format!("not allowed: {}", denied.join(", "));
        findings.push(finding("permissions", "user", Outcome::Fail, detail).with(Code::NOT_ALLOWED));
    }
    if !unknown.is_empty() {
        let detail = format!("the cluster did not say: {}", unknown.join(", "));
        findings.push(finding("permissions", "user", Outcome::Unknown, detail));
    }
    if denied.is_empty() && unknown.is_empty() {
        let detail = format!("all {} permissions are there", PERMISSIONS.len());
        findings.push(finding("permissions", "user", Outcome::Pass, detail));
    }
}

fn release(question: &Question<'_>, seen: &Snapshot, findings: &mut Vec<Finding>) {
    let Some(release) = &seen.release else {
        findings.push(finding("release", "state", Outcome::Pass, format!("{} is not installed", question.release)));
        return;
    };
    let detail = format!("revision {} is {}", release.revision, release.status);
    let holder = release.holder.as_deref().unwrap_or("somebody");
    findings.push(match release.status.as_str() {
        "deployed" | "superseded" => finding("release", "state", Outcome::Pass, detail),
        "failed" => finding("release", "state", Outcome::Warn, detail).hint("`husk up` goes on from there"),
        _ if release.holder_lives => {
            finding("release", "state", Outcome::Fail, format!("{detail}; {holder} is at work"))
                .with(Code::RELEASE_BUSY)
        }
        _ => finding("release", "state", Outcome::Warn, format!("{detail}; whoever began it is gone"))
            .hint("`husk recover` brings it to its end; `husk up` takes it over"),
    });
}

fn nodes(question: &Question<'_>, seen: &Snapshot, findings: &mut Vec<Finding>) {
    if question.rollouts.is_empty() {
        findings.push(finding("nodes", "selection", Outcome::Skipped, "the values install on no node"));
        return;
    }
    let selected: Vec<&NodeSeen> = seen
        .nodes
        .iter()
        .filter(|node| question.rollouts.iter().any(|rollout| rollout.rules.left_out(&node.as_node()).is_none()))
        .collect();
    if selected.is_empty() {
        let all: Vec<_> = seen.nodes.iter().map(NodeSeen::as_node).collect();
        let why = question.rollouts.iter().map(|rollout| fleet::selection::explain_nothing(&rollout.rules, all.iter()));
        let detail = why.collect::<Vec<_>>().join("\n");
        findings.push(finding("nodes", "selection", Outcome::Fail, detail).with(Code::NO_NODE_SELECTED));
        return;
    }
    let detail = format!("{} of {} nodes", selected.len(), seen.nodes.len());
    findings.push(finding("nodes", "selection", Outcome::Pass, detail));
    let listed =
        |nodes: &[&&NodeSeen]| crate::status::names(&nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>());
    let unready: Vec<&&NodeSeen> = selected.iter().filter(|node| !node.ready).collect();
    findings.push(if unready.is_empty() {
        finding("nodes", "ready", Outcome::Pass, "all selected nodes are Ready")
    } else {
        finding("nodes", "ready", Outcome::Warn, format!("not Ready: {}", listed(&unready))).with(Code::NODE_NOT_READY)
    });
    let odd: Vec<&&NodeSeen> = selected
        .iter()
        .filter(|node| !node.runtime.starts_with("containerd://") && !node.runtime.starts_with("cri-o://"))
        .collect();
    findings.push(if odd.is_empty() {
        finding("nodes", "runtime", Outcome::Pass, kinds(&selected, |node| node.runtime.replace("://", " ")))
    } else {
        finding("nodes", "runtime", Outcome::Fail, format!("neither containerd nor CRI-O: {}", listed(&odd)))
            .with(Code::RUNTIME_UNKNOWN)
    });
    findings.push(finding("nodes", "architecture", Outcome::Pass, kinds(&selected, |node| node.architecture.clone())));
}

/// `amd64 on 3, arm64 on 1`.
fn kinds(nodes: &[&NodeSeen], of: impl Fn(&NodeSeen) -> String) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for node in nodes {
        *counts.entry(of(node)).or_default() += 1;
    }
    counts.into_iter().map(|(kind, count)| format!("{kind} on {count}")).collect::<Vec<_>>().join(", ")
}

/// Checks that need the payload's image, which preflight does not pull.
const NEEDS_PAYLOAD: [&str; 2] = ["payload", "disk"];

fn hosts(seen: &Snapshot, findings: &mut Vec<Finding>) {
    if seen.answers.is_empty() {
        findings.push(finding("hosts", "host-check", Outcome::Skipped, "no node was asked"));
        return;
    }
    // Equal findings of several nodes are one line.
    let mut merged: BTreeMap<(String, &'static str, String, Option<Code>), Vec<&str>> = BTreeMap::new();
    for (node, answer) in &seen.answers {
        if let Some(trouble) = &answer.trouble {
            merged.entry(("host-check".to_owned(), "unknown", trouble.clone(), None)).or_default().push(node);
        }
        for check in answer.report.iter().flat_map(|report| &report.checks) {
            let (word, detail) = match check.verdict {
                Verdict::Fail | Verdict::Skip if NEEDS_PAYLOAD.contains(&check.name.as_str()) => {
                    ("skip", "looked at when the payload's image is there".to_owned())
                }
                verdict => (verdict.word(), check.detail.clone()),
            };
            let code = check.code.filter(|_| !matches!(word, "pass" | "skip"));
            merged.entry((check.name.clone(), word, detail, code)).or_default().push(node);
        }
    }
    for ((name, word, detail, code), nodes) in merged {
        let outcome = match word {
            "pass" => Outcome::Pass,
            "warn" => Outcome::Warn,
            "fail" => Outcome::Fail,
            "skip" => Outcome::Skipped,
            _ => Outcome::Unknown,
        };
        let found = finding("hosts", &name, outcome, format!("{}: {detail}", crate::status::names(&nodes)));
        findings.push(match code {
            Some(code) => found.with(code),
            None => found,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::{AnswerSeen, ClassSeen, ReleaseSeen};
    use super::*;
    use crate::rollout::{Class, Mode, Rollout};
    use contract::{Check, Stage, StageReport, State};
    use fleet::selection::Rules;
    use fleet::selector::Selector;

    fn seen() -> Snapshot {
        let node = |name: &str, arch: &str| NodeSeen {
            name: name.into(),
            ready: true,
            architecture: arch.into(),
            runtime: "containerd://2.1.5".into(),
            labels: [("pool".to_owned(), "kata".to_owned())].into(),
            ..NodeSeen::default()
        };
        Snapshot {
            kubernetes: "v1.34.4".into(),
            permissions: PERMISSIONS.iter().map(|(verb, _, what)| (format!("{verb} {what}"), true)).collect(),
            nodes: vec![node("a", "amd64"), node("b", "arm64")],
            ..Snapshot::default()
        }
    }

    fn judged(selector: &str, seen: &Snapshot) -> Vec<Finding> {
        let rollouts = [Rollout {
            mode: Mode::DaemonSet("d".into()),
            install: "default".into(),
            rules: Rules { selectors: vec![Selector::parse(selector).unwrap()], ..Rules::default() },
            environment: BTreeMap::new(),
            dispatcher_labels: BTreeMap::new(),
            removal: Vec::new(),
        }];
        let classes = [Class { name: "kata-qemu".into(), handler: "kata-qemu".into() }];
        let question = Question {
            release: "r",
            namespace: "n",
            objects: &[],
            rollouts: &rollouts,
            classes: &classes,
            own_kinds: Vec::new(),
        };
        judge(&question, seen)
    }

    fn worst(findings: &[Finding]) -> &Finding {
        findings.iter().min_by_key(|finding| finding.outcome).unwrap()
    }

    #[test]
    fn a_cluster_as_it_should_be_passes() {
        let findings = judged("pool=kata", &seen());
        assert!(worst(&findings).outcome >= Outcome::Skipped, "{findings:?}");
        assert!(findings.iter().any(|f| f.name == "architecture" && f.detail == "amd64 on 1, arm64 on 1"));
    }

    #[test]
    fn each_obstacle_fails_with_a_code_a_hint_and_a_link() {
        type Change = fn(&mut Snapshot);
        let cases: [(&str, Code, Change); 6] = [
            ("pool=none", Code::NO_NODE_SELECTED, |_| {}),
            ("pool=kata", Code::NOT_ALLOWED, |seen| {
                seen.permissions.insert("list nodes".into(), false);
            }),
            ("pool=kata", Code::BAD_MANIFEST, |seen| {
                seen.kinds.insert("nfd/v1/Rule".into(), false);
            }),
            ("pool=kata", Code::RUNTIME_UNKNOWN, |seen| seen.nodes[0].runtime = "docker://20".into()),
            ("pool=kata", Code::NOT_OURS, |seen| {
                seen.classes.insert("kata-qemu".into(), ClassSeen { handler: "x".into(), release: None });
            }),
            ("pool=kata", Code::RELEASE_BUSY, |seen| {
                seen.release = Some(ReleaseSeen {
                    status: "pending-upgrade".into(),
                    revision: 2,
                    holder: Some("h".into()),
                    holder_lives: true,
                });
            }),
        ];
        for (selector, code, change) in cases {
            let mut seen = seen();
            change(&mut seen);
            let findings = judged(selector, &seen);
            let worst = worst(&findings);
            assert_eq!((worst.outcome, worst.code), (Outcome::Fail, Some(code)), "{worst:?}");
            assert!(!worst.hint.is_empty() && worst.link.contains("#husk-"), "{worst:?}");
        }
    }

    #[test]
    fn what_nodes_say_is_merged_and_the_payload_is_not_held_against_them() {
        let mut seen = seen();
        let check =
            |name: &str, verdict, detail: &str, code| Check { name: name.into(), verdict, detail: detail.into(), code };
        let mut report = StageReport::new("a", "default", Stage::HostCheck, State::Failed);
        report.checks = vec![
            check("payload", Verdict::Fail, "no archives", Some(Code::PAYLOAD_MISSING)),
            check("device", Verdict::Warn, "/dev/kvm is missing", None),
        ];
        for node in ["a", "b"] {
            seen.answers.insert(node.into(), AnswerSeen { report: Some(report.clone()), trouble: None });
        }
        let findings = judged("pool=kata", &seen);
        let hosts: Vec<&Finding> = findings.iter().filter(|finding| finding.group == "hosts").collect();
        assert_eq!(hosts.len(), 2, "{hosts:?}");
        assert_eq!((hosts[0].outcome, hosts[0].detail.as_str()), (Outcome::Warn, "a and b: /dev/kvm is missing"));
        assert_eq!(hosts[1].outcome, Outcome::Skipped);
    }

    #[test]
    fn what_the_cluster_does_not_say_is_unknown() {
        let mut seen = seen();
        seen.permissions.clear();
        assert_eq!(worst(&judged("pool=kata", &seen)).outcome, Outcome::Unknown);
    }
}
