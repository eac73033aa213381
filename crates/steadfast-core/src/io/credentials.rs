//! The credentials of a client, and why they are fetched.

use std::fmt;

use crate::secret::Secret;

/// Where the credentials of a client come from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialsSource {
    /// The same for each connection, until the application replaces them; empty for none. The session fails if the
    /// peer rejects them.
    Fixed(Secret),
    /// They are fetched before the first connection, and again whenever they expire or are rejected.
    Fetched,
}

/// Identifies one fetch of credentials; counts from 1 and never repeats within a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(pub u64);

/// Why credentials are fetched.
///
/// ```
/// use steadfast_core::io::RenewalReason;
///
/// /// A cached token is only good enough if the server has not rejected it.
/// fn may_use_cache(reason: RenewalReason) -> bool {
///     reason == RenewalReason::First
/// }
/// # assert!(!may_use_cache(RenewalReason::Rejected));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RenewalReason {
    /// There are none yet.
    First,
    /// Those of the open connection expire soon.
    Expiring,
    /// The peer rejected the last ones, for example because they have expired.
    Rejected,
}

/// Why credentials could not be fetched.
///
/// ```
/// use steadfast_core::io::CredentialsError;
///
/// /// The error for an HTTP status of the backend that issues tokens.
/// fn error(status: u16) -> CredentialsError {
///     match status {
///         401 | 403 => CredentialsError::denied("the account is closed"), // the session fails
///         status => CredentialsError::temporary(format!("status {status}")), // tried again
///     }
/// }
/// # assert!(error(403).is_final && !error(503).is_final);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CredentialsError {
    /// A human-readable description, without secrets.
    pub text: String,
    /// Whether no later fetch can succeed: the session then fails instead of trying again.
    pub is_final: bool,
}

impl CredentialsError {
    /// A failure that may pass: the fetch is repeated with backoff.
    pub fn temporary(text: impl fmt::Display) -> Self {
        Self {
            text: text.to_string(),
            is_final: false,
        }
    }

    /// A refusal, for example because the account is closed: the session fails.
    pub fn denied(text: impl fmt::Display) -> Self {
        Self {
            text: text.to_string(),
            is_final: true,
        }
    }
}
