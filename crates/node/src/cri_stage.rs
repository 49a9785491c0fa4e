//! The `cri` stage and its reverse: one transaction of journal, edits, restart and proof, which undoes itself when the runtime
//! does not come back; a timer on the host undoes it when we do not come back either.

use crate::cri_plan::{self, CriPlan};
use crate::crio_storage;
use crate::custom_containerd::wish::triple;
use crate::custom_containerd::{self, Aim, fetch};
use crate::distribution::{Found, RuntimeKind};
use crate::edit::Edit;
use crate::error::{NodeError, Result};
use crate::hand_over::hand_over;
use crate::ledger::{Ledger, Part};
use crate::session::{Outcome, Session, Surroundings};
use crate::snapshotter;
use crate::store::{Entry, Journal, Store};
use crate::units::{Runtime, Served, Units};
use crate::unpack;
use contract::Code;
use std::time::{Duration, Instant};

/// How long a runtime that answers may go on not serving a handler.
const SETTLED: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(250);

/// Configures the runtime for our handlers and proves that it serves them.
pub fn install(session: &mut Session, found: &Found) -> Result<Outcome> {
    let store = session.store();
    let ledger = store.ledger()?;
    if store.tidy(Part::Cri, &ledger)? {
        settle(session, &store)?;
    }
    let (aim, plan) = prepare(session, &store, found, &ledger)?;
    let journal = store.journal(Part::Cri, &ledger)?;
    let found = &aim.found;
    let proven = session.runtime.served(&found.socket).ok().filter(|served| proves(served, &plan).is_ok());
    // A run that was killed by its own restart finds everything done, and the runtime back.
    let finished = journal.as_ref().is_none_or(Journal::restarted_last);
    let mut outcome = if plan.is_empty()
        && finished
        && let Some(served) = proven
    {
        let mut outcome = Outcome { handlers: plan.handlers.clone(), ..Outcome::default() };
        outcome.message = format!("{} {} and nothing had to change", found.runtime_text(), serves(&plan));
        warn_if_silent(&served, &mut outcome);
        if let Some(journal) = journal {
            outcome.changes = commit(session, ledger, &journal, Some(&found.unit), &plan.services)?;
            outcome.restarted = true;
            settle(session, &store)?;
            outcome.message =
                format!("{} {}; an interrupted run had done the work", found.runtime_text(), serves(&plan));
        }
        outcome
    } else {
        transact(session, &store, ledger, &plan, &found.unit, Some(&found.socket))?
    };
    let keep = aim.switch.as_ref().map(|switch| switch.tree.as_str());
    outcome.changes += fetch::collect(session, &store, keep)?;
    if found.runtime == RuntimeKind::Crio && !plan.handlers.is_empty() {
        outcome.warnings.extend(crio_storage::hidden(session, &plan));
    }
    outcome.warnings.extend(aim.switch.iter().filter_map(|switch| switch.unverified(session.host)));
    Ok(outcome)
}

/// Fetches the containerd that shall run, if it is another than the host's, and plans for what will run then.
fn prepare(session: &mut Session, store: &Store, found: &Found, ledger: &Ledger) -> Result<(Aim, CriPlan)> {
    let open = store.journal(Part::Cri, ledger)?;
    let brought = fetch::bring(session, store, found, ledger, &with_journal(ledger, open.as_ref()));
    let journal = store.journal(Part::Cri, ledger)?;
    let planned = brought.and_then(|()| {
        let known = with_journal(ledger, journal.as_ref());
        let aim = custom_containerd::aim(session.asked, found, session.host, &known)?;
        snapshotter::check(session, &aim.found)?;
        let plan = cri_plan::install(session.asked, &aim, session.host, &known)?;
        Ok((aim, plan))
    });
    match (planned, journal) {
        (Ok(planned), _) => Ok(planned),
        // an installation that cannot go on leaves nothing of what it fetched
        (Err(error), Some(journal)) if fetch::brings(&journal) => Err(take_back(session, store, &journal, error)),
        (Err(error), _) => Err(error),
    }
}

/// `serves kata-qemu`, for sentences.
fn serves(plan: &CriPlan) -> String {
    match plan.handlers.as_slice() {
        [] => "answers".to_owned(),
        handlers => format!("serves {}", handlers.join(", ")),
    }
}

