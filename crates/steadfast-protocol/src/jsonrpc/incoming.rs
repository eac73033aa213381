//! What a client reads.

use std::fmt;

use bytes::Bytes;
use serde::Deserializer as _;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::shape::{CollectionShape, ErrorShape, ItemShape, Message};
use super::{ID_BYTES_MAX, written};

/// A message of the peer, or one part of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The response to a request of this client.
    Response {
        /// The request that it belongs to.
        id: ResponseId,
        /// The result as raw JSON, or the error.
        outcome: Result<Bytes, ErrorObject>,
    },
    /// A message of the peer that expects no response: without an id, or with the id `null`.
    Notification {
        /// What it is.
        method: String,
        /// Raw JSON; empty if there are none.
        params: Bytes,
    },
    /// A request of the peer to this client.
    Request {
        /// Its id as it was received, raw JSON; at most [`ID_BYTES_MAX`] bytes.
        id: String,
        /// The requested method.
        method: String,
        /// Raw JSON; empty if there are none.
        params: Bytes,
    },
}

/// Which request a response belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseId {
    /// The request with this number.
    Number(u32),
    /// `null`, or no id at all: the peer could not read the id of the request.
    Null,
    /// No id of this client, raw JSON: its first [`ID_BYTES_MAX`] bytes.
    Unknown(String),
}

/// Why a peer did not execute a request, or how it failed.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorObject {
    /// The kind of error; see [`super::codes`]. 0 if the peer gave none.
    pub code: i64,
    /// A short description, possibly empty.
    pub message: String,
    /// More about the error, raw JSON.
    pub data: Option<Bytes>,
}

impl ErrorObject {
    /// An error with this code and description.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// Sets more about the error, raw JSON.
    #[must_use]
    pub fn data(mut self, data: Bytes) -> Self {
        self.data = Some(data);
        self
    }
}

impl fmt::Debug for ErrorObject {
    /// Without the content of the data, in which peers repeat the params of the request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data_bytes = self.data.as_ref().map(Bytes::len);
        f.debug_struct("ErrorObject")
            .field("code", &self.code)
            .field("message", &self.message)
            .field("data_bytes", &data_bytes)
            .finish()
    }
}

impl fmt::Display for ErrorObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            write!(f, "error {}", self.code)
        } else {
            write!(f, "{} (error {})", self.message, self.code)
        }
    }
}

/// Why a message is no JSON-RPC.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is no JSON, or its members have other types than the specification requires.
    #[error("no JSON-RPC message: {0}")]
    Malformed(String),
    /// It has neither a method nor a result or an error.
    #[error("the message has neither a method nor a result or an error")]
    Neither,
    /// The id of a request is longer than [`ID_BYTES_MAX`], so that the response, which repeats it, would be as well.
    #[error("a request with an id of more than {ID_BYTES_MAX} bytes")]
    IdTooLong,
    /// A batch has more messages than the limit.
    #[error("a batch of more than {count_max} messages")]
    BatchTooLong {
        /// The most that are accepted.
        count_max: usize,
    },
}

