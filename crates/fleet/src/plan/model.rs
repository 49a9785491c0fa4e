//! A model check: a cluster in a few lines, and everything that may happen to it in any order.
//!
//! However events are delayed, doubled or lost with a broken watch, whoever deletes Jobs, whichever nodes go, come and
//! are replaced, and wherever the dispatcher is killed: in the end every node that is there is through, and no node got
//! a second Job that nobody's deletion explains.

use super::tests::settings;
use super::*;
use crate::job_name::job_name;
use crate::observe::PodStatus;
use crate::pace::Amount;
use proptest::prelude::*;
use std::collections::VecDeque;

const OURS: &str = "run-2";
const EARLIER: &str = "run-1";

#[derive(Clone, Debug)]
struct Made {
    uid: String,
    node: String,
    node_uid: String,
    run: &'static str,
    outcome: Outcome,
}

/// The cluster and what the dispatcher has not heard of it yet.
struct World {
    fleet: Fleet,
    now: u64,
    serial: usize,
    nodes: BTreeMap<String, Node>,
    jobs: BTreeMap<String, Made>,
    /// What the follower of each kind last told: the same as in `follow`.
    known_nodes: BTreeMap<String, String>,
    known_jobs: BTreeMap<String, (String, String)>,
    /// What a list under way has; `None` when there is none.
    listed_nodes: Option<BTreeSet<String>>,
    listed_jobs: Option<BTreeSet<String>>,
    /// `None` is the end of a list.
    node_news: VecDeque<Option<Event>>,
    job_news: VecDeque<Option<Event>>,
    answers: VecDeque<Event>,
    /// With each action the identity of its Node when it was asked for, as the effects take it along.
    actions: VecDeque<(Action, String)>,
    told: Vec<Event>,
    recorded: BTreeMap<String, (NodeRecord, String)>,
    /// Jobs that this run made, and those that somebody deleted, by the Node's identity.
    made: BTreeMap<String, usize>,
    deleted: BTreeMap<String, usize>,
}

impl World {
    fn new(nodes: usize, earlier: usize, finished: usize, parallelism: usize) -> World {
        let mut world = World {
            fleet: Fleet::new(settings()),
            now: 0,
            serial: 0,
            nodes: BTreeMap::new(),
            jobs: BTreeMap::new(),
            known_nodes: BTreeMap::new(),
            known_jobs: BTreeMap::new(),
            listed_nodes: None,
            listed_jobs: None,
            node_news: VecDeque::new(),
            job_news: VecDeque::new(),
            answers: VecDeque::new(),
            actions: VecDeque::new(),
            told: Vec::new(),
            recorded: BTreeMap::new(),
            made: BTreeMap::new(),
            deleted: BTreeMap::new(),
        };
        for number in 0..nodes {
            world.add_node(&format!("n{number}"));
        }
        for number in 0..earlier {
            let node = format!("n{number}");
            let node_uid = world.nodes.get(&node).map(|node| node.uid.clone()).unwrap_or_default();
            let made = Made {
                uid: format!("e{number}"),
                node: node.clone(),
                node_uid,
                run: EARLIER,
                outcome: if number < finished { Outcome::Complete } else { Outcome::Running },
            };
            world.jobs.insert(job_name("p", &node), made);
        }
        world.begin(parallelism);
        world
    }

    /// A dispatcher starts: it knows nothing, and lists.
    fn begin(&mut self, parallelism: usize) {
        let mut pace = Pace::plain(Amount::Number(parallelism));
        pace.unavailable = (self.serial.is_multiple_of(2)).then_some(Amount::Number(1));
        self.fleet = Fleet::new(Settings { pace, ..settings() });
        (self.actions, self.answers) = (VecDeque::new(), VecDeque::new());
        (self.known_nodes, self.known_jobs) = (BTreeMap::new(), BTreeMap::new());
        self.told.clear();
        for (record, uid) in self.recorded.values() {
            self.fleet.on(Event::Recorded { record: record.clone(), uid: uid.clone() }, self.now);
        }
        self.list_nodes();
        self.list_jobs();
    }

    fn fresh(&mut self, what: &str) -> String {
        self.serial += 1;
        format!("{what}{}", self.serial)
    }