/// Takes our lines out of the runtime's configuration and restarts it if there were any.
pub fn remove(session: &mut Session, found: Option<&Found>) -> Result<Outcome> {
    let store = session.store();
    let ledger = store.ledger()?;
    if store.tidy(Part::Cri, &ledger)? {
        settle(session, &store)?;
    }
    let journal = store.journal(Part::Cri, &ledger)?;
    let known = with_journal(&ledger, journal.as_ref());
    let mut known = known;
    known.services.extend(journal.iter().flat_map(|journal| &journal.entries).flat_map(|entry| match entry {
        Entry::Start { services } => services.clone(),
        _ => Vec::new(),
    }));
    known.services.sort();
    known.services.dedup();
    let mut plan = cri_plan::remove(session.host, &known)?;
    if plan.is_empty() && journal.is_none() {
        let changes = fetch::collect(session, &store, None)?;
        store.clean_if_empty()?;
        return Ok(Outcome {
            message: "nothing of ours is in the runtime's configuration".into(),
            changes,
            ..Outcome::default()
        });
    }
    let unit = ledger
        .unit
        .clone()
        .or_else(|| journal.and_then(|journal| journal.unit))
        .or_else(|| found.map(|found| found.unit.clone()))
        .unwrap_or_else(|| "containerd.service".to_owned());
    if unit == "crio.service" {
        plan.no_restart = crio_storage::danger(session, &plan);
    }
    let socket = found.map(|found| found.socket.clone());
    let mut outcome = transact(session, &store, ledger, &plan, &unit, socket.as_deref())?;
    outcome.changes += fetch::collect(session, &store, None)?;
    outcome.message = format!("the runtime's configuration is as it was before us ({} changes)", outcome.changes);
    outcome.warnings.extend(plan.no_restart.clone());
    for edit in &plan.edits {
        if let Edit::Put { path, before: Some(before), after: Some(after), .. } = edit
            && before == after
        {
            outcome.warnings.push(format!("{path} was changed by somebody else since and stays"));
        }
    }
    store.clean_if_empty()?;
    Ok(outcome)
}

/// Takes an unfinished transaction back. This is what the timer on the host runs, without any cluster. Returns whether there
/// was one.
pub fn undo(store: &Store, hands: &mut Hands) -> Result<bool> {
    let ledger = store.ledger()?;
    let journal = store.journal(Part::Cri, &ledger)?;
    if let Some(journal) = &journal {
        roll_back(store, journal, hands)?;
    }
    // our own program goes too, if nothing else is left here
    store.drop_installer()?;
    store.clean_if_empty()?;
    Ok(journal.is_some())
}

/// What a roll-back needs of a [`Session`].
pub struct Hands<'s, 'a> {
    /// The host's service manager.
    pub units: &'s mut dyn Units,
    /// The surroundings.
    pub around: &'s Surroundings<'a>,
    /// The hand that changes files.
    pub disk: crate::disk::Disk<'a>,
    /// The installation.
    pub install: String,
}

fn with_journal(ledger: &Ledger, journal: Option<&Journal>) -> Ledger {
    let mut known = ledger.clone();
    for edit in journal.iter().flat_map(|journal| journal.edits()) {
        known.fold(Part::Cri, &edit);
    }
    known
}

/// When the host's timer acts: later than our own patience, which is spent twice when the old configuration is put back.
fn deadline(patience: Duration) -> Duration {
    patience * 2 + Duration::from_secs(2)
}

fn timer(install: &str) -> String {
    format!("husk-undo-{install}")
}

fn transact(
    session: &mut Session,
    store: &Store,
    ledger: Ledger,
    plan: &CriPlan,
    unit: &str,
    socket: Option<&str>,
) -> Result<Outcome> {
    if plan.installs() {
        check_room(session)?;
    }
    let mut journal = store.begin(Part::Cri, &ledger, Some(unit))?;
    let installing = plan.installs();
    let number = journal.transaction;
    let done = attempt(session, store, &mut journal, plan, unit, socket).and_then(|restarted| {
        let changes = commit(session, ledger, &journal, installing.then_some(unit), &plan.services)?;
        Ok((restarted, changes))
    });
    match done {
        Ok((restarted, changes)) => {
            settle(session, store)?;
            let message = match (installing, restarted) {
                (true, true) => format!("{unit} was restarted once and {}", serves(plan)),
                _ => format!("{changes} changes"),
            };
            Ok(Outcome { message, changes, restarted, handlers: plan.handlers.clone(), ..Outcome::default() })
        }
        // it counts already: the next run finds everything in place
        Err(error) if store.ledger()?.committed.get(&Part::Cri).is_some_and(|last| *last >= number) => Err(error),
        Err(error) => Err(take_back(session, store, &journal, error)),
    }
}

/// Room for journal, installer and configuration, and for putting the old configuration back.
const ROOM: u64 = 8 << 20;

/// Refuses to begin where the end, whichever it is, would not fit on the disk.
fn check_room(session: &Session) -> Result<()> {
    let installer = std::fs::metadata(&session.around.installer).map_or(0, |meta| meta.len());
    for (place, needed) in [("/etc", ROOM), ("/var/lib", ROOM + installer)] {
        if let Some(free) = unpack::free_bytes(place, &session.disk).filter(|free| *free < needed) {
            let message = format!("{place} has {} KiB free; {} KiB are needed", free >> 10, needed >> 10);
            return Err(NodeError::new(Code::DISK_FULL, message));
        }
    }
    Ok(())
}

