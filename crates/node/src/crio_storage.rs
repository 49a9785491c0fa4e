//! The directory below which CRI-O mounts the file systems of containers.
//!
//! At its start CRI-O mounts that directory on itself, so that nobody else sees what is mounted below. With our
//! `overlay.skip_mount_home=true` it does not, as Kata's shims need, but it does not take away a mount that is there either: the
//! setting has its effect with the next boot. After that boot the reverse is worse: a CRI-O that starts without the setting hides
//! the file systems of all containers that run, and their pods can never be taken down. A CRI-O that only reads its configuration
//! again forgets our handlers and leaves its storage as it is.

use crate::cri_plan::{CriPlan, future};
use crate::merged;
use crate::session::Session;
use std::collections::BTreeSet;

/// Why CRI-O must not be restarted with what a plan leaves of its configuration, if so.
pub(crate) fn danger(session: &Session, plan: &CriPlan) -> Option<String> {
    // What cannot be read CRI-O cannot read either, and that is somebody else's trouble.
    let (home, skips) = merged::crio_storage(&future(session.host, plan)).ok()?;
    let running = containers(&mounts(session), &home);
    (!skips && running > 0).then(|| {
        format!(
            "CRI-O read its configuration again and was not restarted: since the node's last boot {home} is as our setting \
             `overlay.skip_mount_home=true` leaves it, and a CRI-O that starts without it would hide the file systems of {running} \
             running containers, whose pods would stay for ever; reboot the node, or drain it, before crio.service is restarted"
        )
    })
}

/// What is to be told while our setting has no effect yet.
pub(crate) fn hidden(session: &Session, plan: &CriPlan) -> Option<String> {
    let (home, skips) = merged::crio_storage(&future(session.host, plan)).ok()?;
    (skips && mounts(session).contains(&home)).then(|| {
        format!(
            "CRI-O mounted {home} before it had our setting `overlay.skip_mount_home=true`, which has its effect with the node's next \
             boot: until then Kata's shims may not find the files of their containers"
        )
    })
}

/// Where something is mounted, as paths of the host: what was mounted when our container began.
fn mounts(session: &Session) -> BTreeSet<String> {
    let text = std::fs::read_to_string(session.around.processes.join("self/mountinfo")).unwrap_or_default();
    let root = session.host.path("/");
    let root = root.to_string_lossy();
    let root = root.trim_end_matches('/');
    let points = text.lines().filter_map(|line| line.split(' ').nth(4));
    points.filter_map(|point| point.strip_prefix(root)).map(str::to_owned).collect()
}

/// How many containers have their file systems in a directory that is not mounted itself.
fn containers(mounts: &BTreeSet<String>, home: &str) -> usize {
    if mounts.contains(home) {
        return 0;
    }
    let own = |point: &&String| {
        let rest = point.strip_prefix(home).and_then(|rest| rest.strip_prefix('/'));
        rest.and_then(|rest| rest.strip_suffix("/merged")).is_some_and(|layer| !layer.contains('/'))
    };
    mounts.iter().filter(own).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_count_where_the_directory_is_no_mount() {
        let home = "/var/lib/containers/storage/overlay";
        let mounts = |points: &[&str]| points.iter().map(|point| (*point).to_owned()).collect::<BTreeSet<_>>();
        let one = format!("{home}/0a1b/merged");
        let inner = format!("{home}/0a1b/merged/proc");
        let other = format!("{home}-images/0a1b/merged");
        assert_eq!(containers(&mounts(&["/var/lib", &one, &inner, &other]), home), 1);
        assert_eq!(containers(&mounts(&["/var/lib", home, &one]), home), 0);
        assert_eq!(containers(&mounts(&["/var/lib"]), home), 0);
    }
}
