//! Why a gateway cannot serve, and what an operator can do about it.

use std::io;

use crate::config::load::ConfigError;
use crate::engine::CloseError;
use crate::engine::log::LogError;
use crate::listen::ListenError;

/// Why a gateway cannot serve. The text says what happened; [`ServeError::help`] returns what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The configuration is invalid; the text contains file, line and key.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The gateway cannot listen: port in use, no such address, or no permission.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The data directory cannot be used: locked, read-only, full or corrupt.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A write or a sync failed, so that nothing can be acknowledged until a restart reads what is stored.
    #[error("{reason}")]
    StorageFailed {
        /// The operation that failed, and why.
        reason: String,
    },
    /// The engine was not closed cleanly. Nothing that was acknowledged as durable is lost.
    #[error(transparent)]
    Close(#[from] CloseError),
    /// The operating system could not provide a thread, an event loop or randomness.
    #[error("failed to start an event loop or the engine")]
    Resources {
        /// The error of the operating system.
        source: io::Error,
    },
    /// An event loop ended unexpectedly, which is a defect of Steadfast.
    #[error("an event loop ended unexpectedly")]
    EventLoopEnded,
}

impl ServeError {
    /// Returns what to do about it, as complete sentences; empty when the text says it already.
    pub fn help(&self) -> String {
        match self {
            Self::Config(ConfigError::Unreadable { .. }) => "Check the path given by --config or STEADFAST_CONFIG.".to_owned(),
            Self::Config(ConfigError::Invalid(_)) => String::new(),
            Self::Listen(error) => error.help(),
            Self::Log(error) => error.help(),
            Self::StorageFailed { .. } => {
                "Start the gateway again: it checks the log, and nothing that was acknowledged is lost. If it fails again, \
                 check the disk, and the system log for its errors."
                    .to_owned()
            }
            Self::Close(_) => "The next start checks a stored log and continues; no repair is needed.".to_owned(),
            Self::Resources { .. } => {
                "Raise the limits of processes and open files (ulimit -u, ulimit -n), or lower server.shards.".to_owned()
            }
            Self::EventLoopEnded => "This is a defect of Steadfast; please report it with the log output.".to_owned(),
        }
    }
}
