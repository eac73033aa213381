//! A message of a program as a request, with the rules of the server.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use steadfast_protocol::jsonrpc::codes;

use crate::policy::Policy;

/// The id of a request as it was received, raw JSON of any form.
pub(crate) type RawId = Bytes;

/// A valid request.
pub(crate) struct Request {
    /// `None` if the program expects no reply.
    pub(crate) id: Option<RawId>,
    pub(crate) method: String,
    /// Raw JSON: an array, or empty for none.
    pub(crate) params: Bytes,
    /// The time limit of the program, above zero; `None` if it leaves it to the bridge.
    pub(crate) timeout: Option<Duration>,
}

/// Why a message is no request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invalid {
    /// The id, if it can be read; otherwise `null`.
    pub(crate) id: RawId,
    pub(crate) code: i64,
    pub(crate) message: &'static str,
}

type Members<'a> = BTreeMap<String, &'a RawValue>;

/// Reads a request. Its parts are copies: they wait, and would keep the whole message with all that is ignored.
///
/// # Errors
///
/// It is no JSON object, or no request; also a batch, which the server does not accept.
pub(crate) fn read(text: &Bytes) -> Result<Request, Invalid> {
    let members: Members<'_> = serde_json::from_slice(text).map_err(|_error| Invalid {
        id: Bytes::from_static(b"null"),
        code: codes::PARSE_ERROR,
        message: "Parse error: a message is one JSON object",
    })?;
    let part = |name: &str| {
        let raw = members.get(name)?;
        Some(Bytes::copy_from_slice(raw.get().as_bytes()))
    };
    let id = part("id");
    let invalid = |message| Invalid {
        id: id.clone().unwrap_or_else(|| Bytes::from_static(b"null")),
        code: codes::INVALID_REQUEST,
        message,
    };
    if part("jsonrpc").as_deref() != Some(br#""2.0""#) {
        return Err(invalid(
            "Invalid request: jsonrpc must be the string \"2.0\"",
        ));
    }
    let method = members.get("method").map(|raw| raw.get());
    let method: String = method
        .and_then(|raw| serde_json::from_str(raw).ok())
        .filter(|name: &String| !name.is_empty())
        .ok_or_else(|| invalid("Invalid request: method must be a string"))?;
    let params = part("params").unwrap_or_default();
    if !params.is_empty() && !params.starts_with(b"[") {
        return Err(invalid("Invalid request: params must be an array"));
    }
    let timeout = members.get("timeout_seconds");
    let timeout = timeout
        .map(|raw| {
            seconds(raw)
                .ok_or_else(|| invalid("Invalid request: timeout_seconds must be a number above 0"))
        })
        .transpose()?;
    Ok(Request {
        id,
        method,
        params,
        timeout,
    })
}

/// A time above zero; one that is too long to count is the longest.
fn seconds(raw: &RawValue) -> Option<Duration> {
    let seconds: f64 = serde_json::from_str(raw.get()).ok()?;
    let time = Duration::try_from_secs_f64(seconds);
    let time = time.unwrap_or(if seconds > 0.0 {
        Duration::MAX
    } else {
        Duration::ZERO
    });
    (!time.is_zero()).then_some(time)
}

impl Request {
    /// The time from its receipt to its reply.
    pub(crate) fn time_limit(&self, policy: &Policy) -> Duration {
        let own = self.timeout.unwrap_or(policy.call_timeout);
        own.min(policy.call_timeout)
    }

    /// The first param, if it is a string.
    pub(crate) fn first_string(&self) -> Option<String> {
        let params: Vec<&RawValue> = serde_json::from_slice(&self.params).ok()?;
        serde_json::from_str(params.first()?.get()).ok()
    }
}

/// A member of an object as raw JSON; `None` if the text is no object or has no such member.
pub(crate) fn member(object: &Bytes, name: &str) -> Option<Bytes> {
    let members: Members<'_> = serde_json::from_slice(object).ok()?;
    members.get(name).map(|raw| share(object, raw))
}

/// A member of an object that is a string.
pub(crate) fn string_member(object: &Bytes, name: &str) -> Option<String> {
    serde_json::from_slice(&member(object, name)?).ok()
}

fn share(text: &Bytes, part: &RawValue) -> Bytes {
    text.slice_ref(part.get().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Request, Invalid> {
        read(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn an_id_of_any_form_is_kept_as_it_was_written() {
        for id in [
            "1",
            "1.50",
            "\"a\\u0041\"",
            "null",
            "[1, 2]",
            "{\"a\":1}",
            "1e400",
        ] {
            let request = of(&format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"m","params":[1]}}"#
            ));

            let request = request.ok().unwrap();
            assert_eq!(request.id.as_deref(), Some(id.as_bytes()));
            assert_eq!(request.params, "[1]");
        }
        let request = of(r#"{"jsonrpc":"2.0","method":"m"}"#).ok().unwrap();
        assert_eq!((request.id, request.params), (None, Bytes::new()));
    }

    #[test]
    fn a_request_keeps_no_memory_of_its_message() {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":[1],"method":"m","params":[2],"ignored":"{}"}}"#,
            "x".repeat(60_000)
        );
        let text = Bytes::from(text);

        let request = read(&text).ok().unwrap();

        assert_eq!(
            (request.id.as_deref(), &request.params[..]),
            (Some(&b"[1]"[..]), &b"[2]"[..])
        );
        assert!(text.is_unique(), "a part of the request shares its memory");
    }

    #[test]
    fn a_time_limit_is_a_number_above_zero() {
        let timeout = |text: &str| {
            of(&format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"m","timeout_seconds":{text}}}"#
            ))
            .map(|request| request.timeout)
            .map_err(|invalid| invalid.code)
        };

        assert_eq!(timeout("0.5"), Ok(Some(Duration::from_millis(500))));
        assert_eq!(timeout("1e300"), Ok(Some(Duration::MAX)));
        for text in ["0", "-1", "-1e300", "\"5\"", "null", "1e-300"] {
            assert_eq!(timeout(text), Err(codes::INVALID_REQUEST), "{text}");
        }
    }

    #[test]
    fn what_is_no_request_is_rejected_with_the_codes_of_the_server() {
        let (parse, invalid) = (codes::PARSE_ERROR, codes::INVALID_REQUEST);
        for (text, code, id) in [
            ("", parse, "null"),
            ("{", parse, "null"),
            ("7", parse, "null"),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"m"}]"#, parse, "null"),
            (r#"{"id":1,"method":"m"}"#, invalid, "1"),
            (
                r#"{"jsonrpc":"1.0","id":"a","method":"m"}"#,
                invalid,
                "\"a\"",
            ),
            (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, invalid, "1"),
            (r#"{"jsonrpc":"2.0","method":""}"#, invalid, "null"),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{}}"#,
                invalid,
                "1",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":null}"#,
                invalid,
                "1",
            ),
        ] {
            let error = of(text).err().unwrap();
            assert_eq!((error.code, &error.id[..]), (code, id.as_bytes()), "{text}");
        }
    }
}
