//! A call over the Unix socket of a bridge: one line each way. The bridge decides when the call is sent and repeated, and
//! its errors say whether the call was executed. So the time limit is one of the bridge, which alone knows whether it has
//! sent the call until then.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use steadfast::jsonrpc::ErrorObject;
use steadfast_bridge::{MESSAGE_BYTES_MAX, codes};
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

/// How much later than at the time limit the bridge may reply.
const REPLY_DELAY: Duration = Duration::from_secs(5);
/// The end of a line: without it, no bridge takes the line for a request.
const LINE_END: &[u8] = b"}\n";

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
    let line = line(&arguments.method, &params, arguments.timeout);
    if line.len() > MESSAGE_BYTES_MAX + 1 {
        let bytes = line.len() - 1;
        let reason =
            format!("the request has {bytes} bytes, and at most {MESSAGE_BYTES_MAX} are accepted");
        return Outcome::not_sent(&reason);
    }
    let started = output::detach_messages()
        .and_then(|_dropped| super::start(tokio::runtime::Builder::new_current_thread()));
    match started {
        Ok(runtime) => runtime.block_on(exchange(socket, &line, arguments.timeout)),
        Err(failure) => Outcome::not_sent(&failure.reason()),
    }
}

/// The request with its time limit, on one line.
fn line(method: &str, params: &Bytes, limit: Duration) -> Vec<u8> {
    let mut line = Vec::new();
    append_request(
        &mut line,
        Some((1, IdForm::Number)),
        method,
        // A line break inside of a value would end the line.
        &one_line(params),
    );
    // A further member of the object.
    line.pop();
    let limit = limit.as_secs_f64();
    line.extend_from_slice(format!(",\"timeout_seconds\":{limit}").as_bytes());
    line.extend_from_slice(LINE_END);
    line
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
    let patience = limit.saturating_add(REPLY_DELAY);
    let sent = tokio::select! {
        biased;
        sent = timeout(patience, send(&mut stream, line)) => sent,
        () = signals.next() => return Outcome::not_sent("interrupted"),
    };
    match sent {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return unread(stream, &error).await,
        Err(_elapsed) => return Outcome::not_sent("the bridge has not read it in time"),
    }
    tokio::select! {
        // A reply that has arrived counts more than a signal at the same time.
        biased;
        reply = timeout(patience, receive(stream)) => match reply {
            Ok(Ok(reply)) => outcome(reply),
            Ok(Err(error)) => interrupted(&io::Error::to_string(&error)),
            Err(_elapsed) => interrupted(&format!("no reply within {} s", patience.as_secs_f64())),
        },
        () = signals.next() => interrupted("interrupted before the reply"),
    }
}

/// Hands the line to the bridge. If it fails or is abandoned, the end is missing: it is so short that it is written at once.
async fn send(stream: &mut UnixStream, line: &[u8]) -> io::Result<()> {
    let request = line.strip_suffix(LINE_END).unwrap_or(line);
    stream.write_all(request).await?;
    stream.write_all(LINE_END).await
}

/// The bridge has not read the request to its end. It may have said why, for example that there are too many programs.
async fn unread(stream: UnixStream, error: &io::Error) -> Outcome {
    if let Ok(Ok(reply)) = timeout(REPLY_DELAY, receive(stream)).await
        && let not_sent @ Outcome::NotSent(_) = outcome(reply)
    {
        return not_sent;
    }
    Outcome::not_sent(&format!("the bridge has not read it: {error}"))
}

async fn receive(stream: UnixStream) -> io::Result<Vec<u8>> {
    let mut reply = Vec::new();
    let mut reader = BufReader::new(stream).take(LINE_BYTES_MAX);
    reader.read_until(b'\n', &mut reply).await?;
    Ok(reply)
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
    fn the_time_limit_is_a_member_of_the_request() {
        let line = line(
            "m",
            &Bytes::from_static(b"[1]"),
            Duration::from_millis(1_500),
        );

        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":[1],\"timeout_seconds\":1.5}\n"
        );
    }

    #[tokio::test]
    async fn a_line_that_the_bridge_does_not_read_to_its_end_was_not_sent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        // More than the socket keeps.
        let line = [vec![b' '; 64 << 20], LINE_END.to_vec()].concat();

        let (outcome, ()) = tokio::join!(exchange(&path, &line, Duration::from_mins(1)), async {
            drop(listener.accept().await);
        },);

        assert!(matches!(outcome, Outcome::NotSent(_)), "{outcome:?}");
    }

    #[tokio::test]
    async fn the_reason_of_a_bridge_that_reads_nothing_is_the_outcome() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let line = [vec![b' '; 64 << 20], LINE_END.to_vec()].concat();
        let reply = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32050,"message":"REASON","data":{"maybe_executed":false}}}"#;

        let (outcome, ()) = tokio::join!(exchange(&path, &line, Duration::from_mins(1)), async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(reply.as_bytes()).await.unwrap();
        },);

        let Outcome::NotSent(problem) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(problem.reason, "REASON");
    }

    #[test]
    fn params_with_line_breaks_are_one_line() {
        let params = Bytes::from_static(b"[1,\n\"a\\n\"\r\n]");

        assert_eq!(one_line(&params), b"[1, \"a\\n\"  ]");
    }
}