/// Takes a transaction back because of an error, which is told then, together with what went wrong meanwhile.
fn take_back(session: &mut Session, store: &Store, journal: &Journal, error: NodeError) -> NodeError {
    let mut hands = Hands {
        units: session.units,
        around: session.around,
        disk: session.disk,
        install: session.asked.install().to_owned(),
    };
    match roll_back(store, journal, &mut hands).and_then(|()| store.clean_if_empty()) {
        Ok(()) => error,
        Err(second) => NodeError::new(
            if second.code == Code::RUNTIME_DOWN { second.code } else { error.code },
            format!("{}; and taking the edits back failed too: {}", error.message, second.message),
        ),
    }
}

/// Makes the edits, restarts, proves. Returns whether the runtime was restarted.
fn attempt(
    session: &mut Session,
    store: &Store,
    journal: &mut Journal,
    plan: &CriPlan,
    unit: &str,
    socket: Option<&str>,
) -> Result<bool> {
    let say = session.around.say;
    let known = session.units.state(unit)?.loaded;
    let pending = plan.no_restart.is_none() && !journal.edits().is_empty();
    let restarts = known && (plan.restarts() || pending || plan.installs());
    if restarts {
        store.keep_installer(&session.around.installer)?;
        let install = session.asked.install();
        let program =
            [&store.installer(), "undo", "--host-root", "/", "--install", install].map(|word| word.to_owned());
        session.units.arm(&timer(install), deadline(session.around.patience), &program)?;
    }
    if !plan.stop.is_empty() {
        store.record(journal, Entry::Stop { services: plan.stop.clone() })?;
        for service in &plan.stop {
            session.units.stop(service)?;
        }
    }
    for edit in &plan.edits {
        say(&edit.describe());
        store.record(journal, Entry::Edit(Box::new(edit.clone())))?;
        edit.apply(&session.disk)?;
    }
    for edit in &plan.edits {
        if !edit.holds(session.host) {
            let message = format!("{} does not hold what was written to it", edit.path());
            return Err(NodeError::new(Code::CHANGED_MEANWHILE, message));
        }
    }
    if journal.edits().iter().any(|edit| edit.path().starts_with("/etc/systemd/")) {
        session.units.reload()?;
    }
    if !plan.start.is_empty() {
        store.record(journal, Entry::Start { services: plan.start.clone() })?;
        for service in &plan.start {
            session.units.restart(service)?;
            wait_active(session.units, session.around, service, None).map_err(|why| {
                NodeError::new(Code::SNAPSHOTTER_UNAVAILABLE, format!("{service} {why}", why = why.message))
            })?;
        }
    }
    if known && plan.no_restart.is_some() {
        say(&format!("reloading {unit}"));
        if let Err(error) = session.units.reload_service(unit) {
            say(&format!("it serves the same as before: {}", error.message));
        }
    }
    if restarts {
        store.record(journal, Entry::Restart)?;
        say(&format!("restarting {unit}"));
        let before = session.units.state(unit)?.since;
        session.units.restart(unit)?;
        prove(session.units, session.runtime, session.around, unit, before, socket, plan)
            .map_err(|why| of_unit(unit, &why))?;
    }
    Ok(restarts)
}

fn commit(
    session: &Session,
    mut ledger: Ledger,
    journal: &Journal,
    unit: Option<&str>,
    services: &[String],
) -> Result<u32> {
    let store = session.store();
    let edits = journal.edits();
    hand_over(&store, session.host, &edits, &with_journal(&ledger, Some(journal)))?;
    ledger.commit(Part::Cri, journal.transaction, &edits);
    ledger.unit = unit.map(str::to_owned);
    ledger.services = services.to_vec();
    store.save(&ledger)?;
    Ok(u32::try_from(edits.len()).unwrap_or(u32::MAX))
}

/// After the commit: the timer, the journal and the copy of the installer go.
fn settle(session: &mut Session, store: &Store) -> Result<()> {
    session.units.disarm(&timer(session.asked.install()))?;
    store.discard(Part::Cri)?;
    store.drop_installer()
}

