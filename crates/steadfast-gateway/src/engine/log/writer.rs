//! The writer thread: owns the log's state machine, feeds inputs to it and executes its outputs until there are none.
//!
//! The writer receives the messages in its channel as one batch, so that one sync covers all of them. The state
//! machine's events are pushed to the ring buffer in small groups; the shards are woken at the end of the step, and
//! before each write and sync, so that no commit waits for the next batch. Makes no decisions; see
//! `steadfast_log`.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, RecvTimeoutError, SyncSender, TryRecvError};

use steadfast_clock::Clock;
use steadfast_engine::order::Delivery;
use steadfast_engine::{Engine, Health, Rejection, Request, Response};
use steadfast_log::event::Event;
use steadfast_log::io::{FailedOperation, Input, Output};
use steadfast_log::open::{Corruption, OpenReport};

use super::error::LogError;
use super::random;
use super::service::SharedState;
use super::storage::{Completion, Reservation, Storage, failed};
use crate::config::keys;

/// The capacity of the writer's channel. Each message is the submission of one loop iteration of one shard; when the
/// channel is full, a shard retains its submission.
pub(super) const MESSAGES_MAX: usize = 1024;

/// The writer receives submissions until a batch has this many requests, so that the first requests do not wait for a
/// very long write. The last submission is included completely.
const BATCH_MIN: usize = 8192;

/// The maximum number of deliveries that are pushed to the ring buffer at once: few enough to stay in the processor's
/// nearest caches.
const STAGED_MAX: usize = 256;

/// A message to the writer.
#[derive(Debug)]
pub(super) enum WriterMessage {
    /// The requests of one loop iteration of one shard.
    Submission(Vec<Request>),
    /// A storage operation has completed, or the log must be closed.
    Wake,
}

/// How the log was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShutdownOutcome {
    /// The record of the clean shutdown is durable.
    Clean,
    /// The clean shutdown could not be recorded.
    Unclean,
}

/// The state of the writer.
#[derive(Debug)]
enum WriterPhase {
    Opening,
    Open(OpenReport),
    Corrupt(Corruption),
    Closing,
    Closed,
}

/// The state machine, its storage, and the queues between them.
#[derive(Debug)]
pub(super) struct Writer<M, S> {
    machine: M,
    storage: S,
    inbox: Receiver<WriterMessage>,
    shared: Arc<SharedState>,
    clock: Clock,
    phase: WriterPhase,
    ended: ShutdownOutcome,
    /// Requests that were received from the channel and are not in a batch yet.
    requests: Vec<Request>,
    /// Inputs that were not fed to the state machine yet.
    inputs: VecDeque<Input>,
    /// Events of the state machine that were not pushed to the ring buffer yet.
    staged: Vec<Delivery>,
}

