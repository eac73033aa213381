//! What the threads of a run tell the one that makes the moves.

use steadfast_faults::ledger::record::Fact;
use steadfast_faults::roster::ClientKind;
use steadfast_machine::Instant;

use crate::driver::line::Line;

/// Messages that may wait. Threads that find it full wait, and what they read waits in pipes; their lag then shows in
/// the lag of the harness.
pub(crate) const MESSAGES_MAX: usize = 1 << 16;

/// Something that a thread saw, and when.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) at: Instant,
    pub(crate) source: Source,
}

/// What it saw.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A driver said something.
    Driver(ClientKind, Line),
    /// A process changed, or a fault went a step further.
    Fact(Fact),
    /// A thread could not do what it must; the run proves nothing.
    Failure(String),
}
