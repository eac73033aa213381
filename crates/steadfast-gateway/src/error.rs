//! Why a gateway does not serve, and what people can do about it.

use std::io;

use crate::config::load::ConfigError;
use crate::listen::ListenError;
use crate::log::{CloseError, LogError};

/// Why a gateway does not serve. The text says what happened; [`ServeError::advice`] what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The configuration was refused; the text names file, line and key.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no listener: port in use, no such address, no permission.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The data directory cannot be used: locked, read-only, full, damaged.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log did not end cleanly. Nothing that was acknowledged is lost.
    #[error(transparent)]
    Close(#[from] CloseError),
    /// The system gave no thread, no event loop or no randomness.
    #[error("the system has no resources for an event loop")]
    Resources {
        /// What it said.
        source: io::Error,
    },
    /// An event loop ended by itself, which is a defect of Steadfast.
    #[error("an event loop ended unexpectedly")]
    CoreEnded,
}

impl ServeError {
    /// What to do about it, as whole sentences; empty when the text says it already.
    pub fn advice(&self) -> String {
        match self {
            Self::Config(ConfigError::Unreadable { .. }) => "Check the path given by --config or STEADFAST_CONFIG.".to_owned(),
            Self::Config(ConfigError::Refused(_)) => String::new(),
            Self::Listen(error) => error.advice(),
            Self::Log(error) => error.advice(),
            Self::Close(_) => "The next start checks the log and continues; no repair is needed.".to_owned(),
            Self::Resources { .. } => {
                "Raise the limits of processes and open files (ulimit -u, ulimit -n), or lower server.cores.".to_owned()
            }
            Self::CoreEnded => "This is a defect of Steadfast; please report it with the log output.".to_owned(),
        }
    }
}
