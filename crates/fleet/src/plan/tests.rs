use super::progress::{HANDLERS_WAIT, LAST_WORDS, STRANDED};
use super::*;
use crate::pace::Amount;
use crate::template::OwnerKind;
use contract::StageReport;
use serde_json::json;

pub(super) fn settings() -> Settings {
    Settings {
        rules: Rules::default(),
        prefix: "p".into(),
        owner: Owner { kind: OwnerKind::Job, name: "dispatcher".into(), uid: "run-2".into() },
        pace: Pace::plain(Amount::Number(2)),
        removal: false,
        install: "default".into(),
        handlers: vec!["kata-qemu".into()],
        ready_wait: 1000,
        absent_wait: 10_000,
        late: None,
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
        node_uid: String::new(),
        owner: "dispatcher".into(),
        owner_uids: vec![run.into()],
        deleting: false,
        outcome,
    })
}

fn pod(node: &str, status: serde_json::Value) -> Event {
    Event::Pod(Pod {
        node: node.into(),
        name: format!("p-{node}-x"),
        job: format!("job-{node}-run-2"),
        created: "2026-01-01T00:00:00Z".into(),
        status: serde_json::from_value(status).unwrap(),
    })
}

fn gone(node: &str, run: &str) -> Event {
    Event::JobGone { name: format!("p-{node}"), uid: format!("job-{node}-{run}"), node: node.into() }
}

fn node_gone(node: &str) -> Event {
    Event::NodeGone { name: node.into(), uid: format!("uid-{node}") }
}

/// The Job of a node was created, begun and ended well.
fn complete(fleet: &mut Fleet, node: &str, now: u64) {
    fleet.on(job(node, "run-2", Outcome::Complete), now);
    fleet.on(pod(node, json!({"phase": "Succeeded"})), now);
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
    assert_eq!(fleet.count(), Standing { selected: 3, flying: 0, done: 3, failed: 0, begun: 3 });
}

#[test]
fn a_job_of_this_run_is_adopted_and_one_of_an_earlier_run_makes_room_first() {
    let mut fleet = Fleet::new(settings());
    fleet.on(job("a", "run-2", Outcome::Running), 0);
    fleet.on(job("b", "run-1", Outcome::Running), 0);
    fleet.on(job("gone", "run-1", Outcome::Complete), 0);
    fleet.on(Event::JobsListed, 0);
    fleet.on(node("a"), 0);
    fleet.on(node("b"), 0);
    let first = fleet.next(0);
    let stale =
        |node: &str| Action::Delete { node: node.into(), name: format!("p-{node}"), uid: format!("job-{node}-run-1") };
    assert_eq!(first, [stale("b"), stale("gone")]);
    assert!(!fleet.over());
    fleet.on(gone("b", "run-1"), 1);
    assert_eq!(fleet.next(1), [create("b")]);
    fleet.on(gone("gone", "run-1"), 1);
    for name in ["a", "b"] {
        fleet.on(job(name, "run-2", Outcome::Complete), 2);
    }
    fleet.next(2 + LAST_WORDS);
    assert!(fleet.over());
    assert_eq!(fleet.count().done, 2);
}