/// Adds the message, or those of a batch of at most `batch_max` messages, to `into`. Results, params and data share the
/// memory of the message.
///
/// # Errors
///
/// The message is no JSON-RPC; nothing is added then, also if a part of a batch is valid.
pub fn decode(
    message: &Bytes,
    batch_max: usize,
    into: &mut Vec<Incoming>,
) -> Result<(), DecodeError> {
    if let Some(response) = written::response(message) {
        into.push(response);
        return Ok(());
    }
    let first = message.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'[') {
        into.push(decode_any(message)?);
        return Ok(());
    }
    let batch = parts(message, batch_max)?;
    let length_before = into.len();
    for part in batch {
        let decoded = serde_json::from_str(part.get())
            .map_err(|error| malformed(&error))
            .and_then(|shape| incoming(message, shape));
        match decoded {
            Ok(decoded) => into.push(decoded),
            Err(error) => {
                into.truncate(length_before);
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Reads all members of a message that is no batch.
pub(super) fn decode_any(message: &Bytes) -> Result<Incoming, DecodeError> {
    let shape = serde_json::from_slice(message).map_err(|error| malformed(&error))?;
    incoming(message, shape)
}

/// The parts of a batch.
fn parts(message: &[u8], count_max: usize) -> Result<Vec<&RawValue>, DecodeError> {
    let mut deserializer = serde_json::Deserializer::from_slice(message);
    let read = deserializer.deserialize_seq(Parts { count_max });
    let parts = read
        .and_then(|parts| deserializer.end().map(|()| parts))
        .map_err(|error| malformed(&error))?;
    parts.ok_or(DecodeError::BatchTooLong { count_max })
}

/// Reads the parts of a batch; `None` if there are too many, for which no memory is allocated.
struct Parts {
    count_max: usize,
}

impl<'de> Visitor<'de> for Parts {
    type Value = Option<Vec<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut parts = Vec::new();
        while parts.len() < self.count_max {
            let Some(part) = seq.next_element()? else {
                return Ok(Some(parts));
            };
            parts.push(part);
        }
        let mut is_too_long = false;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            is_too_long = true;
        }
        Ok((!is_too_long).then_some(parts))
    }
}

/// The id of the subscription, as raw JSON, and the item of a notification with these params, which share the memory of the
/// params; `None` if they have another form.
pub fn subscription_item(params: &Bytes) -> Option<(Bytes, Bytes)> {
    let shape: ItemShape<'_> = serde_json::from_slice(params).ok()?;
    let (id, item) = (shape.subscription.0?, shape.result.0?);
    Some((share(params, id), share(params, item)))
}

/// The name of the collection of a notification with these params, and the member `error`, which shares their memory; `None`
/// if they have another form.
pub fn collection_of(params: &Bytes) -> Option<(String, Option<Bytes>)> {
    let shape: CollectionShape<'_> = serde_json::from_slice(params).ok()?;
    let name = shape.collection.0.into_owned();
    let error = shape.error.0.filter(|error| error.get() != "null");
    let error = error.map(|error| share(params, error));
    (!name.is_empty()).then_some((name, error))
}

/// The position and the kind of the error; its text could quote the message.
fn malformed(error: &serde_json::Error) -> DecodeError {
    let kind = match error.classify() {
        serde_json::error::Category::Data => "a member has another type or is repeated",
        serde_json::error::Category::Eof => "the text ends within a value",
        serde_json::error::Category::Io | serde_json::error::Category::Syntax => "no JSON",
    };
    let (line, column) = (error.line(), error.column());
    DecodeError::Malformed(format!("{kind} at byte {column} of line {line}"))
}

fn incoming(message: &Bytes, shape: Message<'_>) -> Result<Incoming, DecodeError> {
    if !shape.method.0.is_empty() {
        let method = shape.method.0.into_owned();
        let params = shape.params.0.map(|it| share(message, it));
        let params = params.unwrap_or_default();
        // Notifications of JSON-RPC 1.0, which some peers still send, have the id null; no response to it is possible.
        return Ok(match shape.id.0.filter(|id| id.get() != "null") {
            Some(id) if id.get().len() > ID_BYTES_MAX => return Err(DecodeError::IdTooLong),
            Some(id) => Incoming::Request {
                id: id.get().to_owned(),
                method,
                params,
            },
            None => Incoming::Notification { method, params },
        });
    }
    // Some peers send `"error": null` with a result, and others `"result": null` with an error.
    let outcome = match (shape.error, shape.result.0) {
        (Some(error), _) => Err(error_object(message, error)),
        (None, Some(result)) => Ok(share(message, result)),
        (None, None) => return Err(DecodeError::Neither),
    };
    let id = shape.id.0.map_or(ResponseId::Null, response_id);
    Ok(Incoming::Response { id, outcome })
}

fn error_object(message: &Bytes, shape: ErrorShape<'_>) -> ErrorObject {
    ErrorObject {
        code: shape.code,
        message: shape.message.0.into_owned(),
        data: shape.data.0.map(|it| share(message, it)),
    }
}

fn share(message: &Bytes, part: &RawValue) -> Bytes {
    message.slice_ref(part.get().as_bytes())
}

pub(super) fn response_id(raw: &RawValue) -> ResponseId {
    let text = raw.get();
    if text == "null" {
        return ResponseId::Null;
    }
    let unquoted = text
        .strip_prefix('"')
        .and_then(|it| it.strip_suffix('"'))
        .unwrap_or(text);
    let (digits, fraction) = unquoted.split_once('.').unwrap_or((unquoted, ""));
    let is_integer = fraction.bytes().all(|byte| byte == b'0')
        && !digits.starts_with('+')
        && (digits == "0" || !digits.starts_with('0'));
    match digits.parse() {
        Ok(number) if is_integer => ResponseId::Number(number),
        _ => {
            let (kept, _) = text.split_at(text.floor_char_boundary(ID_BYTES_MAX));
            ResponseId::Unknown(kept.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<Incoming>, DecodeError> {
        let mut into = Vec::new();
        decode(&Bytes::copy_from_slice(text.as_bytes()), 3, &mut into).map(|()| into)
    }

    fn one(text: &str) -> Incoming {
        read(text).expect("valid").remove(0)
    }

    fn id(raw: &str) -> ResponseId {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{raw},"result":1}}"#);
        let Incoming::Response { id, .. } = one(&text) else {
            panic!("no response: {text}");
        };
        id
    }

    #[test]
    fn an_id_is_recognized_in_any_form() {
        for form in ["7", r#""7""#, "7.0", "7.00"] {
            assert_eq!(id(form), ResponseId::Number(7), "{form}");
        }
        for form in [
            "-7",
            r#""07""#,
            r#""+7""#,
            "7.5",
            "7e0",
            r#""a""#,
            "[7]",
            "4294967296",
        ] {
            assert_eq!(id(form), ResponseId::Unknown(form.to_owned()), "{form}");
        }
        assert_eq!(id("null"), ResponseId::Null);
        assert_eq!(id("0"), ResponseId::Number(0));
    }

    #[test]
    fn of_a_long_id_only_its_begin_is_kept_and_a_request_with_one_is_rejected() {
        let longest = format!(r#""{}""#, "é".repeat(127));
        let longer = format!(r#""{}""#, "é".repeat(128));
        assert_eq!(id(&longest), ResponseId::Unknown(longest.clone()));
        let begin = format!(r#""{}"#, "é".repeat(127));
        assert_eq!(id(&longer), ResponseId::Unknown(begin));

        let request = |id: &str| read(&format!(r#"{{"id":{id},"method":"m"}}"#));
        assert!(request(&longest).is_ok());
        assert_eq!(request(&longer), Err(DecodeError::IdTooLong));
    }

    #[test]
    fn a_null_result_is_a_result_and_a_missing_id_is_null() {
        assert_eq!(
            one(r#"{"jsonrpc":"2.0","id":1,"result":null}"#),
            Incoming::Response {
                id: ResponseId::Number(1),
                outcome: Ok(Bytes::from_static(b"null")),
            }
        );
        let error = ErrorObject::new(-32_700, "Parse error");
        for text in [
            r#"{"error":{"code":-32700,"message":"Parse error"},"result":null}"#,
            r#"{"id":null,"error":{"message":"Parse error","code":-32700,"data":1}}"#,
        ] {
            let Incoming::Response { id, outcome } = one(text) else {
                panic!("{text}");
            };
            assert_eq!(id, ResponseId::Null);
            let received = outcome.expect_err("an error");
            assert_eq!(
                (received.code, received.message),
                (error.code, error.message.clone())
            );
        }
        let both = one(r#"{"id":1,"result":2,"error":null}"#);
        assert!(
            matches!(both, Incoming::Response { outcome: Ok(_), .. }),
            "{both:?}"
        );
    }

    #[test]
    fn a_method_with_the_id_null_is_a_notification() {
        let expected = Incoming::Notification {
            method: "m".to_owned(),
            params: Bytes::from_static(b"[1]"),
        };
        for id in [r#""id":null,"#, ""] {
            assert_eq!(
                one(&format!(r#"{{{id}"method":"m","params":[1]}}"#)),
                expected
            );
        }
    }

    #[test]
    fn results_share_the_memory_of_the_message() {
        let message = Bytes::from_static(br#" {"id":1,"result":{"a":[1,2]}}"#);
        let mut into = Vec::new();
        decode(&message, 1, &mut into).expect("valid");

        let Some(Incoming::Response {
            outcome: Ok(result),
            ..
        }) = into.pop()
        else {
            panic!("no response");
        };
        assert_eq!(result, br#"{"a":[1,2]}"#.as_slice());
        let offset = result.as_ptr().addr() - message.as_ptr().addr();
        assert_eq!(offset, 18);
    }

    #[test]
    fn a_batch_is_read_as_a_whole_or_not_at_all() {
        let batch =
            read(r#"[{"id":1,"result":1},{"method":"m"},{"id":"x","method":"r","params":[]}]"#);
        let batch = batch.expect("valid");
        assert!(matches!(
            batch.as_slice(),
            [
                Incoming::Response { .. },
                Incoming::Notification { .. },
                Incoming::Request { .. }
            ]
        ));
        let request = batch.into_iter().next_back();
        assert_eq!(
            request,
            Some(Incoming::Request {
                id: r#""x""#.to_owned(),
                method: "r".to_owned(),
                params: Bytes::from_static(b"[]"),
            })
        );
        assert_eq!(read("[]"), Ok(Vec::new()));
        assert_eq!(
            read(r#"[{"id":1,"result":1},{}]"#),
            Err(DecodeError::Neither)
        );
        let of = |count| {
            let one = r#"{"id":1,"result":1}"#;
            read(&format!(" [{}]", vec![one; count].join(",")))
        };
        assert_eq!(of(3).map(|it| it.len()), Ok(3));
        for count in [4, 5] {
            assert_eq!(of(count), Err(DecodeError::BatchTooLong { count_max: 3 }));
        }
        for text in [
            "[1",
            r#"[{"id":1,"result":1}]]"#,
            r#"[{"id":1,"result":1},]"#,
        ] {
            assert!(
                matches!(read(text), Err(DecodeError::Malformed(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_json_rpc_is_an_error_that_quotes_nothing() {
        for text in [
            "",
            "secret",
            r#"{"id":1,"result":"secret"#,
            r#"{"id":1,"method":["secret"]}"#,
            r#"{"id":1,"id":2,"result":"secret"}"#,
            r#"{"id":1}"#,
            "1",
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        let shown = format!(
            "{:?}",
            ErrorObject::new(1, "m").data(Bytes::from_static(b"\"secret\""))
        );
        assert_eq!(
            shown,
            r#"ErrorObject { code: 1, message: "m", data_bytes: Some(8) }"#
        );
    }

    proptest! {
        #[test]
        fn no_bytes_cause_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut into = Vec::new();
            let outcome = decode(&Bytes::from(bytes), 3, &mut into);
            prop_assert!(outcome.is_ok() || into.is_empty());
        }
    }
}
