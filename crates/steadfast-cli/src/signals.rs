//! The signals that ask a process to end.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use crate::exit::Failure;

/// Signals within this time after a signal are the same request to end.
const SAME_REQUEST: Duration = Duration::from_millis(500);

/// Waits for SIGINT and SIGTERM.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Installs the handlers: from now on, neither signal ends the process.
    ///
    /// # Errors
    ///
    /// When the handlers cannot be installed.
    pub(crate) fn install() -> Result<Self, Failure> {
        let handler = |kind| {
            signal(kind).map_err(|error| {
                Failure::failed(format!("failed to install signal handlers: {error}"), "")
            })
        };
        Ok(Self {
            interrupt: handler(SignalKind::interrupt())?,
            terminate: handler(SignalKind::terminate())?,
        })
    }

    /// Completes at the next signal that is a request of its own: one that follows shortly after the last signal is the
    /// same request. `timeout` and some supervisors signal a process and its process group.
    pub(crate) async fn again(&mut self) {
        let same_request = sleep(SAME_REQUEST);
        tokio::pin!(same_request);
        loop {
            tokio::select! {
                () = &mut same_request => break,
                () = self.next() => {}
            }
        }
        self.next().await;
    }

    /// Completes at the next signal. Cancel-safe.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
