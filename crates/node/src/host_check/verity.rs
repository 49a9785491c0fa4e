//! Whether containerd's own directory is on a file system with fs-verity, which the erofs snapshotter is configured to use and does
//! not start without.

use super::{Finding, found};
use crate::distribution::{Distribution, Found, RuntimeKind};
use crate::host::{Host, parent};
use crate::session::Session;
use crate::snapshotter;
use contract::{Code, Verdict};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{Updater, ioctl, opcode};
use std::path::Path;

/// The kernel's `FS_IOC_MEASURE_VERITY`: the digest of a file, with the algorithm and the room for it in front.
const MEASURE: rustix::ioctl::Opcode = opcode::read_write::<[u16; 2]>(b'f', 134);

/// What the file system below containerd's directory can do; nothing when erofs is not asked for.
pub(super) fn check(session: &Session, known: &Found) -> Option<Finding> {
    if !snapshotter::erofs(session.asked) || known.runtime != RuntimeKind::Containerd || known.release() < (2, 1) {
        return None;
    }
    let root = root(session.host, known.distribution);
    let mut place = root.as_str();
    while !session.host.exists(place) && place != "/" {
        place = parent(place);
    }
    let say = |verdict, detail| Some(found("fs-verity", verdict, Code::SNAPSHOTTER_UNAVAILABLE, detail));
    match judge(ask(&session.host.path(place))) {
        Some(true) => say(Verdict::Pass, format!("{root} can have it")),
        Some(false) => say(
            Verdict::Warn,
            format!(
                "{root} is on a file system without fs-verity, and the erofs snapshotter does not start without it: the `cri` stage would be taken back. Switch it on (ext4: `tune2fs -O verity DEVICE`), or leave erofs out of `snapshotter.setup`"
            ),
        ),
        None => say(Verdict::Unknown, format!("whether {root} can have fs-verity was not answered")),
    }
}

/// Where containerd keeps its snapshots, as a path of the host.
fn root(host: &Host, distribution: Distribution) -> String {
    let own = match distribution {
        Distribution::K3s => "/var/lib/rancher/k3s/agent/containerd",
        Distribution::Rke2 => "/var/lib/rancher/rke2/agent/containerd",
        Distribution::K0s => "/var/lib/k0s/containerd",
        Distribution::Microk8s => "/var/snap/microk8s/common/var/lib/containerd",
        Distribution::K8s => {
            let text = host.text("/etc/containerd/config.toml").unwrap_or_default();
            let said = text.parse::<toml_edit::DocumentMut>().ok();
            let said = said.as_ref().and_then(|file| file.get("root")?.as_str()).filter(|root| root.starts_with('/'));
            return said.unwrap_or("/var/lib/containerd").to_owned();
        }
    };
    own.to_owned()
}

/// Asks for the digest of a directory. None has one, so nothing is read or written; how the kernel refuses tells what it could do.
fn ask(path: &Path) -> Result<(), Errno> {
    let directory = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut room = [0u16; 2];
    // SAFETY: the kernel reads the second number, the room behind these four bytes, and writes a digest only when it fits into
    // that room; the room is 0, so at most the four bytes that the opcode names are written.
    unsafe { ioctl(directory, Updater::<MEASURE, [u16; 2]>::new(&mut room)) }
}

/// What the kernel's answer means; `None` when it says nothing of fs-verity.
fn judge(answer: Result<(), Errno>) -> Option<bool> {
    match answer {
        Ok(()) | Err(Errno::NODATA | Errno::OVERFLOW) => Some(true),
        // without the feature in the file system; a file system that knows no such question
        Err(Errno::OPNOTSUPP | Errno::NOTTY) => Some(false),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_refusals_are_told_apart() {
        assert_eq!(judge(Err(Errno::NODATA)), Some(true));
        assert_eq!(judge(Err(Errno::OPNOTSUPP)), Some(false));
        assert_eq!(judge(Err(Errno::NOTTY)), Some(false));
        assert_eq!(judge(Err(Errno::ACCESS)), None);
        // procfs has no verity anywhere, and what is not there is no answer
        assert_eq!(judge(ask(Path::new("/proc"))), Some(false));
        assert_eq!(judge(ask(Path::new("/nowhere"))), None);
    }

    #[test]
    fn the_directory_is_the_one_that_containerd_names() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(dir.path());
        assert_eq!(root(&host, Distribution::K8s), "/var/lib/containerd");
        std::fs::create_dir_all(host.path("/etc/containerd")).unwrap();
        std::fs::write(host.path("/etc/containerd/config.toml"), "version = 3\nroot = '/data/c'\n").unwrap();
        assert_eq!(root(&host, Distribution::K8s), "/data/c");
        assert_eq!(root(&host, Distribution::K3s), "/var/lib/rancher/k3s/agent/containerd");
    }
}
