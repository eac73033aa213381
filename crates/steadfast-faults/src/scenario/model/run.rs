//! `[run]`: the phases of a run.

use std::time::Duration;

use crate::ledger::event::RunPhase;

/// `[run]`: the phases. The baseline begins when services are ready and clients are subscribed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSettings {
    /// Duration of the load before the faults.
    pub baseline: Duration,
    /// Duration of the phase in which steps occur.
    pub duration: Duration,
    /// Duration of the load after all faults are healed.
    pub quiet: Duration,
    /// Time after the senders stopped in which expected deliveries may still arrive.
    pub drain: Duration,
    /// Whether the same load is run without faults.
    pub control: ControlRun,
    /// A connected client without an acknowledgement and without a delivery for longer than this has stalled.
    pub stall: Duration,
    /// Time limit for the start of services and for the first connections.
    pub ready_timeout: Duration,
}

impl RunSettings {
    /// When a phase begins, relative to the start of the baseline.
    pub fn begins(&self, phase: RunPhase) -> Duration {
        let before: &[Duration] = match phase {
            RunPhase::Connect => &[],
            RunPhase::Baseline => &[],
            RunPhase::Steps => &[self.baseline],
            RunPhase::Quiet => &[self.baseline, self.duration],
            RunPhase::Drain => &[self.baseline, self.duration, self.quiet],
            RunPhase::End => &[self.baseline, self.duration, self.quiet, self.drain],
        };
        before
            .iter()
            .fold(Duration::ZERO, |sum, part| sum.saturating_add(*part))
    }

    /// From the start of the baseline to the end of the drain.
    pub fn total(&self) -> Duration {
        self.begins(RunPhase::End)
    }
}

/// Whether and when the control run takes place: the same load and seed without faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlRun {
    /// Before the run, for the same duration.
    Before,
    /// No control run.
    Off,
}
