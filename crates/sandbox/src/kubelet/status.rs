//! From the states of containers to what is to be done next and to the status of the pod: pure functions.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, HostIP,
    Pod, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The exit code; 128 + n after signal n.
    pub code: i32,
    /// `Completed`, `Error`, ….
    pub reason: String,
    /// The termination message.
    pub message: String,
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
}

/// What a container is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not started (again) yet: reason and message.
    Waiting(String, String),
    /// Running since.
    Running(Timestamp),
    /// Ended.
    Ended(Ended),
}

/// One container as the status shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// What it is doing.
    pub state: State,
    /// How it ended the last time.
    pub last: Option<Ended>,
    /// How often it was started again.
    pub restarts: i32,
    /// Whether its startup probe, if any, has succeeded.
    pub started: bool,
    /// Whether its readiness probe, if any, succeeds.
    pub ready: bool,
}

/// What is to be done next for a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Start the init container of this index.
    StartInit(usize),
    /// Start the containers of these indexes; none means: wait.
    Start(Vec<usize>),
    /// The pod is over: whether it succeeded.
    Over(bool),
}

/// Tells whether a container that ended is started again.
fn restarts(policy: &str, code: i32) -> bool {
    match policy {
        "Never" => false,
        "OnFailure" => code != 0,
        _ => true,
    }
}

/// Decides what is to be done next: init containers in order, then all others, restarts by policy.
pub fn next(policy: &str, init: &[View], main: &[View]) -> Next {
    for (index, view) in init.iter().enumerate() {
        match &view.state {
            State::Ended(ended) if ended.code == 0 => {}
            State::Ended(_) if policy == "Never" => return Next::Over(false),
            State::Running(_) => return Next::Start(Vec::new()),
            State::Ended(_) | State::Waiting(..) => return Next::StartInit(index),
        }
    }
    let mut start = Vec::new();
    let (mut all_over, mut all_good) = (true, true);
    for (index, view) in main.iter().enumerate() {
        match &view.state {
            State::Running(_) => all_over = false,
            State::Ended(ended) if !restarts(policy, ended.code) => all_good &= ended.code == 0,
            State::Ended(_) | State::Waiting(..) => {
                all_over = false;
                start.push(index);
            }
        }
    }
    if all_over { Next::Over(all_good) } else { Next::Start(start) }
}

/// What else the status tells.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The node's address.
    pub host_ip: String,
    /// The pod's address, once it has one.
    pub pod_ip: Option<String>,
    /// Whether the sandbox (volumes, runtime) is ready.
    pub sandbox: bool,
    /// The pod is ended for this reason, whatever its containers do: reason and message.
    pub evicted: Option<(String, String)>,
    /// The pod is being deleted and all its containers have ended.
    pub terminated: bool,
}

