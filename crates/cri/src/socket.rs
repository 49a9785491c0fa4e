//! Unix sockets below paths of any length.
//!
//! The kernel takes at most 107 bytes of path, which is plenty for `/run/containerd/containerd.sock` and not for the
//! same socket below a simulated host's root. Longer paths go through `/proc/self/fd/<directory>/<name>`.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};

/// The longest path that the kernel takes as it is: `sun_path` less its final zero.
const LONGEST: usize = 107;

/// Connects to the socket at `path`.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    let short = Short::of(path)?;
    UnixStream::connect(&short.path).await
}

/// Binds a listener at `path`; a socket file that is already there is replaced, its directory must exist.
///
/// # Errors
/// `AlreadyExists` when something other than a socket is at `path`.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::FileTypeExt;
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => {
            let message = format!("{} exists and is not a socket", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let short = Short::of(path)?;
    UnixListener::bind(&short.path)
}

/// A path that the kernel accepts, and the open directory that it may lead through.
///
/// Usable for any other library that takes a socket path, as long as the value is kept until it has connected.
#[derive(Debug)]
pub struct Short {
    /// The path to hand to the kernel.
    pub path: PathBuf,
    _directory: Option<File>,
}

impl Short {
    /// Returns a path for the same socket that is short enough.
    ///
    /// # Errors
    /// When the path is too long and its directory cannot be opened, or the file name alone is too long.
    pub fn of(path: &Path) -> io::Result<Short> {
        if path.as_os_str().len() <= LONGEST {
            return Ok(Short { path: path.to_owned(), _directory: None });
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the path of a socket"));
        };
        let directory = File::open(parent)?;
        let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
        if short.as_os_str().len() > LONGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidFilename, "the socket's name is too long"));
        }
        Ok(Short { path: short, _directory: Some(directory) })
    }
}
