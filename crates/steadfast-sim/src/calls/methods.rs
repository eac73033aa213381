//! The methods that the applications call, their params, and what is read of their results.

use bytes::Bytes;
use serde_json::{Value, json};
use steadfast_core::dialect::jsonrpc::{Class, MethodCall};

/// A call of a run, by its number, which its params and its result have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CallNumber(pub(super) u64);

/// A method of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// A write that is executed before its reply.
    Create,
    /// A write that begins a job: the reply comes at once.
    Scrub,
    /// Executing it twice has the same effect.
    Update,
    /// It has no effect.
    Query,
    /// It has no effect, and a result above the limit of the client.
    QueryAll,
}

impl Method {
    const ALL: [Self; 5] = [
        Self::Create,
        Self::Scrub,
        Self::Update,
        Self::Query,
        Self::QueryAll,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Create => "pool.dataset.create",
            Self::Scrub => "pool.scrub.scrub",
            Self::Update => "pool.dataset.update",
            Self::Query => "pool.dataset.query",
            Self::QueryAll => "pool.dataset.query_all",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    pub(super) const fn class(self) -> Class {
        match self {
            Self::Create | Self::Scrub => Class::Write,
            Self::Update => Class::Idempotent,
            Self::Query | Self::QueryAll => Class::Read,
        }
    }
}

/// What an application calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arguments {
    pub(super) number: CallNumber,
    /// The length of the padding, in bytes.
    pub(super) padding: usize,
    /// Whether the server replies with an error, without an effect.
    pub(super) fails: bool,
}

/// Returns a call as the application makes it.
pub(super) fn call(method: Method, arguments: Arguments) -> MethodCall {
    let Arguments {
        number,
        padding,
        fails,
    } = arguments;
    let params = json!([{"number": number.0, "fails": fails, "padding": "x".repeat(padding)}]);
    MethodCall {
        method: method.name().to_owned(),
        params: Bytes::from(params.to_string()),
        class: method.class(),
    }
}

/// Returns the number of a call and whether it fails, from its params as the server reads them.
pub(super) fn read_params(params: &Value) -> Option<(CallNumber, bool)> {
    let first = params.get(0)?;
    let fails = first.get("fails").and_then(Value::as_bool);
    Some((number(first)?, fails.unwrap_or_default()))
}

/// Returns the result of a call as the server writes it.
pub(super) fn result(method: Method, number: CallNumber, padding: usize) -> Value {
    let padding = match method {
        Method::QueryAll => padding,
        Method::Create | Method::Scrub | Method::Update | Method::Query => 0,
    };
    json!({"number": number.0, "padding": "x".repeat(padding)})
}

/// Returns the call whose result this is.
pub(super) fn read_result(result: &[u8]) -> Option<CallNumber> {
    number(&serde_json::from_slice(result).ok()?)
}

fn number(value: &Value) -> Option<CallNumber> {
    value.get("number").and_then(Value::as_u64).map(CallNumber)
}
