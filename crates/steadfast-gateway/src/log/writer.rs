//! The writer thread: owns the log machine, feeds it facts and carries out its orders until it is quiet.
//!
//! One drain takes everything that waits in the channel as one group, so that one sync serves all of it. What the
//! machine says goes to the ring in small batches; the cores are woken at the end of the drain, and ahead of each write
//! and sync, so that no commit waits for the next group. Decides nothing; see `steadfast_hub::log`.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, RecvTimeoutError, SyncSender, TryRecvError};

use steadfast_hub::io::{LogEvent, ShardMessage};
use steadfast_hub::log::event::Event;
use steadfast_hub::log::io::{
    FailedOperation, Input, Output, Rejection, Request, RequestId, Response, Timer,
};
use steadfast_hub::log::open::{Corruption, OpenReport};
use steadfast_machine::Machine;

use super::error::LogError;
use super::handle::request_id;
use super::ring::Delivery;
use super::service::{LogStatus, Shared};
use super::storage::{Done, Storage, failed};
use crate::clock::Clock;

/// Messages that may wait for the writer. Each is one turn of one core; beyond it a core keeps its batch.
pub(super) const MESSAGES_MAX: usize = 1024;

/// The writer takes turns from its channel until a group has so many requests, so that the first do not wait for a very
/// long write. The last turn is taken whole.
const GROUP_MIN: usize = 8192;

/// What is pushed to the ring at a time: as much as stays in the processor's nearest caches on the way.
const STAGED_MAX: usize = 256;

/// What reaches the writer.
#[derive(Debug)]
pub(super) enum Message {
    /// What one core asked and told in one turn.
    Turn(Turn),
    /// Look around: a storage order has ended, or the log shall be closed.
    Wake,
}

/// What one core asked and told in one turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) requests: Vec<Request>,
    pub(super) notes: Vec<ShardMessage>,
}

impl Turn {
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.notes.is_empty()
    }
}

/// How the log ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its clean mark is durable.
    Clean,
    /// It could not write the mark.
    Unclean,
}

/// How far the log is.
#[derive(Debug)]
enum Phase {
    Opening,
    Open(OpenReport),
    Damaged(Corruption),
    Closing,
    Closed,
}

/// The machine, its storage, and everything between them.
#[derive(Debug)]
pub(super) struct Writer<M, S> {
    machine: M,
    storage: S,
    inbox: Receiver<Message>,
    shared: Arc<Shared>,
    clock: Clock,
    phase: Phase,
    ended: Ended,
    /// Requests of turns that were taken from the channel and fed to no group yet.
    asked: Vec<Request>,
    /// What happened and was not told to the machine yet.
    facts: VecDeque<Input>,
    /// What the machine said and was not pushed to the ring yet.
    staged: Vec<Delivery>,
}