#[test]
fn many_finished_jobs_of_an_earlier_run_go_together() {
    for good in [true, false] {
        let mut fleet = Fleet::new(settings());
        let nodes = ["a", "b", "c", "d"];
        for name in nodes {
            let outcome = if name == "d" { Outcome::Running } else { Outcome::Complete };
            fleet.on(job(name, "run-1", outcome), 0);
            fleet.on(node(name), 0);
        }
        fleet.on(Event::JobsListed, 0);
        let alone = |node: &str| Action::Delete {
            node: node.into(),
            name: format!("p-{node}"),
            uid: format!("job-{node}-run-1"),
        };
        assert_eq!(fleet.next(0), [Action::DeleteEarlier(3), alone("d")], "what is at work is waited for");
        fleet.on(Event::DeletedEarlier { good }, 1);
        fleet.on(gone("a", "run-1"), 1);
        let next = if good { vec![create("a")] } else { vec![alone("b"), alone("c"), create("a")] };
        assert_eq!(fleet.next(1), next);
        fleet.on(gone("b", "run-1"), 2);
        assert_eq!(fleet.next(2), [create("b")]);
        let late = if good { vec![alone("c")] } else { vec![] };
        assert_eq!(fleet.next(20_000), late, "the watch never told of it");
    }
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
fn nodes_that_go_away_leave_the_run_and_their_jobs_the_cluster() {
    let mut fleet = Fleet::new(settings());
    for name in ["a", "b", "c"] {
        fleet.on(node(name), 0);
    }
    fleet.next(0);
    fleet.on(job("a", "run-2", Outcome::Running), 1);
    fleet.on(node_gone("c"), 1);
    fleet.on(node_gone("a"), 1);
    let delete = Action::Delete { node: "a".into(), name: "p-a".into(), uid: "job-a-run-2".into() };
    let actions = fleet.next(2);
    assert!(actions.contains(&delete) && actions.contains(&Action::Forget("a".into())), "{actions:?}");
    fleet.on(gone("a", "run-2"), 3);
    complete(&mut fleet, "b", 3);
    fleet.next(4);
    assert!(fleet.over());
    assert_eq!(fleet.count(), Standing { selected: 1, begun: 1, flying: 0, done: 1, failed: 0 });
}

#[test]
fn a_job_that_somebody_deletes_is_made_again_a_few_times() {
    let mut fleet = Fleet::new(settings());
    fleet.on(node("a"), 0);
    assert_eq!(fleet.next(0), [create("a")]);
    for round in 1..=4_u64 {
        let Event::Job(mut made) = job("a", "run-2", Outcome::Running) else { unreachable!("made above") };
        made.uid = format!("job-{round}");
        fleet.on(Event::Job(made.clone()), round);
        let lost = Event::JobGone { name: "p-a".into(), uid: made.uid.clone(), node: "a".into() };
        fleet.on(lost.clone(), round);
        fleet.on(lost, round);
        fleet.on(Event::Job(made), round); // old news
        let again = fleet.next(round);
        assert_eq!(again, if round < 4 { vec![create("a")] } else { vec![] }, "round {round}");
    }
    assert!(fleet.over());
    assert_eq!(fleet.failures()[0].code, Some(Code::NODE_JOB_LOST));
}

#[test]
fn a_job_made_and_deleted_within_a_gap_of_the_watch_is_missed() {
    let mut fleet = Fleet::new(settings());
    fleet.on(node("a"), 0);
    assert_eq!(fleet.next(0), [create("a")]);
    let created = Event::Created { node: "a".into(), node_uid: "uid-a".into(), uid: "job-a-run-2".into() };
    fleet.on(created, 1);
    assert_eq!(fleet.next(1), []);
    fleet.on(Event::JobsListed, 2); // without it
    let find = Action::Find { node: "a".into(), name: "p-a".into(), uid: "job-a-run-2".into() };
    assert_eq!(fleet.next(2), [find]);
    fleet.on(gone("a", "run-2"), 3);
    assert_eq!(fleet.next(3), [create("a")]);
}

#[test]
fn a_new_job_waits_until_the_pod_of_the_deleted_one_is_gone() {
    let mut fleet = Fleet::new(settings());
    fleet.on(node("a"), 0);
    fleet.next(0);
    fleet.on(job("a", "run-2", Outcome::Running), 1);
    fleet.on(pod("a", json!({"phase": "Running"})), 1);
    fleet.on(gone("a", "run-2"), 2);
    assert_eq!(fleet.next(2), []);
    fleet.on(Event::PodGone { name: "p-a-x".into(), node: "a".into() }, 3);
    assert_eq!(fleet.next(3), [create("a")]);
}

#[test]
fn silent_nodes_are_reported_last_and_begun_when_they_come_back() {
    let mut fleet = Fleet::new(settings());
    let silent = |name: &str, unreachable: bool| {
        let Event::Node(known) = node(name) else { unreachable!("made above") };
        Event::Node(Node { ready: !unreachable, unreachable, ..known })
    };
    for name in ["a", "b", "c"] {
        fleet.on(silent(name, name != "c"), 0);
    }
    assert_eq!(fleet.next(0), [create("c")]);
    complete(&mut fleet, "c", 1);
    fleet.next(2);
    assert!(!fleet.over());
    fleet.on(silent("a", false), 5_000);
    assert_eq!(fleet.next(5_000), [create("a")]);
    complete(&mut fleet, "a", 6_000);
    fleet.next(6_000);
    fleet.next(7_000);
    assert!(!fleet.over());
    fleet.next(17_000);
    assert!(fleet.over());
    assert_eq!(fleet.count(), Standing { selected: 3, begun: 3, flying: 0, done: 2, failed: 1 });
    assert_eq!(fleet.failures()[0].code, Some(Code::NODE_UNREACHABLE));
}

#[test]
fn a_runtime_that_stays_down_ends_its_node_with_what_the_installer_said() {
    let mut fleet = Fleet::new(settings());
    fleet.on(node("a"), 0);
    fleet.next(0);
    fleet.on(job("a", "run-2", Outcome::Running), 1);
    let mut report = StageReport::new("a", "default", Stage::Cri, State::Failed);
    report.code = Some(Code::RUNTIME_REFUSED);
    let message = report.to_termination_message();
    let ended = json!({"terminated": {"exitCode": 1, "message": message}});
    fleet.on(pod("a", json!({"phase": "Pending", "initContainerStatuses": [{"name": "cri", "state": ended}]})), 2);
    let Event::Node(known) = node("a") else { unreachable!("made above") };
    fleet.on(Event::Node(Node { ready: false, ..known }), 3);
    fleet.next(500);
    assert!(!fleet.over());
    fleet.next(1_500);
    assert_eq!(fleet.failures()[0].code, Some(Code::RUNTIME_REFUSED));
}

#[test]
fn servers_come_last_and_zones_are_thinned_out() {
    let mut settings = settings();
    settings.pace =
        Pace { control_plane_last: true, unavailable: Some(Amount::Number(1)), ..Pace::plain(Amount::Number(10)) };
    let mut fleet = Fleet::new(settings);
    let at = |name: &str, labels: &[(&str, &str)]| {
        let Event::Node(known) = node(name) else { unreachable!("made above") };
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Event::Node(Node { labels, ..known })
    };
    let (zone, server) = ("topology.kubernetes.io/zone", "node-role.kubernetes.io/control-plane");
    fleet.on(at("cp1", &[(server, "")]), 0);
    fleet.on(at("cp2", &[(server, "")]), 0);
    for name in ["a1", "a2", "b1"] {
        fleet.on(at(name, &[(zone, &name[..1])]), 0);
    }
    assert_eq!(fleet.next(0), [create("a1"), create("b1")]);
    complete(&mut fleet, "b1", 1);
    assert_eq!(fleet.next(2), []);
    complete(&mut fleet, "a1", 3);
    assert_eq!(fleet.next(4), [create("a2")]);
    complete(&mut fleet, "a2", 5);
    assert_eq!(fleet.next(6), [create("cp1")]);
    complete(&mut fleet, "cp1", 7);
    assert_eq!(fleet.next(8), [create("cp2")]);
    complete(&mut fleet, "cp2", 9);
    fleet.next(10);
    assert!(fleet.over());
}

#[test]
fn orders_pause_resume_and_abort() {
    let mut fleet = Fleet::new(settings());
    for name in ["a", "b", "c"] {
        fleet.on(node(name), 0);
    }
    fleet.on(Event::Order(Order::Pause), 0);
    assert_eq!(fleet.next(0), []);
    assert!(!fleet.over());
    fleet.on(Event::Order(Order::Go), 1);
    assert_eq!(fleet.next(1), [create("a"), create("b")]);
    fleet.on(Event::Order(Order::Abort), 2);
    assert_eq!(fleet.next(2), []);
    for name in ["a", "b"] {
        complete(&mut fleet, name, 3);
    }
    fleet.next(4);
    assert!(fleet.over());
    assert_eq!(fleet.failures()[0].code, Some(Code::ROLLOUT_ABORTED));
    assert_eq!(fleet.count(), Standing { selected: 3, begun: 3, flying: 0, done: 2, failed: 0 });
}

#[test]
fn sandboxes_are_waited_for_or_driven_out() {
    let with = |sandboxes: Sandboxes| {
        let mut settings = settings();
        settings.pace = Pace { sandboxes, sandbox_wait: 120_000, ..Pace::plain(Amount::Number(1)) };
        let mut fleet = Fleet::new(settings);
        fleet.on(node("a"), 0);
        assert_eq!(fleet.next(0), [Action::CountSandboxes("a".into())]);
        fleet
    };
    let count = |left: usize| Event::Sandboxes { node: "a".into(), left };

    let mut waits = with(Sandboxes::Wait);
    waits.on(count(2), 1);
    waits.on(node("b"), 1);
    assert_eq!(waits.next(1), [Action::CountSandboxes("b".into())], "the others go first");
    waits.on(Event::Sandboxes { node: "b".into(), left: 0 }, 2);
    assert_eq!(waits.next(2), [create("b")]);
    complete(&mut waits, "b", 3);
    assert_eq!(waits.next(31_000), [Action::CountSandboxes("a".into())]);
    waits.on(count(0), 31_000);
    assert_eq!(waits.next(31_001), [create("a")]);

    let mut drains = with(Sandboxes::Drain);
    drains.on(count(2), 1);
    assert_eq!(drains.next(1), [Action::Drain("a".into())]);
    drains.on(count(1), 2);
    assert_eq!(drains.next(1_000), []);
    assert_eq!(drains.next(6_000), [Action::Drain("a".into())]);
    drains.on(count(1), 121_000);
    assert_eq!(drains.next(121_000), [Action::Uncordon("a".into())]);
    assert_eq!(drains.failures()[0].code, Some(Code::SANDBOXES_IN_USE));
}

#[test]
fn what_an_earlier_life_of_the_run_was_through_with_stays_so() {
    let mut fleet = Fleet::new(settings());
    for (name, state, uid) in
        [("a", State::Done, "uid-a"), ("b", State::Failed, "uid-b"), ("c", State::Done, "another")]
    {
        let record = NodeRecord::new(name, "default", Stage::Label, state);
        fleet.on(Event::Recorded { record, uid: uid.into() }, 0);
        fleet.on(node(name), 0);
    }
    assert_eq!(fleet.next(0), [create("c")], "it is another node by now");
    assert_eq!(fleet.count(), Standing { selected: 3, begun: 3, flying: 1, done: 1, failed: 1 });
}

#[test]
fn a_watcher_takes_in_what_has_lacked_the_installation_for_a_while() {
    let mut settings = settings();
    settings.late = Some(Late { settle: 1_000 });
    let mut fleet = Fleet::new(settings);
    let marked = |name: &str, value: &str, handler: &str| {
        let Event::Node(known) = node(name) else { unreachable!("made above") };
        let labels = [(contract::label::install_mark("default"), value.to_owned())].into();
        Event::Node(Node { labels, handlers: Some(vec![handler.into()]), ..known })
    };
    fleet.on(marked("fine", "true", "kata-qemu"), 0);
    fleet.on(marked("blinks", "false", "kata-qemu"), 0);
    fleet.on(marked("drifted", "true", "runc"), 0);
    fleet.on(node("new"), 0);
    assert_eq!(fleet.next(500), []);
    fleet.on(marked("blinks", "true", "kata-qemu"), 600);
    fleet.on(Event::Dispatcher { name: "install".into(), active: true }, 700);
    assert_eq!(fleet.next(2_000), [], "a dispatcher is at work");
    fleet.on(Event::Dispatcher { name: "install".into(), active: false }, 2_100);
    assert_eq!(fleet.next(2_200), []);
    assert_eq!(fleet.next(3_300), [create("drifted"), create("new")]);

    complete(&mut fleet, "new", 3_400);
    fleet.next(3_400);
    fleet.on(marked("new", "true", "kata-qemu"), 3_500);
    fleet.on(Event::Refused { node: "drifted".into(), message: "no".into(), code: Code::DISPATCHER_FAILED }, 3_500);
    for name in fleet.changed() {
        fleet.settle(&name, 3_600);
    }
    assert_eq!(fleet.next(60_000), [], "a failed node rests");
    assert_eq!(fleet.next(304_000), [create("drifted")]);
    assert!(fleet.record("new").is_none(), "forgotten");
}

#[test]
fn after_a_failed_canary_the_others_are_not_begun() {
    let mut settings = settings();
    settings.pace.canary = Some(Amount::Number(1));
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
fn a_pod_that_lost_its_sandbox_is_waited_for_a_while_and_its_job_is_made_again() {
    let mut fleet = Fleet::new(settings());
    let between = |sandbox: &str| {
        pod(
            "a",
            json!({"phase": "Pending", "conditions": [{"type": "PodReadyToStartContainers", "status": sandbox}],
            "initContainerStatuses": [{"name": "artifacts", "state": {"terminated": {"exitCode": 0}}}]}),
        )
    };
    fleet.on(node("a"), 0);
    assert_eq!(fleet.next(0), [create("a")]);
    fleet.on(job("a", "run-2", Outcome::Running), 1);
    fleet.on(between("False"), 2);
    assert_eq!(fleet.next(2), []);
    fleet.on(between("True"), 3);
    assert_eq!(fleet.next(STRANDED + 3), [], "the kubelet went on");
    fleet.on(job("a", "run-2", Outcome::Running), STRANDED + 4); // there is news of the Job, so nobody looks for it
    fleet.on(between("False"), STRANDED + 4);
    assert_eq!(fleet.next(STRANDED + 4), []);
    assert_eq!(fleet.next(2 * STRANDED + 3), []);
    let later = 2 * STRANDED + 1000;
    let asked = [0, 300, 600].map(|after| fleet.next(later + after)).concat();
    let delete = Action::Delete { node: "a".into(), name: "p-a".into(), uid: "job-a-run-2".into() };
    assert_eq!(asked, [delete], "once");
    fleet.on(Event::PodGone { name: "p-a-x".into(), node: "a".into() }, later + 900);
    fleet.on(gone("a", "run-2"), later + 900);
    assert_eq!(fleet.next(later + 900), [create("a")]);
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
    assert_eq!(fleet.next(1), [Action::Delete { node: "a".into(), name: "p-a".into(), uid: "job-a-run-1".into() }]);
    assert_eq!(fleet.next(2), []);
    fleet.on(gone("a", "run-1"), 3);
    assert_eq!(fleet.next(3), [create("a")]);
}

#[test]
fn a_job_that_cannot_be_deleted_fails_its_node_and_does_not_hold_up_the_run() {
    let mut fleet = Fleet::new(settings());
    fleet.on(job("a", "run-1", Outcome::Running), 0);
    fleet.on(job("elsewhere", "run-1", Outcome::Running), 0);
    fleet.on(node("a"), 0);
    fleet.next(0);
    for node in ["a", "elsewhere"] {
        fleet.on(Event::Undeletable { name: format!("p-{node}"), node: node.into(), message: "forbidden".into() }, 1);
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
