//! The thread that prints what `steadfast connect` receives.
//!
//! Nothing is dropped here: while standard output stalls, lines wait in the queue, and then the tasks that receive them
//! wait. The session itself does not wait, so the connection stays open.

use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::render::EventOutput;
use crate::exit::Failure;
use crate::output::{self, StdoutState};

/// How long the exit waits for lines that are not printed yet.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// A started thread.
#[derive(Debug)]
pub(super) struct Printer {
    ended: oneshot::Receiver<()>,
    finished: std_mpsc::Receiver<()>,
}

impl Printer {
    /// Prints all outputs until their senders are dropped or standard output is closed.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started.
    pub(super) fn start(
        outputs: mpsc::Receiver<EventOutput>,
        is_json: bool,
    ) -> Result<Self, Failure> {
        let (end, ended) = oneshot::channel();
        let (finish, finished) = std_mpsc::channel();
        let print = move || {
            print_all(outputs, is_json);
            // Errors mean that the session has ended before.
            let _ = end.send(());
            let _ = finish.send(());
        };
        thread::Builder::new()
            .name("printer".to_owned())
            .spawn(print)
            .map_err(|error| {
                Failure::failed(format!("failed to start a thread for output: {error}"), "")
            })?;
        Ok(Self { ended, finished })
    }

    /// Completes when standard output is closed.
    pub(super) async fn ended(&mut self) {
        // An error means that the thread panicked.
        let _ = (&mut self.ended).await;
    }

    /// Waits until the remaining lines are printed, at most for [`FINISH_TIMEOUT`].
    pub(super) fn finish(self) {
        let _ = self.finished.recv_timeout(FINISH_TIMEOUT);
    }
}

fn print_all(mut outputs: mpsc::Receiver<EventOutput>, is_json: bool) {
    while let Some(output) = outputs.blocking_recv() {
        let text = if is_json { output.json } else { output.text };
        if output::print_next(&text) == StdoutState::Closed {
            return;
        }
    }
}
