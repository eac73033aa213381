//! A login and the responses of a server.

use bytes::Bytes;
use steadfast_core::dialect::jsonrpc::{ErrorObject, Login, LoginRequest, LoginStep};
use steadfast_core::dialect::truenas::TrueNasLogin;
use steadfast_core::event::LoginErrorKind;
use steadfast_core::retry_advice::{Action, RetryAdvice};
use steadfast_core::secret::Secret;

/// The API key of the tests.
pub(crate) const KEY: &str = "7-Zm9vYmFyS2V5";

/// The method does not exist.
pub(crate) const NO_METHOD: i64 = -32_601;

/// A login that has begun, and its newest step.
pub(crate) struct Steps {
    pub(crate) login: TrueNasLogin,
    pub(crate) step: LoginStep,
}

impl Steps {
    pub(crate) fn begin(login: TrueNasLogin) -> Self {
        Self::begin_with(login, KEY)
    }

    pub(crate) fn begin_with(mut login: TrueNasLogin, secret: &str) -> Self {
        let first = login.begin(&Secret::new(secret.to_owned()));
        Self {
            login,
            step: LoginStep::Call(first),
        }
    }

    /// The login of the next connection.
    pub(crate) fn again(self) -> Self {
        Self::begin(self.login)
    }

    /// The call of the newest step: method and params.
    pub(crate) fn call(&self) -> String {
        let LoginStep::Call(LoginRequest { method, params }) = &self.step else {
            panic!("no call: {:?}", self.step);
        };
        format!("{method} {}", String::from_utf8_lossy(params))
    }

    pub(crate) fn result(mut self, result: &str) -> Self {
        let result = Bytes::copy_from_slice(result.as_bytes());
        self.step = self.login.on_response(&Ok(result));
        self
    }

    pub(crate) fn error(mut self, code: i64, data: &str) -> Self {
        let mut error = ErrorObject::new(code, "Method call error");
        if !data.is_empty() {
            error = error.data(Bytes::copy_from_slice(data.as_bytes()));
        }
        self.step = self.login.on_response(&Err(error));
        self
    }

    #[track_caller]
    pub(crate) fn assert_accepted(&self) {
        let is_accepted = matches!(self.step, LoginStep::Accepted { .. });
        assert!(is_accepted, "{:?}", self.step);
    }

    /// The kind of the rejection, what has to change, and the reason.
    #[track_caller]
    pub(crate) fn rejection(&self) -> (LoginErrorKind, RetryAdvice, &str) {
        let LoginStep::Rejected(rejection) = &self.step else {
            panic!("not rejected: {:?}", self.step);
        };
        (rejection.kind, rejection.advice, &rejection.reason)
    }

    #[track_caller]
    pub(crate) fn assert_rejected(&self, kind: LoginErrorKind, action: Action) {
        let (rejected, advice, reason) = self.rejection();
        assert_eq!((rejected, advice.action), (kind, action), "{reason}");
    }
}
