//! Waits until a process is ready, on a thread of its own: a slow probe must not delay a command.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use steadfast_clock::Clock;

use crate::service::output::Output;
use crate::service::probe::Probe;

/// What is waited for, for messages.
#[derive(Debug, Default)]
pub(in crate::service) struct Waiting {
    text: Mutex<String>,
}

impl Waiting {
    /// What the probe asks, and why it did not succeed yet.
    pub(in crate::service) fn describe(&self) -> String {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        text.clone()
    }

    fn set(&self, text: String) {
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }
}

/// The readiness of one process; dropping it ends the wait.
#[derive(Debug)]
pub(super) struct Readiness {
    is_ready: Arc<AtomicBool>,
    is_ended: Arc<AtomicBool>,
}

impl Readiness {
    /// Starts to ask.
    pub(super) fn watch(
        probe: Probe,
        output: Output,
        clock: Clock,
        waiting: Arc<Waiting>,
    ) -> io::Result<Self> {
        let readiness = Self {
            is_ready: Arc::new(AtomicBool::new(false)),
            is_ended: Arc::new(AtomicBool::new(false)),
        };
        let is_ready = Arc::clone(&readiness.is_ready);
        let is_ended = Arc::clone(&readiness.is_ended);
        waiting.set(format!("{probe}: not asked yet"));
        let ask = move || {
            // Each attempt has a time limit, so the thread ends soon after the wait.
            while !is_ended.load(Ordering::Acquire) {
                match probe.attempt(clock, &output) {
                    Ok(()) => return is_ready.store(true, Ordering::Release),
                    Err(error) => {
                        let reason = error.reason();
                        let hint = probe.hint(reason);
                        waiting.set(format!("{probe}: {reason}{hint}"));
                    }
                }
                thread::park_timeout(probe.every);
            }
        };
        thread::Builder::new().name("probe".to_owned()).spawn(ask)?;
        Ok(readiness)
    }

    /// Whether an attempt succeeded.
    pub(super) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        self.is_ended.store(true, Ordering::Release);
    }
}
