//! Logins of several steps: a machine of the test with calls and computations.

use std::time::Duration;

use bytes::Bytes;
use steadfast_core::dialect::Renewal;
use steadfast_core::dialect::jsonrpc::{
    Class, ErrorObject, Input, JsonRpcSettings, Login, LoginCall, LoginRejection, LoginRequest,
    LoginStep,
};
use steadfast_core::event::{
    DisconnectCause, LoginErrorKind, MigrationReason, SessionEvent, SessionPhase, SessionState,
};
use steadfast_core::io::{Computation, Computed};
use steadfast_core::retry_advice::RetryAdvice;
use steadfast_core::secret::Secret;

use crate::script::{Script, settings};

/// Two calls with a nonce in between. It counts its logins.
#[derive(Clone, Debug)]
pub(crate) struct TwoSteps {
    logins: u32,
    renewal: Renewal,
}

impl TwoSteps {
    pub(crate) const fn new(renewal: Renewal) -> Self {
        Self { logins: 0, renewal }
    }
}

fn request(method: &str, params: String) -> LoginRequest {
    LoginRequest {
        method: method.to_owned(),
        params: params.into(),
    }
}

impl Login for TwoSteps {
    fn begin(&mut self, _credentials: &Secret) -> LoginRequest {
        self.logins += 1;
        request("hello", format!("[{}]", self.logins))
    }

    fn on_response(&mut self, outcome: &Result<Bytes, ErrorObject>) -> LoginStep {
        match outcome.as_deref() {
            Ok(b"\"nonce\"") => LoginStep::Compute(Computation::Nonce),
            Ok(b"\"elsewhere\"") => LoginStep::Redirected {
                urls: vec!["ws://other".to_owned()],
            },
            Ok(b"\"hour\"") => LoginStep::Accepted {
                expires_after: Some(Duration::from_hours(1)),
            },
            Ok(b"\"long\"") => {
                LoginStep::Call(request("prove", format!("[\"{}\"]", "x".repeat(200))))
            }
            Ok(_) => LoginStep::Accepted {
                expires_after: None,
            },
            Err(error) => LoginStep::Rejected(LoginRejection {
                kind: LoginErrorKind::Busy,
                reason: error.message.clone(),
                advice: RetryAdvice::RETRY.after(Some(Duration::from_secs(30))),
            }),
        }
    }

    fn on_computed(&mut self, computed: Computed) -> LoginStep {
        let Computed::Nonce(nonce) = computed else {
            panic!("{computed:?}");
        };
        LoginStep::Call(request("prove", format!("[{}]", nonce[0])))
    }

    fn renewal(&self) -> Renewal {
        self.renewal
    }

    fn boxed_clone(&self) -> Box<dyn Login> {
        Box::new(self.clone())
    }
}

fn with_login(renewal: Renewal) -> JsonRpcSettings {
    settings().login(TwoSteps::new(renewal))
}

