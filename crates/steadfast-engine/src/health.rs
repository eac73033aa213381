//! What an engine can do now, for the driver that reports whether a process is ready.

use steadfast_machine::Machine;

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
    /// The storage failed: reads only, until a restart.
    WriteFailed,
    /// The engine finishes what is in flight, then closes.
    Closing,
    /// The engine is closed, or could never be opened.
    Closed,
}
