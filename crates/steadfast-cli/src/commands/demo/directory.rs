//! The directory of a demo: locked before anything else is written to it, so that only one demo at a time uses it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::exit::Failure;

/// The file whose advisory lock says that a demo uses the directory; it contains the process id and the page's URL.
const LOCK: &str = "demo.lock";
/// The maximum number of bytes that are read of the lock file.
const HOLDER_LEN_MAX: u64 = 256;

/// A directory that is locked until this value is dropped.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    lock: File,
}

impl Directory {
    /// Creates the directory if necessary, and locks it.
    ///
    /// # Errors
    ///
    /// Fails when another demo uses the directory, or it cannot be written.
    pub(super) fn lock(path: &Path) -> Result<Self, Failure> {
        let unwritable = |error| unwritable(path, &error);
        fs::create_dir_all(path).map_err(unwritable)?;
        let path = fs::canonicalize(path).map_err(unwritable)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            // The file may be that of a running demo.
            .truncate(false)
            .open(path.join(LOCK))
            .map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(&path, &mut lock)),
            Err(TryLockError::Error(error)) => return Err(unwritable(error)),
        }
        let mut directory = Self { path, lock };
        directory.describe_holder("")?;
        Ok(directory)
    }

    /// The absolute path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Records the address of the page, for the error of a second demo.
    pub(super) fn record_page(&mut self, page: SocketAddr) -> Result<(), Failure> {
        self.describe_holder(&format!("http://{page}"))
    }

    fn describe_holder(&mut self, page: &str) -> Result<(), Failure> {
        let text = format!("{} {page}\n", std::process::id());
        let written = io::Seek::rewind(&mut self.lock)
            .and_then(|()| self.lock.set_len(0))
            .and_then(|()| self.lock.write_all(text.as_bytes()));
        written.map_err(|error| unwritable(&self.path, &error))
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(
        format!("failed to write to {}: {error}", path.display()),
        "Choose another directory: steadfast demo --data DIR",
    )
}

fn in_use(path: &Path, lock: &mut File) -> Failure {
    let mut text = String::new();
    // Without a readable description, the error only lacks the details.
    let _ = lock.take(HOLDER_LEN_MAX).read_to_string(&mut text);
    let mut words = text.split_whitespace();
    let holder = match (words.next(), words.next()) {
        (Some(process), Some(page)) => format!(" (process {process}, {page})"),
        (Some(process), None) => format!(" (process {process})"),
        (None, _) => String::new(),
    };
    Failure::data_directory(
        format!("a demo already runs in {}{holder}", path.display()),
        "Open its page, stop it, or choose another directory: steadfast demo --data DIR",
    )
}
