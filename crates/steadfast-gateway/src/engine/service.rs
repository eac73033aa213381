//! Connects the engine's thread with the shards and the process, closes the engine, and reports its health.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_engine::Health;
use steadfast_engine::order::OrderLimits;
use tokio::sync::watch;

use super::exchange::{CloseOutcome, EngineMessage, Exchange, MESSAGES_MAX, SharedState};
use super::ring_buffer::RingBuffer;
use super::shard_engine::ShardEngine;

/// The parameters for starting an engine, whichever it is.
#[derive(Clone, Copy, Debug)]
pub struct EngineSetup {
    /// The number of shards that receive the engine's events.
    pub shards: NonZeroU16,
    /// The capacity of the ring buffer to the shards.
    pub ring: OrderLimits,
    /// The clock with which the state machine was created.
    pub clock: Clock,
}

/// Why an engine was not closed cleanly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// The timeout expired, for example because the disk is stuck; the engine's thread continues until the process exits.
    #[error(
        "timed out waiting for the engine to close; {pending} requests have no response: publications among them \
         were never acknowledged, and may or may not be stored"
    )]
    TimedOut {
        /// The number of requests that the engine has received and not responded to.
        pending: usize,
    },
    /// The clean shutdown of the log could not be recorded, for example because the disk is full.
    #[error("the log was not closed cleanly; the next start runs crash recovery")]
    Unclean,
    /// The engine's thread had already exited.
    #[error("the engine's thread exited before the engine was closed")]
    ThreadExited,
}

/// The engine of a process. Dropping it requests the close and does not wait for it.
#[derive(Debug)]
pub struct EngineService {
    shared: Arc<SharedState>,
    thread: SyncSender<EngineMessage>,
    ended: Receiver<CloseOutcome>,
}

/// Creates the ends of the process, of the shards in their order, and of the engine's thread.
pub(super) fn connect(setup: &EngineSetup) -> (EngineService, Vec<ShardEngine>, Exchange) {
    let (thread, inbox) = sync_channel(MESSAGES_MAX);
    let (ended_sender, ended) = sync_channel(1);
    let shards = setup.shards.get();
    let shared = Arc::new(SharedState::new(RingBuffer::new(shards, setup.ring)));
    let ends =
        (0..shards).map(|shard| ShardEngine::new(shard, thread.clone(), Arc::clone(&shared)));
    let ends = ends.collect();
    let exchange = Exchange::new(inbox, Arc::clone(&shared), ended_sender);
    let service = EngineService {
        shared,
        thread,
        ended,
    };
    (service, ends, exchange)
}

impl EngineService {
    /// Returns a function that wakes the engine's thread.
    pub(super) fn waker(&self) -> impl Fn() + Send + Sync + use<> {
        let thread = self.thread.clone();
        move || wake(&thread)
    }

    /// Returns what the engine can do now. After a panic of its thread, nothing is acknowledged until a restart, as after
    /// a failed write.
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// Returns a receiver that becomes true when nothing can be acknowledged until a restart.
    pub fn failed(&self) -> watch::Receiver<bool> {
        self.shared.failed()
    }

    /// Returns the last failure of an operation of the storage, in words.
    pub fn failure(&self) -> Option<String> {
        self.shared.failure()
    }

    /// Returns whether the engine's thread panicked, which is a defect of Steadfast.
    pub fn has_panicked(&self) -> bool {
        self.shared.has_panicked()
    }

    /// Completes pending requests, records the clean shutdown and releases the storage. Blocks for at most `timeout`, so
    /// it must not be called on an event loop.
    ///
    /// # Errors
    ///
    /// When the shutdown is not clean or the timeout expires. Nothing that was acknowledged as durable is lost in either
    /// case.
    pub fn close(self, timeout: Duration) -> Result<(), CloseError> {
        self.request_close();
        match self.ended.recv_timeout(timeout) {
            Ok(CloseOutcome::Clean) => Ok(()),
            Ok(CloseOutcome::Unclean) => Err(CloseError::Unclean),
            Err(RecvTimeoutError::Timeout) => Err(CloseError::TimedOut {
                pending: self.shared.pending(),
            }),
            Err(RecvTimeoutError::Disconnected) => Err(CloseError::ThreadExited),
        }
    }

    fn request_close(&self) {
        self.shared.request_close();
        wake(&self.thread);
    }
}

impl Drop for EngineService {
    fn drop(&mut self) {
        self.request_close();
    }
}

fn wake(thread: &SyncSender<EngineMessage>) {
    // A full channel means that the thread is awake anyway; a closed channel means that it has exited.
    drop(thread.try_send(EngineMessage::Wake));
}
