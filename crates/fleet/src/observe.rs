//! What the Jobs and pods of the run say about their nodes.

use contract::{Code, NodeRecord, Stage, StageReport, State};
use serde::{Deserialize, Serialize};

/// The part of a Job's `status` that is read.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct JobStatus {
    /// `Complete` and `Failed` are final.
    pub conditions: Vec<JobCondition>,
    /// Pods that ended well.
    pub succeeded: u32,
}

/// One condition of a Job.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct JobCondition {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True` or `False`.
    pub status: String,
    /// Such as `BackoffLimitExceeded` or `DeadlineExceeded`.
    pub reason: String,
    /// A sentence about it.
    pub message: String,
}

/// A Job as the API serves it, read only as far as needed.
pub type ApiJob = crate::object::Object<serde::de::IgnoredAny, JobStatus>;

/// How a Job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Still at work.
    Running,
    /// Every pod it needed ended well.
    Complete,
    /// It gave up; the reason and the sentence of its condition.
    Failed(String),
}

/// A Job as plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uid: String,
    /// The true name of the node that it works on.
    pub node: String,
    /// The identity of that Node when the Job was made; empty when it does not say.
    pub node_uid: String,
    /// The value of the owner label.
    pub owner: String,
    /// The identities of its owner references.
    pub owner_uids: Vec<String>,
    /// Whether its deletion has begun.
    pub deleting: bool,
    /// How it stands.
    pub outcome: Outcome,
}

impl JobStatus {
    fn outcome(&self) -> Outcome {
        let holds = |kind: &str| self.conditions.iter().find(|c| c.kind == kind && c.status == "True");
        if let Some(failed) = holds("Failed") {
            let text = [failed.reason.as_str(), failed.message.as_str()];
            return Outcome::Failed(text.into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(": "));
        }
        if holds("Complete").is_some() || self.succeeded >= 1 { Outcome::Complete } else { Outcome::Running }
    }
}

/// The part of a pod's `spec` that is read.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    /// The node that it is bound to.
    pub node_name: String,
}

/// The part of a pod's `status` that is read.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded` or `Failed`.
    pub phase: String,
    /// Why, when the whole pod failed (`Evicted`, …).
    pub reason: String,
    /// A sentence about it.
    pub message: String,
    /// Such as `PodReadyToStartContainers`.
    pub conditions: Vec<PodCondition>,
    /// The init containers, in order.
    pub init_container_statuses: Vec<ContainerStatus>,
    /// The containers.
    pub container_statuses: Vec<ContainerStatus>,
}

/// One condition of a pod.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct PodCondition {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True` or `False`.
    pub status: String,
}

/// One container of a pod.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ContainerStatus {
    /// Its name: the stage's, for ours.
    pub name: String,
    /// What it does now.
    pub state: ContainerState,
}

/// What a container does now; at most one is set.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ContainerState {
    /// Not started.
    pub waiting: Option<Waiting>,
    /// At work.
    pub running: Option<serde_json::Value>,
    /// Ended.
    pub terminated: Option<Terminated>,
}

/// Why a container has not started.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Waiting {
    /// Such as `PodInitializing` or `ImagePullBackOff`.
    pub reason: String,
    /// A sentence about it.
    pub message: String,
}

/// How a container ended.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Terminated {
    /// 0 when it ended well.
    pub exit_code: i32,
    /// Such as `Error` or `OOMKilled`.
    pub reason: String,
    /// The termination message: a [`StageReport`], from our own stages.
    pub message: String,
}

/// A pod as the API serves it, read only as far as needed.
pub type ApiPod = crate::object::Object<PodSpec, PodStatus>;

/// Waiting reasons that do not heal without somebody's help.
const STUCK: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "RunContainerError",
];

/// Returns the container whose failure ended a pod.
pub fn failed_container(status: &PodStatus) -> Option<&ContainerStatus> {
    status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
        .find(|c| c.state.terminated.as_ref().is_some_and(|ended| ended.exit_code != 0))
}

