//! What an engine can do now, for the driver that reports whether a process is ready.

use steadfast_machine::{Instant, Machine};

/// An engine as its driver sees it: a state machine that also says what it can do now.
///
/// The health is part of the engine, so that no driver derives another one from the engine's outputs.
pub trait Engine: Machine {
    /// What the engine can do now.
    fn health(&self) -> Health;
}

/// What an engine can do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The engine is not open yet.
    Opening,
    /// The engine accepts publications and reads. Requests above a limit are rejected.
    Serving,
    /// The storage is full: reads only, until space is available.
    Full,
    /// An operation of the storage fails and is retried: reads only, until it succeeds.
    Unavailable,
    /// The storage failed: reads only, until a restart.
    WriteFailed,
    /// The storage is no longer where it was opened: reads only. A restart alone would open something else there, so an
    /// operator has to restore its place first.
    Misplaced,
    /// The storage has not completed an operation for a long time. What needs it waits, and everything else is served;
    /// the engine serves again as soon as the operation completes.
    Stalled {
        /// The operation that has not completed.
        operation: StorageOperation,
        /// When it began.
        since: Instant,
    },
    /// The engine finishes what is in flight, then closes.
    Closing,
    /// The engine is closed, or could never be opened.
    Closed,
}

/// An operation of the storage that an engine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StorageOperation {
    /// A write, with the sync that follows it.
    Write,
    /// A sync that follows no write.
    Sync,
    /// A read of the history, or of an opening.
    Read,
    /// The creation of a segment without which nothing can be written.
    Reserve,
}

impl StorageOperation {
    /// What the operation does, for messages: "a sync".
    pub const fn name(self) -> &'static str {
        match self {
            Self::Write => "a write or sync",
            Self::Sync => "a sync",
            Self::Read => "a read",
            Self::Reserve => "the creation of a segment",
        }
    }
}
