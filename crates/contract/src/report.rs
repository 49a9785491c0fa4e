//! What a stage says when it ends, and what is kept of a node after its pods are gone.

use crate::{Code, Stage};
use serde::{Deserialize, Serialize};

/// The schema of [`StageReport`].
pub const STAGE_REPORT_SCHEMA: &str = "husk.stage-report/v1";
/// The schema of [`NodeRecord`].
pub const NODE_RECORD_SCHEMA: &str = "husk.node-record/v1";
/// Bytes that Kubernetes keeps of a termination message.
pub const TERMINATION_MESSAGE_LIMIT: usize = 4096;

/// How far a stage, or a node, has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Chosen, nothing started.
    Pending,
    /// Under way.
    Running,
    /// Finished and verified.
    Done,
    /// Refused or failed; the host is as it was before the stage.
    Failed,
}

/// How one check of a host ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Fine.
    Pass,
    /// Works now and will probably hurt later.
    Warn,
    /// The installation would fail.
    Fail,
    /// Not looked at; the detail says why.
    Skip,
    /// Looked at and not seen: what would tell cannot be read from where the check runs.
    Unknown,
}

impl Verdict {
    /// Returns the word printed for it.
    pub const fn word(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
            Verdict::Skip => "skip",
            Verdict::Unknown => "unknown",
        }
    }
}

/// One check of a host, as `host-check` reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What was seen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The catalogue's entry that explains this check, whatever its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
}

/// The termination message of one stage: one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageReport {
    /// Always [`STAGE_REPORT_SCHEMA`].
    pub schema: String,
    /// The Node's name.
    pub node: String,
    /// The installation: `default` or its suffix.
    pub install: String,
    /// Which stage.
    pub stage: Stage,
    /// How it ended.
    pub state: State,
    /// The error, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// One sentence: what was done, or what went wrong and where.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Non-fatal findings, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What `host-check` looked at; empty for other stages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// The container runtime and its version, such as `containerd 1.7.24`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// The distribution found by evidence: `k8s`, `k3s`, `rke2`, `k0s` or `microk8s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<String>,
    /// The handlers that the runtime was seen to serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handlers: Vec<String>,
    /// The payload's version, such as `4.1.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// How many changes were made to the host; 0 when everything was in place.
    #[serde(default)]
    pub changes: u32,
    /// Whether the container runtime was restarted.
    #[serde(default)]
    pub restarted: bool,
    /// Milliseconds from start to end.
    #[serde(default)]
    pub millis: u64,
}

impl StageReport {
    /// Returns a report with nothing but its identity filled in.
    pub fn new(node: &str, install: &str, stage: Stage, state: State) -> Self {
        StageReport {
            schema: STAGE_REPORT_SCHEMA.to_owned(),
            node: node.to_owned(),
            install: install.to_owned(),
            stage,
            state,
            code: None,
            message: String::new(),
            warnings: Vec::new(),
            checks: Vec::new(),
            runtime: None,
            distribution: None,
            handlers: Vec::new(),
            payload: None,
            changes: 0,
            restarted: false,
            millis: 0,
        }
    }

    /// Returns one line of JSON of at most [`TERMINATION_MESSAGE_LIMIT`] bytes; checks without a finding, warnings, and then the
    /// message give way.
    pub fn to_termination_message(&self) -> String {
        let mut report = self.clone();
        loop {
            let text = serde_json::to_string(&report).unwrap_or_default();
            if text.len() <= TERMINATION_MESSAGE_LIMIT {
                return text;
            }
            let passed = report.checks.iter().rposition(|check| matches!(check.verdict, Verdict::Pass | Verdict::Skip));
            if let Some(index) = passed {
                report.checks.remove(index);
                continue;
            }
            if report.warnings.pop().is_some() || report.checks.pop().is_some() {
                continue;
            }
            let shorter = report.message.chars().count() / 2;
            if shorter == 0 {
                report.handlers.pop();
                continue;
            }
            report.message = report.message.chars().take(shorter).collect::<String>() + "…";
        }
    }

    /// Reads a termination message; `None` when it is not one of ours.
    pub fn from_termination_message(text: &str) -> Option<Self> {
        let report: StageReport = serde_json::from_str(text.trim()).ok()?;
        (report.schema == STAGE_REPORT_SCHEMA).then_some(report)
    }
}

/// What the cluster remembers of one node and installation; it outlives Jobs and their pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRecord {
    /// Always [`NODE_RECORD_SCHEMA`].
    pub schema: String,
    /// The Node's name.
    pub node: String,
    /// The installation.
    pub install: String,
    /// The stage that is under way, or the last one that ran.
    pub stage: Stage,
    /// How far it has come.
    pub state: State,
    /// The error, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// One sentence about the last stage.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The last lines that a failing stage printed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_lines: Vec<String>,
    /// Non-fatal findings of all stages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The container runtime and its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// The distribution found by evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<String>,
    /// The handlers served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handlers: Vec<String>,
    /// The payload's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// RFC 3339, when this record was last written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// The pod that speaks here, in DaemonSet mode: tells what this rollout's pod says from what its predecessor said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
}

