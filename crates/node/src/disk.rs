//! Changing a host, one durable step at a time.
//!
//! Every primitive announces itself to a [`FaultPoint`] before it acts. In production nobody listens; a crash test aborts at the
//! n-th announcement, which is the same as killing the process there.

use crate::error::{NodeError, Result};
use crate::host::{Host, file_name, parent};
use crate::image::Image;
use crate::selinux::ATTRIBUTE;
use rustix::fs::{Gid, Uid, XattrFlags};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;

/// Hears of every effect before it happens, and may stop the world there.
pub trait FaultPoint {
    /// Called before an effect; an error ends the run as if the process had been killed.
    fn before(&self, effect: &str, path: &str) -> Result<()>;
}

/// Production: nothing stops anything.
pub struct NoFaults;

impl FaultPoint for NoFaults {
    fn before(&self, _effect: &str, _path: &str) -> Result<()> {
        Ok(())
    }
}

/// The only hand that changes files of the host.
#[derive(Clone, Copy)]
pub struct Disk<'a> {
    host: &'a Host,
    faults: &'a dyn FaultPoint,
}

/// The name under which a new version of a file is written before it is renamed: beside it, but not where somebody reads every
/// file that there is, whatever its name. CRI-O would not start with half a file in its directory of drop-ins.
pub fn temporary(path: &str) -> String {
    let directory = match parent(path) {
        directory if directory.ends_with("/crio.conf.d") => parent(directory),
        directory => directory,
    };
    format!("{}/.{}.husk~", directory.trim_end_matches('/'), file_name(path))
}

impl<'a> Disk<'a> {
    /// Makes a hand for a host.
    pub fn new(host: &'a Host, faults: &'a dyn FaultPoint) -> Self {
        Disk { host, faults }
    }

