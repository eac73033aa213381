//! A file descriptor that may stall, break or fill up, and the thread that writes to it.
//!
//! Senders never wait for the sink and never see its errors: what it does not accept waits in a bounded queue, and what
//! does not fit is dropped and counted. A failed write is repeated at intervals, so that the log continues when a disk
//! has space again. Does not format lines, and decides nothing about them.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use steadfast_clock::Clock;
use steadfast_gateway::diagnostics::DroppedLogLines;

use super::line_queue::{Entry, LineQueue, Pushed};

/// The bytes that one sink may have in memory: about 5,000 lines, a second of a heavy debug log.
const QUEUE_BYTES_MAX: usize = 1 << 20;
/// The pause after a failed write.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// A started sink; dropping it does not end its thread.
#[derive(Debug)]
pub(super) struct Sink {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Notified when there is something to write, and when a flush begins.
    work: Condvar,
    /// Notified when everything is written or a write failed.
    idle: Condvar,
    /// All lines that were dropped since the start.
    dropped: DroppedLogLines,
}

#[derive(Debug)]
struct State {
    queue: LineQueue,
    writer: WriterState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriterState {
    /// The queue was empty.
    Idle,
    /// In a write.
    Writing,
    /// The last write failed and will be repeated.
    Failing,
}

impl Sink {
    /// Starts the thread. `report` returns the text that reports how many lines were dropped; `dropped` counts them.
    ///
    /// # Errors
    ///
    /// When the descriptor cannot be duplicated, or the thread cannot be started.
    pub(super) fn start(
        name: &str,
        descriptor: &impl AsFd,
        report: fn(u64) -> String,
        dropped: DroppedLogLines,
    ) -> io::Result<Self> {
        // The streams of the standard library hold a lock while they write, which would stall other writers too.
        let file = File::from(descriptor.as_fd().try_clone_to_owned()?);
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                queue: LineQueue::new(QUEUE_BYTES_MAX),
                writer: WriterState::Idle,
            }),
            work: Condvar::new(),
            idle: Condvar::new(),
            dropped,
        });
        let writer = Writer {
            shared: Arc::clone(&shared),
            file,
            report,
        };
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || writer.run())?;
        Ok(Self { shared })
    }

    /// Queues a text, which should end with a line break; never waits for the sink.
    pub(super) fn send(&self, text: &[u8]) {
        let pushed = self.shared.lock().queue.push(text);
        match pushed {
            Pushed::Queued => self.shared.work.notify_one(),
            Pushed::Dropped => self.shared.dropped.record(),
        }
    }

    /// Waits until everything is written, at most for the timeout; a sink that fails is not waited for.
    pub(super) fn flush(&self, timeout: Duration) {
        let clock = Clock::start();
        let deadline = clock.now() + timeout;
        let mut state = self.shared.lock();
        while state.writer == WriterState::Writing
            || (state.writer == WriterState::Idle && !state.queue.is_empty())
        {
            let left = deadline - clock.now();
            if left.is_zero() {
                return;
            }
            state = self
                .shared
                .idle
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread owns.
struct Writer {
    shared: Arc<Shared>,
    file: File,
    report: fn(u64) -> String,
}

impl Writer {
    fn run(mut self) {
        loop {
            let text = match self.next() {
                Entry::Line(line) => line,
                Entry::Dropped(count) => (self.report)(count).into_bytes(),
            };
            self.write(&text);
        }
    }

    /// Waits for the next entry.
    fn next(&self) -> Entry {
        let mut state = self.shared.lock();
        loop {
            if let Some(entry) = state.queue.pop() {
                state.writer = WriterState::Writing;
                return entry;
            }
            state.writer = WriterState::Idle;
            self.shared.idle.notify_all();
            state = self
                .shared
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes all of a text, however long the sink takes. After an error the rest follows, so that no line is written
    /// twice.
    fn write(&mut self, mut text: &[u8]) {
        while !text.is_empty() {
            match self.file.write(text) {
                Ok(written) if written > 0 => {
                    text = text.get(written..).unwrap_or_default();
                    self.set_state(WriterState::Writing);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Another process that shares the descriptor made it non-blocking.
                    wait_until_writable(&self.file);
                }
                Ok(_) | Err(_) => {
                    self.set_state(WriterState::Failing);
                    thread::park_timeout(RETRY_PAUSE);
                }
            }
        }
    }

    fn set_state(&self, writer: WriterState) {
        self.shared.lock().writer = writer;
        if writer == WriterState::Failing {
            self.shared.idle.notify_all();
        }
    }
}

/// Waits until a write to a non-blocking descriptor can succeed, or fails.
fn wait_until_writable(file: &File) {
    let mut descriptors = [PollFd::new(file, PollFlags::OUT)];
    if poll(&mut descriptors, None).is_err() {
        thread::park_timeout(RETRY_PAUSE);
    }
}
