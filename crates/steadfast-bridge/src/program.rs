//! One connected program: the calls that wait, and what it has not read yet.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use steadfast_machine::Instant;

use crate::policy::Policy;
use crate::request::{RawId, Request};

/// A call of a program that the server has to execute.
pub(crate) struct PendingCall {
    /// `None` if the program expects no reply.
    pub(crate) id: Option<RawId>,
    pub(crate) method: String,
    pub(crate) params: Bytes,
    pub(crate) deadline: Instant,
}

impl PendingCall {
    pub(crate) fn new(request: Request, deadline: Instant) -> Self {
        Self {
            id: request.id,
            method: request.method,
            params: request.params,
            deadline,
        }
    }

    fn bytes(&self) -> usize {
        let id = self.id.as_ref().map_or(0, Bytes::len);
        id + self.method.len() + self.params.len()
    }
}

/// A connected program.
#[derive(Default)]
pub(crate) struct Program {
    queue: VecDeque<PendingCall>,
    queue_bytes: usize,
    /// Its calls that are in flight at the server.
    pub(crate) in_flight: usize,
    /// Its requests for subscriptions that have no reply yet.
    pub(crate) requested_subscriptions: usize,
    /// The names of topics by the ids of its subscriptions.
    pub(crate) subscriptions: BTreeMap<String, String>,
    /// Whether it sends no more.
    pub(crate) is_finished: bool,
    unsent_messages: usize,
    unsent_bytes: usize,
}

impl Program {
    /// Adds a call to the end of the queue; returns it if the queue is full.
    pub(crate) fn push(&mut self, call: PendingCall, policy: &Policy) -> Result<(), PendingCall> {
        let bytes = self.queue_bytes.saturating_add(call.bytes());
        if self.queue.len() >= policy.queue_len_max || bytes > policy.queue_bytes_max {
            return Err(call);
        }
        self.queue_bytes = bytes;
        self.queue.push_back(call);
        Ok(())
    }

    pub(crate) fn pop(&mut self) -> Option<PendingCall> {
        let call = self.queue.pop_front()?;
        self.queue_bytes = self.queue_bytes.saturating_sub(call.bytes());
        Some(call)
    }

    /// Removes the first call if its deadline has passed. All calls have the same time limit, so the first is the oldest.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<PendingCall> {
        self.queue.front().filter(|call| call.deadline <= now)?;
        self.pop()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.queue.front().map(|call| call.deadline)
    }

    pub(crate) fn queue_len(&self) -> usize {
        self.queue.len()
    }

    /// Whether one of its calls may be sent now.
    pub(crate) fn is_ready(&self, policy: &Policy) -> bool {
        !self.queue.is_empty() && self.in_flight < policy.share_max()
    }

    /// Whether it sends no more and waits for no reply.
    pub(crate) fn is_done(&self) -> bool {
        self.is_finished
            && self.queue.is_empty()
            && self.in_flight == 0
            && self.requested_subscriptions == 0
    }

    /// Counts a message that is to be sent; false if the send buffer is full.
    pub(crate) const fn reserve(&mut self, bytes: usize, policy: &Policy) -> bool {
        if self.unsent_bytes >= policy.send_bytes_max
            || self.unsent_messages >= policy.send_messages_max
        {
            return false;
        }
        self.unsent_messages += 1;
        self.unsent_bytes = self.unsent_bytes.saturating_add(bytes);
        true
    }

    pub(crate) const fn on_written(&mut self, messages: usize, bytes: usize) {
        self.unsent_messages = self.unsent_messages.saturating_sub(messages);
        self.unsent_bytes = self.unsent_bytes.saturating_sub(bytes);
    }
}
