//! Errors of the API: the number, the reason and the invalid attributes in the data of an error.
//!
//! The stack trace of an error is dropped: its frames have the values of all variables, and so the parameters of the call.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::jsonrpc::ErrorObject;

/// The longest text that is kept, in bytes.
const TEXT_BYTES_MAX: usize = 4 << 10;
/// The most invalid attributes that are kept.
const ATTRIBUTES_MAX: usize = 256;
/// The longest data that is parsed, in bytes: traces have hundreds of kB.
const DATA_BYTES_MAX: usize = 16 << 20;

/// An error of the API.
///
/// ```
/// use steadfast_core::dialect::jsonrpc::ErrorObject;
/// use steadfast_core::dialect::truenas::{ApiError, Errno};
///
/// let data = r#"{"error": 207, "errname": "ENOTAUTHENTICATED", "reason": "[ENOTAUTHENTICATED] Not authenticated"}"#;
/// let error = ApiError::from(&ErrorObject::new(-32001, "Method call error").data(data.into()));
/// assert_eq!(error.errno, Some(Errno::NotAuthenticated));
/// assert!(error.is_not_authenticated());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiError {
    /// The code of the JSON-RPC error; 0 for the error of a job and of a subscription, which have none.
    pub code: i64,
    /// The kind of error; `None` if the error has no data, as one of the protocol.
    pub errno: Option<Errno>,
    /// The name of the kind, such as `ENOENT`; possibly empty.
    pub errname: String,
    /// What happened, for humans; at most 4 KiB.
    pub reason: String,
    /// What is wrong with which attribute of the parameters, at most 256 of them; empty for most errors.
    pub attributes: Vec<InvalidAttribute>,
}

/// An attribute of the parameters that is invalid, or names something that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidAttribute {
    /// The path of the attribute, such as `pool_dataset_create.name`.
    pub attribute: String,
    /// What is wrong, for humans.
    pub message: String,
    /// The kind of error.
    pub errno: Errno,
}

/// The number of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Errno {
    /// A number of the operating system, such as 2 for `ENOENT`, or one that is not known here.
    System(i64),
    /// 201: the method does not exist.
    NoMethod,
    /// 202: a service did not start.
    ServiceStartFailure,
    /// 203: the source of an alert is not available.
    AlertCheckerUnavailable,
    /// 204: the other controller reported an error.
    RemoteNodeError,
    /// 205: the dataset is locked.
    DatasetIsLocked,
    /// 206: the timestamp of a reporting database is invalid.
    InvalidRrdTimestamp,
    /// 207: the session has expired, or there was no login.
    NotAuthenticated,
    /// 208: a certificate could not be verified.
    CertificateVerification,
    /// 209: the system has to be restarted first.
    RebootRequired,
    /// 210: the pair of controllers is not available.
    HaUnavailable,
}

impl Errno {
    /// A call is not permitted for this user (`EACCES`).
    pub const ACCESS: Self = Self::System(13);
    /// Too many calls, or something is in use (`EBUSY`).
    pub const BUSY: Self = Self::System(16);
    /// Something exists already (`EEXIST`).
    pub const EXISTS: Self = Self::System(17);
    /// A parameter is invalid (`EINVAL`).
    pub const INVALID: Self = Self::System(22);
    /// Something does not exist (`ENOENT`).
    pub const NO_ENTRY: Self = Self::System(2);

    /// The error with this number.
    pub const fn from_number(number: i64) -> Self {
        match number {
            201 => Self::NoMethod,
            202 => Self::ServiceStartFailure,
            203 => Self::AlertCheckerUnavailable,
            204 => Self::RemoteNodeError,
            205 => Self::DatasetIsLocked,
            206 => Self::InvalidRrdTimestamp,
            207 => Self::NotAuthenticated,
            208 => Self::CertificateVerification,
            209 => Self::RebootRequired,
            210 => Self::HaUnavailable,
            _ => Self::System(number),
        }
    }

    /// The number in the data of an error. It is known also if the data is too long for an [`ApiError`], because of its trace.
    pub(super) fn of(error: &ErrorObject) -> Option<Self> {
        let data = error.data.as_deref()?;
        let is_object = data.trim_ascii_start().first() == Some(&b'{');
        let number: Number = serde_json::from_slice(data).ok().filter(|_| is_object)?;
        number.error.map(Self::from_number)
    }

    /// The number of this error.
    pub const fn number(self) -> i64 {
        match self {
            Self::System(number) => number,
            Self::NoMethod => 201,
            Self::ServiceStartFailure => 202,
            Self::AlertCheckerUnavailable => 203,
            Self::RemoteNodeError => 204,
            Self::DatasetIsLocked => 205,
            Self::InvalidRrdTimestamp => 206,
            Self::NotAuthenticated => 207,
            Self::CertificateVerification => 208,
            Self::RebootRequired => 209,
            Self::HaUnavailable => 210,
        }
    }
}