/// A session whose login has received this as the response to its first call.
fn after_hello(result: &str) -> Script {
    let mut script = Script::new(with_login(Renewal::SameConnection));
    script.call("a", "", Class::Write);
    script.dial();
    script.receive(&format!(r#"{{"id":1,"result":{result}}}"#));
    script
}

#[test]
fn a_login_of_several_steps_sends_nothing_else_before_its_end() {
    let mut script = after_hello("\"nonce\"");
    assert_eq!(script.take_sent().len(), 1, "the first call");
    let (attempt, id, computation) = script.computations.remove(0);
    assert_eq!(computation, Computation::Nonce);

    script.handle(Input::Computed {
        attempt,
        id,
        computed: Computed::Nonce([7; 32]),
    });
    let second = script.take_sent();
    script.receive(r#"{"id":2,"result":true}"#);

    assert_eq!(
        second,
        [r#"{"jsonrpc":"2.0","id":2,"method":"prove","params":[7]}"#]
    );
    assert!(script.take_sent()[0].contains("\"method\":\"a\""));
    assert_eq!(script.snapshot().phase, SessionPhase::Ready);
}

#[test]
fn a_result_that_the_login_does_not_wait_for_has_no_effect() {
    let mut script = after_hello("\"nonce\"");
    let (attempt, id, _) = script.computations.remove(0);
    script.take_sent();
    let computed = |id| Input::Computed {
        attempt,
        id,
        computed: Computed::Nonce([7; 32]),
    };

    script.handle(computed(id + 1));
    script.receive(r#"{"id":1,"result":true}"#);
    assert!(script.take_sent().is_empty(), "neither is the result");
    script.handle(computed(id));
    script.handle(computed(id));

    assert_eq!(script.take_sent().len(), 1);
    assert_eq!(script.snapshot().phase, SessionPhase::Handshake);
}

#[test]
fn what_a_login_has_learnt_is_known_on_the_next_connection() {
    let mut script = after_hello("true");
    script.lose();
    script.redial();

    assert!(
        script.take_sent()[0].contains(r#""method":"hello","params":[2]"#),
        "the second login"
    );
}

#[test]
fn a_temporary_failure_is_tried_again_although_the_credentials_are_fixed() {
    let mut script = Script::new(with_login(Renewal::SameConnection));
    script.dial();

    script.receive(r#"{"id":1,"error":{"code":-32001,"message":"busy"}}"#);

    assert_eq!(script.snapshot().state, SessionState::Connecting);
    let wait = script.waits().expect("it tries again");
    assert!(
        wait >= Duration::from_secs(30),
        "as the login says: {wait:?}"
    );
    let cause = DisconnectCause::LoginFailed {
        kind: LoginErrorKind::Busy,
        text: "busy".to_owned(),
    };
    assert_eq!(script.snapshot().cause, Some(cause));
}

#[test]
fn a_login_of_one_call_tries_again_only_after_errors_that_say_nothing_about_the_credentials() {
    for (code, state) in [
        (-32_000, SessionState::Connecting),
        (-32_001, SessionState::Connecting),
        (-32_099, SessionState::Connecting),
        (-32_603, SessionState::Connecting),
        (-32_100, SessionState::Failed),
        (-32_602, SessionState::Failed),
        (401, SessionState::Failed),
    ] {
        let login = LoginCall::new(|_| request("login", String::new()));
        let mut script = Script::new(settings().login(login));
        script.dial();

        script.receive(&format!(
            r#"{{"id":1,"error":{{"code":{code},"message":"no"}}}}"#
        ));

        assert_eq!(script.snapshot().state, state, "{code}");
    }
}

#[test]
fn a_redirect_is_passed_to_the_shell_before_the_next_attempt() {
    let mut script = after_hello("\"elsewhere\"");

    assert_eq!(script.redirects, [(0, vec!["ws://other".to_owned()])]);
    assert_eq!(script.snapshot().state, SessionState::Connecting);
    script.redial();
    assert!(script.take_sent()[0].contains("hello"));
}

#[test]
fn a_call_above_the_limit_before_the_login_is_not_sent_and_ends_the_session() {
    let mut script = after_hello("\"long\"");

    assert!(!script.take_sent().join("").contains("prove"));
    assert_eq!(script.snapshot().state, SessionState::Failed);
}

#[test]
fn a_login_that_expires_is_renewed_over_the_open_connection_with_the_same_credentials() {
    let mut script = after_hello("\"hour\"");
    script.receive(r#"{"id":2,"result":1}"#);
    script.take_sent();

    script.advance_with_pongs(Duration::from_mins(59));
    assert_eq!(script.take_sent(), [""; 0], "not yet");
    script.advance_with_pongs(Duration::from_secs(32));

    let sent = script.take_sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].contains(r#""method":"hello","params":[2]"#));
    assert_eq!(script.snapshot().epoch.0, 1, "the connection stays");
}

#[test]
fn a_login_that_is_accepted_once_per_connection_is_renewed_over_another_one() {
    let mut script = Script::new(with_login(Renewal::OtherConnection));
    script.dial();
    script.receive(r#"{"id":1,"result":"hour"}"#);
    script.advance_with_pongs(Duration::from_secs(3_241));
    let migrating = |event: &SessionEvent| {
        matches!(
            event,
            SessionEvent::Migrating {
                endpoint: 0,
                reason: MigrationReason::Renewal
            }
        )
    };
    assert!(script.events.iter().any(migrating), "{:?}", script.events);

    script.dial();
    script.receive(r#"{"id":1,"result":"hour"}"#);

    assert_eq!(script.snapshot().epoch.0, 2);
    assert_eq!(script.snapshot().phase, SessionPhase::Ready);
}
