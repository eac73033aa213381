//! What became of the call: one of five outcomes, from the reply of the client library and the state of its session.

use bytes::Bytes;
use steadfast::DisconnectCause;
use steadfast::jsonrpc::{CallError, ErrorObject};

use super::inputs::Request;
use super::words;

/// What became of a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The result of the server, raw JSON.
    Result(Bytes),
    /// The error of the server.
    Error(ErrorObject),
    /// The call was not sent, so it was not executed.
    NotSent(Problem),
    /// The call was sent, and there is no reply.
    MaybeExecuted(Problem),
    /// An argument is invalid, so nothing was tried.
    Invalid(Problem),
}

/// Why there is no reply, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) reason: String,
    /// Lines; empty if the reason says it.
    pub(super) hint: String,
}

impl Problem {
    pub(super) fn new(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            hint: hint.into(),
        }
    }
}

impl Outcome {
    pub(super) fn not_sent(reason: &str) -> Self {
        Self::NotSent(Problem::new(format!("not sent: {reason}"), ""))
    }
}

/// Why the command no longer waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The library has ended the call.
    Usual,
    /// No further attempt to connect could succeed.
    GaveUp(DisconnectCause),
    /// A signal has asked the command to end.
    Interrupted,
}

/// What is known at the end.
pub(super) struct Facts<'a> {
    pub(super) request: &'a Request,
    /// Whether there was a connection: then the call was sent.
    pub(super) was_connected: bool,
    /// The last reason for which there was no connection.
    pub(super) cause: Option<DisconnectCause>,
    pub(super) ending: Ending,
}

/// What became of the call.
pub(super) fn of(reply: Result<Bytes, CallError>, facts: &Facts<'_>) -> Outcome {
    let error = match reply {
        Ok(result) => return Outcome::Result(result),
        Err(CallError::Rejected(error)) => return Outcome::Error(error),
        Err(error) => error,
    };
    // The library does not count a repeatable call as one that may have been executed.
    let was_sent = match &error {
        CallError::Interrupted { maybe_executed } | CallError::TimedOut { maybe_executed } => {
            *maybe_executed || (facts.request.is_repeatable() && facts.was_connected)
        }
        CallError::UnexpectedReply | CallError::ResultTooLarge { .. } => true,
        CallError::Unsendable(_) | CallError::Busy | CallError::ServerBusy => false,
        CallError::Rejected(_) | CallError::Closed | CallError::Failed(_) | _ => {
            facts.request.is_repeatable() && facts.was_connected
        }
    };
    if was_sent {
        Outcome::MaybeExecuted(after_sending(&error, facts))
    } else {
        Outcome::NotSent(before_sending(&error, facts))
    }
}

fn before_sending(error: &CallError, facts: &Facts<'_>) -> Problem {
    let request = facts.request;
    let cause = |cause: &DisconnectCause| {
        let problem = words::cause(request, cause);
        Problem::new(format!("not sent: {}", problem.reason), problem.hint)
    };
    if let Ending::GaveUp(why) = &facts.ending {
        return cause(why);
    }
    if facts.ending == Ending::Interrupted {
        return Problem::new("not sent: interrupted", "");
    }
    match error {
        CallError::Failed(why) => cause(why),
        CallError::TimedOut { .. } => timed_out(facts),
        CallError::Rejected(_)
        | CallError::Interrupted { .. }
        | CallError::Unsendable(_)
        | CallError::Busy
        | CallError::ServerBusy
        | CallError::Closed
        | CallError::UnexpectedReply
        | CallError::ResultTooLarge { .. }
        | _ => Problem::new(format!("not sent: {error}"), ""),
    }
}

fn timed_out(facts: &Facts<'_>) -> Problem {
    let seconds = words::seconds(facts.request.timeout);
    let Some(why) = &facts.cause else {
        let what = words::connecting(facts.request);
        return Problem::new(
            format!("not sent within {seconds}: {what}"),
            "If the server is slow, use a longer --timeout.",
        );
    };
    let problem = words::cause(facts.request, why);
    Problem::new(
        format!("not sent within {seconds}: {}", problem.reason),
        problem.hint,
    )
}

fn after_sending(error: &CallError, facts: &Facts<'_>) -> Problem {
    let request = facts.request;
    let lost = "the connection was lost before the reply";
    let (what, cause) = match (error, &facts.ending) {
        (_, Ending::GaveUp(cause)) => (format!("{lost}, and there is no other"), Some(cause)),
        (_, Ending::Interrupted) => ("interrupted before the reply".to_owned(), None),
        (CallError::TimedOut { .. }, Ending::Usual) => {
            let limit = words::seconds(request.timeout);
            (format!("no reply within {limit}"), None)
        }
        (CallError::ResultTooLarge { .. }, Ending::Usual) => (error.to_string(), None),
        (CallError::Failed(cause), Ending::Usual) => (lost.to_owned(), Some(cause)),
        (_, Ending::Usual) => (lost.to_owned(), facts.cause.as_ref()),
    };
    let mut reason = format!("sent, but {what}");
    let mut hints = Vec::new();
    if let Some(cause) = cause {
        let problem = words::cause(request, cause);
        reason = format!("{reason}: {}", problem.reason);
        // What to change about the arguments does not matter to a call that had a connection before.
        if matches!(cause, DisconnectCause::Protocol(_)) {
            hints.push(problem.hint);
        }
    }
    if matches!(error, CallError::Interrupted { .. }) && request.is_repeatable() {
        hints.push("The server may close the connection because of this call.".to_owned());
    }
    hints.push(words::may_repeat(request));
    if matches!(error, CallError::TimedOut { .. }) {
        hints.push("If the server is slow, use a longer --timeout.".to_owned());
    }
    Problem::new(reason, hints.join("\n"))
}
