//! Why something could not even begin.

use steadfast_core::policy::PolicyError;
use thiserror::Error;

use crate::endpoint::EndpointError;

/// Why a client could not be built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// An address is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A setting cannot be used.
    #[error("a setting cannot be used")]
    Policy(#[from] PolicyError),
    /// Application data could not be written as JSON.
    #[error("the data cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// There is no certificate in what was given as one.
    #[error("there is no certificate in PEM form in what is to be trusted")]
    Certificate,
    /// The system gave no randomness.
    #[error("the system gave no randomness")]
    Randomness,
}

/// Why a publication or a call was not even taken in.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The data could not be written as JSON.
    #[error("the data cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The key is empty or longer than 64 bytes.
    #[error("a key has 1 to 64 bytes, this one has {0}")]
    Key(usize),
    /// The driver takes nothing at the moment: too much was asked at once.
    #[error("too much was asked at once")]
    Busy,
    /// The driver has ended.
    #[error("the client is closed")]
    Closed,
}

impl RequestError {
    /// True when the same request may be taken a moment later.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Busy => true,
            Self::Json(_) | Self::Key(_) | Self::Closed => false,
        }
    }
}
