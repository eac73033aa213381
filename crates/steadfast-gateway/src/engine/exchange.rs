//! The exchange between the thread that owns the engine and the shards, whichever engine it is.
//!
//! [`Exchange`] is the end of the engine's thread: it receives the messages in its channel at once, hands the requests
//! to the driver of the engine, and pushes the engine's deliveries to the ring buffer in small groups. A shard's end is
//! in `shard_engine`, and the end of the process, which reads the health and closes the engine, in `service`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use steadfast_engine::order::Delivery;
use steadfast_engine::{Health, Rejection, Request, Response};
use tokio::sync::watch;

use super::ring_buffer::RingBuffer;

/// The capacity of the thread's channel. Each message is the submission of one loop iteration of one shard; when the
/// channel is full, a shard retains its submission.
pub(super) const MESSAGES_MAX: usize = 1024;

/// The thread receives submissions until it has this many requests, so that the first requests of a batch do not wait
/// for a very long one. The last submission is included completely.
const RECEIVED_MIN: usize = 8192;

/// The maximum number of deliveries that are pushed to the ring buffer at once: few enough to stay in the processor's
/// nearest caches.
const STAGED_MAX: usize = 256;

/// A message to the engine's thread.
#[derive(Debug)]
pub(super) enum EngineMessage {
    /// The requests of one loop iteration of one shard.
    Submission(Submission),
    /// A storage operation has completed, or the engine must be closed.
    Wake,
}

/// The requests of one loop iteration of one shard. Those that the engine's thread does not take are rejected when this
/// value is dropped, also if the thread has panicked or exits just now: each request has a response.
#[derive(Debug)]
pub(super) struct Submission {
    requests: Vec<Request>,
    shared: Arc<SharedState>,
}

impl Submission {
    pub(super) const fn new(requests: Vec<Request>, shared: Arc<SharedState>) -> Self {
        Self { requests, shared }
    }

    /// Takes the requests, to which the caller responds.
    pub(super) fn take(mut self) -> Vec<Request> {
        std::mem::take(&mut self.requests)
    }
}

impl Drop for Submission {
    fn drop(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let reason = self.shared.late_rejection();
        let mut rejections = rejections(self.requests.drain(..), reason).collect();
        self.shared.ring.push(&mut rejections);
        self.shared.ring.wake();
    }
}

/// How the engine was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseOutcome {
    /// The engine has nothing to store, or the record of the clean shutdown is durable.
    Clean,
    /// The clean shutdown could not be recorded.
    Unclean,
}

/// State that the engine's thread, the shards and the service share.
#[derive(Debug)]
pub(super) struct SharedState {
    pub(super) ring: RingBuffer,
    /// The health that the engine reported last.
    health: Mutex<Health>,
    /// Requests that the engine's thread has received and not responded to.
    pending: AtomicUsize,
    /// True when nothing can be acknowledged until a restart.
    failed: watch::Sender<bool>,
    /// The last failure of an operation, in words.
    failure: Mutex<Option<String>>,
    close: AtomicBool,
    has_panicked: AtomicBool,
}

impl SharedState {
    pub(super) fn new(ring: RingBuffer) -> Self {
        Self {
            ring,
            health: Mutex::new(Health::Opening),
            pending: AtomicUsize::new(0),
            failed: watch::Sender::new(false),
            failure: Mutex::new(None),
            close: AtomicBool::new(false),
            has_panicked: AtomicBool::new(false),
        }
    }

    pub(super) fn health(&self) -> Health {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish_health(&self, health: Health) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
        if health == Health::WriteFailed {
            self.failed.send_replace(true);
        }
    }

    pub(super) fn failed(&self) -> watch::Receiver<bool> {
        self.failed.subscribe()
    }

    /// Why a request is rejected that comes too late for the engine.
    pub(super) fn late_rejection(&self) -> Rejection {
        match self.health() {
            Health::WriteFailed | Health::Misplaced => Rejection::WriteFailed,
            Health::Opening
            | Health::Serving
            | Health::Full
            | Health::Unavailable
            | Health::Stalled { .. }
            | Health::Closing
            | Health::Closed => Rejection::Closing,
        }
    }

    /// How many requests the engine's thread has received and not responded to.
    pub(super) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    pub(super) fn failure(&self) -> Option<String> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.clone()
    }

    pub(super) fn has_panicked(&self) -> bool {
        self.has_panicked.load(Ordering::Acquire)
    }

    /// Requests the close. The thread must then be woken.
    pub(super) fn request_close(&self) {
        self.close.store(true, Ordering::Release);
    }
}

/// The end of the thread that owns the engine.
#[derive(Debug)]
pub(super) struct Exchange {
    // This field is declared first, so that a shard that finds the channel closed finds out why.
    _panic_guard: PanicGuard,
    inbox: Receiver<EngineMessage>,
    shared: Arc<SharedState>,
    ended: SyncSender<CloseOutcome>,
    /// Requests that were received from the channel and not taken yet.
    requests: VecDeque<Request>,
    /// Deliveries that were not pushed to the ring buffer yet.
    staged: Vec<Delivery>,
    // This field is declared last, so that a shard that is woken finds the channel closed.
    _exit_guard: ExitGuard,
}

impl Exchange {
    pub(super) fn new(
        inbox: Receiver<EngineMessage>,
        shared: Arc<SharedState>,
        ended: SyncSender<CloseOutcome>,
    ) -> Self {
        Self {
            _panic_guard: PanicGuard(Arc::clone(&shared)),
            inbox,
            ended,
            requests: VecDeque::new(),
            staged: Vec::new(),
            _exit_guard: ExitGuard(Arc::clone(&shared)),
            shared,
        }
    }

