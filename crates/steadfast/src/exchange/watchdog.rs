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
use tokio::runtime::{self, Handle};
use tokio::time::Sleep;

use super::reply_table::register;

/// The time from arming the timer until it fires.
pub(super) const PERIOD: Duration = Duration::from_millis(500);

/// The timers, and the tasks that they wake.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// One for each runtime with calls: a runtime that nothing runs fires no timer.
    timers: Vec<(runtime::Id, Pin<Box<Sleep>>)>,
    /// The tasks of calls, by the indices of their entries. The task of a call that is complete stays until another call
    /// has the same entry, or the timer fires: it is then woken for nothing.
    tasks: Vec<Option<Waker>>,
}

impl Watchdog {
    /// Wakes the task of this entry once, at the latest after [`PERIOD`].
    pub(super) fn watch(self: &Arc<Self>, index: u32, context: &Context<'_>) {
        // Outside of a runtime this panics, before anything has changed.
        let runtime = Handle::current().id();
        if self.register(index, runtime, context) {
            self.arm(runtime);
        }
    }

    /// Registers a task. Returns `true` if the timer has to be armed.
    fn register(&self, index: u32, runtime: runtime::Id, context: &Context<'_>) -> bool {
        let index = convert::to_usize(index);
        let mut inner = self.lock();
        if inner.tasks.len() <= index {
            inner.tasks.resize(index + 1, None);
        }
        let task = inner.tasks.get_mut(index);
        let replaced = task.and_then(|task| register(task, context));
        let must_arm = !inner.is_armed(runtime);
        drop(inner);
        drop(replaced);
        must_arm
    }

    #[cold]
    fn arm(self: &Arc<Self>, runtime: runtime::Id) {
        // Outside of the lock, because a timer may fire while it is polled.
        let waker = Waker::from(Arc::clone(self));
        let mut timer = Box::pin(tokio::time::sleep(PERIOD));
        let polled = timer.as_mut().poll(&mut Context::from_waker(&waker));
        let (has_fired, surplus) = {
            let mut inner = self.lock();
            // One that has fired since it was polled has not woken those that were registered afterwards.
            let has_fired = polled.is_ready() || timer.is_elapsed();
            if has_fired || inner.is_armed(runtime) {
                (has_fired, Some(timer))
            } else {
                inner.timers.push((runtime, timer));
                (has_fired, None)
            }
        };
        drop(surplus);
        if has_fired {
            waker.wake();
        }
    }

    /// Disarms the timers.
    pub(super) fn stop(&self) {
        let inner = mem::take(&mut *self.lock());
        drop(inner);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No operation under this lock leaves an inconsistent state.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn is_armed(&self, runtime: runtime::Id) -> bool {
        self.timers.iter().any(|(it, _)| *it == runtime)
    }
}

impl Wake for Watchdog {
    /// A timer has fired.
    fn wake(self: Arc<Self>) {
        let inner = mem::take(&mut *self.lock());
        inner.tasks.into_iter().flatten().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn the_timer_wakes_every_task_once_and_is_armed_again() {
        let watchdog = Arc::new(Watchdog::default());
        let tasks: [Arc<Task>; 3] = Default::default();
        for expected in [1, 2] {
            for (index, task) in (0..).zip(&tasks) {
                let waker = Waker::from(Arc::clone(task));
                watchdog.watch(index, &Context::from_waker(&waker));
            }
            assert_eq!(watchdog.lock().timers.len(), 1);

            tokio::time::sleep(PERIOD * 2).await;

            let counts = tasks.each_ref().map(|it| it.0.load(Ordering::Relaxed));
            assert_eq!(counts, [expected; 3]);
            assert!(watchdog.lock().timers.is_empty());
        }
    }
}
