//! The errors of the middleware: codes, error numbers with their names, and the object with the details.

use serde_json::{Value, json};

use crate::version::ApiVersion;

pub(crate) const PARSE_ERROR: i64 = -32_700;
pub(crate) const INVALID_REQUEST: i64 = -32_600;
const METHOD_NOT_FOUND: i64 = -32_601;
const INVALID_PARAMS: i64 = -32_602;
const TOO_MANY_CALLS: i64 = -32_000;
const CALL_ERROR: i64 = -32_001;

/// An error number: those of POSIX, and those that the middleware adds from 201 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errno {
    NoEntry,
    Access,
    Busy,
    Exists,
    Invalid,
    NotSupported,
    NotAuthenticated,
}

impl Errno {
    pub(crate) const fn number(self) -> i64 {
        match self {
            Self::NoEntry => 2,
            Self::Access => 13,
            Self::Busy => 16,
            Self::Exists => 17,
            Self::Invalid => 22,
            Self::NotSupported => 95,
            Self::NotAuthenticated => 207,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::NoEntry => "ENOENT",
            Self::Access => "EACCES",
            Self::Busy => "EBUSY",
            Self::Exists => "EEXIST",
            Self::Invalid => "EINVAL",
            Self::NotSupported => "EOPNOTSUPP",
            Self::NotAuthenticated => "ENOTAUTHENTICATED",
        }
    }
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallError {
    /// The method does not exist, or not any more.
    MethodNotFound,
    /// The connection has too many calls.
    TooManyCalls,
    /// A parameter is invalid, or what it names does not exist.
    Invalid {
        attribute: String,
        text: String,
        errno: Errno,
    },
    /// Any other failure.
    Failed { errno: Errno, text: String },
}

impl CallError {
    pub(crate) fn failed(errno: Errno, text: &str) -> Self {
        Self::Failed {
            errno,
            text: text.to_owned(),
        }
    }

    pub(crate) fn invalid(attribute: &str, text: impl Into<String>, errno: Errno) -> Self {
        Self::Invalid {
            attribute: attribute.to_owned(),
            text: text.into(),
            errno,
        }
    }

    /// A parameter is missing.
    pub(crate) fn required(attribute: &str) -> Self {
        Self::invalid(attribute, "Field required", Errno::Invalid)
    }

    /// The text with the name of the error number.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::MethodNotFound => "Method does not exist".to_owned(),
            Self::TooManyCalls => format!(
                "Maximum number of concurrent calls ({}) has exceeded",
                crate::limits::OPEN_MAX
            ),
            Self::Invalid {
                attribute,
                text,
                errno,
            } => format!("[{}] {attribute}: {text}", errno.name()),
            Self::Failed { errno, text } => format!("[{}] {text}", errno.name()),
        }
    }

    /// The error of a reply, as a server of this release writes it.
    pub(crate) fn to_json(&self, release: ApiVersion) -> Value {
        match self {
            Self::MethodNotFound => error(METHOD_NOT_FOUND, &self.reason()),
            Self::TooManyCalls => error(TOO_MANY_CALLS, &self.reason()),
            Self::Invalid { .. } => json!({
                "code": INVALID_PARAMS,
                "message": "Invalid params",
                "data": self.data(release),
            }),
            Self::Failed { .. } => json!({
                "code": CALL_ERROR,
                "message": "Method call error",
                "data": self.data(release),
            }),
        }
    }

    /// The details; also the error of `notify_unsubscribed`.
    pub(crate) fn data(&self, release: ApiVersion) -> Value {
        let (errno, class, extra) = match self {
            Self::Invalid {
                attribute,
                text,
                errno,
            } => {
                let extra = json!([[attribute, text, errno.number()]]);
                (Errno::Invalid, "ValidationErrors", extra)
            }
            Self::Failed { errno, .. } => (*errno, "CallError", Value::Null),
            Self::MethodNotFound | Self::TooManyCalls => (Errno::Invalid, "CallError", Value::Null),
        };
        let reason = self.reason();
        json!({
            "error": errno.number(),
            "errname": errno.name(),
            "trace": trace(class, &reason, release),
            "extra": extra,
            "reason": reason,
        })
    }
}

/// An error of the protocol, without details.
pub(crate) fn error(code: i64, message: &str) -> Value {
    json!({"code": code, "message": message})
}

fn trace(class: &str, reason: &str, release: ApiVersion) -> Value {
    let mut trace = json!({
        "class": class,
        "formatted": format!("Traceback (most recent call last):\n{class}: {reason}\n"),
        "repr": format!("{class}({reason:?})"),
    });
    // Real frames have the local variables of each function, which can be hundreds of kB.
    if release < ApiVersion::V27_0_0
        && let Some(fields) = trace.as_object_mut()
    {
        fields.insert(
            "frames".to_owned(),
            json!([{
                "filename": "middlewared/api/base/server/method.py",
                "lineno": 50,
                "method": "call",
                "line": "result = await self._call(app, id_, params)",
                "argspec": [],
                "locals": {},
            }]),
        );
    }
    trace
}