    /// Sleeps until a message arrives or `timeout` expires, then receives all pending messages.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) {
        let received = match timeout {
            None => self.inbox.recv().ok(),
            Some(timeout) => self.inbox.recv_timeout(timeout).ok(),
        };
        // Nothing is received when the timeout expires, or when all senders are dropped: then so is the service, which
        // has requested the close.
        let Some(message) = received else {
            return;
        };
        self.receive(message);
        while self.requests.len() < RECEIVED_MIN
            && let Ok(message) = self.inbox.try_recv()
        {
            self.receive(message);
        }
        self.shared.ring.signal_capacity();
    }

    /// Whether requests were received and not taken yet.
    pub(super) fn has_requests(&self) -> bool {
        !self.requests.is_empty()
    }

    /// Takes at most `max` of the requests that were received, in their order.
    pub(super) fn take_requests(&mut self, max: usize) -> Vec<Request> {
        if self.requests.len() <= max {
            std::mem::take(&mut self.requests).into()
        } else {
            self.requests.drain(..max).collect()
        }
    }

    /// Whether the engine must be closed after the requests that were received.
    pub(super) fn is_close_requested(&self) -> bool {
        self.shared.close.load(Ordering::Acquire)
    }

    /// Adds a delivery; pushes it to the ring buffer together with the next ones.
    pub(super) fn stage(&mut self, delivery: Delivery, health: Health) {
        if let Delivery::Response { .. } = delivery {
            // Only this thread changes the number.
            let pending = self.shared.pending().saturating_sub(1);
            self.shared.pending.store(pending, Ordering::Relaxed);
        }
        self.staged.push(delivery);
        if self.staged.len() >= STAGED_MAX {
            self.push_staged(health);
        }
    }

    /// Pushes all staged deliveries and wakes the shards.
    pub(super) fn deliver(&mut self, health: Health) {
        self.push_staged(health);
        self.shared.ring.wake();
    }

    /// Publishes why an operation failed, for the health that follows from it.
    pub(super) fn publish_failure(&self, failure: String) {
        let mut published = self
            .shared
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *published = Some(failure);
    }

    /// Rejects requests that arrived too late for the engine, so that no shard waits indefinitely, and reports how the
    /// engine was closed.
    pub(super) fn finish(mut self, health: Health, outcome: CloseOutcome) {
        while let Ok(message) = self.inbox.try_recv() {
            self.receive(message);
        }
        let rejections = rejections(self.requests.drain(..), Rejection::Closing);
        self.staged.extend(rejections);
        self.deliver(health);
        let Self { inbox, ended, .. } = self;
        // Once the close is reported, no shard can submit a request. What was submitted just now is rejected.
        drop(inbox);
        if ended.try_send(outcome).is_err() {
            tracing::debug!("no thread waits for the engine to close");
        }
    }

    fn receive(&mut self, message: EngineMessage) {
        match message {
            EngineMessage::Submission(submission) => {
                let requests = submission.take();
                self.shared
                    .pending
                    .fetch_add(requests.len(), Ordering::Relaxed);
                if self.requests.is_empty() {
                    self.requests = requests.into();
                } else {
                    self.requests.extend(requests);
                }
            }
            EngineMessage::Wake => {}
        }
    }

    /// Publishes the health first: a client that was just rejected finds the gateway not ready.
    fn push_staged(&mut self, health: Health) {
        self.shared.publish_health(health);
        self.shared.ring.push(&mut self.staged);
    }
}

/// Returns the responses that reject these requests.
fn rejections(
    requests: impl Iterator<Item = Request>,
    reason: Rejection,
) -> impl Iterator<Item = Delivery> {
    requests.map(move |request| Delivery::Response {
        request_id: request.id(),
        response: Response::Rejected(reason),
    })
}

/// Publishes that the engine's thread panicked: nothing can be acknowledged until a restart.
#[derive(Debug)]
struct PanicGuard(Arc<SharedState>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.has_panicked.store(true, Ordering::Release);
            self.0.publish_health(Health::WriteFailed);
            tracing::error!("engine thread panicked");
        }
    }
}

/// Wakes the shards when the engine's thread exits, for any reason.
#[derive(Debug)]
struct ExitGuard(Arc<SharedState>);

impl Drop for ExitGuard {
    fn drop(&mut self) {
        self.0.ring.signal_capacity();
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use steadfast_clock::Clock;
    use steadfast_engine::order::OrderLimits;
    use steadfast_engine::{EngineEvent, Read, ReadFrom, RequestId};

    use super::*;
    use crate::engine::service::{EngineSetup, connect};

    #[test]
    fn requests_that_are_submitted_while_the_engine_ends_are_rejected() {
        let setup = EngineSetup {
            shards: NonZeroU16::MIN,
            ring: OrderLimits {
                entries: 16,
                bytes: 1 << 20,
            },
            clock: Clock::start(),
        };
        let (_service, mut shards, exchange) = connect(&setup);
        let shard = &mut shards[0];
        for number in [1, 2] {
            shard.request(read(number));
            shard.flush();
        }

        // The thread exits and receives nothing more from its channel.
        drop(exchange);
        shard.request(read(3));

        let mut events = Vec::new();
        shard.take(&mut events, 16);
        let rejected = |number| EngineEvent::Response {
            number,
            response: Response::Rejected(Rejection::Closing),
        };
        assert_eq!(events, [1, 2, 3].map(rejected));
    }

    fn read(number: u64) -> Request {
        Request::Read(Read {
            request_id: RequestId { shard: 0, number },
            channel: "news".into(),
            from: ReadFrom::Newest,
            limit: 1,
            bytes_max: 1,
        })
    }
}
