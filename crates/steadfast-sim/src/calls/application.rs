//! The application of a session: the calls that it makes, and their outcomes as the session reports them.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use steadfast_core::dialect::jsonrpc::{CallError, Class, Input};
use steadfast_core::io::CallId;
use steadfast_machine::Instant;

use super::event::Context;
use super::invariant::Invariant;
use super::ledger::Outcome;
use super::methods::{self, Arguments, CallNumber, Method};
use super::planted_bug::PlantedBug;
use super::settings::REQUEST_BYTES_MAX;

/// The calls of an application that have no outcome.
#[derive(Debug, Default)]
pub(super) struct Application {
    session: usize,
    last: u64,
    pending: BTreeMap<CallId, Pending>,
    /// The planted bug: the result of the call before.
    swapped: Option<Bytes>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    number: CallNumber,
    method: Method,
    deadline: Instant,
    /// The planted bug: it was made before.
    is_made_again: bool,
}

impl Application {
    pub(super) fn new(session: usize) -> Self {
        Self {
            session,
            ..Self::default()
        }
    }

    /// Makes a call of a random kind.
    pub(super) fn call_any(&mut self, ctx: &mut Context) -> (CallId, Input) {
        let method = match ctx.generator.below(16) {
            0..7 => Method::Create,
            7 => Method::Scrub,
            8..11 => Method::Update,
            11..15 => Method::Query,
            _ => Method::QueryAll,
        };
        // A few are longer than some servers accept, or than any does.
        let padding = match ctx.generator.below(40) {
            0 => REQUEST_BYTES_MAX * 3 / 4,
            1 => REQUEST_BYTES_MAX,
            _ => 0,
        };
        let fails = ctx.generator.chance(1, 16);
        let timeout = ctx.between_millis(200, 8_000);
        self.call(ctx, method, (padding, fails), (timeout, false))
    }

    /// Makes a call that nothing prevents from having a result.
    pub(super) fn call_certain(&mut self, ctx: &mut Context, method: Method) -> (CallId, Input) {
        let timeout = Duration::from_secs(15);
        self.call(ctx, method, (0, false), (timeout, true))
    }

    /// Makes a call, the last before the session is closed.
    pub(super) fn call_last(&mut self, ctx: &mut Context) -> (CallId, Input) {
        let timeout = Duration::from_secs(5);
        self.call(ctx, Method::Create, (0, false), (timeout, false))
    }

    fn call(
        &mut self,
        ctx: &mut Context,
        method: Method,
        (padding, fails): (usize, bool),
        (timeout, must_succeed): (Duration, bool),
    ) -> (CallId, Input) {
        let deadline = ctx.now() + timeout;
        let number = ctx
            .ledger
            .on_requested(self.session, method, deadline, must_succeed);
        let pending = Pending {
            number,
            method,
            deadline,
            is_made_again: false,
        };
        let arguments = Arguments {
            number,
            padding,
            fails,
        };
        let is_late = ctx.planted_bug == Some(PlantedBug::LateDeadlines);
        let late = Duration::from_secs(if is_late { 5 } else { 0 });
        self.request(pending, arguments, deadline + late)
    }

    fn request(
        &mut self,
        pending: Pending,
        arguments: Arguments,
        deadline: Instant,
    ) -> (CallId, Input) {
        self.last += 1;
        let id = CallId(self.last);
        let call = methods::call(pending.method, arguments);
        self.pending.insert(id, pending);
        (id, Input::CallRequested { id, call, deadline })
    }

    /// Gives a call up, unless it has its outcome.
    pub(super) fn withdraw(&mut self, ctx: &mut Context, id: CallId) -> Option<Input> {
        let pending = self.pending.remove(&id)?;
        let waits = ctx.ledger.on_withdrawn(pending.number);
        waits.then_some(Input::CallWithdrawn { id })
    }

    /// The session reports the outcome of a call. A planted bug may make the call again.
    pub(super) fn complete(
        &mut self,
        ctx: &mut Context,
        id: CallId,
        outcome: Result<Bytes, CallError>,
    ) -> Option<Input> {
        let Some(pending) = self.pending.remove(&id) else {
            let details = format!("call {} of session {} has two", id.0, self.session);
            ctx.ledger.report(Invariant::OneOutcomePerCall, details);
            return None;
        };
        let is_write = pending.method.class() == Class::Write;
        let is_interrupted = matches!(
            outcome,
            Err(CallError::Interrupted {
                maybe_executed: true
            })
        );
        let outcome = match ctx.planted_bug {
            Some(PlantedBug::ResendsInterruptedWrites) if is_write && is_interrupted => {
                return Some(self.make_again(pending));
            }
            Some(PlantedBug::ForgetsPendingCalls) if is_interrupted => return None,
            Some(PlantedBug::InterruptedAsDone) if is_interrupted => Outcome::Done(None),
            Some(PlantedBug::SentAsNotSent) => meaning(outcome.map_err(without_doubt)),
            Some(PlantedBug::SwapsResults) => meaning(outcome.map(|result| self.swap(result))),
            Some(
                PlantedBug::ResendsInterruptedWrites
                | PlantedBug::ForgetsPendingCalls
                | PlantedBug::InterruptedAsDone
                | PlantedBug::LateDeadlines
                | PlantedBug::NoLiveness
                | PlantedBug::NoLoginBudget,
            )
            | None => meaning(outcome),
        };
        let outcome = match outcome {
            Outcome::NotExecuted(text) if pending.is_made_again => Outcome::Unknown(text),
            Outcome::Done(_)
            | Outcome::Rejected(_)
            | Outcome::NotExecuted(_)
            | Outcome::Unknown(_) => outcome,
        };
        let now = ctx.now();
        ctx.ledger.on_outcome(now, pending.number, outcome);
        None
    }

    /// The planted bug: makes a call again.
    fn make_again(&mut self, pending: Pending) -> Input {
        let arguments = Arguments {
            number: pending.number,
            padding: 0,
            fails: false,
        };
        let again = Pending {
            is_made_again: true,
            ..pending
        };
        self.request(again, arguments, pending.deadline).1
    }

    /// The planted bug: returns the result before.
    fn swap(&mut self, result: Bytes) -> Bytes {
        self.swapped.replace(result.clone()).unwrap_or(result)
    }
}

fn meaning(outcome: Result<Bytes, CallError>) -> Outcome {
    match outcome {
        Ok(result) => Outcome::Done(methods::read_result(&result)),
        Err(error) => Outcome::of_error(&error),
    }
}

/// The planted bug: what was sent was not.
fn without_doubt(error: CallError) -> CallError {
    let maybe_executed = false;
    match error {
        CallError::Interrupted { .. } => CallError::Interrupted { maybe_executed },
        CallError::TimedOut { .. } => CallError::TimedOut { maybe_executed },
        CallError::Rejected(_)
        | CallError::Unsendable(_)
        | CallError::Busy
        | CallError::ServerBusy
        | CallError::ResultTooLarge { .. }
        | CallError::Closed
        | CallError::Failed(_)
        | CallError::UnexpectedReply
        | _ => error,
    }
}
