//! One timer for all calls of a session, so that a call ends also if nothing polls the driver.
//!
//! The session enforces the deadlines of calls, and it needs a driver that is polled. Independently of it, this timer
//! wakes the tasks of all calls once per [`PERIOD`], and each checks its own time limit. It is armed by the first call
//! after it has fired, and stays armed when calls complete: most calls arm no timer and read no clock.

use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use steadfast_machine::convert;
use tokio::time::Sleep;

use super::reply_table::register;

/// The time from arming the timer until it fires.
pub(super) const PERIOD: Duration = Duration::from_millis(500);

/// The timer, and the tasks that it wakes.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    is_armed: bool,
    timer: Option<Pin<Box<Sleep>>>,
    /// The tasks of calls, by the indices of their entries. The task of a call that is complete stays until another call
    /// has the same entry, or the timer fires: it is then woken for nothing.
    tasks: Vec<Option<Waker>>,
}

impl Watchdog {
    /// Wakes the task of this entry once, at the latest after [`PERIOD`].
    pub(super) fn watch(self: &Arc<Self>, index: u32, context: &Context<'_>) {
        if self.register(index, context) {
            self.arm();
        }
    }

    /// Registers a task. Returns `true` if the timer has to be armed.
    fn register(&self, index: u32, context: &Context<'_>) -> bool {
        let index = convert::to_usize(index);
        let mut inner = self.lock();
        if inner.tasks.len() <= index {
            inner.tasks.resize(index + 1, None);
        }
        if let Some(task) = inner.tasks.get_mut(index) {
            register(task, context);
        }
        !mem::replace(&mut inner.is_armed, true)
    }

    #[cold]
    fn arm(self: &Arc<Self>) {
        // Outside of the lock, because a timer may fire while it is polled.
        let waker = Waker::from(Arc::clone(self));
        let mut timer = Box::pin(tokio::time::sleep(PERIOD));
        let polled = timer.as_mut().poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            return waker.wake();
        }
        let previous = self.lock().timer.replace(timer);
        drop(previous);
    }

    /// Disarms the timer.
    pub(super) fn stop(&self) {
        let inner = mem::take(&mut *self.lock());
        drop(inner);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No operation under this lock leaves an inconsistent state.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Watchdog {
    /// The timer has fired.
    fn wake(self: Arc<Self>) {
        let inner = mem::take(&mut *self.lock());
        inner.tasks.into_iter().flatten().for_each(Waker::wake);
    }
}
