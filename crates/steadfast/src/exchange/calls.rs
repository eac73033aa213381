//! Calls: how they enter the exchange, and the future of the result.

use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_core::dialect::Dialect;
use steadfast_core::io::{CallError, CallId, CallResult};
use steadfast_machine::Instant;

use super::reply_table::{ReplyKey, State};
use super::{Command, Exchange, Phase, wake};

/// How much later than the driver a handle ends a wait: the driver knows more about the outcome.
pub(crate) const DRIVER_GRACE: Duration = Duration::from_secs(1);

/// The future of a call's result, `None` if the call is overdue because nothing polls the driver. The call is queued at
/// the first poll, and dropping the future before it completes withdraws it. `E` leads to the exchange.
#[derive(Debug)]
pub(crate) struct PendingCall<E: Deref<Target = Exchange<D>>, D: Dialect> {
    exchange: E,
    clock: Clock,
    timeout: Duration,
    /// Known from the second poll on, which follows soon after the first one if there is no result.
    overdue_at: Option<Instant>,
    /// `None` once it is queued.
    call: Option<D::Call>,
    /// Whether it has its place before it is queued.
    has_place: bool,
    /// `None` before it is queued, and once the result was returned.
    key: Option<ReplyKey>,
}

// Nothing in it is pinned.
impl<E: Deref<Target = Exchange<D>>, D: Dialect> Unpin for PendingCall<E, D> {}

impl<D: Dialect> Exchange<D> {
    /// A call that the session ends `timeout` after the driver has received it. It takes its place when it is queued.
    pub(crate) fn call(
        &self,
        call: D::Call,
        timeout: Duration,
        clock: Clock,
    ) -> PendingCall<&Self, D> {
        let has_place = false;
        PendingCall::new(self, call, timeout, clock, has_place)
    }

    /// Queues a call. One with a place always fits: there are no more places than calls that may be pending.
    fn send_call(
        &self,
        call: D::Call,
        timeout: Duration,
        has_place: &mut bool,
        context: &Context<'_>,
    ) -> Result<ReplyKey, CallError<D::Refusal>> {
        let (key, driver, _given_up) = {
            let mut inner = self.lock();
            if inner.phase != Phase::Open {
                return Err(CallError::Closed);
            }
            if !*has_place && !inner.call_space.take() {
                return Err(CallError::Busy);
            }
            *has_place = false;
            let len_max = self.commands_max.saturating_add(self.places_max);
            let given_up = inner.make_space_for_call(len_max);
            let is_received = false;
            let waker = Some(context.waker().clone());
            let key = inner.calls.insert(waker, is_received);
            let call = Command::Call(CallId(key.number()), call, timeout);
            (key, inner.push(call), given_up)
        };
        wake(driver);
        Ok(key)
    }

    /// A call that was not queued gives its place back.
    fn give_back_place(&self) {
        let wakers: Vec<Waker> = {
            let mut inner = self.lock();
            inner.call_space.give_back();
            inner.call_space.take_wakers_if_free().collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Withdraws a call without a result: one that the driver has not received is never executed.
    fn withdraw_call(&self, key: ReplyKey) {
        let (driver, unused, wakers) = {
            let mut inner = self.lock();
            let is_received = inner.calls.held_mut(key).is_some_and(|it| *it);
            let unused = inner.calls.abandon(key);
            let is_pending = matches!(unused, Some(State::Waiting(_)));
            let driver = if is_received && is_pending {
                inner.calls.remove(key);
                inner.withdrawn.push(CallId(key.number()));
                inner.driver.take()
            } else {
                None
            };
            if is_pending {
                // The driver receives the withdrawal before the call that takes the place next.
                inner.call_space.give_back();
            }
            let wakers: Vec<Waker> = inner.call_space.take_wakers_if_free().collect();
            (driver, unused, wakers)
        };
        drop(unused);
        wake(driver);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn poll_call(&self, key: ReplyKey, context: &Context<'_>) -> Poll<CallResult<D>> {
        let (polled, _unused) = {
            let mut inner = self.lock();
            let (polled, replaced) = inner.calls.poll(key, context);
            if polled.is_pending() && inner.phase == Phase::Ended {
                // Only a driver that panicked sends no outcome.
                let removed = inner.calls.remove(key);
                (Poll::Ready(Err(CallError::Closed)), (replaced, removed))
            } else {
                (polled, (replaced, None))
            }
        };
        polled
    }
}

impl<E: Deref<Target = Exchange<D>>, D: Dialect> PendingCall<E, D> {
    pub(super) const fn new(
        exchange: E,
        call: D::Call,
        timeout: Duration,
        clock: Clock,
        has_place: bool,
    ) -> Self {
        Self {
            exchange,
            clock,
            timeout,
            overdue_at: None,
            call: Some(call),
            has_place,
            key: None,
        }
    }

    fn watch(&self, key: ReplyKey, context: &Context<'_>) {
        let watchdog = self.exchange.watchdog.get_or_init(Arc::default);
        watchdog.watch(key.index(), context);
    }

    /// Whether the time limit and the grace have passed. They begin with the first question, because most calls end without
    /// one, and reading the clock for each would be a considerable part of its cost.
    fn is_overdue(&mut self) -> bool {
        let now = self.clock.now();
        let time = self.timeout.saturating_add(DRIVER_GRACE);
        now >= *self.overdue_at.get_or_insert(now + time)
    }
}

impl<E: Deref<Target = Exchange<D>>, D: Dialect> Future for PendingCall<E, D> {
    type Output = Option<CallResult<D>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(call) = this.call.take() {
            let has_place = &mut this.has_place;
            let sent = this
                .exchange
                .send_call(call, this.timeout, has_place, context);
            return match sent {
                Ok(key) => {
                    this.key = Some(key);
                    this.watch(key, context);
                    Poll::Pending
                }
                Err(error) => Poll::Ready(Some(Err(error))),
            };
        }
        let Some(key) = this.key else {
            return Poll::Pending;
        };
        if let Poll::Ready(outcome) = this.exchange.poll_call(key, context) {
            this.key = None;
            return Poll::Ready(Some(outcome));
        }
        if this.is_overdue() {
            this.key = None;
            this.exchange.withdraw_call(key);
            return Poll::Ready(None);
        }
        this.watch(key, context);
        Poll::Pending
    }
}

impl<E: Deref<Target = Exchange<D>>, D: Dialect> Drop for PendingCall<E, D> {
    fn drop(&mut self) {
        if self.has_place {
            self.exchange.give_back_place();
        }
        if let Some(key) = self.key.take() {
            self.exchange.withdraw_call(key);
        }
    }
}