/// Tells whether a pod has lost its sandbox between two of its containers, which takes a power cut at the wrong moment. With
/// `restartPolicy: Never` the kubelet makes no other sandbox, and as nothing has failed the pod stays as it is for ever.
pub fn stranded(status: &PodStatus) -> bool {
    let without_sandbox = |it: &PodCondition| it.kind == "PodReadyToStartContainers" && it.status == "False";
    let states = || status.init_container_statuses.iter().chain(&status.container_statuses).map(|it| &it.state);
    status.phase == "Pending"
        && status.conditions.iter().any(without_sandbox)
        && states().any(|state| state.terminated.is_some())
        && !states().any(|state| state.running.is_some())
}

/// Brings a node's record up to date with its pod.
pub fn absorb(record: &mut NodeRecord, status: &PodStatus) {
    for container in status.init_container_statuses.iter().chain(&status.container_statuses) {
        let stage = container.name.parse::<Stage>().ok();
        let state = &container.state;
        if let Some(ended) = &state.terminated {
            match StageReport::from_termination_message(&ended.message) {
                Some(report) => record.absorb(&report),
                None if ended.exit_code == 0 => {
                    if let Some(stage) = stage {
                        begin(record, stage, State::Done, String::new());
                    }
                }
                None => {
                    let why = if ended.reason.is_empty() { "ended".to_owned() } else { ended.reason.clone() };
                    let stage = stage.unwrap_or(record.stage);
                    let text = format!("container {} {why} with exit status {}", container.name, ended.exit_code);
                    begin(record, stage, State::Failed, format!("{text}: {}", last_line(&ended.message)));
                }
            }
            if ended.exit_code != 0 {
                return;
            }
            continue;
        }
        let Some(stage) = stage.or((container.name == "prepare").then_some(record.stage)) else { return };
        if state.running.is_some() {
            begin(record, stage, State::Running, String::new());
        } else if let Some(waiting) = &state.waiting
            && STUCK.contains(&waiting.reason.as_str())
        {
            begin(record, stage, State::Pending, format!("{}: {}", waiting.reason, waiting.message));
            record.code = Some(Code::CONTAINER_CANNOT_START);
        }
        return;
    }
    if status.phase == "Failed" && record.state != State::Failed {
        begin(record, record.stage, State::Failed, format!("pod failed: {} {}", status.reason, status.message));
    }
}

fn begin(record: &mut NodeRecord, stage: Stage, state: State, message: String) {
    record.stage = stage;
    record.state = state;
    record.message = message.trim_end_matches([':', ' ']).to_owned();
    record.code = None;
}

fn last_line(text: &str) -> &str {
    text.trim_end().lines().last().unwrap_or_default()
}

/// Returns the true name of the node that a Job works on.
pub fn node_of(job: &ApiJob) -> &str {
    let annotations = job.metadata.annotations.as_ref();
    let name = annotations.and_then(|all| all.get(contract::label::NODE_NAME_ANNOTATION));
    let label = || job.metadata.labels.as_ref().and_then(|all| all.get(contract::label::JOB_NODE));
    name.or_else(label).map_or("", String::as_str)
}

