//! Calls and notifications of an application.

use std::fmt;

use bytes::Bytes;

use crate::dialect::{Call, Delivery, Message, Unsendable};

/// What executing a call twice does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Class {
    /// It has no effect: it is repeated when its reply is lost.
    Read,
    /// It has the effect of executing it once: it is repeated when its reply is lost. If that ends at its deadline, it says
    /// whether it may have been executed.
    Idempotent,
    /// It may have another effect: it is never repeated after it was sent. When its reply is lost, it ends with
    /// `maybe_executed`.
    #[default]
    Write,
}

/// Names of methods: a name, or the beginning or the end of names with a `*`, such as `pool.*` and `*.query`.
///
/// ```
/// use steadfast_core::dialect::jsonrpc::MethodPattern;
///
/// let queries = MethodPattern::new("*.query");
/// assert!(queries.matches("pool.query") && !queries.matches("pool.create"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodPattern {
    before: String,
    /// What follows the `*`; `None` if there is none.
    after: Option<String>,
}

impl MethodPattern {
    /// A pattern; only its first `*` has a meaning.
    pub fn new(pattern: &str) -> Self {
        match pattern.split_once('*') {
            Some((before, after)) => Self {
                before: before.to_owned(),
                after: Some(after.to_owned()),
            },
            None => Self {
                before: pattern.to_owned(),
                after: None,
            },
        }
    }

    /// Whether the name of a method matches.
    pub fn matches(&self, method: &str) -> bool {
        let rest = method.strip_prefix(&self.before);
        match &self.after {
            Some(after) => rest.is_some_and(|rest| rest.ends_with(after.as_str())),
            None => rest == Some(""),
        }
    }
}

/// A call of a method of the peer.
#[derive(Clone, PartialEq, Eq)]
pub struct MethodCall {
    /// The name of the method.
    pub method: String,
    /// Its params, raw JSON: an array, an object, or empty for none.
    pub params: Bytes,
    /// What executing it twice does.
    pub class: Class,
}

impl fmt::Debug for MethodCall {
    /// Without the content of the params, which may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MethodCall")
            .field("method", &self.method)
            .field("params_bytes", &self.params.len())
            .field("class", &self.class)
            .finish()
    }
}

impl Call for MethodCall {
    fn is_idempotent(&self) -> bool {
        self.class != Class::Write
    }

    fn has_effect(&self) -> bool {
        self.class != Class::Read
    }
}

/// A request without a response. It is sent at most once, and its outcome says that it was passed to the transport.
#[derive(Clone, PartialEq, Eq)]
pub struct Notification {
    /// The name of the method.
    pub method: String,
    /// Its params, raw JSON: an array, an object, or empty for none.
    pub params: Bytes,
}

impl fmt::Debug for Notification {
    /// Without the content of the params.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notification")
            .field("method", &self.method)
            .field("params_bytes", &self.params.len())
            .finish()
    }
}

/// All notifications are sent in order.
impl Message for Notification {
    type Lane = ();

    fn lane(&self) -> &() {
        &()
    }

    fn bytes(&self) -> usize {
        self.method.len().saturating_add(self.params.len())
    }

    fn delivery(&self) -> Delivery {
        Delivery::Unacknowledged
    }
}

/// A peer that cannot parse a request replies without an id, which would not end the call. So params have to be an array
/// or an object, as far as their first and last character show; a serializer writes nothing else in between.
pub(super) fn check_params(params: &[u8]) -> Result<(), Unsendable> {
    if params.is_empty() {
        return Ok(());
    }
    let value = params.trim_ascii();
    match (value.first(), value.last()) {
        (Some(b'['), Some(b']')) | (Some(b'{'), Some(b'}')) => Ok(()),
        _ => Err(Unsendable::Unserializable(
            "params must be an array or an object".to_owned(),
        )),
    }
}