/// The number of an error alone.
#[derive(Deserialize)]
struct Number {
    error: Option<i64>,
}

/// The data of an error, without its trace.
#[derive(Deserialize)]
struct Data<'a> {
    error: Option<i64>,
    errname: Option<String>,
    reason: Option<String>,
    #[serde(borrow)]
    extra: Option<&'a RawValue>,
}

/// What a failed job says about its error.
#[derive(Deserialize)]
struct ExcInfo<'a> {
    errno: Option<i64>,
    #[serde(borrow)]
    extra: Option<&'a RawValue>,
}

impl ApiError {
    /// The error of a subscription, as raw JSON; its members are those of the data of other errors. If it has another form,
    /// the error has no reason.
    pub fn from_data(data: &[u8]) -> Self {
        let mut error = Self::new(0, "");
        if data.len() > DATA_BYTES_MAX {
            return error;
        }
        let Ok(parsed) = serde_json::from_slice::<Data<'_>>(data) else {
            return error;
        };
        error.errno = parsed.error.map(Errno::from_number);
        error.errname = bounded(parsed.errname.unwrap_or_default(), TEXT_BYTES_MAX);
        error.reason = bounded(parsed.reason.unwrap_or_default(), TEXT_BYTES_MAX);
        error.attributes = attributes(parsed.extra);
        error
    }

    /// The error of a failed job: its text, and its `exc_info` as raw JSON.
    pub fn of_job(text: &str, exc_info: Option<&RawValue>) -> Self {
        let mut error = Self::new(0, text);
        let info = exc_info.filter(|info| info.get().len() <= DATA_BYTES_MAX);
        let info: Option<ExcInfo<'_>> = info.and_then(|it| serde_json::from_str(it.get()).ok());
        if let Some(info) = info {
            error.errno = info.errno.map(Errno::from_number);
            error.attributes = attributes(info.extra);
        }
        error
    }

    fn new(code: i64, reason: &str) -> Self {
        let kept = reason.floor_char_boundary(TEXT_BYTES_MAX);
        let (reason, _) = reason.split_at(kept);
        Self {
            code,
            errno: None,
            errname: String::new(),
            reason: reason.to_owned(),
            attributes: Vec::new(),
        }
    }

    /// Whether the session has expired, or there was no login: after another login the call may succeed.
    pub fn is_not_authenticated(&self) -> bool {
        self.errno == Some(Errno::NotAuthenticated)
    }

    /// Whether calls without a login were too frequent for the server: 20 in 60 s for a method and an address. The number of
    /// this error is also that of what is in use, so that the text decides.
    pub fn is_rate_limited(&self) -> bool {
        self.errno == Some(Errno::BUSY) && self.reason.contains("Rate Limit Exceeded")
    }
}

impl From<&ErrorObject> for ApiError {
    /// The error of a call. Without data, or with data of another form, the message is the reason.
    fn from(object: &ErrorObject) -> Self {
        let data = object.data.as_ref();
        let parsed = data.map_or_else(|| Self::new(0, ""), |data| Self::from_data(data));
        let message = Self::new(object.code, &object.message);
        let reason = if parsed.reason.is_empty() {
            message.reason
        } else {
            parsed.reason
        };
        Self {
            code: object.code,
            reason,
            ..parsed
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.reason.as_str(), self.errno) {
            ("", Some(errno)) => write!(f, "error {}", errno.number()),
            ("", None) => write!(f, "error {}", self.code),
            (reason, _) => f.write_str(reason),
        }
    }
}

impl std::error::Error for ApiError {}

