//! The contract between a machine and whoever drives it.

use crate::units::Instant;

/// A deterministic state machine driven by facts and time.
///
/// A driver calls [`handle`](Self::handle) with a fact, drains [`poll_output`](Self::poll_output) to `None`,
/// then sleeps until [`poll_timeout`](Self::poll_timeout) or the next fact.
///
/// - Same policy, seed and list of (instant, input) give the same outputs, byte for byte.
/// - Time never goes back; equal times are allowed. A tick before the deadline changes nothing.
/// - Outputs do not depend on when they are drained.
/// - Work and memory per input are bounded by the policy.
/// - Data of a peer never makes a machine panic; a promise broken by its own driver may.
pub trait Machine {
    /// A fact in the past tense, for example "received", "lost", "synced", or a tick.
    type Input;
    /// An order in the imperative, for example "dial", "write", "close".
    type Output;
    /// The reason for the next wake-up.
    type Timer;

    /// Takes one fact that became known at `now`.
    fn handle(&mut self, now: Instant, input: Self::Input);

    /// Hands out the next order, or `None` when all are out.
    fn poll_output(&mut self) -> Option<Self::Output>;

    /// Names the next deadline and why it exists; `None` means that only a fact can wake the machine.
    fn poll_timeout(&self) -> Option<(Instant, Self::Timer)>;
}
