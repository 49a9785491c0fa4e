use super::*;
use crate::pace::Amount;
use contract::StageReport;
use serde_json::json;

fn settings() -> Settings {
    Settings {
        rules: Rules::default(),
        prefix: "p".into(),
        owner: Owner { name: "dispatcher".into(), uid: "run-2".into() },
        pace: Pace { parallelism: Amount::Number(2), canary: 0, halt_after: 0 },
        removal: false,
        install: "default".into(),
        handlers: vec!["kata-qemu".into()],
        ready_wait: 1000,
    }
}

fn node(name: &str) -> Event {
    Event::Node(Node {
        name: name.into(),
        uid: format!("uid-{name}"),
        ready: true,
        handlers: Some(vec!["kata-qemu".into()]),
        ..Node::default()
    })
}

fn job(node: &str, run: &str, outcome: Outcome) -> Event {
    Event::Job(Job {
        name: format!("p-{node}"),
        uid: format!("job-{node}-{run}"),
        node: node.into(),
        owner: "dispatcher".into(),
        owner_uids: vec![run.into()],
        deleting: false,
        outcome,
    })
}

fn pod(node: &str, status: serde_json::Value) -> Event {
    Event::Pod {
        node: node.into(),
        name: format!("p-{node}-x"),
        created: "2026-01-01T00:00:00Z".into(),
        status: serde_json::from_value(status).unwrap(),
    }
}

fn create(node: &str) -> Action {
    Action::Create(node.into())
}

#[test]
fn nodes_fly_within_the_pace_and_land_once_verified() {
    let mut fleet = Fleet::new(settings());
    for name in ["a", "b", "c"] {
        fleet.on(node(name), 0);
    }
    assert_eq!(fleet.next(0), [create("a"), create("b")]);
    assert_eq!(fleet.next(1), []);
    fleet.on(job("a", "run-2", Outcome::Running), 1);
    fleet.on(job("a", "run-2", Outcome::Complete), 2);
    assert_eq!(fleet.next(3), [], "the pod's last words are waited for");
    fleet.on(pod("a", json!({"phase": "Succeeded"})), 4);
    assert_eq!(fleet.next(5), [create("c")]);
    let (record, last) = fleet.record("a").unwrap();
    assert_eq!((record.stage, record.state, last), (Stage::Label, State::Done, true));
    for name in ["b", "c"] {
        fleet.on(job(name, "run-2", Outcome::Complete), 6);
    }
    assert_eq!(fleet.next(6 + LAST_WORDS), []);
    assert!(fleet.over());
    assert_eq!(fleet.count(), Standing { selected: 3, flying: 0, done: 3, failed: 0 });
}

#[test]
fn a_job_of_this_run_is_adopted_and_one_of_an_earlier_run_makes_room_first() {
    let mut fleet = Fleet::new(settings());
    fleet.on(job("a", "run-2", Outcome::Running), 0);
    fleet.on(job("b", "run-1", Outcome::Running), 0);
    fleet.on(job("gone", "run-1", Outcome::Complete), 0);
    fleet.on(node("a"), 0);
    fleet.on(node("b"), 0);
    let first = fleet.next(0);
    let stale = |node: &str| Action::Delete { name: format!("p-{node}"), uid: format!("job-{node}-run-1") };
    assert_eq!(first, [stale("b"), stale("gone")]);
    assert!(!fleet.over());
    fleet.on(Event::JobGone("p-b".into()), 1);
    assert_eq!(fleet.next(1), [create("b")]);
    fleet.on(Event::JobGone("p-gone".into()), 1);
    for name in ["a", "b"] {
        fleet.on(job(name, "run-2", Outcome::Complete), 2);
    }
    fleet.next(2 + LAST_WORDS);
    assert!(fleet.over());
    assert_eq!(fleet.count().done, 2);
}

#[test]
fn a_failure_is_told_in_the_installers_words_with_its_last_lines() {
    let mut fleet = Fleet::new(settings());
    fleet.on(node("a"), 0);
    fleet.next(0);
    let mut report = StageReport::new("a", "default", Stage::Cri, State::Failed);
    report.code = Some(Code::RUNTIME_REFUSED);
    report.message = "containerd did not come back".into();
    fleet.on(
        pod(
            "a",
            json!({"phase": "Failed", "initContainerStatuses": [{"name": "cri", "state": {"terminated":
                {"exitCode": 1, "message": report.to_termination_message()}}}]}),
        ),
        1,
    );
    fleet.on(job("a", "run-2", Outcome::Failed("BackoffLimitExceeded".into())), 2);
    let read = Action::ReadLines { node: "a".into(), pod: "p-a-x".into(), container: "cri".into() };
    assert_eq!(fleet.next(3), [read]);
    assert_eq!(fleet.next(4), [], "asked once");
    fleet.on(Event::Lines { node: "a".into(), lines: vec!["bad table".into()] }, 5);
    assert!(fleet.over());
    let failure = &fleet.failures()[0];
    assert_eq!((failure.code, failure.message.as_str()), (report.code, "containerd did not come back"));
    assert_eq!(fleet.record("a").unwrap().0.last_lines, ["bad table"]);
}

