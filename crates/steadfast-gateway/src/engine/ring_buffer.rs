//! The bounded ring buffer from the engine to the shards.
//!
//! Owns the lock around the order of the engine's events and the waker of each shard. The engine's thread pushes small groups of
//! events and never waits: a shard that lags gets [`EngineEvent::Lagged`] in place of the missing commits. The hub of
//! that shard decides what to do about it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use steadfast_engine::EngineEvent;
use steadfast_engine::order::{Delivery, OrderLimits, ShardOrder, TakenEvents};
use tokio::sync::Notify;

/// The capacity of the ring buffer, 65,536 commits and 64 MiB: at a million commits per second, which is more than one
/// engine can order, a shard may stall for 65 ms before it lags; a loop iteration takes far less.
pub const RING_LIMITS: OrderLimits = OrderLimits {
    entries: 65_536,
    bytes: 64 << 20,
};

/// The order, its lock, and the waker of each shard.
#[derive(Debug)]
pub(super) struct RingBuffer {
    order: Mutex<ShardOrder>,
    wakers: Vec<ShardWaker>,
}

/// Wakes one shard when there are entries or capacity for it.
#[derive(Debug, Default)]
struct ShardWaker {
    notify: Notify,
    /// Whether there are entries to take. Written under the lock only.
    has_entries: AtomicBool,
    /// Whether the shard could not submit its requests, and must be woken when the thread's channel has capacity.
    needs_capacity: AtomicBool,
    /// Whether the thread's channel has capacity again, or the thread has exited.
    has_capacity: AtomicBool,
}

impl RingBuffer {
    pub(super) fn new(shards: u16, limits: OrderLimits) -> Self {
        Self {
            order: Mutex::new(ShardOrder::new(shards, limits)),
            wakers: (0..shards).map(|_| ShardWaker::default()).collect(),
        }
    }

    /// Pushes deliveries in their order, with the lock held once. Wakes no shard.
    pub(super) fn push(&self, batch: &mut Vec<Delivery>) {
        if batch.is_empty() {
            return;
        }
        let mut order = self.lock();
        for delivery in batch.drain(..) {
            order.push(delivery);
        }
        for (shard, waker) in (0..).zip(&self.wakers) {
            waker
                .has_entries
                .store(order.has_events(shard), Ordering::Release);
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
        let mut order = self.lock();
        let taken = order.take(shard, events, max);
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

    /// Requests that the shard is woken once the engine's thread has received something from its channel.
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

    /// Wakes every shard that waits for capacity: the engine's thread has received something from its channel, or has
    /// exited.
    pub(super) fn signal_capacity(&self) {
        for waker in &self.wakers {
            if waker.needs_capacity.swap(false, Ordering::SeqCst) {
                waker.has_capacity.store(true, Ordering::Release);
                waker.notify.notify_one();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, ShardOrder> {
        // No thread panics while holding the lock; if a thread did, each entry would still be consistent.
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
