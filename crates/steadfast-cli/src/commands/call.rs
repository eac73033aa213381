//! `steadfast call`: one call of a method over JSON-RPC 2.0, for a terminal or a script.
//!
//! The client library decides when the call is sent and repeated. This command decides when it no longer tries to
//! connect, and which words and exit code the outcome has. Whether a script may repeat the call follows from the exit
//! code alone.

mod indent;
mod inputs;
mod local;
mod outcome;
mod progress;
mod render;
mod words;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use steadfast::jsonrpc::{CallError, Client, Driver};
use steadfast::{BackoffSettings, ConnectionEpoch, SessionEvent, defaults};
use tokio::sync::broadcast;

use self::inputs::Request;
use self::outcome::{Ending, Facts, Outcome, Problem};
use self::progress::{Progress, Step};
use crate::args::call::Call;
use crate::env::Environment;
use crate::exit::Failure;
use crate::output;
use crate::signals::Signals;

/// Longest wait for the session to close at exit.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// At most 5 s between two attempts: a script waits for the call.
const BACKOFF: BackoffSettings = defaults::BACKOFF.cap(Duration::from_secs(5));

/// Makes the call, and prints its outcome.
///
/// # Errors
///
/// The server returned an error, an argument is invalid, or there is no reply; the exit code says which.
pub(crate) fn run(arguments: &Call, environment: &Environment) -> Result<(), Failure> {
    if let Some(socket) = arguments.url.strip_prefix("unix:") {
        let outcome = local::call(arguments, Path::new(socket));
        return render::print(arguments, outcome);
    }
    let outcome = match inputs::read(arguments, environment) {
        Ok((request, client, driver)) => execute(&request, client, driver),
        Err(problem) => Outcome::Invalid(problem),
    };
    render::print(arguments, outcome)
}

fn execute(request: &Request, client: Client, driver: Driver) -> Outcome {
    let started = output::detach_messages().and_then(|_dropped| {
        let runtime = tokio::runtime::Builder::new_current_thread();
        start(runtime)
    });
    match started {
        Ok(runtime) => runtime.block_on(call(request, client, driver)),
        Err(failure) => Outcome::not_sent(&failure.reason()),
    }
}

/// A runtime on this thread; messages no longer wait for standard error.
fn start(mut runtime: tokio::runtime::Builder) -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = runtime.enable_all().build();
    runtime
        .map_err(|error| Failure::failed(format!("failed to start the async runtime: {error}"), ""))
}

async fn call(request: &Request, client: Client, driver: Driver) -> Outcome {
    let mut signals = match Signals::install() {
        Ok(signals) => signals,
        Err(failure) => return Outcome::not_sent(&failure.reason()),
    };
    let events = client.events();
    tokio::spawn(driver);
    let method = client.method(&request.method).class(request.class);
    let reply = method
        .timeout(request.timeout)
        .request_raw(request.params.clone());
    tokio::pin!(reply);
    let ended = tokio::select! {
        // A reply that has arrived counts more than a signal at the same time.
        biased;
        reply = &mut reply => Ok(reply),
        cause = watch(request, &client, events) => Err(Ending::GaveUp(cause)),
        () = signals.next() => Err(Ending::Interrupted),
    };
    let (reply, ending) = match ended {
        Ok(reply) => {
            close(&client).await;
            (reply, Ending::Usual)
        }
        // Ends the call too: only the session knows whether it was sent.
        Err(ending) => {
            let ((), reply) = tokio::join!(close(&client), reply);
            (reply, ending)
        }
    };
    outcome_of(request, &client, reply, ending)
}

/// Reports the events; returns when no further attempt could succeed.
async fn watch(
    request: &Request,
    client: &Client,
    mut events: broadcast::Receiver<SessionEvent>,
) -> steadfast::DisconnectCause {
    let mut progress = Progress::default();
    loop {
        let event = match events.recv().await {
            Ok(event) => event,
            Err(broadcast::error::RecvError::Lagged(_)) => continue,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        };
        match progress.next(request, &event, client.now()) {
            Step::Continue(line) => {
                if let Some(line) = line {
                    output::message(&request.shown(&line));
                }
            }
            Step::GiveUp(cause) => return cause,
        }
    }
}

/// An unresponsive server must not delay the exit.
async fn close(client: &Client) {
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, client.close(Duration::ZERO)).await;
}

fn outcome_of(
    request: &Request,
    client: &Client,
    reply: Result<Bytes, CallError>,
    ending: Ending,
) -> Outcome {
    let state = client.state();
    let snapshot = state.borrow();
    let facts = Facts {
        request,
        was_connected: snapshot.epoch > ConnectionEpoch(0),
        cause: snapshot.cause.clone(),
        ending,
    };
    match outcome::of(reply, &facts) {
        Outcome::NotSent(problem) => Outcome::NotSent(shown(request, problem)),
        Outcome::MaybeExecuted(problem) => Outcome::MaybeExecuted(shown(request, problem)),
        Outcome::Error(error) => Outcome::Error(request.without_key(error)),
        other @ (Outcome::Result(_) | Outcome::Invalid(_)) => other,
    }
}

fn shown(request: &Request, problem: Problem) -> Problem {
    Problem {
        reason: request.shown(&problem.reason),
        hint: problem.hint,
    }
}
