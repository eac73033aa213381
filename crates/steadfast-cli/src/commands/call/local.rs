//! A call over the Unix socket of a bridge: one line each way. The bridge decides when the call is sent and repeated, and
//! its errors say whether the call was executed.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use steadfast::jsonrpc::ErrorObject;
use steadfast_bridge::codes;
use steadfast_protocol::jsonrpc::{IdForm, Incoming, append_request, decode};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::inputs::params;
use super::outcome::{Outcome, Problem};
use crate::args::call::Call;
use crate::output;
use crate::signals::Signals;

/// The longest line of a bridge: that of the server is shorter.
const LINE_BYTES_MAX: u64 = 65 << 20;

/// Makes the call.
pub(super) fn call(arguments: &Call, socket: &Path) -> Outcome {
    if arguments.login.is_some() || arguments.ca.is_some() {
        return Outcome::Invalid(Problem::new(
            "--login and --ca have no effect on a call over a bridge",
            "The bridge has connected and logged in: leave them out.",
        ));
    }
    let params = match params::read(arguments.params.as_deref()) {
        Ok(params) => params,
        Err(problem) => return Outcome::Invalid(problem),
    };
    let mut line = Vec::new();
    append_request(
        &mut line,
        Some((1, IdForm::Number)),
        &arguments.method,
        // A line break inside of a value would end the line.
        &one_line(&params),
    );
    line.push(b'\n');
    let started = output::detach_messages()
        .and_then(|_dropped| super::start(tokio::runtime::Builder::new_current_thread()));
    match started {
        Ok(runtime) => runtime.block_on(exchange(socket, &line, arguments.timeout)),
        Err(failure) => Outcome::not_sent(&failure.reason()),
    }
}

/// White space is replaced: in JSON, a line break is never inside of a string.
fn one_line(params: &Bytes) -> Vec<u8> {
    let bytes = params.iter();
    bytes
        .map(|byte| {
            if matches!(byte, b'\n' | b'\r') {
                b' '
            } else {
                *byte
            }
        })
        .collect()
}

async fn exchange(socket: &Path, line: &[u8], limit: Duration) -> Outcome {
    let mut signals = match Signals::install() {
        Ok(signals) => signals,
        Err(failure) => return Outcome::not_sent(&failure.reason()),
    };
    let mut stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(error) => return unreachable_bridge(socket, &error),
    };
    let reply = async {
        stream.write_all(line).await?;
        let mut reply = Vec::new();
        let mut reader = BufReader::new(stream).take(LINE_BYTES_MAX);
        reader.read_until(b'\n', &mut reply).await?;
        Ok(reply)
    };
    tokio::select! {
        // A reply that has arrived counts more than a signal at the same time.
        biased;
        reply = timeout(limit, reply) => match reply {
            Ok(Ok(reply)) => outcome(reply),
            Ok(Err(error)) => interrupted(&io::Error::to_string(&error)),
            Err(_elapsed) => interrupted(&format!("no reply within {} s", limit.as_secs_f64())),
        },
        () = signals.next() => interrupted("interrupted before the reply"),
    }
}

fn unreachable_bridge(socket: &Path, error: &io::Error) -> Outcome {
    let reason = format!("not sent: no bridge at {}: {error}", socket.display());
    let hint = "Start it: steadfast bridge URL --user NAME --key-file FILE";
    Outcome::NotSent(Problem::new(reason, hint))
}

/// The bridge has the call, and what became of it is not known.
fn interrupted(what: &str) -> Outcome {
    Outcome::MaybeExecuted(Problem::new(
        format!("handed to the bridge, but {what}"),
        "The server may have executed the call. Find out with a call that only reads, before you call it again.",
    ))
}

/// What the reply of the bridge means.
fn outcome(reply: Vec<u8>) -> Outcome {
    let mut incoming = Vec::new();
    let is_valid = decode(&Bytes::from(reply), 1, &mut incoming).is_ok();
    let response = incoming.pop().filter(|_| is_valid);
    let Some(Incoming::Response { outcome, .. }) = response else {
        return interrupted("it has closed the connection");
    };
    match outcome {
        Ok(result) => Outcome::Result(result),
        Err(error) => of_error(error),
    }
}

fn of_error(error: ErrorObject) -> Outcome {
    let is_of_the_bridge = matches!(
        error.code,
        codes::TOO_MANY_CALLS | codes::NOT_SENT | codes::INTERRUPTED | codes::TIMED_OUT
    );
    if !is_of_the_bridge {
        return Outcome::Error(error);
    }
    let data: Value = error
        .data
        .as_ref()
        .and_then(|data| serde_json::from_slice(data).ok())
        .unwrap_or_default();
    let problem = |hint| Problem::new(output::escape::text(&error.message), hint);
    match data.get("maybe_executed").and_then(Value::as_bool) {
        Some(false) => Outcome::NotSent(problem("")),
        Some(true) | None => Outcome::MaybeExecuted(problem(
            "Find out with a call that only reads, before you call it again.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_and_the_data_of_an_error_decide_whether_a_script_may_repeat_the_call() {
        let name = |outcome| match outcome {
            Outcome::Result(_) => "result",
            Outcome::Error(_) => "error",
            Outcome::NotSent(_) => "not sent",
            Outcome::MaybeExecuted(_) => "maybe executed",
            Outcome::Invalid(_) => "invalid",
        };
        for (reply, expected) in [
            (r#""result":null"#, "result"),
            (
                r#""error":{"code":-32001,"message":"m","data":{"error":2}}"#,
                "error",
            ),
            (
                r#""error":{"code":-32050,"message":"m","data":{"maybe_executed":false}}"#,
                "not sent",
            ),
            (
                r#""error":{"code":-32000,"message":"m","data":{"maybe_executed":false}}"#,
                "not sent",
            ),
            (
                r#""error":{"code":-32051,"message":"m","data":{"maybe_executed":true}}"#,
                "maybe executed",
            ),
            (
                r#""error":{"code":-32051,"message":"m","data":{"maybe_executed":false}}"#,
                "not sent",
            ),
            (r#""error":{"code":-32052,"message":"m"}"#, "maybe executed"),
        ] {
            let line = format!(r#"{{"jsonrpc":"2.0","id":1,{reply}}}"#);
            assert_eq!(name(outcome(line.into_bytes())), expected, "{reply}");
        }
        assert_eq!(name(outcome(Vec::new())), "maybe executed");
    }

    #[test]
    fn params_with_line_breaks_are_one_line() {
        let params = Bytes::from_static(b"[1,\n\"a\\n\"\r\n]");

        assert_eq!(one_line(&params), b"[1, \"a\\n\"  ]");
    }
}
