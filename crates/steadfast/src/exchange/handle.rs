//! The handles of a session, which are counted: without one, the session closes.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use steadfast_core::dialect::Dialect;
use steadfast_core::policy::OutboxSettings;

use super::Exchange;

/// A handle of the application: a client or a subscription. While one exists, the session stays open.
#[derive(Debug)]
pub(crate) struct ExchangeHandle<D: Dialect>(Arc<Exchange<D>>);

impl<D: Dialect> ExchangeHandle<D> {
    /// The first handle.
    pub(crate) fn new(outbox: &OutboxSettings, calls_max: usize) -> Self {
        Self(Arc::new(Exchange::new(outbox, calls_max)))
    }

    /// The exchange itself, for what does not keep the session open.
    pub(crate) const fn exchange(&self) -> &Arc<Exchange<D>> {
        &self.0
    }
}

impl<D: Dialect> Deref for ExchangeHandle<D> {
    type Target = Exchange<D>;

    fn deref(&self) -> &Exchange<D> {
        &self.0
    }
}

impl<D: Dialect> Clone for ExchangeHandle<D> {
    fn clone(&self) -> Self {
        self.0.handles.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl<D: Dialect> Drop for ExchangeHandle<D> {
    fn drop(&mut self) {
        if self.0.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.call_driver();
        }
    }
}
