//! Responses: status, type and body. Their texts and line ends are Toxiproxy's, on which its clients rely.

use bytes::Bytes;
use hyper::StatusCode;
use serde::Serialize;

use crate::event::Events;
use crate::set::ProxySet;

pub(super) const JSON: &str = "application/json";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// The response to one request.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// `None` without a body.
    pub(super) content_type: Option<&'static str>,
    pub(super) body: ReplyBody,
}

#[derive(Debug)]
pub(super) enum ReplyBody {
    Complete(Bytes),
    /// A first line, then a line for each event until the client leaves.
    Events {
        first: Bytes,
        events: Events,
    },
}

impl Reply {
    fn complete(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type: Some(content_type),
            body: ReplyBody::Complete(body.into()),
        }
    }

    /// A response in JSON, without a line end.
    pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => Self::complete(status, JSON, body),
            // The views have only keys of text, which can always be written.
            Err(error) => Self::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }

    pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::complete(status, TEXT, body)
    }

    /// Success without a body.
    pub(super) const fn empty() -> Self {
        Self::without_body(StatusCode::NO_CONTENT)
    }

    const fn without_body(status: StatusCode) -> Self {
        Self {
            status,
            content_type: None,
            body: ReplyBody::Complete(Bytes::new()),
        }
    }

    pub(super) fn version(version: &str) -> Self {
        let body = format!("{{\"version\": \"{version}\"}}\n");
        Self::complete(StatusCode::OK, "application/json;charset=utf-8", body)
    }

    pub(super) fn metrics(text: String) -> Self {
        Self::complete(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            text,
        )
    }

    pub(super) fn events(set: &ProxySet) -> Self {
        // Subscribed before the first line is written, so that a client that has read it misses nothing.
        let events = set.events();
        let first = super::events::first_line(set.seed(), set.now());
        Self {
            status: StatusCode::OK,
            content_type: Some("application/x-ndjson"),
            body: ReplyBody::Events { first, events },
        }
    }

    pub(super) fn not_found() -> Self {
        Self::text(StatusCode::NOT_FOUND, "404 page not found\n")
    }

    pub(super) const fn wrong_method() -> Self {
        Self::without_body(StatusCode::METHOD_NOT_ALLOWED)
    }

    pub(super) fn browser() -> Self {
        Self::text(StatusCode::FORBIDDEN, "User agent not allowed\n")
    }

    pub(super) fn too_slow() -> Self {
        let page = "<html><head><title>Timeout</title></head><body><h1>Timeout</h1></body></html>";
        Self::complete(
            StatusCode::SERVICE_UNAVAILABLE,
            "text/html; charset=utf-8",
            page,
        )
    }
}
