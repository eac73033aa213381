//! What every decision of a hub may use: the time, the settings, and the outputs.

use std::collections::VecDeque;

use steadfast_machine::{Generator, Instant, Seed, Timestamp};

use crate::event::Event;
use crate::io::Output;
use crate::policy::{HubPolicy, HubSettings};
use crate::rejections::{self, RejectionCause, Rejections};

/// The time, the settings and the outputs of a hub.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) policy: HubPolicy,
    pub(crate) now: Instant,
    /// The wall-clock time of the latest command or decision.
    pub(crate) wall: Timestamp,
    pub(crate) generator: Generator,
    rejections: Rejections,
    outputs: VecDeque<Output>,
}

impl Context {
    pub(crate) fn new(policy: HubPolicy, seed: Seed, now: Instant) -> Self {
        Self {
            policy,
            now,
            wall: Timestamp::default(),
            generator: seed.generator(),
            rejections: rejections::new(),
            outputs: VecDeque::new(),
        }
    }

    pub(crate) const fn settings(&self) -> &HubSettings {
        self.policy.settings()
    }

    /// Queues an output.
    pub(crate) fn emit(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// Queues an event for diagnostics.
    pub(crate) fn notify(&mut self, event: Event) {
        self.emit(Output::Notify(event));
    }

    /// Removes the oldest output.
    pub(crate) fn take_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Counts a rejected command or a dropped message, and reports it if a report is due.
    pub(crate) fn record_rejection(&mut self, cause: RejectionCause) {
        self.report_rejections();
        if let Some(summary) = self.rejections.record(self.now, cause, ()) {
            self.notify(rejections::event(&summary));
        }
    }

    /// Reports the rejections that were only counted, once their interval has passed.
    pub(crate) fn report_rejections(&mut self) {
        for summary in self.rejections.take_due(self.now) {
            self.notify(rejections::event(&summary));
        }
    }

    /// When rejections must be reported next.
    pub(crate) fn next_report(&self) -> Option<Instant> {
        self.rejections.next_deadline()
    }
}
