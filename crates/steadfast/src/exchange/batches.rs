//! What the driver receives and stores together.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::task::Waker;

use steadfast_core::dialect::Dialect;
use steadfast_core::io::{CallId, CallResult, MessageId, SendResult};

use super::{Command, Exchange};

/// The capacities of buffers that the driver keeps. A smaller one costs little, and an idle session should have none.
const KEPT_CAPACITIES: RangeInclusive<usize> = 8..=64;

/// The outcome of a request.
#[derive(Debug)]
pub(crate) enum Completion<D: Dialect> {
    Call(CallId, CallResult<D>),
    Message(MessageId, SendResult<D>),
}

/// Outcomes that the driver has collected, to store them together.
#[derive(Debug)]
pub(crate) struct Outcomes<D: Dialect> {
    pub(super) collected: Vec<Completion<D>>,
    wakers: Vec<Waker>,
}

// Nothing in it is pinned.
impl<D: Dialect> Unpin for Outcomes<D> {}

impl<D: Dialect> Default for Outcomes<D> {
    fn default() -> Self {
        Self {
            collected: Vec::new(),
            wakers: Vec::new(),
        }
    }
}

impl<D: Dialect> Outcomes<D> {
    pub(crate) fn push(&mut self, completion: Completion<D>) {
        self.collected.push(completion);
    }

    /// Stores all outcomes, and wakes those who wait for them; they find the space of their messages free.
    pub(crate) fn publish(&mut self, exchange: &Exchange<D>) {
        if self.collected.is_empty() {
            return;
        }
        {
            let mut inner = exchange.lock();
            for completion in self.collected.drain(..) {
                self.wakers.extend(inner.complete(completion));
            }
            self.wakers.extend(inner.space.next());
            self.wakers.extend(inner.call_space.take_wakers_if_free());
        }
        self.wakers.drain(..).for_each(Waker::wake);
        if !KEPT_CAPACITIES.contains(&self.collected.capacity()) {
            *self = Self::default();
        }
    }
}

/// What the driver has received.
#[derive(Debug)]
pub(crate) struct Received<D: Dialect> {
    /// The buffer that is exchanged for that of the queue.
    pub(crate) commands: VecDeque<Command<D>>,
    /// Calls that the session may still have, and whose callers gave up: to be withdrawn before the commands.
    pub(crate) withdrawn: Vec<CallId>,
    /// All handles were dropped, and nothing is queued.
    pub(crate) is_orphaned: bool,
}

impl<D: Dialect> Received<D> {
    pub(super) fn free_buffers(&mut self) {
        if !KEPT_CAPACITIES.contains(&self.commands.capacity()) {
            self.commands = VecDeque::new();
        }
        if !KEPT_CAPACITIES.contains(&self.withdrawn.capacity()) {
            self.withdrawn = Vec::new();
        }
    }
}

// Nothing in it is pinned.
impl<D: Dialect> Unpin for Received<D> {}

impl<D: Dialect> Default for Received<D> {
    fn default() -> Self {
        Self {
            commands: VecDeque::new(),
            withdrawn: Vec::new(),
            is_orphaned: false,
        }
    }
}
