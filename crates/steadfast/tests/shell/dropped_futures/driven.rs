//! A driver that is polled only when it was woken.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

/// A driver of any dialect, and whether it was woken.
#[derive(Debug)]
pub(super) struct Driven<F> {
    /// `None` once it has completed, or the test has dropped it.
    driver: Option<Pin<Box<F>>>,
    woken: Arc<Woken>,
    /// How often it was polled.
    pub(super) polls: usize,
}

/// Whether the driver was woken since its last poll.
#[derive(Debug)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<F: Future<Output = ()>> Driven<F> {
    pub(super) fn new(driver: F) -> Self {
        Self {
            driver: Some(Box::pin(driver)),
            woken: Arc::new(Woken(AtomicBool::new(true))),
            polls: 0,
        }
    }

    /// Whether it has completed, or was dropped.
    pub(super) const fn is_finished(&self) -> bool {
        self.driver.is_none()
    }

    pub(super) fn drop_driver(&mut self) {
        self.driver = None;
    }

    /// Polls the driver if it was woken: a wake-up that is missing blocks the test as it would block an application.
    pub(super) fn poll(&mut self) {
        let Some(driver) = self.driver.as_mut() else {
            return;
        };
        if !self.woken.0.swap(false, Ordering::Relaxed) {
            return;
        }
        self.polls += 1;
        let waker = Waker::from(Arc::clone(&self.woken));
        let polled = driver.as_mut().poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            self.driver = None;
        }
    }
}