    fn add_node(&mut self, name: &str) {
        let uid = self.fresh("u");
        let created = i64::try_from(self.serial).unwrap();
        let labels = [("topology.kubernetes.io/zone".to_owned(), format!("z{}", self.serial % 2))].into();
        let node = Node { name: name.into(), uid, labels, ready: true, created, ..Node::default() };
        self.nodes.insert(name.into(), node.clone());
        self.node_news.push_back(Some(Event::Node(node)));
    }

    fn remove_node(&mut self, name: &str) {
        if let Some(node) = self.nodes.remove(name) {
            self.node_news.push_back(Some(Event::NodeGone { name: name.into(), uid: node.uid }));
        }
    }

    fn job_event(name: &str, made: &Made) -> Event {
        Event::Job(Self::job(name, made))
    }

    fn job(name: &str, made: &Made) -> Job {
        Job {
            name: name.into(),
            uid: made.uid.clone(),
            node: made.node.clone(),
            node_uid: made.node_uid.clone(),
            owner: "dispatcher".into(),
            owner_uids: vec![made.run.into()],
            deleting: false,
            outcome: made.outcome.clone(),
        }
    }

    fn remove_job(&mut self, name: &str) {
        if let Some(made) = self.jobs.remove(name) {
            self.job_news.push_back(Some(Event::JobGone { name: name.into(), uid: made.uid, node: made.node }));
        }
    }

    /// The watch of Nodes broke: a list tells what is, and at its end what was known and is not any more.
    fn list_nodes(&mut self) {
        self.listed_nodes = Some(self.nodes.keys().cloned().collect());
        self.node_news = self.nodes.values().cloned().map(|node| Some(Event::Node(node))).chain([None]).collect();
    }

    fn list_jobs(&mut self) {
        self.listed_jobs = Some(self.jobs.keys().cloned().collect());
        self.job_news = self.jobs.iter().map(|(name, made)| Some(Self::job_event(name, made))).chain([None]).collect();
    }

    fn tell_of_nodes(&mut self) -> bool {
        match self.node_news.pop_front() {
            None => return false,
            Some(Some(event)) => {
                match &event {
                    Event::Node(node) => {
                        let before = self.known_nodes.insert(node.name.clone(), node.uid.clone());
                        if let Some(uid) = before.filter(|before| *before != node.uid) {
                            self.tell(Event::NodeGone { name: node.name.clone(), uid });
                        }
                    }
                    Event::NodeGone { name, .. } => drop(self.known_nodes.remove(name)),
                    _ => {}
                }
                self.tell(event);
            }
            Some(None) => {
                let listed = self.listed_nodes.take().unwrap_or_default();
                for (name, uid) in self.known_nodes.clone() {
                    if !listed.contains(&name) {
                        self.known_nodes.remove(&name);
                        self.tell(Event::NodeGone { name, uid });
                    }
                }
            }
        }
        true
    }

    fn tell_of_jobs(&mut self) -> bool {
        match self.job_news.pop_front() {
            None => return false,
            Some(Some(event)) => {
                match &event {
                    Event::Job(job) => {
                        let before = self.known_jobs.insert(job.name.clone(), (job.uid.clone(), job.node.clone()));
                        if let Some((uid, node)) = before.filter(|(before, _)| *before != job.uid) {
                            self.tell(Event::JobGone { name: job.name.clone(), uid, node });
                        }
                    }
                    Event::JobGone { name, .. } => drop(self.known_jobs.remove(name)),
                    _ => {}
                }
                self.tell(event);
            }
            Some(None) => {
                let listed = self.listed_jobs.take().unwrap_or_default();
                for (name, (uid, node)) in self.known_jobs.clone() {
                    if !listed.contains(&name) {
                        self.known_jobs.remove(&name);
                        self.tell(Event::JobGone { name, uid, node });
                    }
                }
                self.fleet.on(Event::JobsListed, self.now);
            }
        }
        true
    }

    fn tell(&mut self, event: Event) {
        self.told.push(event.clone());
        self.fleet.on(event, self.now);
    }