fn roll_back(store: &Store, journal: &Journal, hands: &mut Hands) -> Result<()> {
    let say = hands.around.say;
    say("taking the edits back");
    let mut again = Vec::new();
    for entry in journal.entries.iter().rev() {
        match entry {
            Entry::Edit(edit) => edit.undo(&hands.disk)?,
            Entry::Start { services } => services.iter().try_for_each(|service| hands.units.stop(service))?,
            Entry::Stop { services } => again.extend(services.clone()),
            Entry::Begin { .. } | Entry::Restart => {}
        }
    }
    if journal.edits().iter().any(|edit| edit.path().starts_with("/etc/systemd/")) {
        hands.units.reload()?;
    }
    for service in &again {
        hands.units.restart(service)?;
    }
    let mut broken = None;
    if let Some(unit) = journal.unit.as_ref().filter(|_| journal.restarted()) {
        say(&format!("restarting {unit} with its old configuration"));
        let before = hands.units.state(unit)?.since;
        hands.units.restart(unit)?;
        broken = wait_active(hands.units, hands.around, unit, Some(before)).err().map(|why| of_unit(unit, &why));
    }
    store.tidy_ledger()?;
    // The files are as they were, so the transaction is over even if the runtime has other troubles.
    hands.units.disarm(&timer(&hands.install))?;
    store.discard(journal.part)?;
    store.drop_installer()?;
    match broken {
        Some(why) => Err(NodeError::new(Code::RUNTIME_DOWN, format!("with its old configuration too {}", why.message))),
        None => Ok(()),
    }
}

/// A sentence about a unit, from what it is or does.
fn of_unit(unit: &str, why: &NodeError) -> NodeError {
    NodeError::new(why.code, format!("{unit} {}", why.message))
}

/// It came back and refuses, or failed: it will do so the next time too.
fn refused(why: String) -> NodeError {
    NodeError::new(Code::RUNTIME_REFUSED, why)
}

/// It did nothing in time: a host under less load may do better.
fn silent(why: String) -> NodeError {
    NodeError::new(Code::RUNTIME_SILENT, why)
}

/// Waits until the unit is active, after a restart when `before` names the time of its last start. The error says what it is
/// instead, without its name.
fn wait_active(units: &mut dyn Units, around: &Surroundings, unit: &str, before: Option<u64>) -> Result<()> {
    let start = Instant::now();
    let mut failures = 0;
    loop {
        let state = units.state(unit)?;
        let fresh = before.is_none_or(|before| state.since != before || state.since == 0);
        if state.is_active() && fresh {
            return Ok(());
        }
        failures += u32::from(state.has_failed());
        let detail = if state.status.is_empty() { String::new() } else { format!(": {}", state.status) };
        if failures >= 3 {
            return Err(refused(format!(
                "did not come back: it is {} ({}), result `{}`{detail}",
                state.active, state.sub, state.result
            )));
        }
        if start.elapsed() >= around.patience {
            let patience = around.patience.as_secs();
            return Err(silent(format!("is {} ({}) after {patience} s{detail}", state.active, state.sub)));
        }
        (around.pause)(POLL);
    }
}

fn prove(
    units: &mut dyn Units,
    runtime: &mut dyn Runtime,
    around: &Surroundings,
    unit: &str,
    before: u64,
    socket: Option<&str>,
    plan: &CriPlan,
) -> Result<()> {
    wait_active(units, around, unit, Some(before))?;
    let Some(socket) = socket else { return Ok(()) };
    let start = Instant::now();
    let mut answered: Option<Instant> = None;
    loop {
        let why = match runtime.served(socket) {
            Ok(served) => match proves(&served, plan) {
                Ok(()) => return Ok(()),
                Err(why) => {
                    // the configuration was read at the start; what it does not serve now it will not serve later
                    if answered.get_or_insert_with(Instant::now).elapsed() >= SETTLED {
                        return Err(refused(format!("came back, but {why}")));
                    }
                    why
                }
            },
            Err(why) => why,
        };
        if units.state(unit)?.has_failed() {
            // it came up, read its configuration and went down again
            wait_active(units, around, unit, None)?;
        }
        if start.elapsed() >= around.patience {
            let why = format!("came back, but {why} after {} s", around.patience.as_secs());
            return Err(if answered.is_some() { refused(why) } else { silent(why) });
        }
        (around.pause)(POLL);
    }
}

/// Whether an answer proves that the runtime is the right one, is ready and serves the handlers.
fn proves(served: &Served, plan: &CriPlan) -> std::result::Result<(), String> {
    if !served.ready {
        return Err("it does not say that it is ready".to_owned());
    }
    if let Some(version) = plan.version.as_deref().filter(|version| triple(version) != triple(&served.version)) {
        return Err(format!("it is {} {}, not {version}", served.name, served.version));
    }
    let missing: Vec<&str> = match &served.handlers {
        None => return Ok(()),
        Some(all) => plan.handlers.iter().filter(|handler| !all.contains(handler)).map(String::as_str).collect(),
    };
    if missing.is_empty() { Ok(()) } else { Err(format!("it does not serve {}", missing.join(", "))) }
}

fn warn_if_silent(served: &Served, outcome: &mut Outcome) {
    if served.handlers.is_none() {
        outcome.warnings.push(format!("{} {} does not tell which handlers it serves", served.name, served.version));
    }
}
