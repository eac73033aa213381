//! One shard's end of the engine: its requests are submitted to the engine's thread once per loop iteration, and the
//! engine's events are read from the ring buffer.
//!
//! Never blocks and makes no decisions. When the thread's channel is full the submission is retained, and the shard is
//! woken to submit it once there is capacity.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};

use steadfast_engine::order::TakenEvents;
use steadfast_engine::{EngineEvent, Request, Response};

use super::exchange::{EngineMessage, SharedState, Submission};

/// One shard's end of the engine. Belongs to one event loop.
#[derive(Debug)]
pub struct ShardEngine {
    shard: u16,
    submission: Vec<Request>,
    thread: SyncSender<EngineMessage>,
    shared: Arc<SharedState>,
    /// Rejections of requests that could not be submitted, because the engine's thread has exited.
    rejections: VecDeque<EngineEvent>,
}

impl ShardEngine {
    pub(super) fn new(
        shard: u16,
        thread: SyncSender<EngineMessage>,
        shared: Arc<SharedState>,
    ) -> Self {
        Self {
            shard,
            submission: Vec::new(),
            thread,
            shared,
            rejections: VecDeque::new(),
        }
    }

    /// Returns the number of this shard, from 0.
    pub fn shard(&self) -> u16 {
        self.shard
    }

    /// Adds a request to the submission. The request's id must contain this shard, which receives the response.
    pub fn request(&mut self, request: Request) {
        debug_assert_eq!(
            request.id().shard,
            self.shard,
            "a request contains the number of its own shard"
        );
        self.submission.push(request);
    }

    /// Sends the submission to the engine's thread as one message; call it once at the end of each loop iteration. Never blocks.
    ///
    /// When the thread's channel is full the submission is retained: the next call sends it together with what was
    /// added since, and [`ready`](Self::ready) completes as soon as there is capacity, so that the caller makes that
    /// call.
    pub fn flush(&mut self) {
        self.shared.ring.clear_capacity_request(self.shard);
        if self.submission.is_empty() || self.try_submit() {
            return;
        }
        self.shared.ring.request_capacity(self.shard);
        // The thread may have received from its channel just before the request for capacity became visible.
        if self.try_submit() {
            self.shared.ring.clear_capacity_request(self.shard);
        }
    }

    /// Waits until [`take`](Self::take) would return events or a retained submission can be sent.
    ///
    /// Cancel-safe: no event is taken, and a wake-up without a waiting task is stored.
    pub async fn ready(&self) {
        if self.rejections.is_empty() {
            self.shared.ring.ready(self.shard).await;
        }
    }

    /// Appends the events that this shard has not received yet, in the order of the engine, at most `max`. Sends a
    /// retained submission first.
    pub fn take(&mut self, events: &mut Vec<EngineEvent>, max: usize) -> TakenEvents {
        self.flush();
        let before = events.len();
        let mut taken = self.shared.ring.take(self.shard, events, max);
        if !taken.has_more {
            let left = max
                .saturating_sub(events.len() - before)
                .min(self.rejections.len());
            events.extend(self.rejections.drain(..left));
            taken.has_more = !self.rejections.is_empty();
        }
        taken
    }

    /// Tries to send the submission; retains it when there is no capacity. Returns whether nothing is retained.
    fn try_submit(&mut self) -> bool {
        let requests = std::mem::take(&mut self.submission);
        let submission = Submission::new(requests, Arc::clone(&self.shared));
        match self.thread.try_send(EngineMessage::Submission(submission)) {
            Ok(()) => true,
            Err(TrySendError::Full(EngineMessage::Submission(submission))) => {
                self.submission = submission.take();
                false
            }
            Err(TrySendError::Disconnected(EngineMessage::Submission(submission))) => {
                self.reject(&submission.take());
                true
            }
            Err(
                TrySendError::Full(EngineMessage::Wake)
                | TrySendError::Disconnected(EngineMessage::Wake),
            ) => true,
        }
    }

    /// Rejects requests on behalf of an engine whose thread has exited.
    fn reject(&mut self, requests: &[Request]) {
        let rejection = self.shared.late_rejection();
        let responses = requests.iter().map(|request| EngineEvent::Response {
            number: request.id().number,
            response: Response::Rejected(rejection),
        });
        self.rejections.extend(responses);
    }
}
