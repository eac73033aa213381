//! What the handles and the driver of a session exchange: commands one way, outcomes the other.
//!
//! Both are under one lock, which is held for moves in memory only, and never while a task is woken. The driver takes
//! many commands at once and stores many outcomes at once, so that a busy session takes few locks, and wakes its driver
//! once for many commands. Handles and receipts call it on one side, the driver on the other.

mod batches;
mod call_space;
mod calls;
mod command;
mod handle;
mod messages;
mod reply_table;
#[cfg(feature = "tower")]
mod reservation;
mod space;
mod watchdog;

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Waker};

use steadfast_core::dialect::Dialect;
use steadfast_core::io::{CallId, CallResult, SendResult};
use steadfast_core::policy::OutboxSettings;
use tokio::sync::Notify;

pub(crate) use self::batches::{Completion, Outcomes, Received};
use self::call_space::CallSpace;
pub(crate) use self::calls::DRIVER_GRACE;
#[cfg(feature = "tower")]
pub(crate) use self::calls::PendingCall;
pub(crate) use self::command::Command;
pub(crate) use self::handle::ExchangeHandle;
pub(crate) use self::reply_table::ReplyKey;
use self::reply_table::{ReplyTable, register};
#[cfg(feature = "tower")]
pub(crate) use self::reservation::Reservation;
use self::space::{Place, Space};
use self::watchdog::Watchdog;
use crate::error::RequestError;

/// Maximum length of the command queue, in addition to the messages of the outbox. Messages and calls that have a place
/// are queued also above it.
const COMMANDS_MAX: usize = 4_096;
/// What a session's handles, receipts and driver share.
#[derive(Debug)]
pub(crate) struct Exchange<D: Dialect> {
    inner: Mutex<Inner<D>>,
    /// Clients and subscriptions; when none is left, the session closes.
    handles: AtomicUsize,
    /// A reader has received an event, or was dropped, since the driver asked last.
    has_reader_progress: AtomicBool,
    /// Created for the first call.
    watchdog: OnceLock<Arc<Watchdog>>,
    /// Wakes those that wait for space in the command queue.
    command_space: Notify,
    commands_max: usize,
    /// How many messages and calls may have a place.
    places_max: usize,
}

#[derive(Debug)]
struct Inner<D: Dialect> {
    commands: VecDeque<Command<D>>,
    /// Each call holds whether the driver has received it.
    calls: ReplyTable<CallResult<D>, bool>,
    /// The places of calls without an outcome that were not withdrawn.
    call_space: CallSpace,
    /// Calls that the driver has received, and whose callers gave up.
    withdrawn: Vec<CallId>,
    /// Each message holds its place in the outbox, if it has one.
    messages: ReplyTable<SendResult<D>, Option<Place>>,
    space: Space,
    /// The driver, while it has nothing to do.
    driver: Option<Waker>,
    /// The driver has to check something else than commands.
    is_driver_called: bool,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// No command is accepted.
    Closed,
    /// No outcome follows.
    Ended,
}

/// The handles' side.
impl<D: Dialect> Exchange<D> {
    /// An exchange with one handle.
    fn new(outbox: &OutboxSettings, calls_max: usize) -> Self {
        Self {
            inner: Mutex::new(Inner {
                commands: VecDeque::new(),
                calls: ReplyTable::new(),
                call_space: CallSpace::new(calls_max),
                withdrawn: Vec::new(),
                messages: ReplyTable::new(),
                space: Space::new(outbox),
                driver: None,
                is_driver_called: false,
                phase: Phase::Open,
            }),
            handles: AtomicUsize::new(1),
            has_reader_progress: AtomicBool::new(false),
            watchdog: OnceLock::new(),
            command_space: Notify::new(),
            commands_max: COMMANDS_MAX.saturating_add(outbox.messages_max),
            places_max: outbox.messages_max.saturating_add(calls_max),
        }
    }

    /// Queues a command without an outcome.
    pub(crate) fn send(&self, command: Command<D>) -> Result<(), RequestError> {
        let driver = {
            let mut inner = self.lock();
            inner.require_command_space(self.commands_max)?;
            inner.push(command)
        };
        wake(driver);
        Ok(())
    }

    /// Waits until the queue may have space, or the session has ended.
    pub(crate) fn command_space(&self) -> impl Future<Output = ()> {
        self.command_space.notified()
    }

    /// Whether the driver has finished.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().phase != Phase::Open
    }

    /// A reader has received an event, or was dropped. The driver is not woken.
    pub(crate) fn note_reader_progress(&self) {
        self.has_reader_progress.store(true, Ordering::Release);
    }

    /// Wakes the driver for something else than commands.
    pub(crate) fn call_driver(&self) {
        let driver = {
            let mut inner = self.lock();
            inner.is_driver_called = true;
            inner.driver.take()
        };
        wake(driver);
    }

    fn lock(&self) -> MutexGuard<'_, Inner<D>> {
        // No operation under this lock leaves an inconsistent state.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The driver's side.