#[test]
fn handlers_and_readiness_are_waited_for_and_then_blamed() {
    let mut fleet = Fleet::new(settings());
    let with = |ready: bool, handlers: &[&str]| {
        Event::Node(Node {
            name: "a".into(),
            uid: "uid-a".into(),
            ready,
            handlers: Some(handlers.iter().map(|h| (*h).to_owned()).collect()),
            ..Node::default()
        })
    };
    fleet.on(with(true, &["runc"]), 0);
    fleet.next(0);
    fleet.on(pod("a", json!({"phase": "Succeeded"})), 1);
    fleet.on(job("a", "run-2", Outcome::Complete), 1);
    fleet.next(1);
    fleet.on(with(false, &["runc"]), 2);
    fleet.next(3);
    assert!(!fleet.over());
    fleet.on(with(true, &["runc"]), 4);
    fleet.next(2 + HANDLERS_WAIT);
    assert_eq!(fleet.failures()[0].code, Some(Code::HANDLERS_NOT_SEEN));

    let mut slow = Fleet::new(settings());
    slow.on(with(false, &["kata-qemu"]), 0);
    slow.next(0);
    slow.on(pod("a", json!({"phase": "Succeeded"})), 1);
    slow.on(job("a", "run-2", Outcome::Complete), 1);
    slow.next(1);
    slow.next(1100);
    assert_eq!(slow.failures()[0].code, Some(Code::NODE_NOT_READY));
}

#[test]
fn nodes_and_jobs_may_go_away_at_any_time() {
    let mut fleet = Fleet::new(settings());
    for name in ["a", "b", "c"] {
        fleet.on(node(name), 0);
    }
    fleet.next(0);
    fleet.on(Event::NodeGone("c".into()), 1); // not begun: simply left out
    fleet.on(Event::NodeGone("a".into()), 1);
    fleet.on(job("b", "run-2", Outcome::Running), 1);
    fleet.on(Event::JobGone("p-b".into()), 2);
    assert!(fleet.next(3).is_empty() && fleet.over());
    assert_eq!(fleet.count(), Standing { selected: 2, flying: 0, done: 0, failed: 2 });
    assert!(fleet.failures().iter().all(|failure| failure.code == Some(Code::NODE_JOB_LOST)));
}

#[test]
fn after_a_failed_canary_the_others_are_not_begun() {
    let mut settings = settings();
    settings.pace.canary = 1;
    let mut fleet = Fleet::new(settings);
    for name in ["a", "b"] {
        fleet.on(node(name), 0);
    }
    assert_eq!(fleet.next(0), [create("a")]);
    fleet.on(Event::Refused { node: "a".into(), message: "no".into(), code: Code::JOB_NAME_TAKEN }, 1);
    assert_eq!(fleet.next(1), []);
    assert!(fleet.over());
    assert_eq!(fleet.failures().len(), 2);
    assert_eq!(fleet.record("b").unwrap().0.state, State::Pending);
}

#[test]
fn late_nodes_join_until_the_run_is_closed() {
    let mut fleet = Fleet::new(settings());
    fleet.on(node("a"), 0);
    fleet.stop_accepting();
    fleet.on(node("b"), 1);
    assert_eq!(fleet.count().selected, 1);
    assert_eq!(fleet.nodes().count(), 2);
}

#[test]
fn what_is_heard_of_a_pod_before_its_node_counts() {
    let mut fleet = Fleet::new(settings());
    let mut report = StageReport::new("a", "default", Stage::Artifacts, State::Failed);
    report.code = Some(Code::PAYLOAD_CORRUPT);
    let message = report.to_termination_message();
    fleet.on(
        pod(
            "a",
            json!({"phase": "Failed", "initContainerStatuses":
                [{"name": "artifacts", "state": {"terminated": {"exitCode": 78, "message": message}}}]}),
        ),
        5,
    );
    fleet.on(job("a", "run-2", Outcome::Failed("PodFailurePolicy".into())), 5);
    fleet.on(node("a"), 5);
    assert!(matches!(fleet.next(6)[..], [Action::ReadLines { .. }]), "adopted, ended, with its last words");
    fleet.on(Event::Lines { node: "a".into(), lines: vec![] }, 7);
    assert_eq!(fleet.failures()[0].code, report.code);
}

#[test]
fn a_name_that_an_unknown_job_of_an_earlier_run_has_is_freed_first() {
    let mut fleet = Fleet::new(settings());
    fleet.on(node("a"), 0);
    assert_eq!(fleet.next(0), [create("a")]);
    fleet.on(job("a", "run-1", Outcome::Running), 1); // the answer to the creation: the name is taken
    assert_eq!(fleet.next(1), [Action::Delete { name: "p-a".into(), uid: "job-a-run-1".into() }]);
    assert_eq!(fleet.next(2), []);
    fleet.on(Event::JobGone("p-a".into()), 3);
    assert_eq!(fleet.next(3), [create("a")]);
}

#[test]
fn a_job_that_cannot_be_deleted_fails_its_node_and_does_not_hold_up_the_run() {
    let mut fleet = Fleet::new(settings());
    fleet.on(job("a", "run-1", Outcome::Running), 0);
    fleet.on(job("elsewhere", "run-1", Outcome::Running), 0);
    fleet.on(node("a"), 0);
    fleet.next(0);
    for name in ["p-a", "p-elsewhere"] {
        fleet.on(Event::Undeletable { name: name.into(), message: "forbidden".into() }, 1);
    }
    assert_eq!(fleet.next(2), []);
    assert!(fleet.over());
    assert_eq!(fleet.failures()[0].message, "forbidden");
}

#[test]
fn a_node_that_is_replaced_while_it_waits_is_taken_in_again() {
    let mut fleet = Fleet::new(settings());
    fleet.on(node("a"), 0);
    let Event::Node(mut other) = node("a") else { unreachable!("made above") };
    other.uid = "another".into();
    fleet.on(Event::Node(other), 1);
    assert_eq!(fleet.count().selected, 1);
    assert_eq!(fleet.next(1), [create("a")]);
}
