//! How long an engine keeps a publication.

use std::time::Duration;

use steadfast_machine::Timestamp;

/// For this long, a channel above its own bound does not remove the publications of others: a client that was
/// disconnected for minutes can recover. One value for every engine.
pub const PROTECTED_AGE: Duration = Duration::from_mins(10);

/// How long a publication is part of the history.
///
/// The log stores the class with the publication and keeps every class as if it were `Kept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RetentionClass {
    /// As long as the limits of the engine allow.
    Kept,
    /// At most until this time.
    KeptUntil(Timestamp),
    /// Only delivered to the subscribers of the moment.
    NotStored,
}
