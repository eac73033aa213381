//! How a transport did not open, and how it ended.

use std::time::Duration;

/// Why a transport did not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialFailure {
    /// For people.
    pub text: String,
    /// This machine has no network: no server is to blame.
    pub is_local: bool,
    /// No further attempt can go better.
    pub is_final: bool,
    /// What the server wants waited.
    pub retry_after: Option<Duration>,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// With a close frame of the server.
    Closed {
        /// Its code, if it had one.
        code: Option<u16>,
        /// Its reason, maybe empty.
        reason: String,
    },
    /// Without one; says how, for people.
    Broken(String),
}
