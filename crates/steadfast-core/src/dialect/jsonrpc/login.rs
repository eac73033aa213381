//! How a client says who it is: a state machine with one or several calls.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{ErrorObject, codes};
use crate::dialect::Renewal;
use crate::event::LoginErrorKind;
use crate::io::{Computation, Computed};
use crate::retry_advice::{Action, Pace, RetryAdvice};
use crate::secret::Secret;

/// The codes that the specification leaves to servers.
const SERVER_ERRORS: std::ops::RangeInclusive<i64> = -32_099..=-32_000;

/// The login of a client: with it each connection begins, and it is repeated over an open connection when the application
/// replaces the credentials, when they expire, or when the server no longer knows the client.
///
/// It is a state machine without I/O, clock and randomness. A step is a call, whose response is the next input, or a
/// computation, whose result is. What it learns on one connection it still knows on the next: [`Self::begin`] starts
/// again, whatever was in progress.
pub trait Login: fmt::Debug + Send + Sync {
    /// Begins a login with these credentials. Returns its first call.
    fn begin(&mut self, credentials: &Secret) -> LoginRequest;

    /// The response to the newest call. Returns the next step.
    fn on_response(&mut self, outcome: &Result<Bytes, ErrorObject>) -> LoginStep;

    /// The result of the newest computation. Returns the next step; by default the login fails, because it has requested
    /// none.
    fn on_computed(&mut self, _computed: Computed) -> LoginStep {
        LoginStep::Rejected(LoginRejection {
            kind: LoginErrorKind::Other,
            reason: "unexpected result of a computation".to_owned(),
            advice: RetryAdvice::GIVE_UP,
        })
    }

    /// How a client stays logged in; by a login on the same connection by default.
    fn renewal(&self) -> Renewal {
        Renewal::SameConnection
    }

    /// A copy with everything that it has learnt.
    fn boxed_clone(&self) -> Box<dyn Login>;
}

impl Clone for Box<dyn Login> {
    fn clone(&self) -> Self {
        self.boxed_clone()
    }
}

/// The next step of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginStep {
    /// A call, whose response is the next input.
    Call(LoginRequest),
    /// Something that only the shell can do.
    Compute(Computation),
    /// The server has accepted the client.
    Accepted {
        /// When the login has to be renewed; `None` if it does not expire.
        expires_after: Option<Duration>,
    },
    /// The client is not logged in.
    Rejected(LoginRejection),
    /// The login has to be made at one of these servers, the preferred one first.
    Redirected {
        /// Their URLs, as the server writes them.
        urls: Vec<String>,
    },
}

/// Why a client is not logged in, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRejection {
    /// The kind of reason, for programs.
    pub kind: LoginErrorKind,
    /// The reason, for humans; without secrets.
    pub reason: String,
    /// Whether and how soon to try again.
    pub advice: RetryAdvice,
}

/// The call with which a client logs in, if one call is enough.
///
/// Both functions must be pure: their results may depend on their arguments only, because each connection uses them.
#[derive(Clone)]
pub struct LoginCall {
    request: Arc<Prepare>,
    evaluate: Arc<Evaluate>,
}

type Prepare = dyn Fn(&Secret) -> LoginRequest + Send + Sync;
type Evaluate = dyn Fn(&Result<Bytes, ErrorObject>) -> LoginVerdict + Send + Sync;

/// A call of a login.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginRequest {
    /// The name of the method.
    pub method: String,
    /// Its params, raw JSON: an array, an object, or empty for none.
    pub params: Bytes,
}

impl fmt::Debug for LoginRequest {
    /// Without the params, which contain credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginRequest")
            .field("method", &self.method)
            .field("params_bytes", &self.params.len())
            .finish()
    }
}

/// What the response to a login means.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginVerdict {
    /// The server has accepted the client.
    Accepted {
        /// When the credentials expire; `None` if they do not. Before that, the client logs in again.
        expires_after: Option<Duration>,
    },
    /// The server has rejected the client.
    Rejected {
        /// Why, for humans.
        reason: String,
        /// Whether and how soon to try again.
        advice: RetryAdvice,
    },
}

impl LoginCall {
    /// A login with the request that this function makes of the credentials. The server accepts the client with any result
    /// except `false` and `null`. After an internal error of the server, or one of those that the specification leaves to
    /// servers (-32000 to -32099), the login is tried again with backoff; anything else rejects the credentials, which
    /// ends the session unless others can be fetched.
    pub fn new(request: impl Fn(&Secret) -> LoginRequest + Send + Sync + 'static) -> Self {
        Self {
            request: Arc::new(request),
            evaluate: Arc::new(evaluate),
        }
    }

    /// Sets what a response means.
    #[must_use]
    pub fn evaluate(
        self,
        evaluate: impl Fn(&Result<Bytes, ErrorObject>) -> LoginVerdict + Send + Sync + 'static,
    ) -> Self {
        let evaluate = Arc::new(evaluate);
        Self { evaluate, ..self }
    }
}

impl Login for LoginCall {
    fn begin(&mut self, credentials: &Secret) -> LoginRequest {
        (self.request)(credentials)
    }

    fn on_response(&mut self, outcome: &Result<Bytes, ErrorObject>) -> LoginStep {
        match (self.evaluate)(outcome) {
            LoginVerdict::Accepted { expires_after } => LoginStep::Accepted { expires_after },
            LoginVerdict::Rejected { reason, advice } => {
                let kind = match advice.action {
                    Action::RenewCredentials => LoginErrorKind::Credentials,
                    Action::Retry | Action::DiscardPositions | Action::GiveUp => {
                        LoginErrorKind::Other
                    }
                };
                LoginStep::Rejected(LoginRejection {
                    kind,
                    reason,
                    advice,
                })
            }
        }
    }

    fn boxed_clone(&self) -> Box<dyn Login> {
        Box::new(self.clone())
    }
}

impl fmt::Debug for LoginCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginCall")
    }
}

fn evaluate(outcome: &Result<Bytes, ErrorObject>) -> LoginVerdict {
    let (reason, advice) = match outcome {
        Ok(result) if !matches!(result.as_ref(), b"false" | b"null") => {
            return LoginVerdict::Accepted {
                expires_after: None,
            };
        }
        Ok(_) => (
            "the credentials are invalid".to_owned(),
            RetryAdvice::RETRY.with(Action::RenewCredentials),
        ),
        Err(error) => (error.to_string(), advice_for(error)),
    };
    LoginVerdict::Rejected { reason, advice }
}

/// What the server could not do says nothing about the credentials.
fn advice_for(error: &ErrorObject) -> RetryAdvice {
    if error.code == codes::INTERNAL_ERROR || SERVER_ERRORS.contains(&error.code) {
        RetryAdvice::RETRY.at(Pace::Slowed)
    } else {
        RetryAdvice::RETRY.with(Action::RenewCredentials)
    }
}
