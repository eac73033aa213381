//! From the text of a message to a request, or to the error that the middleware sends.

use serde_json::{Map, Value};

use crate::errors::{INVALID_REQUEST, PARSE_ERROR};
use crate::limits::{self, TooLong};

/// A valid request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    /// `None` for a notification, which has no reply.
    pub(crate) id: Option<Value>,
    pub(crate) method: String,
    pub(crate) params: Vec<Value>,
}

/// Why a message is no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// The connection is closed.
    TooLong(TooLong),
    /// An error with the id `null`, whatever the id of the request.
    Error { code: i64, text: String },
}

impl From<TooLong> for Unusable {
    fn from(too_long: TooLong) -> Self {
        Self::TooLong(too_long)
    }
}

/// Reads a message from a client.
pub(crate) fn read(is_authenticated: bool, text: &str) -> Result<Request, Unusable> {
    let characters = text.chars().count();
    limits::check(is_authenticated, characters)?;
    let parse_error = |text: String| Unusable::Error {
        code: PARSE_ERROR,
        text,
    };
    let fields = match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => fields,
        Ok(Value::Array(_)) => {
            return Err(parse_error(
                "Batch messages are not supported yet".to_owned(),
            ));
        }
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            return Err(parse_error("Invalid Message Format".to_owned()));
        }
        Err(error) => return Err(parse_error(error.to_string())),
    };
    limits::check_method(characters, fields.get("method").and_then(Value::as_str))?;
    request(fields).map_err(|text| Unusable::Error {
        code: INVALID_REQUEST,
        text,
    })
}

fn request(mut fields: Map<String, Value>) -> Result<Request, String> {
    match fields.remove("jsonrpc") {
        Some(Value::String(version)) if version == "2.0" => {}
        Some(other) => return Err(format!("{other} is not one of ['2.0']")),
        None => return Err("'jsonrpc' is a required property".to_owned()),
    }
    let method = match fields.remove("method") {
        Some(Value::String(method)) => method,
        Some(other) => return Err(format!("{other} is not of type 'string'")),
        None => return Err("'method' is a required property".to_owned()),
    };
    let params = match fields.remove("params") {
        Some(Value::Array(params)) => params,
        Some(other) => return Err(format!("{other} is not of type 'array'")),
        None => Vec::new(),
    };
    let id = match fields.remove("id") {
        None => None,
        Some(id @ (Value::Null | Value::Number(_) | Value::String(_))) => Some(id),
        Some(other) => return Err(format!("{other} is not of type 'null', 'number', 'string'")),
    };
    match fields.keys().next() {
        Some(name) => Err(format!(
            "Additional properties are not allowed ('{name}' was unexpected)"
        )),
        None => Ok(Request { id, method, params }),
    }
}