/// Computes the status of a pod; transition times of `pod`'s own status are kept where nothing changed.
pub fn pod_status(pod: &Pod, init: &[View], main: &[View], facts: &Facts, now: Timestamp) -> PodStatus {
    let empty = PodStatus::default();
    let old = pod.status.as_ref().unwrap_or(&empty);
    let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or("Always");
    let next = next(policy, init, main);
    let initialized = init.iter().all(|view| matches!(&view.state, State::Ended(ended) if ended.code == 0));
    let begun = |view: &View| !matches!(view.state, State::Waiting(..)) || view.last.is_some();
    let good = |view: &View| matches!(&view.state, State::Ended(ended) if ended.code == 0);
    let phase = match next {
        _ if facts.evicted.is_some() => "Failed",
        Next::Over(true) => "Succeeded",
        Next::Over(false) => "Failed",
        _ if facts.terminated && initialized && main.iter().all(good) => "Succeeded",
        _ if facts.terminated => "Failed",
        _ if initialized && main.iter().any(begun) => "Running",
        _ => "Pending",
    };
    let over = matches!(phase, "Succeeded" | "Failed");
    let ready = !over && initialized && main.iter().all(|view| view.ready && matches!(view.state, State::Running(_)));

    let unready: Vec<&str> = main.iter().filter(|view| !view.ready).map(|view| view.name.as_str()).collect();
    let uninitialised: Vec<&str> = init.iter().filter(|view| !good(view)).map(|view| view.name.as_str()).collect();
    let because = |names: &[&str], what: &str| format!("containers with {what} status: [{}]", names.join(" "));
    let not_ready = match phase {
        "Succeeded" => ("PodCompleted", String::new()),
        "Failed" => ("PodFailed", String::new()),
        _ => ("ContainersNotReady", because(&unready, "unready")),
    };
    let not_initialised = ("ContainersNotInitialized", because(&uninitialised, "incomplete"));
    let mut conditions: Vec<PodCondition> = Vec::new();
    let completed = ("PodCompleted", String::new());
    for (kind, holds, why) in [
        ("PodReadyToStartContainers", facts.sandbox && !over, None),
        (
            "Initialized",
            initialized,
            if initialized { (phase == "Succeeded").then_some(&completed) } else { Some(&not_initialised) },
        ),
        ("Ready", ready, (!ready).then_some(&not_ready)),
        ("ContainersReady", ready, (!ready).then_some(&not_ready)),
        ("PodScheduled", true, None),
    ] {
        let value = if holds { "True" } else { "False" };
        let known = old.conditions.iter().flatten().find(|known| known.type_ == kind && known.status == value);
        conditions.push(PodCondition {
            type_: kind.to_owned(),
            status: value.to_owned(),
            reason: why.map(|why| why.0.to_owned()),
            message: why.map(|why| why.1.clone()).filter(|message| !message.is_empty()),
            last_probe_time: None,
            last_transition_time: known.and_then(|known| known.last_transition_time.clone()).or(Some(Time(now))),
            observed_generation: pod.metadata.generation,
        });
    }
    // Conditions of others stay.
    let ours: Vec<String> = conditions.iter().map(|condition| condition.type_.clone()).collect();
    conditions.extend(old.conditions.iter().flatten().filter(|known| !ours.contains(&known.type_)).cloned());

    PodStatus {
        phase: Some(phase.to_owned()),
        conditions: Some(conditions),
        observed_generation: pod.metadata.generation,
        host_ip: Some(facts.host_ip.clone()),
        host_ips: Some(vec![HostIP { ip: facts.host_ip.clone() }]),
        pod_ip: facts.pod_ip.clone(),
        pod_ips: facts.pod_ip.clone().map(|ip| vec![PodIP { ip }]),
        start_time: old.start_time.clone().or(Some(Time(now))),
        init_container_statuses: (!init.is_empty())
            .then(|| init.iter().map(|view| container_status(pod, view, true)).collect()),
        container_statuses: Some(main.iter().map(|view| container_status(pod, view, false)).collect()),
        reason: facts.evicted.as_ref().map(|(reason, _)| reason.clone()),
        message: facts.evicted.as_ref().map(|(_, message)| message.clone()),
        qos_class: old.qos_class.clone().or_else(|| Some("BestEffort".to_owned())),
        ..Default::default()
    }
}

fn container_id(pod: &Pod, view: &View, restarts: i32) -> String {
    let uid: String = pod.metadata.uid.iter().flat_map(|uid| uid.chars()).filter(|letter| *letter != '-').collect();
    format!("sandbox://{uid}-{}-{restarts}", view.name)
}

fn terminated(pod: &Pod, view: &View, ended: &Ended, restarts: i32) -> ContainerStateTerminated {
    ContainerStateTerminated {
        container_id: Some(container_id(pod, view, restarts)),
        exit_code: ended.code,
        reason: Some(ended.reason.clone()),
        message: Some(ended.message.clone()).filter(|message| !message.is_empty()),
        signal: None,
        started_at: Some(Time(ended.started)),
        finished_at: Some(Time(ended.finished)),
    }
}

fn container_status(pod: &Pod, view: &View, init: bool) -> ContainerStatus {
    let mut state = ContainerState::default();
    match &view.state {
        State::Waiting(reason, message) => {
            let message = Some(message.clone()).filter(|message| !message.is_empty());
            state.waiting = Some(ContainerStateWaiting { reason: Some(reason.clone()), message });
        }
        State::Running(since) => state.running = Some(ContainerStateRunning { started_at: Some(Time(*since)) }),
        State::Ended(ended) => state.terminated = Some(terminated(pod, view, ended, view.restarts)),
    }
    let running = matches!(view.state, State::Running(_));
    let begun = !matches!(view.state, State::Waiting(..));
    let last = view.last.as_ref().map(|ended| {
        // While it waits to be started again, the number of restarts has not grown yet.
        terminated(pod, view, ended, if begun { view.restarts - 1 } else { view.restarts })
    });
    let complete = matches!(&view.state, State::Ended(ended) if ended.code == 0);
    ContainerStatus {
        name: view.name.clone(),
        image: view.image.clone(),
        image_id: if begun { format!("sandbox://{}", view.image) } else { String::new() },
        container_id: begun.then(|| container_id(pod, view, view.restarts)),
        restart_count: view.restarts,
        ready: if init { complete } else { running && view.ready },
        started: Some(running && view.started),
        state: Some(state),
        last_state: Some(ContainerState { terminated: last, ..Default::default() }),
        ..Default::default()
    }
}

