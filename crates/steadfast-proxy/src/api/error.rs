//! Why a request is rejected: the status and the text of its response, and for files the place of the mistake.

use std::io;

use hyper::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

use super::input::InputError;
use crate::error::Error;

/// Why a request is rejected.
#[derive(Debug)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) text: String,
    /// What is wrong in the JSON, if that is the reason.
    pub(super) input: Option<InputError>,
    /// Whether another process listens on the port of a proxy.
    pub(super) is_port_in_use: bool,
}

/// The body of an error.
#[derive(Debug, Serialize)]
pub(super) struct ErrorBody<'a> {
    error: &'a str,
    status: u16,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            input: None,
            is_port_in_use: false,
        }
    }

    pub(super) fn proxy_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "proxy not found")
    }

    pub(super) fn toxic_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "toxic not found")
    }

    pub(super) fn toxic_exists() -> Self {
        Self::new(StatusCode::CONFLICT, "toxic already exists")
    }

    pub(super) fn connection_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "connection not found")
    }

    pub(super) fn bad_body(input: InputError) -> Self {
        Self::with_input(format!("bad request body: {}", input.message), input)
    }

    pub(super) fn bad_query(text: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("bad query: {text}"))
    }

    /// A required field is absent; `entry` is its number in a list, from 1.
    pub(super) fn missing_field(field: &str, entry: Option<usize>, input: InputError) -> Self {
        let text = match entry {
            None => format!("missing required field: {field}"),
            Some(entry) => format!("missing required field: {field} at proxy {entry}"),
        };
        Self::with_input(text, input)
    }

    /// The response has a fixed text, and a file gets the details.
    pub(super) fn with_input(text: impl Into<String>, input: InputError) -> Self {
        Self {
            input: Some(input),
            ..Self::new(StatusCode::BAD_REQUEST, text)
        }
    }

    /// Adds the entry of a file to an error that has no place in it.
    pub(super) fn at(mut self, value: &RawValue) -> Self {
        let text = &self.text;
        self.input
            .get_or_insert_with(|| InputError::new(value, text.clone()));
        self
    }

    /// Names the part of a list to which the error belongs.
    pub(super) fn in_part(mut self, part: &str) -> Self {
        self.text = format!("{part}: {}", self.text);
        self
    }

    pub(super) fn body(&self) -> ErrorBody<'_> {
        ErrorBody {
            error: &self.text,
            status: self.status.as_u16(),
        }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::ProxyNotFound(_) => return Self::proxy_not_found(),
            Error::ToxicNotFound(_) => return Self::toxic_not_found(),
            Error::ToxicExists(_) => return Self::toxic_exists(),
            Error::ConnectionNotFound(_) => return Self::connection_not_found(),
            Error::ProxyExists(_) => {
                return Self::new(StatusCode::CONFLICT, "proxy already exists");
            }
            Error::Toxic { problem, .. } => {
                let text = format!("bad request body: {problem}");
                return Self::new(StatusCode::BAD_REQUEST, text);
            }
            Error::Address { .. } | Error::Loop { .. } | Error::Circle { .. } => {
                StatusCode::BAD_REQUEST
            }
            Error::Full { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Error::Listen { .. } | Error::Runtime(_) | Error::Ended => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        let is_port_in_use = matches!(
            &error,
            Error::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse
        );
        Self {
            is_port_in_use,
            ..Self::new(status, error.to_string())
        }
    }
}