    /// The host it works on.
    pub fn host(&self) -> &'a Host {
        self.host
    }

    /// Announces an effect that is not a file operation.
    pub fn announce(&self, effect: &str, path: &str) -> Result<()> {
        self.faults.before(effect, path)
    }

    /// Creates a directory if it is not there; its parent must exist.
    pub fn make_directory(&self, path: &str, mode: u32) -> Result<()> {
        let here = self.host.path(path);
        if here.is_dir() {
            return Ok(());
        }
        self.announce("mkdir", path)?;
        match fs::DirBuilder::new().mode(mode).create(&here) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(NodeError::io("creating directory", path, &error));
            }
            _ => {}
        }
        // mkdir obeys the umask; the mode wanted does not
        fs::set_permissions(&here, fs::Permissions::from_mode(mode))
            .map_err(|error| NodeError::io("setting the mode of", path, &error))?;
        self.sync_directory(parent(path))
    }

    /// Creates a directory and those above it that are missing.
    pub fn make_directories(&self, path: &str, mode: u32) -> Result<()> {
        if path != "/" && !self.host.path(path).is_dir() {
            self.make_directories(parent(path), mode)?;
            self.make_directory(path, mode)?;
        }
        Ok(())
    }

    /// Replaces what a path holds, in one rename: temporary file, bytes, owner, mode, fsync, rename, fsync of the directory.
    pub fn put(&self, path: &str, image: &Image) -> Result<()> {
        let temporary = temporary(path);
        let here = self.host.path(&temporary);
        let failed = |error: io::Error| NodeError::io("writing", path, &error);
        match image {
            Image::Link { target } => {
                self.remove(&temporary)?;
                self.announce("symlink", path)?;
                symlink(target, &here).map_err(failed)?;
            }
            Image::File { mode, uid, gid, content } => {
                self.announce("create", path)?;
                let mut file = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&here)
                    .map_err(failed)?;
                let (first, second) = content.0.split_at(content.0.len() / 2);
                file.write_all(first).map_err(failed)?;
                self.announce("write the rest of", path)?;
                file.write_all(second).map_err(failed)?;
                let meta = file.metadata().map_err(failed)?;
                if (meta.uid(), meta.gid()) != (*uid, *gid) && rustix::process::geteuid().is_root() {
                    rustix::fs::fchown(&file, Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)))
                        .map_err(|error| failed(error.into()))?;
                }
                file.set_permissions(fs::Permissions::from_mode(*mode)).map_err(failed)?;
                self.keep_label(path, &here)?;
                self.announce("fsync", path)?;
                file.sync_all().map_err(failed)?;
            }
        }
        self.rename(&temporary, path)
    }

    /// A file that takes another's place keeps its SELinux label; without one it has its directory's. Where labels cannot be
    /// set nobody enforces them.
    fn keep_label(&self, path: &str, fresh: &Path) -> Result<()> {
        let mut label = [0; 256];
        match rustix::fs::lgetxattr(self.host.path(path), ATTRIBUTE, &mut label) {
            Ok(length) => {
                self.announce("label", path)?;
                let _ = rustix::fs::lsetxattr(fresh, ATTRIBUTE, &label[..length], XattrFlags::empty());
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    /// Renames within a file system and makes it durable.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.announce("rename", to)?;
        fs::rename(self.host.path(from), self.host.path(to))
            .map_err(|error| NodeError::io("renaming to", to, &error))?;
        if parent(from) != parent(to) {
            self.sync_directory(parent(from))?;
        }
        self.sync_directory(parent(to))
    }

    /// Removes a file or link; nothing there is fine.
    pub fn remove(&self, path: &str) -> Result<()> {
        if !self.host.exists(path) {
            return Ok(());
        }
        self.announce("unlink", path)?;
        fs::remove_file(self.host.path(path)).map_err(|error| NodeError::io("removing", path, &error))?;
        self.sync_directory(parent(path))
    }

    /// Removes a directory if it is empty; returns whether it is gone.
    pub fn remove_directory(&self, path: &str) -> Result<bool> {
        if !self.host.exists(path) {
            return Ok(true);
        }
        self.announce("rmdir", path)?;
        match fs::remove_dir(self.host.path(path)) {
            Ok(()) => self.sync_directory(parent(path)).map(|()| true),
            Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory) => {
                Ok(false)
            }
            Err(error) => Err(NodeError::io("removing directory", path, &error)),
        }
    }

    /// Removes a directory with everything in it; nothing there is fine. Links are removed, never followed.
    pub fn remove_tree(&self, path: &str) -> Result<()> {
        if self.host.is_directory(path) {
            for name in fs::read_dir(self.host.path(path))
                .map_err(|error| NodeError::io("reading", path, &error))?
                .flatten()
                .map(|entry| entry.file_name())
            {
                self.remove_tree(&format!("{path}/{}", name.to_string_lossy()))?;
            }
            self.announce("rmdir", path)?;
            fs::remove_dir(self.host.path(path)).map_err(|error| NodeError::io("removing directory", path, &error))
        } else if self.host.exists(path) {
            self.announce("unlink", path)?;
            fs::remove_file(self.host.path(path)).map_err(|error| NodeError::io("removing", path, &error))
        } else {
            Ok(())
        }
    }

    /// Puts a program of the container on the host, executable. With `may_link` a second name for it will do where both are on
    /// one file system, as on a simulated host.
    pub fn copy_program(&self, from: &Path, to: &str, may_link: bool) -> Result<()> {
        let temporary = temporary(to);
        self.remove(&temporary)?;
        self.announce("copy", to)?;
        let here = self.host.path(&temporary);
        let links = may_link && fs::metadata(from).is_ok_and(|meta| meta.mode() & 0o7777 == 0o755);
        if !links || fs::hard_link(from, &here).is_err() {
            fs::copy(from, &here)
                .and_then(|_| fs::set_permissions(&here, fs::Permissions::from_mode(0o755)))
                .and_then(|()| File::open(&here)?.sync_all())
                .map_err(|error| NodeError::io("copying a program to", to, &error))?;
        }
        self.rename(&temporary, to)
    }

    /// Makes the names in a directory durable.
    pub fn sync_directory(&self, path: &str) -> Result<()> {
        self.announce("fsync directory", path)?;
        File::open(self.host.path(path))
            .and_then(|directory| directory.sync_all())
            .map_err(|error| NodeError::io("syncing", path, &error))
    }
}
