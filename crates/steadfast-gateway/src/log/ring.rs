//! The bounded ring from the log to the cores.
//!
//! Owns the lock around the order and each core's wake-up. The writer pushes small batches and never waits: a core
//! that falls behind is told so in the place of what is missing. Decides nothing about what that means; the hub of that
//! core does.

mod order;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use steadfast_hub::io::LogEvent;
use tokio::sync::Notify;

pub(super) use self::order::Delivery;
use self::order::Order;

/// How much may wait in the ring for the slowest core before it lapses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingLimits {
    /// Shared entries: commits and notes. At least 1.
    pub entries: usize,
    /// Bytes of their payloads, with a little for each entry itself. One entry may be larger on its own.
    pub bytes: usize,
}

impl RingLimits {
    /// 65,536 entries and 64 MiB: at a million commits a second, more than one log can write, a core may stall for
    /// 65 ms before it lapses; a turn takes far less.
    pub const DEFAULT: Self = Self {
        entries: 65_536,
        bytes: 64 << 20,
    };
}

/// What a take found beside the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Another take would bring more at once.
    pub more: bool,
}

/// The order, its lock, and the doorbell of each core.
#[derive(Debug)]
pub(super) struct Ring {
    order: Mutex<Order>,
    bells: Vec<Bell>,
}

/// Tells one core that something is there for it.
#[derive(Debug, Default)]
struct Bell {
    notify: Notify,
    /// A take would bring something. Written under the lock only.
    waiting: AtomicBool,
    /// The core could not hand over its batch, and wants to be woken when there is room.
    wants_room: AtomicBool,
    /// There is room again, or the writer is gone.
    room: AtomicBool,
}

impl Ring {
    pub(super) fn new(cores: u16, limits: RingLimits) -> Self {
        Self {
            order: Mutex::new(Order::new(cores, limits)),
            bells: (0..cores).map(|_| Bell::default()).collect(),
        }
    }

    /// Pushes a batch in its order, under one lock. Wakes nobody.
    pub(super) fn push(&self, batch: &mut Vec<Delivery>) {
        if batch.is_empty() {
            return;
        }
        let mut order = self.lock();
        for delivery in batch.drain(..) {
            order.push(delivery);
        }
        for (core, bell) in self.bells.iter().enumerate() {
            bell.waiting.store(order.has(core), Ordering::Release);
        }
    }

    /// Wakes each core that something waits for.
    pub(super) fn wake(&self) {
        for bell in &self.bells {
            if bell.waiting.load(Ordering::Acquire) {
                bell.notify.notify_one();
            }
        }
    }

    /// Appends at most `max` events for the core, in order.
    pub(super) fn take(&self, core: u16, events: &mut Vec<LogEvent>, max: usize) -> Taken {
        let Some(bell) = self.bells.get(usize::from(core)) else {
            return Taken { more: false };
        };
        if !bell.waiting.load(Ordering::Acquire) {
            return Taken { more: false };
        }
        let mut order = self.lock();
        let taken = order.take(core, events, max);
        bell.waiting.store(taken.more, Ordering::Release);
        taken
    }

    /// Ends when a take would bring something or a kept batch can be handed over. Cancel-safe.
    pub(super) async fn ready(&self, core: u16) {
        let Some(bell) = self.bells.get(usize::from(core)) else {
            return std::future::pending().await;
        };
        while !bell.waiting.load(Ordering::Acquire) && !bell.room.load(Ordering::Acquire) {
            // A bell that rings before this line is remembered, so no wake-up is lost.
            bell.notify.notified().await;
        }
    }

    /// The core asks to be woken once the writer has taken something from its channel.
    pub(super) fn want_room(&self, core: u16) {
        if let Some(bell) = self.bells.get(usize::from(core)) {
            bell.wants_room.store(true, Ordering::SeqCst);
        }
    }

    /// The core could hand over its batch.
    pub(super) fn found_room(&self, core: u16) {
        if let Some(bell) = self.bells.get(usize::from(core)) {
            bell.wants_room.store(false, Ordering::SeqCst);
            bell.room.store(false, Ordering::Release);
        }
    }

    /// The writer has taken something from its channel, or will take nothing more: wakes every core that waits for it.
    pub(super) fn give_room(&self) {
        for bell in &self.bells {
            if bell.wants_room.swap(false, Ordering::SeqCst) {
                bell.room.store(true, Ordering::Release);
                bell.notify.notify_one();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Order> {
        // Nothing panics while it holds the lock; if it ever does, the order is still whole entry by entry.
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
