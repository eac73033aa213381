//! A place for a call that is taken before the call is made, for a service that says when it is ready.

use std::mem;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_core::dialect::Dialect;

use super::calls::PendingCall;
use super::{Exchange, ExchangeHandle};
use crate::error::RequestError;

/// At most one place. Dropping it gives the place back, or ends the wait for one.
#[derive(Debug)]
pub(crate) struct Reservation<D: Dialect> {
    exchange: ExchangeHandle<D>,
    has_place: bool,
    /// Since it has waited for the first time.
    ticket: Option<u64>,
}

impl<D: Dialect> Reservation<D> {
    /// A reservation without a place.
    pub(crate) const fn new(exchange: ExchangeHandle<D>) -> Self {
        Self {
            exchange,
            has_place: false,
            ticket: None,
        }
    }

    /// Takes a place, unless it has one; until one is free, it wakes this task whenever one may be. The only error is
    /// [`RequestError::Closed`].
    pub(crate) fn poll_ready(&mut self, context: &Context<'_>) -> Poll<Result<(), RequestError>> {
        let (has_place, _unused) = {
            let mut inner = self.exchange.lock();
            inner.require_open()?;
            if self.has_place {
                (true, None)
            } else {
                inner
                    .call_space
                    .poll_take(&mut self.ticket, context.waker())
            }
        };
        self.has_place = has_place;
        if has_place {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// Makes a call with the place. Without one, the call takes a place when it is first polled, or fails.
    pub(crate) fn call(
        &mut self,
        call: D::Call,
        timeout: Duration,
        clock: Clock,
    ) -> PendingCall<ExchangeHandle<D>, D> {
        let has_place = mem::take(&mut self.has_place);
        PendingCall::new(self.exchange.clone(), call, timeout, clock, has_place)
    }
}

impl<D: Dialect> Clone for Reservation<D> {
    /// Another reservation, without a place.
    fn clone(&self) -> Self {
        Self::new(self.exchange.clone())
    }
}

impl<D: Dialect> Drop for Reservation<D> {
    fn drop(&mut self) {
        self.exchange
            .cancel_reservation(self.has_place, self.ticket);
    }
}

impl<D: Dialect> Exchange<D> {
    fn cancel_reservation(&self, has_place: bool, ticket: Option<u64>) {
        if !has_place && ticket.is_none() {
            return;
        }
        let (unused, wakers) = {
            let mut inner = self.lock();
            let unused = ticket.and_then(|it| inner.call_space.forget(it));
            if has_place {
                inner.call_space.give_back();
            }
            let wakers: Vec<Waker> = inner.call_space.take_wakers_if_free().collect();
            (unused, wakers)
        };
        drop(unused);
        wakers.into_iter().for_each(Waker::wake);
    }
}