impl<D: Dialect> Exchange<D> {
    /// Receives up to `count_max` commands. Returns `true` when there was something to receive; otherwise a later command
    /// wakes this task.
    pub(crate) fn receive(
        &self,
        received: &mut Received<D>,
        count_max: usize,
        context: &Context<'_>,
    ) -> bool {
        received.free_buffers();
        let has_handles = self.handles.load(Ordering::Acquire) > 0;
        let mut inner = self.lock();
        let was_full = inner.commands.len() >= self.commands_max;
        let is_called = mem::take(&mut inner.is_driver_called);
        let given_up = inner.take_commands(&mut received.commands, count_max);
        if received.withdrawn.is_empty() {
            mem::swap(&mut received.withdrawn, &mut inner.withdrawn);
        } else {
            received.withdrawn.append(&mut inner.withdrawn);
        }
        let is_empty = received.commands.is_empty() && inner.commands.is_empty();
        received.is_orphaned = is_empty && !has_handles;
        // A batch of which every call was withdrawn is empty, and others may be queued after it.
        let is_busy = is_called || !is_empty || !received.withdrawn.is_empty();
        let replaced = if is_busy {
            None
        } else {
            register(&mut inner.driver, context)
        };
        drop(inner);
        drop((given_up, replaced));
        if was_full {
            self.command_space.notify_waiters();
        }
        is_busy
    }

    /// Returns whether a reader has received an event, or was dropped, since the last call.
    pub(crate) fn take_reader_progress(&self) -> bool {
        self.has_reader_progress.swap(false, Ordering::AcqRel)
    }

    /// Accepts no further command; those that are queued can be received.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        if inner.phase == Phase::Open {
            inner.phase = Phase::Closed;
        }
    }

    /// Ends all waits: no outcome follows.
    pub(crate) fn end(&self) {
        let (commands, driver, wakers) = {
            let mut inner = self.lock();
            inner.phase = Phase::Ended;
            let driver = inner.driver.take();
            let mut wakers = inner.calls.take_wakers();
            wakers.extend(inner.messages.take_wakers());
            wakers.extend(inner.space.take_wakers());
            wakers.extend(inner.call_space.take_wakers());
            (mem::take(&mut inner.commands), driver, wakers)
        };
        drop((commands, driver));
        self.stop_watchdog();
        wakers.into_iter().for_each(Waker::wake);
        self.command_space.notify_waiters();
    }

    fn stop_watchdog(&self) {
        if let Some(watchdog) = self.watchdog.get() {
            watchdog.stop();
        }
    }
}

impl<D: Dialect> Drop for Exchange<D> {
    fn drop(&mut self) {
        self.stop_watchdog();
    }
}

impl<D: Dialect> Inner<D> {
    fn require_open(&self) -> Result<(), RequestError> {
        if self.phase == Phase::Open {
            Ok(())
        } else {
            Err(RequestError::Closed)
        }
    }

    fn require_command_space(&self, len_max: usize) -> Result<(), RequestError> {
        self.require_open()?;
        if self.commands.len() < len_max {
            Ok(())
        } else {
            Err(RequestError::Busy)
        }
    }

    /// Queues a command, and returns the driver if it has to be woken.
    fn push(&mut self, command: Command<D>) -> Option<Waker> {
        self.commands.push_back(command);
        self.driver.take()
    }

    /// Moves commands out of the queue. Returns the calls that were withdrawn in it, which are to be dropped outside of the
    /// lock.
    fn take_commands(
        &mut self,
        commands: &mut VecDeque<Command<D>>,
        count_max: usize,
    ) -> VecDeque<Command<D>> {
        if commands.is_empty() && self.commands.len() <= count_max {
            mem::swap(commands, &mut self.commands);
        } else {
            let count = self.commands.len().min(count_max);
            commands.extend(self.commands.drain(..count));
        }
        let calls = &mut self.calls;
        let mut are_given_up = false;
        for command in &*commands {
            if let Command::Call(id, ..) = command {
                let key = ReplyKey::from_number(id.0);
                if calls.is_abandoned(key) {
                    are_given_up = true;
                } else if let Some(is_received) = calls.held_mut(key) {
                    *is_received = true;
                }
            }
        }
        if are_given_up {
            remove_given_up(calls, commands)
        } else {
            VecDeque::new()
        }
    }

    /// A queue with this many commands may have calls that were withdrawn, and whose places others have taken: it
    /// removes them. Returns them, to be dropped outside of the lock.
    fn make_space_for_call(&mut self, len_max: usize) -> VecDeque<Command<D>> {
        if self.commands.len() < len_max {
            VecDeque::new()
        } else {
            remove_given_up(&mut self.calls, &mut self.commands)
        }
    }

    fn complete(&mut self, completion: Completion<D>) -> Option<Waker> {
        match completion {
            Completion::Call(id, outcome) => {
                let key = ReplyKey::from_number(id.0);
                // A call that was withdrawn has given its place back.
                if self.calls.is_waiting(key) {
                    self.call_space.give_back();
                }
                self.calls.complete(key, outcome)
            }
            Completion::Message(id, outcome) => {
                let key = ReplyKey::from_number(id.0);
                if let Some(place) = self.messages.held_mut(key).and_then(Option::take) {
                    self.space.give_back(place);
                }
                self.messages.complete(key, outcome)
            }
        }
    }
}

/// Removes the calls that were withdrawn, with their entries, and returns them.
fn remove_given_up<D: Dialect>(
    calls: &mut ReplyTable<CallResult<D>, bool>,
    commands: &mut VecDeque<Command<D>>,
) -> VecDeque<Command<D>> {
    let is_given_up = |command: &Command<D>| {
        let Command::Call(id, ..) = command else {
            return false;
        };
        let key = ReplyKey::from_number(id.0);
        let is_abandoned = calls.is_abandoned(key);
        if is_abandoned {
            calls.remove(key);
        }
        is_abandoned
    };
    let given_up;
    (given_up, *commands) = mem::take(commands).into_iter().partition(is_given_up);
    given_up
}

fn wake(driver: Option<Waker>) {
    if let Some(driver) = driver {
        driver.wake();
    }
}

#[cfg(all(test, feature = "centrifuge"))]
mod tests;
