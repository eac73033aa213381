//! One core's end of the log: what it asks and tells goes to the writer once a turn, what it is shown comes from the
//! ring.
//!
//! Never blocks and decides nothing. When the writer's channel is full the turn's batch is kept, and the core is woken
//! to hand it over once there is room.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};

use steadfast_hub::io::{LogEvent, ShardMessage};
use steadfast_hub::log::io::{Rejection, Request, RequestId, Response};

use super::ring::Taken;
use super::service::{LogStatus, Shared};
use super::writer::{Message, Turn};

/// One core's end of the log. Belongs to one event loop.
#[derive(Debug)]
pub struct CoreLog {
    core: u16,
    turn: Turn,
    writer: SyncSender<Message>,
    shared: Arc<Shared>,
    /// Answers to what could not be handed over, because the writer is gone.
    refused: VecDeque<LogEvent>,
}

impl CoreLog {
    pub(super) fn new(core: u16, writer: SyncSender<Message>, shared: Arc<Shared>) -> Self {
        Self {
            core,
            turn: Turn::default(),
            writer,
            shared,
            refused: VecDeque::new(),
        }
    }

    /// Which core this is, from 0 on.
    pub fn core(&self) -> u16 {
        self.core
    }

    /// Adds a request to the turn's batch. Its ticket must carry this core, to which the answer goes.
    pub fn ask(&mut self, request: Request) {
        debug_assert_eq!(
            request_id(&request).shard,
            self.core,
            "a core asks in its own name"
        );
        self.turn.requests.push(request);
    }

    /// Adds a note to the turn's batch.
    pub fn tell(&mut self, note: ShardMessage) {
        self.turn.notes.push(note);
    }

    /// Hands the batch to the writer as one message; call it once at the end of each turn. Never blocks.
    ///
    /// When there is no room the batch is kept: the next call hands it over together with what was added meanwhile,
    /// and [`ready`](Self::ready) ends as soon as there is room, so that the call is not forgotten.
    pub fn flush(&mut self) {
        self.shared.ring.found_room(self.core);
        if self.turn.is_empty() || self.hand_over() {
            return;
        }
        self.shared.ring.want_room(self.core);
        // The writer may have made room just before it could see the wish.
        if self.hand_over() {
            self.shared.ring.found_room(self.core);
        }
    }

    /// Ends when [`take`](Self::take) would bring something or a kept batch can be handed over.
    ///
    /// Cancel-safe: nothing is taken, and a wake-up that nobody awaited is remembered.
    pub async fn ready(&self) {
        if self.refused.is_empty() {
            self.shared.ring.ready(self.core).await;
        }
    }

    /// Appends what this core has still to be shown, in the order of the log, at most `max` events. Hands over a kept
    /// batch first.
    pub fn take(&mut self, events: &mut Vec<LogEvent>, max: usize) -> Taken {
        self.flush();
        let before = events.len();
        let mut taken = self.shared.ring.take(self.core, events, max);
        if !taken.more {
            let left = max
                .saturating_sub(events.len() - before)
                .min(self.refused.len());
            events.extend(self.refused.drain(..left));
            taken.more = !self.refused.is_empty();
        }
        taken
    }

    /// Tries to hand over the batch; keeps it when there is no room. True when nothing is kept.
    fn hand_over(&mut self) -> bool {
        match self
            .writer
            .try_send(Message::Turn(std::mem::take(&mut self.turn)))
        {
            Ok(()) => true,
            Err(TrySendError::Full(Message::Turn(turn))) => {
                self.turn = turn;
                false
            }
            Err(TrySendError::Disconnected(Message::Turn(turn))) => {
                self.refuse(&turn);
                true
            }
            Err(TrySendError::Full(Message::Wake) | TrySendError::Disconnected(Message::Wake)) => {
                true
            }
        }
    }

    /// Answers in the place of a writer that is gone.
    fn refuse(&mut self, turn: &Turn) {
        let refusal = match self.shared.status() {
            LogStatus::Poisoned => Rejection::WriteFailed,
            LogStatus::Ready | LogStatus::NoSpace | LogStatus::Closing => Rejection::Closing,
        };
        let answers = turn.requests.iter().map(|request| LogEvent::Response {
            number: request_id(request).number,
            response: Response::Rejected(refusal),
        });
        self.refused.extend(answers);
    }
}

/// Whom a request wants answered.
pub(super) fn request_id(request: &Request) -> RequestId {
    match request {
        Request::Append(append) => append.request_id,
        Request::Read(read) => read.request_id,
    }
}
