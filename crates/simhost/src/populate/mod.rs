//! What is on a host's disk after its distribution was installed, and what its kernel shows after each boot.
//!
//! Texts are our own, in the shape and with the settings of each distribution; an administrator's comments and odd
//! formatting are there on purpose, since they must survive every change that Husk makes and takes back.

mod kernel;
mod kubeadm;
mod managed;
mod system;

pub(crate) use managed::{K0S_MANAGED, k0s_generated, k0s_main, rancher_base};

use crate::layout::Flavour;
use crate::spec::HostSpec;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// The directory that becomes a host's root.
pub(crate) struct Tree<'a> {
    pub(crate) root: &'a Path,
    pub(crate) spec: &'a HostSpec,
}

impl Tree<'_> {
    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Writes a file with mode 0644.
    pub(crate) fn file(&self, path: &str, text: &str) -> io::Result<()> {
        self.mode(path, text, 0o644)
    }

    /// Writes a file with a mode of its own.
    pub(crate) fn mode(&self, path: &str, text: &str, mode: u32) -> io::Result<()> {
        let path = self.at(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
    }

    /// Makes a directory with mode 0755, and those above it.
    pub(crate) fn directory(&self, path: &str) -> io::Result<()> {
        fs::create_dir_all(self.at(path))
    }

    /// Makes a symbolic link.
    pub(crate) fn link(&self, path: &str, target: &str) -> io::Result<()> {
        let path = self.at(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        symlink(target, path)
    }

    /// Places a program that a simulated systemd can run: see [`crate::program`].
    pub(crate) fn program(&self, path: &str, name: &str, runtime: Option<(&str, &str)>) -> io::Result<()> {
        self.mode(path, &crate::program::text(name, runtime), 0o755)
    }

    /// Links a unit into a target, as `systemctl enable` does.
    pub(crate) fn enable(&self, unit: &str, file: &str) -> io::Result<()> {
        self.link(&format!("/etc/systemd/system/multi-user.target.wants/{unit}"), file)
    }
}

/// Writes everything that an installation leaves on disk.
pub(crate) fn install(tree: &Tree<'_>, machine_id: &str) -> io::Result<()> {
    system::install(tree, machine_id)?;
    match tree.spec.layout().flavour {
        Flavour::Containerd => kubeadm::containerd(tree),
        Flavour::Crio => kubeadm::crio(tree),
        Flavour::Rancher => managed::rancher(tree),
        Flavour::K0s => managed::k0s(tree),
        Flavour::Microk8s => managed::microk8s(tree),
    }
}

/// Makes `/run`, `/proc`, `/sys` and `/tmp` anew, as a boot does.
pub(crate) fn boot(tree: &Tree<'_>) -> io::Result<()> {
    for name in ["run", "proc", "sys", "tmp"] {
        let path = tree.at(name);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&path)?,
        }
    }
    fs::set_permissions(tree.at("tmp"), fs::Permissions::from_mode(0o1777))?;
    tree.directory("/run/systemd/system")?;
    tree.directory("/run/log")?;
    tree.directory("/run/lock")?;
    kernel::boot(tree)
}