    /// Carries the oldest action out; its answer comes later, or never when the dispatcher is killed.
    fn act(&mut self) {
        let Some((action, node_uid)) = self.actions.pop_front() else { return };
        let answer = match action {
            // A replacement may be heard of before the turn of the request comes, or while it is on its way.
            Action::Create(node) if self.serial.is_multiple_of(2) && self.fleet.identity(&node) != Some(&node_uid) => {
                None
            }
            Action::Create(node) => Some(self.create(&node, node_uid)),
            Action::Find { node, name, uid } => Some(match self.jobs.get(&name).filter(|made| made.uid == uid) {
                Some(made) => Event::Found(Self::job(&name, made)),
                None => Event::JobGone { name, uid, node },
            }),
            Action::Delete { node, name, uid } => {
                if self.jobs.get(&name).is_some_and(|made| made.uid == uid) {
                    self.remove_job(&name);
                    None // the watch tells
                } else {
                    Some(Event::JobGone { name, uid, node })
                }
            }
            // Sometimes half of them, sometimes with an error as well.
            Action::DeleteEarlier(count) => {
                let finished = |(_, made): &(&String, &Made)| made.run == EARLIER && made.outcome == Outcome::Complete;
                let names: Vec<String> = self.jobs.iter().filter(finished).map(|(name, _)| name.clone()).collect();
                let whole = !self.serial.is_multiple_of(3);
                for name in names.into_iter().take(if whole { usize::MAX } else { count / 2 }) {
                    self.remove_job(&name);
                }
                Some(Event::DeletedEarlier { good: whole || self.serial.is_multiple_of(2) })
            }
            Action::ReadLines { node, .. } => Some(Event::Lines { node, lines: Vec::new() }),
            _ => None,
        };
        self.answers.extend(answer);
    }

    fn create(&mut self, node: &str, pinned: String) -> Event {
        let name = job_name("p", node);
        if let Some(there) = self.jobs.get(&name) {
            return Event::Found(Self::job(&name, there)); // 409, and what is there
        }
        let uid = self.fresh("j");
        let made = Made {
            uid: uid.clone(),
            node: node.into(),
            node_uid: pinned.clone(),
            run: OURS,
            outcome: Outcome::Running,
        };
        *self.made.entry(pinned.clone()).or_default() += 1;
        self.job_news.push_back(Some(Self::job_event(&name, &made)));
        self.jobs.insert(name, made);
        Event::Created { node: node.into(), node_uid: pinned, uid }
    }

    fn ask(&mut self) {
        let actions = self.fleet.next(self.now);
        for action in actions {
            let node_uid = match &action {
                Action::Create(node) => self.fleet.identity(node).unwrap_or_default().to_owned(),
                _ => String::new(),
            };
            self.actions.push_back((action, node_uid));
        }
        for name in self.fleet.changed() {
            if let (Some((record, true)), Some(node)) = (self.fleet.record(&name), self.fleet.node(&name)) {
                self.recorded.insert(name.clone(), (record, node.uid));
                self.fleet.settle(&name, self.now);
            }
        }
        assert_eq!(self.fleet.zones, self.fleet.counted_anew(), "the zones are counted along wrongly");
    }

    fn end_job(&mut self, which: usize) {
        // Jobs of nodes that are gone never end; that of `n0` always fails.
        let ends = |made: &Made| {
            made.outcome == Outcome::Running && self.nodes.get(&made.node).is_some_and(|node| node.uid == made.node_uid)
        };
        let running: Vec<String> =
            self.jobs.iter().filter(|(_, made)| ends(made)).map(|(name, _)| name.clone()).collect();
        let Some(name) = running.get(which % running.len().max(1)) else { return };
        if let Some(made) = self.jobs.get_mut(name) {
            made.outcome = if made.node == "n0" { Outcome::Failed("no".into()) } else { Outcome::Complete };
            let status = PodStatus {
                phase: if made.node == "n0" { "Failed" } else { "Succeeded" }.into(),
                ..PodStatus::default()
            };
            let pod = Pod {
                name: format!("{name}-x"),
                node: made.node.clone(),
                job: made.uid.clone(),
                created: format!("{:09}", self.serial),
                status,
            };
            let event = Self::job_event(name, &made.clone());
            self.job_news.push_back(Some(event));
            self.told.push(Event::Pod(pod.clone()));
            self.fleet.on(Event::Pod(pod), self.now);
        }
    }

