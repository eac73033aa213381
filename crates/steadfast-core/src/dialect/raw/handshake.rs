//! How an application says who it is, and when its server has accepted the client.

use std::fmt;
use std::sync::Arc;

use crate::io::Frame;
use crate::retry_advice::RetryAdvice;
use crate::secret::Secret;

/// What a message of the server means to the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Handshake {
    /// The server has not decided yet.
    Continues,
    /// The server has accepted the client: what is queued can be sent.
    Accepted,
    /// The server has rejected the client: the connection is given up.
    Rejected {
        /// Why, for humans.
        reason: String,
        /// Whether and how soon to try again.
        advice: RetryAdvice,
    },
}

/// Evaluates each message of the server until it has accepted or rejected the client.
///
/// It must be pure: its result may depend on the message only, because each connection uses it again.
#[derive(Clone)]
pub struct HandshakeRule(Arc<Evaluate>);

type Evaluate = dyn Fn(&Frame) -> Handshake + Send + Sync;

impl HandshakeRule {
    /// A rule that calls this function.
    pub fn new(evaluate: impl Fn(&Frame) -> Handshake + Send + Sync + 'static) -> Self {
        Self(Arc::new(evaluate))
    }

    pub(super) fn evaluate(&self, frame: &Frame) -> Handshake {
        (self.0)(frame)
    }
}

impl fmt::Debug for HandshakeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandshakeRule")
    }
}

/// The message with which a client says who it is: the first of each connection, and sent again over an open connection
/// when the application replaces the credentials.
///
/// It must be pure: its result may depend on the credentials only.
#[derive(Clone)]
pub struct LoginMessage(Arc<Login>);

type Login = dyn Fn(&Secret) -> Frame + Send + Sync;

impl LoginMessage {
    /// The message that this function returns.
    pub fn new(login: impl Fn(&Secret) -> Frame + Send + Sync + 'static) -> Self {
        Self(Arc::new(login))
    }

    pub(super) fn message(&self, credentials: &Secret) -> Frame {
        (self.0)(credentials)
    }
}

impl fmt::Debug for LoginMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginMessage")
    }
}
