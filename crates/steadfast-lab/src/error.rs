//! Why a run could not be executed. A failure of the system under test is not an error: it is part of the history.

use std::io;
use std::path::PathBuf;

use steadfast_faults::topology::ClientKind;
use thiserror::Error;

/// Why a run could not be executed.
#[derive(Debug, Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names describe the fields")]
pub enum LabError {
    /// No command is configured that starts clients of this kind.
    #[error("driver for `{}` clients not found", .0.name())]
    DriverMissing(ClientKind),
    /// A client driver could not be started.
    #[error("failed to start {driver}: {command}")]
    Driver {
        /// Whose clients it owns.
        driver: String,
        command: String,
        source: io::Error,
    },
    /// A service or a driver exited, or could not be started, before the load began: which, how, and its output.
    #[error("{0}")]
    StartFailed(String),
    /// Services or clients were not ready within the scenario's `ready_timeout`.
    #[error("timed out after {seconds} s waiting for {missing}")]
    NotReady {
        seconds: u64,
        /// What was not ready, followed by the output of a service or the last message of a driver.
        missing: String,
        /// What the operator can do.
        help: String,
    },
    /// A program of a service is not installed.
    #[error("SKIP: the program `{program}` of service `{service}` not found")]
    ProgramMissing {
        service: String,
        program: String,
        /// The Debian package that contains it, if it is built in.
        package: Option<&'static str>,
    },
    /// A port with a fixed number is in use.
    #[error("port {port} (`{name}` of {instance}) is in use")]
    PortInUse {
        port: u16,
        instance: String,
        name: String,
    },
    /// All ports of the range are in use.
    #[error("no free port between {from} and {to}")]
    NoPort { from: u16, to: u16 },
    /// The directory of the run could not be written.
    #[error("failed to write {path}")]
    Folder { path: PathBuf, source: io::Error },
    /// A directory or the journal of a run could not be read.
    #[error("failed to read {path}")]
    Unreadable { path: PathBuf, source: io::Error },
    /// The run was interrupted on request.
    #[error("the run was interrupted: its faults are undone and its processes have ended")]
    Interrupted,
    /// The network namespaces of the run could not be created.
    #[error("{0}")]
    Network(String),
    /// The operating system could not create a thread.
    #[error("failed to create a thread")]
    Thread(#[source] io::Error),
}

impl LabError {
    /// What the operator can do; empty where the error says it.
    pub fn help(&self) -> String {
        match self {
            Self::ProgramMissing {
                package: Some(package),
                ..
            } => format!("Install it: apt-get install {package}"),
            Self::ProgramMissing { package: None, .. } => {
                "Install it, or correct `cmd` in the scenario: a path, or a name in the search path"
                    .to_owned()
            }
            Self::PortInUse { name, .. } => {
                format!(
                    "End the process that uses it, or let the lab choose: ports = {{ {name} = \"auto\" }}"
                )
            }
            Self::NotReady { help, .. } => help.clone(),
            Self::DriverMissing(_)
            | Self::Driver { .. }
            | Self::StartFailed(_)
            | Self::NoPort { .. }
            | Self::Folder { .. }
            | Self::Unreadable { .. }
            | Self::Interrupted
            | Self::Network(_)
            | Self::Thread(_) => String::new(),
        }
    }
}
