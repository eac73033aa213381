//! One connected program: the calls that wait, and what it has not read yet.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

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
    /// The time from its receipt to its reply.
    pub(crate) timeout: Duration,
    pub(crate) deadline: Instant,
}

impl PendingCall {
    pub(crate) fn new(request: Request, now: Instant, policy: &Policy) -> Self {
        let timeout = request.time_limit(policy);
        Self {
            id: request.id,
            method: request.method,
            params: request.params,
            timeout,
            deadline: now + timeout,
        }
    }

    fn bytes(&self) -> usize {
        let id = self.id.as_ref().map_or(0, Bytes::len);
        id + self.method.len() + self.params.len()
    }
}

/// What a program may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It may send messages.
    #[default]
    Open,
    /// It sends no more, and waits for what it has requested.
    Finished,
    /// It is sent no more, and reads what was sent.
    Closing,
}

/// What a message to a program belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is the response to a call that the server executed: there are as many as calls in flight.
    Response,
    /// It is an event, or a response of the bridge itself.
    Other,
}

/// The messages of one kind that a program has not read.
#[derive(Clone, Copy, Default)]
struct Unread {
    messages: usize,
    bytes: usize,
}

impl Unread {
    const fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    const fn remove(&mut self, bytes: usize) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    const fn is_full(self, policy: &Policy) -> bool {
        self.bytes >= policy.send_bytes_max || self.messages >= policy.send_messages_max
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
    pub(crate) stage: Stage,
    /// The messages that were sent and not written, the oldest first: their lengths and kinds.
    unsent: VecDeque<(usize, Kind)>,
    responses: Unread,
    others: Unread,
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

    /// Removes a call whose deadline has passed.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<PendingCall> {
        let at = self.queue.iter().position(|call| call.deadline <= now)?;
        let call = self.queue.remove(at)?;
        self.queue_bytes = self.queue_bytes.saturating_sub(call.bytes());
        Some(call)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.queue.iter().map(|call| call.deadline).min()
    }

    pub(crate) fn queue_len(&self) -> usize {
        self.queue.len()
    }

    /// Whether one of its calls may be sent now: it has read enough of the responses to earlier ones.
    pub(crate) fn is_ready(&self, policy: &Policy) -> bool {
        !self.queue.is_empty() && self.in_flight < policy.share_max() && !self.is_full(policy)
    }

    const fn is_full(&self, policy: &Policy) -> bool {
        let (messages, bytes) = (
            self.responses.messages.saturating_add(self.others.messages),
            self.unread_bytes(),
        );
        Unread { messages, bytes }.is_full(policy)
    }

    /// The bytes that were sent and are not written.
    pub(crate) const fn unread_bytes(&self) -> usize {
        self.responses.bytes.saturating_add(self.others.bytes)
    }

    /// Whether it sends no more and waits for no reply.
    pub(crate) fn is_done(&self) -> bool {
        self.stage == Stage::Finished
            && self.queue.is_empty()
            && self.in_flight == 0
            && self.requested_subscriptions == 0
    }

    /// Counts a message that is to be sent; false if the program has not read what it was sent before.
    pub(crate) fn reserve(&mut self, bytes: usize, kind: Kind, policy: &Policy) -> bool {
        match kind {
            Kind::Response => self.responses.add(bytes),
            Kind::Other if self.others.is_full(policy) => return false,
            Kind::Other => self.others.add(bytes),
        }
        self.unsent.push_back((bytes, kind));
        true
    }

    /// The oldest messages were written.
    pub(crate) fn on_written(&mut self, messages: usize) {
        let written = messages.min(self.unsent.len());
        for (bytes, kind) in self.unsent.drain(..written) {
            match kind {
                Kind::Response => self.responses.remove(bytes),
                Kind::Other => self.others.remove(bytes),
            }
        }
    }
}