/// The begin of a text, at most this number of bytes.
pub(super) fn bounded(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

/// A list of attributes, each with its message and its number; other errors have other values here.
fn attributes(extra: Option<&RawValue>) -> Vec<InvalidAttribute> {
    let list: Option<Vec<(String, String, i64)>> =
        extra.and_then(|extra| serde_json::from_str(extra.get()).ok());
    let list = list.unwrap_or_default().into_iter().take(ATTRIBUTES_MAX);
    list.map(|(attribute, message, number)| InvalidAttribute {
        attribute: bounded(attribute, TEXT_BYTES_MAX),
        message: bounded(message, TEXT_BYTES_MAX),
        errno: Errno::from_number(number),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn error(code: i64, data: &str) -> ApiError {
        let object = ErrorObject::new(code, "Method call error");
        ApiError::from(&object.data(Bytes::copy_from_slice(data.as_bytes())))
    }

    #[test]
    fn an_error_has_the_number_and_the_reason_of_its_data_and_not_the_trace() {
        let error = error(
            -32_001,
            r#"{"error":2,"errname":"ENOENT","reason":"[ENOENT] no pool","extra":null,
            "trace":{"class":"CallError","frames":[{"locals":{"password":"hunter2"}}]}}"#,
        );

        assert_eq!(error.errno, Some(Errno::NO_ENTRY));
        assert_eq!((error.code, error.errname.as_str()), (-32_001, "ENOENT"));
        assert_eq!(error.to_string(), "[ENOENT] no pool");
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn an_invalid_parameter_names_its_attributes() {
        let error = error(
            -32_602,
            r#"{"error":22,"reason":"[EINVAL] x","extra":[["create.name","too long",22],["create.pool","unknown",2]]}"#,
        );

        let attribute = |attribute: &str, message: &str, errno| InvalidAttribute {
            attribute: attribute.to_owned(),
            message: message.to_owned(),
            errno,
        };
        assert_eq!(
            error.attributes,
            [
                attribute("create.name", "too long", Errno::INVALID),
                attribute("create.pool", "unknown", Errno::NO_ENTRY),
            ]
        );
    }

    #[test]
    fn an_error_without_data_or_with_other_data_has_its_message() {
        let unknown = ApiError::from(&ErrorObject::new(-32_601, "Method does not exist"));
        assert_eq!(unknown.errno, None);
        assert_eq!(unknown.to_string(), "Method does not exist");
        for data in ["1", "[]", "{}", r#"{"error":"x"}"#, r#"{"extra":1}"#, "no"] {
            let error = error(-32_001, data);
            assert_eq!((error.errno, error.code), (None, -32_001), "{data}");
            assert_eq!(error.to_string(), "Method call error", "{data}");
        }
        let empty = ApiError::from_data(b"null");
        assert_eq!(empty.to_string(), "error 0");
        let number = ApiError::from_data(br#"{"error":210,"extra":{"a":1}}"#);
        assert_eq!(number.to_string(), "error 210");
    }

    #[test]
    fn each_number_of_the_api_has_a_name_and_all_numbers_are_kept() {
        for number in 201..=210 {
            let errno = Errno::from_number(number);
            assert!(!matches!(errno, Errno::System(_)), "{number}");
            assert_eq!(errno.number(), number);
        }
        for number in [-1, 0, 2, 200, 211, i64::MAX] {
            assert_eq!(Errno::from_number(number), Errno::System(number));
            assert_eq!(Errno::System(number).number(), number);
        }
    }

    #[test]
    fn only_an_expired_session_is_not_authenticated_and_only_one_busy_error_is_a_rate_limit() {
        let is = |number: i64, reason: &str| {
            let error = error(
                -32_001,
                &format!(r#"{{"error":{number},"reason":"{reason}"}}"#),
            );
            (error.is_not_authenticated(), error.is_rate_limited())
        };
        assert_eq!(is(207, "x"), (true, false));
        assert_eq!(is(16, "[EBUSY] Rate Limit Exceeded"), (false, true));
        assert_eq!(is(16, "[EBUSY] dataset is busy"), (false, false));
        assert_eq!(is(13, "Rate Limit Exceeded"), (false, false));
    }

    #[test]
    fn what_is_kept_of_an_error_is_bounded() {
        let long = "é".repeat(TEXT_BYTES_MAX);
        let entry = format!(r#"["{long}","{long}",22]"#);
        let entries = vec![entry; ATTRIBUTES_MAX + 1].join(",");
        let data =
            format!(r#"{{"error":22,"reason":"{long}","errname":"{long}","extra":[{entries}]}}"#);
        let error = ApiError::from_data(data.as_bytes());

        assert_eq!(error.attributes.len(), ATTRIBUTES_MAX);
        let attribute = &error.attributes[0];
        for text in [
            &error.reason,
            &error.errname,
            &attribute.attribute,
            &attribute.message,
        ] {
            assert_eq!(text.len(), TEXT_BYTES_MAX);
        }
        let message = ApiError::from(&ErrorObject::new(1, long));
        assert_eq!(message.reason.len(), TEXT_BYTES_MAX);
        let too_long = vec![b' '; DATA_BYTES_MAX + 1];
        assert_eq!(ApiError::from_data(&too_long).errno, None);
    }

    #[test]
    fn the_error_of_a_job_has_its_text_and_the_number_of_its_exception() {
        let info = RawValue::from_string(
            r#"{"repr":"x","type":"CallError","errno":17,"extra":null}"#.to_owned(),
        );
        let error = ApiError::of_job("[EEXIST] exists", info.ok().as_deref());

        assert_eq!(error.errno, Some(Errno::EXISTS));
        assert_eq!(error.to_string(), "[EEXIST] exists");
        assert_eq!(ApiError::of_job("x", None).errno, None);
    }
}
