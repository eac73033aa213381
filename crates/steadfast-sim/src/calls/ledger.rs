//! The ledger of calls: it records what the server has executed and what each session has said about its calls, and
//! reports every contradiction. It knows nothing of connections.

use std::fmt;

use steadfast_core::dialect::jsonrpc::{CallError, Class};
use steadfast_machine::{Instant, convert};

use super::counts::{Count, Counts};
use super::invariant::{Invariant, Violation};
use super::methods::{CallNumber, Method};
use crate::words::at;

/// The most violations that are kept: later ones usually follow from the first.
const VIOLATIONS_MAX: usize = 8;

/// What a session says about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was executed; the call that the result names, if the client has kept it.
    Done(Option<CallNumber>),
    /// The server replied with an error.
    Rejected(String),
    /// It was not executed, and will not be.
    NotExecuted(String),
    /// It may have been executed.
    Unknown(String),
}

impl Outcome {
    /// The meaning of an error, as the documentation of the client has it.
    pub(super) fn of_error(error: &CallError) -> Self {
        let text = error.to_string();
        match error {
            CallError::Rejected(_) => Self::Rejected(text),
            CallError::Interrupted { maybe_executed } | CallError::TimedOut { maybe_executed } => {
                if *maybe_executed {
                    Self::Unknown(text)
                } else {
                    Self::NotExecuted(text)
                }
            }
            CallError::ResultTooLarge { .. } => Self::Done(None),
            CallError::Unsendable(_)
            | CallError::Busy
            | CallError::ServerBusy
            | CallError::Closed
            | CallError::Failed(_) => Self::NotExecuted(text),
            CallError::UnexpectedReply | _ => Self::Unknown(text),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(_) => f.write_str("executed"),
            Self::Rejected(text) => write!(f, "rejected ({text})"),
            Self::NotExecuted(text) => write!(f, "not executed ({text})"),
            Self::Unknown(text) => write!(f, "perhaps executed ({text})"),
        }
    }
}

/// A call with everything that is known of it.
#[derive(Debug)]
struct Call {
    session: usize,
    method: Method,
    deadline: Instant,
    outcome: Option<Outcome>,
    is_withdrawn: bool,
    /// It was made when nothing was broken any more.
    must_succeed: bool,
    executions: Vec<Instant>,
}

/// All calls of a run, and the violations.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    calls: Vec<Call>,
    violations: Vec<Violation>,
    /// Calls that are neither withdrawn nor have an outcome.
    pending: usize,
}

impl Ledger {
    /// An application makes a call; returns its number.
    pub(super) fn on_requested(
        &mut self,
        session: usize,
        method: Method,
        deadline: Instant,
        must_succeed: bool,
    ) -> CallNumber {
        let number = CallNumber(convert::to_u64(self.calls.len()));
        self.pending += 1;
        self.calls.push(Call {
            session,
            method,
            deadline,
            outcome: None,
            is_withdrawn: false,
            must_succeed,
            executions: Vec::new(),
        });
        number
    }

    /// The application no longer waits for a call. Returns whether it did.
    pub(super) fn on_withdrawn(&mut self, number: CallNumber) -> bool {
        let Some(call) = self.call(number) else {
            return false;
        };
        let waits = call.is_pending();
        if waits {
            call.is_withdrawn = true;
            self.pending -= 1;
        }
        waits
    }

    /// A session reports the outcome of a call.
    pub(super) fn on_outcome(&mut self, now: Instant, number: CallNumber, outcome: Outcome) {
        let Some(call) = self.call(number) else {
            return;
        };
        let name = call.name(number);
        if call.is_withdrawn || call.outcome.is_some() {
            let details = format!("{name} has another outcome at {}: {outcome}", at(now));
            return self.report(Invariant::OneOutcomePerCall, details);
        }
        let deadline = call.deadline;
        if call.must_succeed && !matches!(outcome, Outcome::Done(Some(_))) {
            let details = format!("{name}, made after the last fault, was {outcome}");
            self.report(Invariant::CallsSucceedAgain, details);
        }
        if let Outcome::Done(Some(of)) = outcome
            && of != number
        {
            let details = format!("{name} has the result of call {}", of.0);
            self.report(Invariant::ResultsMatchCalls, details);
        }
        if now > deadline {
            let (now, deadline) = (at(now), at(deadline));
            let details = format!("{name} ended at {now}, after its deadline at {deadline}");
            self.report(Invariant::OutcomesInTime, details);
        }
        self.pending -= 1;
        if let Some(call) = self.call(number) {
            call.outcome = Some(outcome);
        }
    }