/// Reads a Job of ours.
pub fn job(job: ApiJob) -> Job {
    let node = node_of(&job).to_owned();
    let labels = job.metadata.labels.unwrap_or_default();
    let annotations = job.metadata.annotations.unwrap_or_default();
    Job {
        name: job.metadata.name.unwrap_or_default(),
        uid: job.metadata.uid.unwrap_or_default(),
        node,
        node_uid: annotations.get(contract::label::NODE_UID_ANNOTATION).cloned().unwrap_or_default(),
        owner: labels.get(contract::label::JOB_OWNER).cloned().unwrap_or_default(),
        owner_uids: job.metadata.owner_references.unwrap_or_default().into_iter().map(|owner| owner.uid).collect(),
        deleting: job.metadata.deletion_timestamp.is_some(),
        outcome: job.status.outcome(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record() -> NodeRecord {
        NodeRecord::new("n", "default", Stage::HostCheck, State::Pending)
    }

    fn status(value: serde_json::Value) -> PodStatus {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_stage_under_way_is_the_first_that_has_not_ended() {
        let mut cri = StageReport::new("n", "default", Stage::Cri, State::Done);
        cri.handlers = vec!["kata-qemu".into()];
        let mut record = record();
        absorb(
            &mut record,
            &status(json!({"phase": "Pending", "initContainerStatuses": [
                {"name": "prepare", "state": {"terminated": {"exitCode": 0}}},
                {"name": "host-check", "state": {"terminated": {"exitCode": 0}}},
                {"name": "cri", "state": {"terminated": {"exitCode": 0, "message": cri.to_termination_message()}}}],
                "containerStatuses": [{"name": "label", "state": {"running": {"startedAt": "x"}}}]})),
        );
        assert_eq!((record.stage, record.state), (Stage::Label, State::Running));
        assert_eq!(record.handlers, ["kata-qemu"]);
    }

    #[test]
    fn a_failed_stage_leaves_its_own_words_or_the_kubelets() {
        let mut report = StageReport::new("n", "default", Stage::Artifacts, State::Failed);
        report.code = Some(Code::PAYLOAD_CORRUPT);
        report.message = "kernel.tar.zst ends early".into();
        let mut own = record();
        absorb(
            &mut own,
            &status(json!({"phase": "Failed", "initContainerStatuses": [
                {"name": "artifacts", "state": {"terminated": {"exitCode": 1, "message": report.to_termination_message()}}},
                {"name": "cri", "state": {"waiting": {"reason": "PodInitializing"}}}]})),
        );
        assert_eq!(
            (own.state, own.code, own.message.as_str()),
            (State::Failed, report.code, "kernel.tar.zst ends early")
        );

        let mut foreign = record();
        absorb(
            &mut foreign,
            &status(json!({"initContainerStatuses": [
                {"name": "cri", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]})),
        );
        assert_eq!(foreign.message, "container cri OOMKilled with exit status 137");
        assert_eq!((foreign.stage, foreign.state), (Stage::Cri, State::Failed));
    }

    #[test]
    fn a_pod_without_its_sandbox_is_stranded_between_its_containers_only() {
        let pod = |phase: &str, sandbox: &str, first: serde_json::Value, second: serde_json::Value| {
            stranded(&status(json!({"phase": phase,
                "conditions": [{"type": "PodReadyToStartContainers", "status": sandbox}],
                "initContainerStatuses": [{"name": "prepare", "state": first}, {"name": "cri", "state": second}]})))
        };
        let (done, waits) = (json!({"terminated": {"exitCode": 0}}), json!({"waiting": {"reason": "PodInitializing"}}));
        let runs = json!({"running": {"startedAt": "x"}});
        assert!(pod("Pending", "False", done.clone(), waits.clone()));
        assert!(pod("Pending", "False", done.clone(), done.clone()));
        assert!(!pod("Pending", "True", done.clone(), waits.clone()), "the next container is about to start");
        assert!(!pod("Pending", "False", waits.clone(), waits), "the sandbox is being made");
        assert!(!pod("Pending", "False", done.clone(), runs) && !pod("Failed", "False", done.clone(), done));
    }

    #[test]
    fn what_cannot_start_says_so() {
        let mut record = record();
        absorb(
            &mut record,
            &status(json!({"initContainerStatuses": [
                {"name": "prepare", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}}]})),
        );
        assert_eq!(record.message, "ImagePullBackOff: no such tag");
        assert_eq!(record.code, Some(Code::CONTAINER_CANNOT_START));
    }

    #[test]
    fn a_job_is_final_by_its_conditions() {
        let failed: JobStatus = serde_json::from_value(json!({"conditions": [
            {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "Job was active too long"}]}))
        .unwrap();
        assert_eq!(failed.outcome(), Outcome::Failed("DeadlineExceeded: Job was active too long".into()));
        assert_eq!(JobStatus { succeeded: 1, ..JobStatus::default() }.outcome(), Outcome::Complete);
        assert_eq!(JobStatus::default().outcome(), Outcome::Running);
    }
}