impl<M, S> Writer<M, S>
where
    M: Engine<Input = Input, Output = Output>,
    S: Storage,
{
    pub(super) fn new(
        machine: M,
        storage: S,
        inbox: Receiver<WriterMessage>,
        shared: Arc<SharedState>,
        clock: Clock,
    ) -> Self {
        Self {
            machine,
            storage,
            inbox,
            shared,
            clock,
            phase: WriterPhase::Opening,
            ended: ShutdownOutcome::Clean,
            requests: Vec::new(),
            inputs: VecDeque::new(),
            staged: Vec::new(),
        }
    }

    /// Runs the log until it is closed. Sends at most one message to each channel.
    pub(super) fn run(
        mut self,
        directory: Option<&Path>,
        opened: &SyncSender<Result<OpenReport, LogError>>,
        ended: &SyncSender<ShutdownOutcome>,
    ) {
        // Wakes the shards when this thread exits, for any reason.
        let _exit_guard = ExitGuard(Arc::clone(&self.shared));
        let report = match self.open(directory) {
            Ok(report) => report,
            Err(error) => {
                // The directory is released before the error is reported.
                drop(self);
                send_result(opened, Err(error));
                return;
            }
        };
        send_result(opened, Ok(report));
        while !matches!(self.phase, WriterPhase::Closed) {
            self.wait();
            self.step();
        }
        self.reject_remaining();
        let outcome = self.ended;
        // The directory is released before the close is reported.
        drop(self);
        send_result(ended, outcome);
    }

    fn open(&mut self, directory: Option<&Path>) -> Result<OpenReport, LogError> {
        let path = directory.unwrap_or_else(|| Path::new("(memory)"));
        let segments = self
            .storage
            .list()
            .map_err(|error| LogError::from_io(path, error))?;
        self.inputs.push_back(Input::Found {
            segments,
            values: random::start_values()?,
            at: Clock::wall(),
        });
        loop {
            self.step();
            match self.phase {
                WriterPhase::Opening => self.wait(),
                WriterPhase::Open(report) => return Ok(report),
                WriterPhase::Corrupt(corruption) => {
                    return Err(LogError::from_corruption(directory, corruption));
                }
                WriterPhase::Closing | WriterPhase::Closed => return Err(LogError::WriterExited),
            }
        }
    }

    /// Sleeps until a message arrives or the state machine's deadline expires, then receives all pending messages.
    fn wait(&mut self) {
        let received = match self.machine.poll_timeout() {
            None => self
                .inbox
                .recv()
                .map_err(|RecvError| RecvTimeoutError::Disconnected),
            Some(deadline) => self
                .inbox
                .recv_timeout(deadline.saturating_since(self.clock.now())),
        };
        match received {
            Ok(message) => self.receive(message),
            Err(RecvTimeoutError::Timeout) => return,
            // All senders are dropped, so no request can arrive, not even one to close.
            Err(RecvTimeoutError::Disconnected) => return self.begin_close(),
        }
        while self.requests.len() < BATCH_MIN {
            match self.inbox.try_recv() {
                Ok(message) => self.receive(message),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        self.shared.ring.signal_capacity();
    }

    fn receive(&mut self, message: WriterMessage) {
        match message {
            WriterMessage::Submission(requests) => {
                if self.requests.is_empty() {
                    self.requests = requests;
                } else {
                    self.requests.extend(requests);
                }
            }
            WriterMessage::Wake => {}
        }
    }

    /// Feeds new inputs to the state machine and executes its outputs until there are none.
    fn step(&mut self) {
        if !self.requests.is_empty() {
            let requests = std::mem::take(&mut self.requests);
            self.inputs.push_back(Input::Requested {
                requests,
                at: Clock::wall(),
            });
        }
        // The close follows the requests, so that requests made before the close are still completed.
        if self.shared.close_requested() && matches!(self.phase, WriterPhase::Open(_)) {
            self.begin_close();
        }
        self.run_machine();
        if self
            .machine
            .poll_timeout()
            .is_some_and(|deadline| deadline <= self.clock.now())
        {
            self.inputs.push_back(Input::Tick { at: Clock::wall() });
            self.run_machine();
        }
        self.deliver_staged();
    }

    fn begin_close(&mut self) {
        self.phase = WriterPhase::Closing;
        self.inputs
            .push_back(Input::CloseRequested { at: Clock::wall() });
    }

    fn run_machine(&mut self) {
        loop {
            while let Some(output) = self.machine.poll_output() {
                self.execute(output);
            }
            let completion = self.storage.poll_completion().map(Completion::into_input);
            self.inputs.extend(completion);
            let Some(input) = self.inputs.pop_front() else {
                return;
            };
            self.machine.handle(self.clock.now(), input);
        }
    }

    fn execute(&mut self, output: Output) {
        match output {
            Output::Reserve {
                segment,
                bytes,
                first,
                last,
            } => {
                let completion = self.storage.reserve(Reservation {
                    segment,
                    bytes,
                    first,
                    last,
                });
                self.inputs.extend(completion.map(Completion::into_input));
            }
            Output::Write { segment, at, bytes } => {
                self.deliver_staged();
                let input = match self.storage.write(segment, at, bytes) {
                    Ok(()) => Input::Written,
                    Err(error) => failed(FailedOperation::Write, &error),
                };
                self.inputs.push_back(input);
            }
            Output::Sync { segment } => {
                self.deliver_staged();
                let input = match self.storage.sync(segment) {
                    Ok(()) => Input::Synced,
                    Err(error) => failed(FailedOperation::Sync, &error),
                };
                self.inputs.push_back(input);
            }
            Output::Read {
                read,
                segment,
                at,
                len,
            } => {
                let input = match self.storage.read(segment, at, len) {
                    Ok(bytes) => Input::ReadDone { read, bytes },
                    Err(error) => failed(FailedOperation::Read(read), &error),
                };
                self.inputs.push_back(input);
            }
            Output::Remove { segment } => {
                let completion = self.storage.remove(segment);
                self.inputs.extend(completion.map(Completion::into_input));
            }
            Output::Opened(report) => self.phase = WriterPhase::Open(report),
            Output::Corrupt(corruption) => self.phase = WriterPhase::Corrupt(corruption),
            Output::Commit(committed) => {
                self.stage(Delivery::Committed(committed));
            }
            Output::Respond {
                request_id,
                response,
            } => self.stage(Delivery::Response {
                request_id,
                response,
            }),
            Output::Notify(event) => self.handle_event(event),
            Output::Closed => self.phase = WriterPhase::Closed,
        }
    }

    fn stage(&mut self, delivery: Delivery) {
        self.staged.push(delivery);
        if self.staged.len() >= STAGED_MAX {
            self.push_staged();
        }
    }

    /// Delivers all staged events and wakes the shards.
    fn deliver_staged(&mut self) {
        self.push_staged();
        self.shared.ring.wake();
    }

    /// Publishes the health first: a client that was just rejected finds the gateway not ready.
    fn push_staged(&mut self) {
        self.shared.publish_health(self.machine.health());
        self.shared.ring.push(&mut self.staged);
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::SegmentCreated {
                segment,
                channels,
                idempotency_keys,
            } => {
                let segment = segment.0;
                tracing::debug!(segment, channels, idempotency_keys, "log segment created");
            }
            Event::SegmentRemoved { segment } => {
                tracing::debug!(segment = segment.0, "log segment removed");
            }
            Event::ChannelsExpired { channels } => tracing::debug!(channels, "channels expired"),
            Event::DiskRecovered => {
                tracing::info!("space for the log available; publications are accepted again");
            }
            Event::DiskFull { segment, error } => {
                let segment = segment.0;
                tracing::warn!(segment, ?error, "no space for the log; retrying");
            }
            Event::RemoveFailed { segment } => {
                tracing::warn!(
                    segment = segment.0,
                    "failed to remove a log segment; retrying"
                );
            }
            Event::LimitReached { limit } => {
                let setting = keys::log_setting(limit.setting());
                tracing::warn!(?limit, %setting, "log limit reached; requests are rejected");
            }
            Event::WriteFailed { segment, error } => {
                let segment = segment.0;
                tracing::error!(segment, ?error, "log write failed; publishing is disabled");
            }
            Event::RecordUnreadable { segment, at } => {
                tracing::error!(
                    segment = segment.0,
                    at_bytes = at,
                    "failed to read a log record"
                );
            }
            Event::UncleanShutdown => {
                self.ended = ShutdownOutcome::Unclean;
                tracing::warn!("clean shutdown of the log not recorded");
            }
        }
    }

    /// Rejects requests that arrived too late for the state machine, so that no shard waits indefinitely.
    fn reject_remaining(&mut self) {
        while let Ok(message) = self.inbox.try_recv() {
            self.receive(message);
        }
        let rejections = self.requests.drain(..).map(|request| Delivery::Response {
            request_id: request.id(),
            response: Response::Rejected(Rejection::Closing),
        });
        self.staged.extend(rejections);
        self.deliver_staged();
    }
}

/// Sends a result to the thread that starts or closes the log. That thread may have stopped waiting, which is not an
/// error.
fn send_result<T>(to: &SyncSender<T>, result: T) {
    if to.try_send(result).is_err() {
        tracing::debug!("no thread waits for the result of the log");
    }
}

/// Wakes the shards when the writer exits: normally or by a panic, after which nothing can be acknowledged.
struct ExitGuard(Arc<SharedState>);

impl Drop for ExitGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.publish_health(Health::WriteFailed);
            tracing::error!("log writer thread panicked");
        }
        self.0.ring.signal_capacity();
    }
}
