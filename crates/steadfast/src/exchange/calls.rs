//! Calls: how they enter the exchange, and the future of the result.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
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
/// the first poll, and dropping the future before it completes withdraws it.
#[derive(Debug)]
pub(crate) struct PendingCall<'a, D: Dialect> {
    exchange: &'a Exchange<D>,
    clock: Clock,
    timeout: Duration,
    /// Known from the second poll on, which follows soon after the first one if there is no result.
    overdue_at: Option<Instant>,
    /// `None` once it is queued.
    call: Option<D::Call>,
    /// `None` before it is queued, and once the result was returned.
    key: Option<ReplyKey>,
}

impl<D: Dialect> Unpin for PendingCall<'_, D> {}

impl<D: Dialect> Exchange<D> {
    /// A call that the session ends `timeout` after the driver has received it.
    pub(crate) fn call(
        &self,
        call: D::Call,
        timeout: Duration,
        clock: Clock,
    ) -> PendingCall<'_, D> {
        PendingCall {
            exchange: self,
            clock,
            timeout,
            overdue_at: None,
            call: Some(call),
            key: None,
        }
    }

    fn send_call(
        &self,
        call: D::Call,
        timeout: Duration,
        context: &Context<'_>,
    ) -> Result<ReplyKey, CallError<D::Refusal>> {
        let (key, driver) = {
            let mut inner = self.lock();
            if inner.phase != Phase::Open {
                return Err(CallError::Closed);
            }
            if inner.commands.len() >= self.commands_max {
                return Err(CallError::Busy);
            }
            let is_received = false;
            let waker = Some(context.waker().clone());
            let key = inner.calls.insert(waker, is_received);
            let call = Command::Call(CallId(key.number()), call, timeout);
            (key, inner.push(call))
        };
        wake(driver);
        Ok(key)
    }

    /// Withdraws a call without a result: one that the driver has not received is never executed.
    fn withdraw_call(&self, key: ReplyKey) {
        let (driver, unused) = {
            let mut inner = self.lock();
            let is_received = inner.calls.held_mut(key).is_some_and(|it| *it);
            let unused = inner.calls.abandon(key);
            let driver = if is_received && matches!(unused, Some(State::Waiting(_))) {
                inner.calls.remove(key);
                inner.withdrawn.push(CallId(key.number()));
                inner.driver.take()
            } else {
                None
            };
            (driver, unused)
        };
        drop(unused);
        wake(driver);
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

impl<D: Dialect> PendingCall<'_, D> {
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

impl<D: Dialect> Future for PendingCall<'_, D> {
    type Output = Option<CallResult<D>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(call) = this.call.take() {
            return match this.exchange.send_call(call, this.timeout, context) {
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

impl<D: Dialect> Drop for PendingCall<'_, D> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.exchange.withdraw_call(key);
        }
    }
}