impl<M, S> Writer<M, S>
where
    M: Machine<Input = Input, Output = Output, Timer = Timer>,
    S: Storage,
{
    pub(super) fn new(
        machine: M,
        storage: S,
        inbox: Receiver<Message>,
        shared: Arc<Shared>,
        clock: Clock,
    ) -> Self {
        Self {
            machine,
            storage,
            inbox,
            shared,
            clock,
            phase: Phase::Opening,
            ended: Ended::Clean,
            asked: Vec::new(),
            facts: VecDeque::new(),
            staged: Vec::new(),
        }
    }

    /// The whole life of the log. Each channel is told at most once.
    pub(super) fn run(
        mut self,
        directory: Option<&Path>,
        opened: &SyncSender<Result<OpenReport, LogError>>,
        ended: &SyncSender<Ended>,
    ) {
        // Tells the cores when this thread is gone, whatever the reason.
        let _farewell = Farewell(Arc::clone(&self.shared));
        let report = match self.open(directory) {
            Ok(report) => report,
            Err(error) => {
                // The directory is given back before anybody learns that it could not be used.
                drop(self);
                tell(opened, Err(error));
                return;
            }
        };
        tell(opened, Ok(report));
        while !matches!(self.phase, Phase::Closed) {
            self.wait();
            self.step();
        }
        self.refuse_the_rest();
        let how = self.ended;
        // The directory is given back before anybody learns that the log has ended.
        drop(self);
        tell(ended, how);
    }

    fn open(&mut self, directory: Option<&Path>) -> Result<OpenReport, LogError> {
        let path = directory.unwrap_or_else(|| Path::new("(memory)"));
        let segments = self
            .storage
            .list()
            .map_err(|error| LogError::from_io(path, error))?;
        let incarnation = getrandom::u64().map_err(|error| LogError::NoRandomness {
            reason: error.to_string(),
        })?;
        self.facts.push_back(Input::Found {
            segments,
            incarnation,
            at: Clock::wall(),
        });
        loop {
            self.step();
            match self.phase {
                Phase::Opening => self.wait(),
                Phase::Open(report) => return Ok(report),
                Phase::Damaged(damage) => {
                    return Err(LogError::Damaged {
                        directory: directory.map(Path::to_path_buf),
                        damage,
                    });
                }
                Phase::Closing | Phase::Closed => return Err(LogError::WriterGone),
            }
        }
    }

    /// Sleeps until something waits or the machine's deadline comes, then takes everything that waits.
    fn wait(&mut self) {
        let received = match self.machine.poll_timeout() {
            None => self
                .inbox
                .recv()
                .map_err(|RecvError| RecvTimeoutError::Disconnected),
            Some((deadline, _)) => self
                .inbox
                .recv_timeout(deadline.saturating_since(self.clock.now())),
        };
        match received {
            Ok(message) => self.admit(message),
            Err(RecvTimeoutError::Timeout) => return,
            // Nobody can ask any more, not even for the end.
            Err(RecvTimeoutError::Disconnected) => return self.begin_close(),
        }
        while self.asked.len() < GROUP_MIN {
            match self.inbox.try_recv() {
                Ok(message) => self.admit(message),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        self.shared.ring.give_room();
    }

    fn admit(&mut self, message: Message) {
        match message {
            Message::Turn(turn) => {
                self.staged.extend(turn.notes.into_iter().map(deliver_note));
                if self.asked.is_empty() {
                    self.asked = turn.requests;
                } else {
                    self.asked.extend(turn.requests);
                }
            }
            Message::Wake => {}
        }
    }

    /// Tells the machine what is new, and carries out its orders until it is quiet.
    fn step(&mut self) {
        if !self.asked.is_empty() {
            let batch = std::mem::take(&mut self.asked);
            self.facts.push_back(Input::Requested {
                requests: batch,
                at: Clock::wall(),
            });
        }
        // Behind the requests, so that what was asked before the end is still done.
        if self.shared.close_requested() && matches!(self.phase, Phase::Open(_)) {
            self.begin_close();
        }
        self.settle();
        if self
            .machine
            .poll_timeout()
            .is_some_and(|(deadline, _)| deadline <= self.clock.now())
        {
            self.facts.push_back(Input::Tick { at: Clock::wall() });
            self.settle();
        }
        self.publish();
    }

    fn begin_close(&mut self) {
        self.phase = Phase::Closing;
        self.shared.change(LogStatus::Closing);
        self.facts
            .push_back(Input::CloseRequested { at: Clock::wall() });
    }

    fn settle(&mut self) {
        loop {
            while let Some(output) = self.machine.poll_output() {
                self.carry_out(output);
            }
            let done = self.storage.finished().map(Done::into_input);
            self.facts.extend(done);
            let Some(fact) = self.facts.pop_front() else {
                return;
            };
            self.machine.handle(self.clock.now(), fact);
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Reserve { segment, bytes } => {
                let done = self.storage.reserve(segment, bytes);
                self.facts.extend(done.map(Done::into_input));
            }
            Output::Write { segment, at, bytes } => {
                self.publish();
                let fact = match self.storage.write(segment, at, bytes) {
                    Ok(()) => Input::Written,
                    Err(error) => failed(FailedOperation::Write, &error),
                };
                self.facts.push_back(fact);
            }
            Output::Sync { segment } => {
                self.publish();
                let fact = match self.storage.sync(segment) {
                    Ok(()) => Input::Synced,
                    Err(error) => failed(FailedOperation::Sync, &error),
                };
                self.facts.push_back(fact);
            }
            Output::Read {
                read,
                segment,
                at,
                len,
            } => {
                let fact = match self.storage.read(segment, at, len) {
                    Ok(bytes) => Input::ReadDone { read, bytes },
                    Err(error) => failed(FailedOperation::Read(read), &error),
                };
                self.facts.push_back(fact);
            }
            Output::Remove { segment } => {
                let done = self.storage.remove(segment);
                self.facts.extend(done.map(Done::into_input));
            }
            Output::Opened(report) => self.phase = Phase::Open(report),
            Output::Corrupt(damage) => self.phase = Phase::Damaged(damage),
            Output::Commit(committed) => {
                self.stage(Delivery::All(LogEvent::Committed(committed)));
            }
            Output::Respond {
                request_id,
                response: answer,
            } => self.stage(deliver_answer(request_id, answer)),
            Output::Notify(event) => self.note_event(event),
            Output::Closed => self.phase = Phase::Closed,
        }
    }

    fn stage(&mut self, delivery: Delivery) {
        self.staged.push(delivery);
        if self.staged.len() >= STAGED_MAX {
            self.shared.ring.push(&mut self.staged);
        }
    }

    /// Shows the cores everything so far.
    fn publish(&mut self) {
        self.shared.ring.push(&mut self.staged);
        self.shared.ring.wake();
    }

    fn note_event(&mut self, event: Event) {
        self.shared.on_event(event);
        match event {
            Event::SegmentCreated { .. }
            | Event::SegmentRemoved { .. }
            | Event::ChannelsExpired { .. } => {
                tracing::debug!(?event, "the log moved on");
            }
            Event::DiskRecovered => tracing::info!("the log has room again"),
            Event::DiskFull { .. } | Event::RemoveFailed { .. } | Event::LimitReached { .. } => {
                tracing::warn!(?event, "the log is short of room");
            }
            Event::WriteFailed { .. } | Event::RecordUnreadable { .. } => {
                tracing::error!(?event, "the log's storage failed");
            }
            Event::UncleanShutdown => {
                self.ended = Ended::Unclean;
                tracing::warn!("the log ended without its clean mark");
            }
        }
    }

    /// Answers what arrived too late for the machine, so that no core waits for ever.
    fn refuse_the_rest(&mut self) {
        while let Ok(message) = self.inbox.try_recv() {
            self.admit(message);
        }
        let refusals = self.asked.drain(..).map(|request| {
            deliver_answer(request_id(&request), Response::Rejected(Rejection::Closing))
        });
        self.staged.extend(refusals);
        self.publish();
    }
}

/// Tells whoever waits. Nobody does when whoever started or closed the log is gone; that is theirs to know.
fn tell<T>(to: &SyncSender<T>, what: T) {
    if to.try_send(what).is_err() {
        tracing::debug!("nobody waits for the log any more");
    }
}

/// A note of a core, to whom it is meant for.
fn deliver_note(note: ShardMessage) -> Delivery {
    match note {
        ShardMessage::PresenceResponse { shard: core, .. } => Delivery::One {
            core,
            event: LogEvent::Message(note),
        },
        ShardMessage::Join { .. }
        | ShardMessage::Leave { .. }
        | ShardMessage::PresenceQuery { .. } => Delivery::All(LogEvent::Message(note)),
    }
}

fn deliver_answer(request_id: RequestId, answer: Response) -> Delivery {
    Delivery::One {
        core: request_id.shard,
        event: LogEvent::Response {
            number: request_id.number,
            response: answer,
        },
    }
}

/// Wakes the cores when the writer is gone: normally, or by a panic, which leaves nothing that could acknowledge.
struct Farewell(Arc<Shared>);

impl Drop for Farewell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.change(LogStatus::Poisoned);
            tracing::error!("the log's writer thread panicked");
        }
        self.0.ring.give_room();
    }
}
