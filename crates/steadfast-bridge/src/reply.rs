//! What the bridge sends to programs: results, errors with their outcomes, notifications.

use bytes::Bytes;
use serde_json::{Value, json};
use steadfast_protocol::jsonrpc::ErrorObject;

/// The method of the notifications that are the events of all subscriptions.
pub(crate) const EVENT: &str = "collection_update";

/// Codes of errors that the bridge returns; all other errors are those of the server, unchanged.
pub mod codes {
    /// Too many calls of the program wait; the code and the text of the server's own limit. Not executed.
    pub const TOO_MANY_CALLS: i64 = -32_000;
    /// The call was not sent to the server, so it was not executed.
    pub const NOT_SENT: i64 = -32_050;
    /// The connection to the server was lost after the call was sent.
    pub const INTERRUPTED: i64 = -32_051;
    /// The call was sent, and there was no reply in time.
    pub const TIMED_OUT: i64 = -32_052;
}

/// An error of the bridge, which says what became of the call.
pub(crate) fn outcome(
    code: i64,
    message: &str,
    outcome: &str,
    maybe_executed: bool,
) -> ErrorObject {
    let data = json!({"outcome": outcome, "maybe_executed": maybe_executed});
    ErrorObject::new(code, message).data(data.to_string().into())
}

/// The call was not sent.
pub(crate) fn not_sent(reason: &str) -> ErrorObject {
    outcome(
        codes::NOT_SENT,
        &format!("The call was not sent: {reason}"),
        "not_sent",
        false,
    )
}

/// More calls wait than permitted.
pub(crate) fn too_many_calls(limit: usize) -> ErrorObject {
    outcome(
        codes::TOO_MANY_CALLS,
        &format!("Maximum number of concurrent calls ({limit}) has exceeded"),
        "not_sent",
        false,
    )
}

/// The params of a method that the bridge executes are invalid, in the form of the server.
pub(crate) fn invalid_params(attribute: &str, text: &str) -> ErrorObject {
    let data = json!({
        "error": 22,
        "errname": "EINVAL",
        "reason": format!("[EINVAL] {attribute}: {text}"),
        "trace": null,
        "extra": [[attribute, text, 22]],
    });
    ErrorObject::new(
        steadfast_protocol::jsonrpc::codes::INVALID_PARAMS,
        "Invalid params",
    )
    .data(data.to_string().into())
}

/// A response with a result, raw JSON.
pub(crate) fn result(id: &[u8], result: &[u8]) -> Bytes {
    let parts = [
        br#"{"jsonrpc":"2.0","id":"#.as_slice(),
        id,
        br#","result":"#,
        result,
        b"}",
    ];
    parts.concat().into()
}

/// A response with an error.
pub(crate) fn error(id: &[u8], error: &ErrorObject) -> Bytes {
    let parts = [
        br#"{"jsonrpc":"2.0","id":"#.as_slice(),
        id,
        br#","error":"#,
        &error_json(error),
        b"}",
    ];
    parts.concat().into()
}

/// A notification, with params that are raw JSON.
pub(crate) fn notification(method: &str, params: &[u8]) -> Bytes {
    let method = Value::from(method).to_string();
    let parts = [
        br#"{"jsonrpc":"2.0","method":"#.as_slice(),
        method.as_bytes(),
        br#","params":"#,
        if params.is_empty() { b"[]" } else { params },
        b"}",
    ];
    parts.concat().into()
}

/// Events of a subscription may be missing.
pub(crate) fn gap(collection: &str, reason: &str) -> Bytes {
    let params = json!({"collection": collection, "reason": reason});
    notification("bridge.gap", params.to_string().as_bytes())
}

/// The server ended a subscription, in the form of the server.
pub(crate) fn unsubscribed(collection: &str, error: &ErrorObject) -> Bytes {
    let data = error.data.as_deref().map(serde_json::from_slice);
    let error = match data {
        // What the server says, also of a subscription that it rejects.
        Some(Ok(data @ Value::Object(_))) => data,
        // The server has ended it without an error.
        None if error.code == 0 => Value::Null,
        None | Some(_) => json!({
            "error": null,
            "errname": null,
            "reason": error.message,
            "trace": null,
            "extra": null,
        }),
    };
    let params = json!({"collection": collection, "error": error});
    notification("notify_unsubscribed", params.to_string().as_bytes())
}

fn error_json(error: &ErrorObject) -> Vec<u8> {
    let (code, message) = (error.code, Value::from(error.message.as_str()));
    let mut text = format!(r#"{{"code":{code},"message":{message}"#).into_bytes();
    if let Some(data) = &error.data {
        text.extend_from_slice(br#","data":"#);
        text.extend_from_slice(data);
    }
    text.push(b'}');
    text
}