    /// The server has executed a call.
    pub(super) fn on_executed(&mut self, now: Instant, number: CallNumber) {
        let Some(call) = self.call(number) else {
            return;
        };
        call.executions.push(now);
        if let [first, second] = call.executions.as_slice()
            && call.method.class() == Class::Write
        {
            let (first, second) = (at(*first), at(*second));
            let name = call.name(number);
            let details = format!("{name} was executed at {first} and again at {second}");
            self.report(Invariant::WritesExecutedOnce, details);
        }
    }

    /// Whether each call has its outcome. One without it whose deadline has passed is reported.
    pub(super) fn check_settled(&mut self, now: Instant) -> bool {
        if self.pending == 0 {
            return true;
        }
        let is_forgotten = |call: &Call| call.is_pending() && call.deadline < now;
        let mut all = (0..).map(CallNumber).zip(&self.calls);
        let forgotten = all.find(|(_, call)| is_forgotten(call));
        if let Some(details) = forgotten.map(|(number, call)| call.without_outcome(number)) {
            self.report(Invariant::OneOutcomePerCall, details);
        }
        false
    }

    pub(super) fn report(&mut self, invariant: Invariant, details: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { invariant, details });
        }
    }

    pub(super) const fn has_violations(&self) -> bool {
        !self.violations.is_empty()
    }

    pub(super) fn into_violations(self) -> Vec<Violation> {
        self.violations
    }

    /// Nothing is executed any more: compares all outcomes with the executions.
    pub(super) fn finish(&mut self, counts: &mut Counts) {
        let calls = std::mem::take(&mut self.calls);
        for (number, call) in (0..).map(CallNumber).zip(&calls) {
            call.count(counts);
            if let Some((invariant, details)) = call.contradiction(number) {
                self.report(invariant, details);
            }
        }
        self.calls = calls;
    }

    fn call(&mut self, number: CallNumber) -> Option<&mut Call> {
        let index = usize::try_from(number.0).ok()?;
        self.calls.get_mut(index)
    }
}

impl Call {
    fn name(&self, number: CallNumber) -> String {
        let (class, method) = (self.method.class(), self.method.name());
        let session = self.session;
        format!(
            "call {} of session {session} ({class:?}, {method})",
            number.0
        )
    }

    const fn is_pending(&self) -> bool {
        self.outcome.is_none() && !self.is_withdrawn
    }

    fn without_outcome(&self, number: CallNumber) -> String {
        let (name, deadline) = (self.name(number), at(self.deadline));
        format!("{name} has no outcome; its deadline was {deadline}")
    }

    fn count(&self, counts: &mut Counts) {
        let executions = convert::to_u64(self.executions.len());
        counts.add(Count::Calls);
        counts.add_many(Count::Executions, executions);
        counts.add_many(Count::CallsWithdrawn, u64::from(self.is_withdrawn));
        if self.method.class() != Class::Write && executions > 1 {
            counts.add(Count::CallsRepeated);
        }
        match &self.outcome {
            Some(Outcome::Done(_)) => counts.add(Count::CallsDone),
            Some(Outcome::Rejected(_)) => counts.add(Count::CallsRejected),
            Some(Outcome::NotExecuted(_)) => counts.add(Count::CallsNotExecuted),
            Some(Outcome::Unknown(_)) => {
                counts.add(Count::CallsUnknown);
                counts.add_many(Count::CallsUnknownExecuted, u64::from(executions > 0));
            }
            None => {}
        }
    }

    /// What the outcome says, and the executions contradict.
    fn contradiction(&self, number: CallNumber) -> Option<(Invariant, String)> {
        let (name, class) = (self.name(number), self.method.class());
        let Some(outcome) = &self.outcome else {
            let details = self.without_outcome(number);
            return (!self.is_withdrawn).then_some((Invariant::OneOutcomePerCall, details));
        };
        let executed_at = self.executions.first();
        match (outcome, executed_at) {
            (Outcome::Done(_), None) => {
                let details = format!("{name} has a result, and was never executed");
                Some((Invariant::ResultsAreOfExecutions, details))
            }
            // Calls of other classes may have been executed before, over a connection that was lost; of a read, an outcome
            // does not say whether it was.
            (Outcome::Rejected(_), Some(executed_at)) if class == Class::Write => {
                Some(executed(&name, outcome, *executed_at))
            }
            (Outcome::NotExecuted(_), Some(executed_at)) if class != Class::Read => {
                Some(executed(&name, outcome, *executed_at))
            }
            (
                Outcome::Done(_)
                | Outcome::Rejected(_)
                | Outcome::NotExecuted(_)
                | Outcome::Unknown(_),
                _,
            ) => None,
        }
    }
}

fn executed(name: &str, outcome: &Outcome, executed_at: Instant) -> (Invariant, String) {
    let details = format!(
        "{name} was reported as {outcome}, and executed at {}",
        at(executed_at)
    );
    (Invariant::NotExecutedAsReported, details)
}
