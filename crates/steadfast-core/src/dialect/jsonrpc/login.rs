//! How a client says who it is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::ErrorObject;
use crate::retry_advice::RetryAdvice;
use crate::secret::Secret;

/// The call with which a client logs in: the first of each connection, and repeated over an open connection when the
/// application replaces the credentials.
///
/// Both functions must be pure: their results may depend on their arguments only, because each connection uses them.
#[derive(Clone)]
pub struct LoginCall {
    request: Arc<Prepare>,
    evaluate: Arc<Evaluate>,
}

type Prepare = dyn Fn(&Secret) -> LoginRequest + Send + Sync;
type Evaluate = dyn Fn(&Result<Bytes, ErrorObject>) -> LoginVerdict + Send + Sync;

/// The login as a request.
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
        /// When the credentials expire; `None` if they do not.
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
    /// except `false` and `null`; anything else ends the session.
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

    pub(super) fn request(&self, credentials: &Secret) -> LoginRequest {
        (self.request)(credentials)
    }

    pub(super) fn verdict(&self, outcome: &Result<Bytes, ErrorObject>) -> LoginVerdict {
        (self.evaluate)(outcome)
    }
}

impl fmt::Debug for LoginCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginCall")
    }
}

fn evaluate(outcome: &Result<Bytes, ErrorObject>) -> LoginVerdict {
    let reason = match outcome {
        Ok(result) if !matches!(result.as_ref(), b"false" | b"null") => {
            return LoginVerdict::Accepted {
                expires_after: None,
            };
        }
        Ok(_) => "the credentials are invalid".to_owned(),
        Err(error) => error.to_string(),
    };
    LoginVerdict::Rejected {
        reason,
        advice: RetryAdvice::RETRY.with(crate::retry_advice::Action::RenewCredentials),
    }
}