/// Takes a container's state back from a pod's status after the sandbox itself was started again.
///
/// A container that was running is lost: it has ended, as a kubelet reports one that its runtime no longer knows.
pub fn restore(view: &mut View, status: &ContainerStatus, now: Timestamp) {
    let ended = |it: &ContainerStateTerminated| Ended {
        code: it.exit_code,
        reason: it.reason.clone().unwrap_or_default(),
        message: it.message.clone().unwrap_or_default(),
        started: it.started_at.as_ref().map_or(now, |time| time.0),
        finished: it.finished_at.as_ref().map_or(now, |time| time.0),
    };
    view.restarts = status.restart_count;
    view.last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref()).map(ended);
    let Some(state) = &status.state else { return };
    if let Some(terminated) = &state.terminated {
        view.state = State::Ended(ended(terminated));
    } else if let Some(running) = &state.running {
        view.state = State::Ended(Ended {
            code: 137,
            reason: "ContainerStatusUnknown".to_owned(),
            message: "The container could not be located after the sandbox was started again".to_owned(),
            started: running.started_at.as_ref().map_or(now, |time| time.0),
            finished: now,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn ended(code: i32) -> State {
        let reason = if code == 0 { "Completed" } else { "Error" };
        State::Ended(Ended { code, reason: reason.into(), message: String::new(), started: now(), finished: now() })
    }

    fn waiting() -> State {
        State::Waiting("PodInitializing".into(), String::new())
    }

    fn view(state: State) -> View {
        let ready = matches!(state, State::Running(_));
        View { name: "c".into(), image: "i".into(), state, last: None, restarts: 0, started: ready, ready }
    }

    fn phase(policy: &str, init: &[State], main: &[State], facts: &Facts) -> (String, Vec<(String, String)>) {
        let pod = serde_json::from_value(
            json!({"metadata": {"uid": "u"}, "spec": {"restartPolicy": policy, "containers": []}}),
        );
        let views = |states: &[State]| states.iter().cloned().map(view).collect::<Vec<_>>();
        let status = pod_status(&pod.unwrap(), &views(init), &views(main), facts, now());
        let conditions = status.conditions.unwrap().into_iter().map(|it| (it.type_, it.status)).collect();
        (status.phase.unwrap(), conditions)
    }

    #[test]
    fn what_comes_next() {
        let views = |states: &[State]| states.iter().cloned().map(view).collect::<Vec<_>>();
        let run = State::Running(now());
        for (policy, init, main, expected) in [
            ("Never", vec![waiting(), waiting()], vec![waiting()], Next::StartInit(0)),
            ("Never", vec![ended(0), waiting()], vec![waiting()], Next::StartInit(1)),
            ("Never", vec![run.clone(), waiting()], vec![waiting()], Next::Start(vec![])),
            ("Never", vec![ended(1), waiting()], vec![waiting()], Next::Over(false)),
            ("OnFailure", vec![ended(1), waiting()], vec![waiting()], Next::StartInit(0)),
            ("Always", vec![ended(0)], vec![waiting(), waiting()], Next::Start(vec![0, 1])),
            ("Never", vec![], vec![ended(0), ended(0)], Next::Over(true)),
            ("Never", vec![], vec![ended(0), ended(2)], Next::Over(false)),
            ("Never", vec![], vec![ended(2), run.clone()], Next::Start(vec![])),
            ("OnFailure", vec![], vec![ended(0), ended(2)], Next::Start(vec![1])),
            ("Always", vec![], vec![ended(0)], Next::Start(vec![0])),
        ] {
            assert_eq!(next(policy, &views(&init), &views(&main)), expected, "{policy} {init:?} {main:?}");
        }
    }

    #[test]
    fn phases_and_conditions() {
        let run = State::Running(now());
        let facts = Facts { sandbox: true, ..Default::default() };
        assert_eq!(phase("Never", std::slice::from_ref(&run), &[waiting()], &facts).0, "Pending");
        assert_eq!(phase("Never", &[ended(1)], &[waiting()], &facts).0, "Failed");
        assert_eq!(phase("Never", &[ended(0)], &[ended(0)], &facts).0, "Succeeded");
        let (running, conditions) = phase("Always", &[ended(0)], std::slice::from_ref(&run), &facts);
        assert_eq!(running, "Running");
        assert!(conditions.iter().all(|(_, status)| status == "True"), "{conditions:?}");
        let evicted = Facts { evicted: Some(("DeadlineExceeded".into(), String::new())), ..facts.clone() };
        assert_eq!(phase("Always", &[], std::slice::from_ref(&run), &evicted).0, "Failed");
        let terminated = Facts { terminated: true, ..facts };
        assert_eq!(phase("Always", &[], &[ended(143)], &terminated).0, "Failed");
        assert_eq!(phase("Always", &[], &[ended(0)], &terminated).0, "Succeeded");
    }

    #[test]
    fn a_lost_container_has_ended() {
        let status = json!({"name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 2,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}});
        let mut restored = view(waiting());
        restore(&mut restored, &serde_json::from_value(status).unwrap(), now());
        let State::Ended(ended) = &restored.state else { panic!("{restored:?}") };
        assert_eq!((ended.code, restored.restarts), (137, 2));
    }
}
