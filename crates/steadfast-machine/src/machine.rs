//! The contract between a state machine and its driver.

use crate::units::Instant;

/// A deterministic state machine driven by inputs and time.
///
/// A driver calls [`handle`](Self::handle) with an input, drains [`poll_output`](Self::poll_output) to `None`,
/// then sleeps until [`poll_timeout`](Self::poll_timeout) or the next input.
///
/// - Same policy, seed and list of (instant, input) give the same outputs, byte for byte.
/// - Time never goes back; equal times are allowed. A tick before the deadline changes nothing.
/// - Outputs do not depend on when they are drained.
/// - Work and memory per input are bounded by the policy.
/// - Data of a peer never makes a machine panic; a driver that violates the contract may.
pub trait Machine {
    /// What happened, in the past tense, for example "received", "lost", "synced", or a tick.
    type Input;
    /// What the driver must do, in the imperative, for example "dial", "write", "close".
    type Output;

    /// Handles one input that the driver received at `now`.
    fn handle(&mut self, now: Instant, input: Self::Input);

    /// Returns the next output, or `None` when the queue is empty.
    fn poll_output(&mut self) -> Option<Self::Output>;

    /// Returns the next deadline, at which the driver sends a tick; `None` means that the machine waits for an input
    /// only.
    fn poll_timeout(&self) -> Option<Instant>;
}
