//! The file of the Unix socket: its mode, its lock, and what a bridge left that was killed.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

use super::BindError;

/// Only the user of the bridge may connect.
const MODE: u32 = 0o600;
/// Connections that the bridge has not accepted yet.
const BACKLOG: i32 = 128;

/// A bound socket file, which is removed when this is dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Held as long as the socket file exists.
    _lock: File,
}

impl SocketFile {
    /// Binds the socket. The file that a killed bridge left is replaced.
    pub(super) fn bind(path: &Path) -> Result<(Self, UnixListener), BindError> {
        let failed = |operation| {
            move |source| BindError::Socket {
                operation,
                path: path.to_owned(),
                source,
            }
        };
        let lock = lock(path)?;
        remove_leftover(path)?;
        let listener = listen(path).map_err(failed("bind"))?;
        let file = Self {
            path: path.to_owned(),
            _lock: lock,
        };
        let listener = UnixListener::from_std(listener).map_err(failed("register"))?;
        Ok((file, listener))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Otherwise the next bridge replaces it.
        let _ = fs::remove_file(&self.path);
    }
}

/// The lock shows whether a bridge is alive, also if it was killed. The lock file stays: removing it would let two bridges
/// lock two files of the same name.
fn lock(path: &Path) -> Result<File, BindError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file_path = PathBuf::from(name);
    let failed = |source| BindError::Socket {
        operation: "lock",
        path: file_path.clone(),
        source,
    };
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(MODE)
        .custom_flags(flags)
        .open(&file_path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BindError::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Removes the socket file of a bridge that was killed, and nothing else.
fn remove_leftover(path: &Path) -> Result<(), BindError> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(BindError::Socket {
                operation: "inspect",
                path: path.to_owned(),
                source,
            });
        }
    };
    if !kind.is_socket() {
        return Err(BindError::NotASocket {
            path: path.to_owned(),
        });
    }
    // Another program may listen there, which knows nothing of the lock.
    if is_in_use(path) {
        return Err(BindError::InUse {
            path: path.to_owned(),
        });
    }
    fs::remove_file(path).map_err(|source| BindError::Socket {
        operation: "replace",
        path: path.to_owned(),
        source,
    })
}

/// Whether a process listens at a socket file. A full queue of connections is no reason to wait.
fn is_in_use(path: &Path) -> bool {
    let connect = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    connect().map_or_else(|error| error.kind() == io::ErrorKind::WouldBlock, |()| true)
}

fn listen(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // The file is created with this mode, so that at no time another user can connect.
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(MODE))?;
    socket.bind(&SockAddr::unix(path)?)?;
    // For systems that ignore the mode of the socket.
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(std::os::unix::net::UnixListener::from(
        std::os::fd::OwnedFd::from(socket),
    ))
}
