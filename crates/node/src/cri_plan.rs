//! The plan of the `cri` stage and of its reverse: which files change, which services of ours start or stop, whether the
//! runtime restarts.

use crate::custom_containerd::Aim;
use crate::distribution::{Found, RuntimeKind};
use crate::edit::Edit;
use crate::error::Result;
use crate::host::Host;
use crate::image::Image;
use crate::ledger::{Ledger, Part};
use crate::merged::{self, Future};
use crate::runtime_layout::{self, Layout};
use crate::settings::Settings;
use crate::wanted::{self, Wishes};
use crate::{containerd, crio, snapshotter};
use std::collections::{BTreeMap, BTreeSet};

/// What shall happen to the runtime's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CriPlan {
    /// Edits in order.
    pub edits: Vec<Edit>,
    /// Services of ours to start (or restart with a new unit file).
    pub start: Vec<String>,
    /// Services of ours to stop.
    pub stop: Vec<String>,
    /// Handlers that the runtime must serve afterwards.
    pub handlers: Vec<String>,
    /// Services of ours that run afterwards.
    pub services: Vec<String>,
    /// The version that must answer afterwards, when it is not the host's own that runs.
    pub version: Option<String>,
    /// Why the runtime must not restart but only read its configuration again, if that changes; a sentence.
    pub no_restart: Option<String>,
}

impl CriPlan {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty() && self.start.is_empty() && self.stop.is_empty()
    }

    /// Whether something of ours shall run afterwards.
    pub fn installs(&self) -> bool {
        !self.handlers.is_empty() || self.version.is_some()
    }

    /// Whether the runtime reads something else afterwards.
    pub fn restarts(&self) -> bool {
        let changes = !self.stop.is_empty() || !self.start.is_empty() || self.edits.iter().any(Edit::changes_content);
        changes && self.no_restart.is_none()
    }
}

/// Plans an installation for the runtime that shall run. Reads the host and changes nothing.
pub fn install(asked: &Settings, aim: &Aim, host: &Host, ledger: &Ledger) -> Result<CriPlan> {
    let found = &aim.found;
    let layout = runtime_layout::find(asked, found, host)?;
    let mut wishes = match found.runtime {
        _ if asked.handlers().is_empty() => Wishes::new(),
        RuntimeKind::Containerd => containerd::wishes(asked, &layout)?,
        RuntimeKind::Crio => crio::wishes(asked, &layout),
    };
    wishes.extend(snapshotter::wishes(asked, found));
    wishes.extend(aim.wishes(asked, host));
    let handlers: Vec<String> = asked.handlers().into_iter().map(|handler| handler.name).collect();
    let services = snapshotter::services(asked, found);
    let mut plan = plan(&wishes, host, ledger, services, handlers)?;
    plan.version = aim.version().map(str::to_owned);
    check(found, &layout, host, &plan)?;
    Ok(plan)
}

/// Plans a removal from the ledger alone. Nothing is checked: what was there before is put back whatever it was.
pub fn remove(host: &Host, ledger: &Ledger) -> Result<CriPlan> {
    plan(&Wishes::new(), host, ledger, Vec::new(), Vec::new())
}

fn plan(
    wishes: &Wishes,
    host: &Host,
    ledger: &Ledger,
    services: Vec<String>,
    handlers: Vec<String>,
) -> Result<CriPlan> {
    let (now, directories) = observe(wishes, host, ledger, Part::Cri)?;
    let edits = wanted::plan(Part::Cri, wishes, &now, &directories, ledger)?;
    let touched = |service: &String| {
        edits.iter().any(|edit| edit.changes_content() && edit.path() == format!("/etc/systemd/system/{service}"))
    };
    let start =
        services.iter().filter(|service| !ledger.services.contains(service) || touched(service)).cloned().collect();
    let stop = ledger.services.iter().filter(|service| !services.contains(service)).cloned().collect();
    Ok(CriPlan { start, stop, handlers, services, edits, version: None, no_restart: None })
}

/// What the paths of a plan hold now, and which directories above them exist.
pub fn observe(
    wishes: &Wishes,
    host: &Host,
    ledger: &Ledger,
    part: Part,
) -> Result<(BTreeMap<String, Image>, BTreeSet<String>)> {
    let owned = ledger.files.iter().filter(|(_, owned)| owned.part == part).map(|(path, _)| path);
    let mut now = BTreeMap::new();
    let mut directories = BTreeSet::new();
    for path in wishes.keys().chain(owned) {
        if let Some(image) = host.image(path)? {
            now.insert(path.clone(), image);
        }
        directories
            .extend(wanted::ancestors(path).into_iter().filter(|path| host.path(path).is_dir()).map(str::to_owned));
    }
    Ok((now, directories))
}

fn check(found: &Found, layout: &Layout, host: &Host, plan: &CriPlan) -> Result<()> {
    merged::check(found, layout, &future(host, plan), &plan.handlers)
}

/// The host with a plan's files.
pub fn future<'h>(host: &'h Host, plan: &CriPlan) -> Future<'h> {
    let put = |edit: &Edit| match edit {
        Edit::Put { path, after, .. } => Some((path.clone(), after.clone())),
        _ => None,
    };
    Future { host, changes: plan.edits.iter().filter_map(put).collect() }
}