impl NodeRecord {
    /// Returns a record with nothing but its identity filled in.
    pub fn new(node: &str, install: &str, stage: Stage, state: State) -> Self {
        NodeRecord {
            schema: NODE_RECORD_SCHEMA.to_owned(),
            node: node.to_owned(),
            install: install.to_owned(),
            stage,
            state,
            code: None,
            message: String::new(),
            last_lines: Vec::new(),
            warnings: Vec::new(),
            runtime: None,
            distribution: None,
            handlers: Vec::new(),
            payload: None,
            updated_at: None,
            pod: None,
        }
    }

    /// Takes over what a stage reported; facts that it does not mention stay.
    pub fn absorb(&mut self, report: &StageReport) {
        self.stage = report.stage;
        self.state = report.state;
        self.code = report.code;
        self.message.clone_from(&report.message);
        for warning in &report.warnings {
            if !self.warnings.contains(warning) {
                self.warnings.push(warning.clone());
            }
        }
        if report.runtime.is_some() {
            self.runtime.clone_from(&report.runtime);
        }
        if report.distribution.is_some() {
            self.distribution.clone_from(&report.distribution);
        }
        if report.payload.is_some() {
            self.payload.clone_from(&report.payload);
        }
        if !report.handlers.is_empty() || report.stage == Stage::RevertCri {
            self.handlers.clone_from(&report.handlers);
        }
    }
}

/// The schema of [`FleetReport`].
pub const FLEET_REPORT_SCHEMA: &str = "husk.fleet-report/v1";

/// The termination message of a dispatcher: what became of the nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FleetReport {
    /// Always [`FLEET_REPORT_SCHEMA`].
    pub schema: String,
    /// How many nodes were selected.
    pub selected: usize,
    /// How many of them converged.
    pub done: usize,
    /// Nodes that did not, at most as many as fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<NodeFailure>,
    /// How many did not, also when `failed` was cut.
    #[serde(default)]
    pub failures: usize,
    /// The error that ended the run before or beside single nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// One or more sentences about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// One node that did not converge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFailure {
    /// The Node's name.
    pub node: String,
    /// The installer's own code, when it left one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// What went wrong.
    pub message: String,
}

impl FleetReport {
    /// Returns a report with nothing in it.
    pub fn new() -> Self {
        FleetReport {
            schema: FLEET_REPORT_SCHEMA.to_owned(),
            selected: 0,
            done: 0,
            failed: Vec::new(),
            failures: 0,
            code: None,
            message: String::new(),
        }
    }

    /// Returns one line of JSON of at most [`TERMINATION_MESSAGE_LIMIT`] bytes; single nodes give way first.
    pub fn to_termination_message(&self) -> String {
        let mut report = self.clone();
        loop {
            let text = serde_json::to_string(&report).unwrap_or_default();
            if text.len() <= TERMINATION_MESSAGE_LIMIT {
                return text;
            }
            if report.failed.pop().is_none() {
                report.message =
                    report.message.chars().take(report.message.chars().count() / 2).collect::<String>() + "…";
            }
        }
    }

    /// Reads a termination message; `None` when it is not one of ours.
    pub fn from_termination_message(text: &str) -> Option<Self> {
        let report: FleetReport = serde_json::from_str(text.trim()).ok()?;
        (report.schema == FLEET_REPORT_SCHEMA).then_some(report)
    }
}

impl Default for FleetReport {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_report_fits_a_termination_message_and_keeps_its_count() {
        let mut report = FleetReport::new();
        report.failed = (0..500)
            .map(|n| NodeFailure {
                node: format!("node-{n}"),
                code: Some(Code::RUNTIME_REFUSED),
                message: "x".repeat(90),
            })
            .collect();
        report.failures = 500;
        let text = report.to_termination_message();
        assert!(text.len() <= TERMINATION_MESSAGE_LIMIT);
        let read = FleetReport::from_termination_message(&text).unwrap();
        assert_eq!(read.failures, 500);
        assert!(!read.failed.is_empty() && read.failed.len() < 500);
    }

    #[test]
    fn a_termination_message_fits_and_reads_back() {
        let mut report = StageReport::new("n1", "default", Stage::Cri, State::Failed);
        report.code = Some(Code(2201));
        report.message = "x".repeat(9000);
        report.warnings = vec!["w".repeat(900); 9];
        let text = report.to_termination_message();
        assert!(text.len() <= TERMINATION_MESSAGE_LIMIT);
        let back = StageReport::from_termination_message(&text).unwrap();
        assert_eq!((back.stage, back.code), (Stage::Cri, Some(Code(2201))));
        assert_eq!(StageReport::from_termination_message("Killed"), None);
    }

    #[test]
    fn a_record_keeps_facts_that_a_later_stage_does_not_mention() {
        let mut record = NodeRecord::new("n1", "default", Stage::HostCheck, State::Running);
        let mut cri = StageReport::new("n1", "default", Stage::Cri, State::Done);
        cri.runtime = Some("containerd 1.7.24".into());
        cri.handlers = vec!["kata-qemu".into()];
        record.absorb(&cri);
        record.absorb(&StageReport::new("n1", "default", Stage::Label, State::Done));
        assert_eq!(record.runtime.as_deref(), Some("containerd 1.7.24"));
        assert_eq!(record.handlers, ["kata-qemu"]);
        assert_eq!(record.stage, Stage::Label);
    }
}