    fn step(&mut self, word: u32) {
        let (what, which) = (word % 32, (word / 32) as usize);
        let name = format!("n{}", which % 7);
        match what {
            0..=5 => {
                self.tell_of_nodes();
            }
            6..=11 => {
                self.tell_of_jobs();
            }
            12..=16 => self.act(),
            17..=19 => {
                if let Some(event) = self.answers.pop_front() {
                    self.fleet.on(event, self.now);
                }
            }
            20..=22 => self.end_job(which),
            23 => {
                // Old news once more; of Nodes only such as are there, or are known to be gone.
                let old = self.told.get(which % self.told.len().max(1)).cloned();
                match old {
                    Some(Event::Node(node)) if self.nodes.get(&node.name).is_none_or(|now| now.uid != node.uid) => {}
                    Some(Event::JobsListed) | None => {}
                    Some(event) => self.fleet.on(event, self.now),
                }
            }
            24 => {
                let name = job_name("p", &name);
                let ours = self.jobs.get(&name).filter(|made| made.run == OURS).map(|made| made.node_uid.clone());
                // Three times it is made again; the fourth deletion is a failure by intention.
                if let Some(uid) = ours.filter(|uid| self.deleted.get(uid).is_none_or(|times| *times < 2)) {
                    *self.deleted.entry(uid).or_default() += 1;
                    self.remove_job(&name);
                }
            }
            25 => self.remove_node(&name),
            26 => {
                self.remove_node(&name);
                self.add_node(&name);
            }
            27 if !self.nodes.contains_key(&name) => self.add_node(&name),
            28 => self.list_jobs(),
            29 => self.list_nodes(),
            30 => self.begin(1 + which % 4),
            _ => self.now += 50 * (which as u64 % 100),
        }
        self.ask();
    }

    /// Lets everything come to its end; nothing is lost any more.
    fn settle(&mut self) {
        for _ in 0..4_000 {
            self.now += 500;
            self.ask();
            self.act();
            for _ in 0..2 {
                let _ = self.tell_of_nodes() || self.tell_of_jobs();
            }
            if let Some(event) = self.answers.pop_front() {
                self.fleet.on(event, self.now);
            }
            self.end_job(0);
            let quiet = self.node_news.is_empty() && self.job_news.is_empty() && self.answers.is_empty();
            if quiet {
                self.fleet.stop_accepting();
            }
            if quiet && self.actions.is_empty() && self.fleet.over() {
                return;
            }
        }
        let phases: Vec<_> = self.fleet.works.iter().map(|(name, work)| (name, &work.phase, &work.job)).collect();
        panic!(
            "the run did not end: {phases:?}; jobs {:?}; stale {:?}; deleting {:?}; others {:?}",
            self.jobs, self.fleet.stale, self.fleet.deleting, self.fleet.others
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn every_node_is_through_and_none_got_a_job_too_many(
        nodes in 1..6_usize, earlier in 0..6_usize, finished in 0..6_usize, parallelism in 1..4_usize,
        script in proptest::collection::vec(any::<u32>(), 0..250),
    ) {
        let mut world = World::new(nodes, earlier, finished, parallelism);
        for word in script {
            world.step(word);
        }
        world.settle();
        for (name, node) in &world.nodes {
            let record = world.fleet.record(name);
            prop_assert!(record.as_ref().is_some_and(|(_, over)| *over), "{} was forgotten", name);
            let state = record.as_ref().map(|(record, _)| record.state);
            let wanted = if name == "n0" { State::Failed } else { State::Done };
            prop_assert_eq!(state, Some(wanted), "{}: {:?}", name, record);
            let made = world.made.get(&node.uid).copied().unwrap_or(0);
            let deleted = world.deleted.get(&node.uid).copied().unwrap_or(0);
            prop_assert!(made >= 1 && made <= 1 + deleted, "{} had {} Jobs, {} were deleted", name, made, deleted);
        }
        let left: Vec<&Made> = world.jobs.values().filter(|made| made.outcome == Outcome::Running).collect();
        prop_assert!(left.is_empty(), "Jobs of nobody's: {:?}", left);
        let count = world.fleet.count();
        prop_assert_eq!(count.selected, world.nodes.len());
        prop_assert_eq!(count.done + count.failed, world.nodes.len());
    }
}
