//! Why a run could not be carried out; a system that failed is no error but a history.

use std::io;
use std::path::PathBuf;

use steadfast_faults::roster::ClientKind;
use thiserror::Error;

/// Why a run could not be carried out.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LabError {
    /// There is no command that starts clients of this kind.
    #[error("there is no driver for clients of the kind `{}`", .0.name())]
    DriverMissing(ClientKind),
    /// A driver of clients could not be started.
    #[error("the driver of `{}` clients cannot be started: {command}", .kind.name())]
    Driver {
        /// Whose.
        kind: ClientKind,
        /// What was tried.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// A service could not be started.
    #[error("{program} cannot be started as {instance}")]
    Service {
        /// Which instance.
        instance: String,
        /// What was tried.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Services or clients were not up in time.
    #[error("not everyone was ready after {seconds} s: {missing}")]
    NotReady {
        /// How long it was waited.
        seconds: u64,
        /// Who was missing, and what they said.
        missing: String,
    },
    /// No port is free.
    #[error("no port from {from} to {to} is free")]
    NoPort {
        /// First looked at.
        from: u16,
        /// Last looked at.
        to: u16,
    },
    /// The folder of the run could not be written.
    #[error("failed to write {path}")]
    Folder {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system gave no thread.
    #[error("the system has no resources for a thread")]
    Thread(#[source] io::Error),
}
