//! Prints the outcome: the result on standard output, a problem on standard error, or all of it as one line of JSON.

use std::io::{self, IsTerminal as _};

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use steadfast::jsonrpc::ErrorObject;

use super::indent::indented;
use super::outcome::{Outcome, Problem};
use super::words;
use crate::args::call::{Call, CallClass};
use crate::exit::Failure;
use crate::output::{self, escape};

/// The outcome as a line of JSON.
#[derive(Debug, Serialize)]
struct Line<'a> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safe_to_repeat: Option<bool>,
}

/// The error of a server.
#[derive(Debug, Serialize)]
struct ErrorLine<'a> {
    code: i64,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
}

/// Prints what belongs on standard output.
///
/// # Errors
///
/// What belongs on standard error, with the exit code; nothing for a result.
pub(super) fn print(arguments: &Call, outcome: Outcome) -> Result<(), Failure> {
    if arguments.json {
        output::print(&line(&outcome, arguments.class != CallClass::Write));
    }
    match outcome {
        Outcome::Result(result) => {
            if !arguments.json {
                output::print(&text(&result, arguments.raw, io::stdout().is_terminal()));
            }
            Ok(())
        }
        Outcome::Error(error) => Err(of_server(arguments, &error)),
        Outcome::NotSent(it) => Err(Failure::not_executed(it.reason, it.hint)),
        Outcome::MaybeExecuted(it) => Err(Failure::maybe_executed(it.reason, it.hint)),
        Outcome::Invalid(it) => Err(Failure::usage(it.reason, it.hint)),
    }
}

fn of_server(arguments: &Call, error: &ErrorObject) -> Failure {
    let Problem { reason, hint } =
        words::error(&arguments.method, arguments.params.is_some(), error);
    let data = error.data.as_ref().map(|data| {
        let data = String::from_utf8_lossy(data);
        format!("data: {}\n", escape::json(&data))
    });
    let hint = format!("{}{hint}", data.unwrap_or_default());
    Failure::failed(escape::text(&reason), hint)
}

/// The outcome as one line of JSON.
fn line(outcome: &Outcome, is_repeatable: bool) -> String {
    let empty = |outcome| Line {
        outcome,
        result: None,
        error: None,
        reason: None,
        safe_to_repeat: None,
    };
    let line = match outcome {
        Outcome::Result(result) => Line {
            result: Some(raw(result)),
            ..empty("result")
        },
        Outcome::Error(error) => Line {
            error: Some(ErrorLine {
                code: error.code,
                message: &error.message,
                data: error.data.as_ref().map(raw),
            }),
            ..empty("error")
        },
        Outcome::NotSent(it) => Line {
            reason: Some(&it.reason),
            safe_to_repeat: Some(true),
            ..empty("not-sent")
        },
        Outcome::MaybeExecuted(it) => Line {
            reason: Some(&it.reason),
            safe_to_repeat: Some(is_repeatable),
            ..empty("maybe-executed")
        },
        Outcome::Invalid(it) => Line {
            reason: Some(&it.reason),
            ..empty("invalid")
        },
    };
    // Strings, numbers and valid JSON can always be written.
    escape::json(&serde_json::to_string(&line).unwrap_or_default())
}

/// JSON as it was received. What a server leaves out is `null`.
fn raw(json: &Bytes) -> Box<RawValue> {
    let text = String::from_utf8_lossy(json).into_owned();
    RawValue::from_string(text).unwrap_or_else(|_error| RawValue::NULL.to_owned())
}

/// The result for a terminal or a program.
fn text(result: &Bytes, is_raw: bool, is_terminal: bool) -> String {
    let json = raw(result);
    if is_raw && let Ok(string) = serde_json::from_str::<String>(json.get()) {
        return if is_terminal {
            escape::text(&string)
        } else {
            string
        };
    }
    let json = escape::json(json.get());
    if is_terminal { indented(&json) } else { json }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_one_line_for_a_program_and_indented_on_a_terminal() {
        let result = Bytes::from_static(b"{\"a\":\n[1e400]}");

        assert_eq!(text(&result, false, false), r#"{"a": [1e400]}"#);
        let lines = "{\n  \"a\": [\n    1e400\n  ]\n}";
        assert_eq!(text(&result, false, true), lines);
    }

    #[test]
    fn raw_strings_have_no_quotes_and_are_safe_for_a_terminal() {
        let result = Bytes::from_static(br#""a\n\u001b[2J""#);

        assert_eq!(text(&result, true, false), "a\n\u{1b}[2J");
        assert_eq!(text(&result, true, true), r"a\n\u{1b}[2J");
        // No string of Unicode.
        let half = Bytes::from_static(br#""\ud83d""#);
        assert_eq!(text(&half, true, false), r#""\ud83d""#);
        assert_eq!(text(&Bytes::from_static(b"5"), true, false), "5");
    }

    #[test]
    fn each_outcome_has_its_line_of_json() {
        let problem = || Problem::new("why", "what to do");
        let error = ErrorObject::new(-1, "no").data(Bytes::from_static(b"[1e400]"));
        for (outcome, expected) in [
            (
                Outcome::Result(Bytes::from_static(b"null")),
                r#"{"outcome":"result","result":null}"#,
            ),
            (
                Outcome::Error(error),
                r#"{"outcome":"error","error":{"code":-1,"message":"no","data":[1e400]}}"#,
            ),
            (
                Outcome::NotSent(problem()),
                r#"{"outcome":"not-sent","reason":"why","safe_to_repeat":true}"#,
            ),
            (
                Outcome::MaybeExecuted(problem()),
                r#"{"outcome":"maybe-executed","reason":"why","safe_to_repeat":false}"#,
            ),
            (
                Outcome::Invalid(problem()),
                r#"{"outcome":"invalid","reason":"why"}"#,
            ),
        ] {
            assert_eq!(line(&outcome, false), expected);
        }
    }
}
