//! A message of a program as a request, with the rules of the server.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;
use steadfast_protocol::jsonrpc::codes;

/// The id of a request as it was received, raw JSON of any form.
pub(crate) type RawId = Bytes;

/// A valid request.
pub(crate) struct Request {
    /// `None` if the program expects no reply.
    pub(crate) id: Option<RawId>,
    pub(crate) method: String,
    /// Raw JSON: an array, or empty for none.
    pub(crate) params: Bytes,
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

/// Reads a request. The parts share the memory of the message.
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
    let part = |name: &str| members.get(name).map(|raw| share(text, raw));
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
    Ok(Request { id, method, params })
}

impl Request {
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
