//! Whatever a peer sends, and whenever connections are lost: each call has one outcome, which is true, and a write is sent
//! at most once.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use steadfast_core::dialect::jsonrpc::{CallError, Class, Feed, Input, LoginCall, LoginRequest};
use steadfast_core::event::SessionState;
use steadfast_core::io::{CallId, SubscriptionId};

use crate::script::{CALL_TIMEOUT, Script, settings};

#[derive(Clone, Debug)]
enum Step {
    Call(Class),
    Withdraw(u64),
    Notify,
    Subscribe,
    Unsubscribe,
    ReplaceCredentials,
    Migrate,
    /// A message of the peer.
    Receive(String),
    Lose(Option<u16>),
    /// The next attempt, and the time until it.
    Redial,
    Wait(u64),
}

fn message() -> impl Strategy<Value = String> {
    let id = prop_oneof![
        6 => (1..20_u32).prop_map(|id| id.to_string()),
        1 => Just("null".to_owned()),
        1 => Just("0".to_owned()),
        1 => Just("4294967295".to_owned()),
        1 => Just(r#""x""#.to_owned()),
    ];
    let content = prop_oneof![
        4 => Just(r#""result":true"#),
        2 => Just(r#""result":"0x1""#),
        2 => Just(r#""error":{"code":-32700,"message":"no"}"#),
        1 => Just(r#""error":{"code":-32601,"message":"no"}"#),
        1 => Just(r#""method":"m","params":{"subscription":"0x1","result":1}"#),
        1 => Just(r#""method":"m""#),
    ];
    let one = (id, content).prop_map(|(id, content)| format!(r#"{{"id":{id},{content}}}"#));
    let notification = r#"{"method":"m","params":{"subscription":"0x1","result":1}}"#;
    let one = prop_oneof![8 => one, 1 => Just(notification.to_owned())];
    prop_oneof![
        8 => one.clone(),
        2 => proptest::collection::vec(one, 0..4).prop_map(|parts| format!("[{}]", parts.join(","))),
        1 => any::<String>(),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let class = prop_oneof![
        Just(Class::Read),
        Just(Class::Idempotent),
        Just(Class::Write)
    ];
    let code = proptest::option::of(prop_oneof![Just(1001_u16), Just(1009)]);
    prop_oneof![
        6 => class.prop_map(Step::Call),
        1 => (1..20_u64).prop_map(Step::Withdraw),
        1 => Just(Step::Notify),
        1 => Just(Step::Subscribe),
        1 => Just(Step::Unsubscribe),
        1 => Just(Step::ReplaceCredentials),
        1 => Just(Step::Migrate),
        10 => message().prop_map(Step::Receive),
        2 => code.prop_map(Step::Lose),
        4 => Just(Step::Redial),
        1 => (1..70_u64).prop_map(Step::Wait),
    ]
}

/// A session, and what became of its calls.
struct Run {
    script: Script,
    classes: BTreeMap<u64, Class>,
    withdrawn: Vec<u64>,
    /// How often each call was sent.
    sent: BTreeMap<u64, usize>,
    outcomes: BTreeMap<u64, Result<Bytes, CallError>>,
    subscription: Option<SubscriptionId>,
}

impl Run {
    fn apply(&mut self, step: Step) {
        let script = &mut self.script;
        match step {
            Step::Call(class) => {
                let number = script.next_number();
                let id = script.call("call", &format!(r#"["call ",{number}]"#), class);
                self.classes.insert(id, class);
            }
            Step::Withdraw(id) => {
                script.handle(Input::CallWithdrawn { id: CallId(id) });
                self.withdrawn.push(id);
            }
            Step::Notify => script.notify("log"),
            Step::Subscribe => {
                let feed = Feed::subscription("subscribe", Bytes::new(), "unsubscribe");
                self.subscription = Some(script.subscribe(feed));
            }
            Step::Unsubscribe => {
                if let Some(id) = self.subscription.take() {
                    script.handle(Input::UnsubscribeRequested { id });
                }
            }
            Step::ReplaceCredentials => script.replace_credentials("other"),
            Step::Migrate => script.handle(Input::MigrateRequested { endpoint: None }),
            Step::Receive(text) => script.receive(&text),
            Step::Lose(None) => script.lose(),
            Step::Lose(Some(code)) => script.lose_with(code),
            Step::Redial if script.snapshot().state == SessionState::Failed => {
                script.handle(Input::RestartRequested);
                script.dial();
            }
            Step::Redial => script.redial(),
            Step::Wait(secs) => script.advance(Duration::from_secs(secs)),
        }
        self.check();
    }

    fn check(&mut self) {
        for (id, outcome) in std::mem::take(&mut self.script.results) {
            let before = self.outcomes.insert(id, outcome);
            assert_eq!(before, None, "a second outcome of {id}");
        }
        for (id, sent) in &self.script.sent_calls {
            self.sent.insert(*id, *sent);
        }
        for (id, class) in &self.classes {
            let sent = self.sent.get(id).copied().unwrap_or(0);
            assert!(
                *class != Class::Write || sent <= 1,
                "{id} was sent {sent} times"
            );
            if let Some(Err(error)) = self.outcomes.get(id)
                && *class != Class::Read
            {
                let is_excluded = matches!(
                    error,
                    CallError::Interrupted {
                        maybe_executed: false
                    } | CallError::TimedOut {
                        maybe_executed: false
                    } | CallError::Busy
                        | CallError::ServerBusy
                        | CallError::Closed
                        | CallError::Failed(_)
                );
                assert!(!is_excluded || sent == 0, "{id}: {error:?}");
            }
        }
    }

    fn end(&mut self) {
        self.script.advance(CALL_TIMEOUT);
        self.check();
        for id in self.classes.keys() {
            let is_complete = self.outcomes.contains_key(id) || self.withdrawn.contains(id);
            assert!(is_complete, "{id} has no outcome");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn each_call_has_one_outcome_and_a_write_is_sent_at_most_once(
        has_login in any::<bool>(),
        batch_max in 1..4_usize,
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut settings = settings().batch_max(batch_max);
        if has_login {
            settings = settings.login(LoginCall::new(|_| LoginRequest {
                method: "login".to_owned(),
                params: Bytes::new(),
            }));
        }
        let mut script = Script::new(settings);
        script.dial();
        let mut run = Run {
            script,
            classes: BTreeMap::new(),
            withdrawn: Vec::new(),
            sent: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            subscription: None,
        };
        for step in steps {
            run.apply(step);
        }
        run.end();
    }
}
