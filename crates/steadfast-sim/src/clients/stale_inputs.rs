//! Late inputs of a session: what its shell still delivers about a connection after the session has given it up.
//!
//! A shell reads in another task than the one that drives the session, so a message, a failure or a report can arrive
//! after the session has ended the attempt that it belongs to. The session must ignore it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use steadfast_core::dialect::centrifuge::{Input, Session};
use steadfast_core::event::{ConnectionErrorKind, DialErrorKind, DialStage};
use steadfast_core::io::{Attempt, ConnectionLoss, DialFailure, Frame};
use steadfast_machine::Machine;

use crate::context::Context;
use crate::event::clients::DriverEvent;
use crate::planted_bug::PlantedBug;
use crate::reference_model::Invariant;
use crate::words;

/// What is late.
#[derive(Clone, Debug)]
enum LateInput {
    Dialled,
    DialFailed,
    SendBuffer,
    Lost,
    Received(Bytes),
}

impl LateInput {
    fn of_attempt(self, attempt: Attempt) -> Input {
        match self {
            Self::Dialled => Input::Dialled { attempt },
            Self::DialFailed => Input::DialFailed {
                attempt,
                failure: DialFailure {
                    stage: DialStage::Connect,
                    kind: DialErrorKind::Refused,
                    text: "late".to_owned(),
                    is_local: false,
                    is_final: false,
                    retry_after: None,
                },
            },
            Self::SendBuffer => Input::SendBuffer { attempt, bytes: 1 },
            Self::Lost => Input::Lost {
                attempt,
                loss: ConnectionLoss::Failed {
                    kind: ConnectionErrorKind::Other,
                    text: "late".to_owned(),
                },
            },
            Self::Received(message) => Input::Received {
                attempt,
                frame: Frame::Text(message),
            },
        }
    }
}

/// The late inputs of a session that were not delivered yet.
#[derive(Debug, Default)]
pub(crate) struct StaleInputs {
    by_number: BTreeMap<u64, (Attempt, LateInput)>,
    last_number: u64,
}

impl StaleInputs {
    /// An attempt has ended; half of the time some inputs are late. `unread` are messages that were on their way.
    pub(crate) fn on_attempt_ended(
        &mut self,
        ctx: &mut Context,
        session: usize,
        attempt: Attempt,
        unread: Vec<Bytes>,
    ) {
        if ctx.generator.chance(1, 2) {
            return;
        }
        let input = match ctx.generator.below(4) {
            0 => LateInput::Dialled,
            1 => LateInput::DialFailed,
            2 => LateInput::SendBuffer,
            _ => LateInput::Lost,
        };
        let messages = unread.into_iter().take(MESSAGES_MAX);
        for input in messages.map(LateInput::Received).chain([input]) {
            self.last_number += 1;
            let number = self.last_number;
            self.by_number.insert(number, (attempt, input));
            let at = ctx.now() + ctx.between(Duration::ZERO, Duration::from_millis(500));
            ctx.schedule_session(at, session, DriverEvent::StaleInput { number });
        }
    }

    /// Delivers a late input, and checks that it has no effect.
    pub(crate) fn deliver(
        &mut self,
        ctx: &mut Context,
        session: &mut Session,
        current: Attempt,
        number: u64,
    ) {
        let Some((attempt, input)) = self.by_number.remove(&number) else {
            return;
        };
        ctx.totals.stale_inputs += 1;
        let attempt = match ctx.planted_bug {
            Some(PlantedBug::UntaggedInputs) => current,
            Some(_) | None => attempt,
        };
        let before = (session.snapshot().clone(), session.next_timer());
        session.handle(ctx.now(), input.of_attempt(attempt));
        let output = session.poll_output();
        let after = (session.snapshot().clone(), session.next_timer());
        if output.is_some() || before != after {
            let details = format!(
                "an input of an earlier connection had an effect: before, {}; after, {}",
                words::session(&before.0),
                words::session(&after.0)
            );
            ctx.report(Invariant::StaleInputsIgnored, details);
        }
    }
}

/// The largest number of late messages.
const MESSAGES_MAX: usize = 8;
