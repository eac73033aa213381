//! The bounded ring buffer from the log to the shards.
//!
//! Owns the lock around the entries and the waker of each shard. The writer pushes small groups of entries and never
//! waits: a shard that lags gets [`EngineEvent::Lagged`] in place of the missing entries. The hub of that shard decides
//! what to do about it.

mod entry_queue;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use steadfast_engine::EngineEvent;
use tokio::sync::Notify;

pub(super) use self::entry_queue::Delivery;
use self::entry_queue::EntryQueue;

/// The capacity of the ring buffer; a shard that does not read in time lags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingLimits {
    /// The maximum number of shared entries, which are commits. At least 1.
    pub entries: usize,
    /// The maximum number of bytes of the payloads of all shared entries, including an overhead per entry. A single
    /// entry may be larger.
    pub bytes: usize,
}

impl RingLimits {
    /// 65,536 entries and 64 MiB: at a million commits per second, which is more than one log can write, a shard may
    /// stall for 65 ms before it lags; a loop iteration takes far less.
    pub const DEFAULT: Self = Self {
        entries: 65_536,
        bytes: 64 << 20,
    };
}

/// The outcome of taking events, in addition to the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenEvents {
    /// Whether another call would return events at once.
    pub has_more: bool,
}

/// The entries, their lock, and the waker of each shard.
#[derive(Debug)]
pub(super) struct RingBuffer {
    queue: Mutex<EntryQueue>,
    wakers: Vec<ShardWaker>,
}

/// Wakes one shard when there are entries or capacity for it.
#[derive(Debug, Default)]
struct ShardWaker {
    notify: Notify,
    /// Whether there are entries to take. Written under the lock only.
    has_entries: AtomicBool,
    /// Whether the shard could not submit its requests, and must be woken when the writer's channel has capacity.
    needs_capacity: AtomicBool,
    /// Whether the writer's channel has capacity again, or the writer has exited.
    has_capacity: AtomicBool,
}

impl RingBuffer {
    pub(super) fn new(shards: u16, limits: RingLimits) -> Self {
        Self {
            queue: Mutex::new(EntryQueue::new(shards, limits)),
            wakers: (0..shards).map(|_| ShardWaker::default()).collect(),
        }
    }

    /// Pushes deliveries in their order, with the lock held once. Wakes no shard.
    pub(super) fn push(&self, batch: &mut Vec<Delivery>) {
        if batch.is_empty() {
            return;
        }
        let mut queue = self.lock();
        for delivery in batch.drain(..) {
            queue.push(delivery);
        }
        for (shard, waker) in self.wakers.iter().enumerate() {
            waker.has_entries.store(queue.has(shard), Ordering::Release);
        }
    }

    /// Wakes each shard that has entries to take.
    pub(super) fn wake(&self) {
        for waker in &self.wakers {
            if waker.has_entries.load(Ordering::Acquire) {
                waker.notify.notify_one();
            }
        }
    }

    /// Appends at most `max` events for the shard, in order.
    pub(super) fn take(
        &self,
        shard: u16,
        events: &mut Vec<EngineEvent>,
        max: usize,
    ) -> TakenEvents {
        let Some(waker) = self.wakers.get(usize::from(shard)) else {
            return TakenEvents { has_more: false };
        };
        if !waker.has_entries.load(Ordering::Acquire) {
            return TakenEvents { has_more: false };
        }
        let mut queue = self.lock();
        let taken = queue.take(shard, events, max);
        waker.has_entries.store(taken.has_more, Ordering::Release);
        taken
    }

    /// Waits until there are entries to take or a retained submission can be sent. Cancel-safe.
    pub(super) async fn ready(&self, shard: u16) {
        let Some(waker) = self.wakers.get(usize::from(shard)) else {
            return std::future::pending().await;
        };
        while !waker.has_entries.load(Ordering::Acquire)
            && !waker.has_capacity.load(Ordering::Acquire)
        {
            // `Notify` stores a notification that arrives before this line, so no wake-up is lost.
            waker.notify.notified().await;
        }
    }

    /// Requests that the shard is woken once the writer has received something from its channel.
    pub(super) fn request_capacity(&self, shard: u16) {
        if let Some(waker) = self.wakers.get(usize::from(shard)) {
            waker.needs_capacity.store(true, Ordering::SeqCst);
        }
    }

    /// Cancels the request for capacity: the shard tries to submit now, or has submitted.
    pub(super) fn clear_capacity_request(&self, shard: u16) {
        if let Some(waker) = self.wakers.get(usize::from(shard)) {
            waker.needs_capacity.store(false, Ordering::SeqCst);
            waker.has_capacity.store(false, Ordering::Release);
        }
    }

    /// Wakes every shard that waits for capacity: the writer has received something from its channel, or has exited.
    pub(super) fn signal_capacity(&self) {
        for waker in &self.wakers {
            if waker.needs_capacity.swap(false, Ordering::SeqCst) {
                waker.has_capacity.store(true, Ordering::Release);
                waker.notify.notify_one();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, EntryQueue> {
        // No thread panics while holding the lock; if a thread did, each entry would still be consistent.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
