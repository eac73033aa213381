//! The log: orders publications, keeps them, and answers what was missed.
//!
//! It owns the order, the offsets, the format of the segments and what is visible; it does no IO. One writer thread
//! per data directory carries out its orders in production, the memory store and the simulated disk elsewhere.

use std::collections::VecDeque;

use steadfast_machine::{Instant, Machine};

use crate::log::event::{Counters, Health};
use crate::log::io::{Input, Output, Timer};
use crate::policy::log::LogPolicy;

pub mod event;
pub mod io;
pub mod open;

/// The log of a process.
#[derive(Debug)]
pub struct Log {
    policy: LogPolicy,
    outputs: VecDeque<Output>,
    counters: Counters,
    health: Health,
}

impl Log {
    /// A log that waits for [`Input::Found`].
    pub fn new(policy: LogPolicy, _now: Instant) -> Self {
        Self {
            policy,
            outputs: VecDeque::new(),
            counters: Counters::default(),
            health: Health::Opening,
        }
    }

    /// The settings.
    pub const fn policy(&self) -> &LogPolicy {
        &self.policy
    }

    /// What it can do now.
    pub const fn health(&self) -> Health {
        self.health
    }

    /// What it did so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }
}

impl Machine for Log {
    type Input = Input;
    type Output = Output;
    type Timer = Timer;

    fn handle(&mut self, _now: Instant, _input: Input) {}

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        None
    }
}
