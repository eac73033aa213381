//! Any input at any time: late inputs of old attempts, invalid messages, requests in the wrong phase. The script checks
//! the invariants after each input: one transport, or one more
//! for each connection that replaces another one, epochs that grow by one, a loss for each connection, no dial of a
//! failed session, no timer without its reason, a consistent snapshot, and one outcome for each publication and call.

#![expect(
    clippy::indexing_slicing,
    reason = "numbers are taken modulo the lengths of the tables"
)]

use std::time::Duration;

use proptest::prelude::*;
use steadfast_core::dialect::centrifuge::{Call, Input};
use steadfast_core::event::{ConnectionErrorKind, SessionPhase, SessionState};
use steadfast_core::io::{Attempt, CallId, ConnectionLoss, DialFailure, Frame, SubscriptionId};
use steadfast_core::policy::FailbackSettings;
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::{Reply, ReplyResult, Request};

use crate::script::{Script, ack, at, dial_failure, recovered, settings, subscribed};

/// One step of a run; a number varies the step.
#[derive(Clone, Copy, Debug)]
enum Step {
    Open,
    Close,
    ReconnectNow,
    Restart,
    Dial,
    DialFails,
    AcceptConnect,
    RejectConnect,
    Lose,
    LoseWithCode,
    Late,
    Invalid,
    Reply,
    Reject,
    Push,
    SendBuffer,
    Publish,
    Call,
    Withdraw,
    Subscribe,
    Unsubscribe,
    Consumed,
    Tick,
    Pass,
    Freeze,
    /// Replies as a healthy server would.
    Serve,
    Migrate,
    /// The attempt to replace the connection continues, or ends.
    Standby,
    /// A connection that was replaced says something, or ends.
    Retiring,
}

const STEPS: [Step; 29] = [
    Step::Open,
    Step::Close,
    Step::ReconnectNow,
    Step::Restart,
    Step::Dial,
    Step::DialFails,
    Step::AcceptConnect,
    Step::RejectConnect,
    Step::Lose,
    Step::LoseWithCode,
    Step::Late,
    Step::Invalid,
    Step::Reply,
    Step::Reject,
    Step::Push,
    Step::SendBuffer,
    Step::Publish,
    Step::Call,
    Step::Withdraw,
    Step::Subscribe,
    Step::Unsubscribe,
    Step::Consumed,
    Step::Tick,
    Step::Pass,
    Step::Freeze,
    Step::Serve,
    Step::Migrate,
    Step::Standby,
    Step::Retiring,
];

/// The steps of a healthy connection.
const HEALTHY: [Step; 7] = [
    Step::Open,
    Step::Dial,
    Step::AcceptConnect,
    Step::Publish,
    Step::Serve,
    Step::Serve,
    Step::Standby,
];

const INVALID: [&str; 10] = [
    "",
    "{}",
    "no json",
    r#"{"id":1}"#,
    r#"{"id":1,"connect":{"client":"c"}}"#,
    r#"{"id":2,"error":{"code":100,"message":"m","temporary":true}}"#,
    r#"{"push":{"disconnect":{"code":3500,"reason":"r"}}}"#,
    r#"{"push":{"disconnect":{"code":3001,"reason":"retry_in=2s"}}}"#,
    r#"{"push":{"channel":"c0","unsubscribe":{"code":2500,"reason":"r"}}}"#,
    "{\"push\":{\"channel\":\"c1\",\"pub\":{\"data\":1,\"offset\":9}}}\nno json",
];

const CODES: [u16; 8] = [1_000, 1_001, 1_009, 1_012, 1_013, 3_001, 3_014, 3_500];

impl Step {
    fn apply(self, script: &mut Script, number: u16) {
        let n = usize::from(number);
        let millis = Duration::from_millis(u64::from(number));
        let attempt = script.attempt();
        let id = SubscriptionId(u64::from(number % 64));
        match self {
            Self::Open => script.handle(Input::OpenRequested),
            Self::Close => {
                let drain = millis.saturating_sub(Duration::from_secs(1));
                script.handle(Input::CloseRequested { drain });
            }
            Self::ReconnectNow => script.handle(Input::ReconnectRequested),
            Self::Restart => script.handle(Input::RestartRequested),
            Self::Dial => script.dial(),
            Self::DialFails => {
                let failure = DialFailure {
                    is_local: n.is_multiple_of(3),
                    is_final: n.is_multiple_of(7),
                    retry_after: n.is_multiple_of(5).then_some(millis),
                    ..dial_failure()
                };
                script.handle(Input::DialFailed { attempt, failure });
            }
            Self::AcceptConnect => {
                if script.phase() == SessionPhase::Handshake {
                    script.accept_connect();
                }
            }
            Self::RejectConnect => {
                if script.phase() == SessionPhase::Handshake {
                    script.reject_connect(error(n));
                }
            }
            Self::Lose => script.lose_connection(),
            Self::LoseWithCode => script.lose_with(CODES[n % CODES.len()], "retry_in=1s"),
            Self::Late => late(script, number),
            Self::Invalid => script.receive(INVALID[n % INVALID.len()].as_bytes()),
            Self::Reply | Self::Reject | Self::Serve => self.serve(script, n),
            Self::Push => script.push(channel(n), u64::from(number % 32)),
            Self::SendBuffer => {
                let bytes = u64::from(number % 4);
                script.handle(Input::SendBuffer { attempt, bytes });
            }
            Self::Publish => {
                script.publish_for(n.is_multiple_of(2).then_some(millis));
            }
            Self::Call => {
                let method = "m".to_owned();
                let data = "1".into();
                let call = if n.is_multiple_of(2) {
                    Call::Rpc { method, data }
                } else {
                    Call::Presence { channel: method }
                };
                script.call(call, millis * 10);
            }
            Self::Withdraw => script.withdraw(CallId(u64::from(number % 64))),
            Self::Subscribe => {
                let since = n.is_multiple_of(2).then(|| at(u64::from(number % 16)));
                script.subscribe_since(channel(n), n % 5, since);
            }
            Self::Unsubscribe => script.handle(Input::UnsubscribeRequested { id }),
            Self::Consumed => script.handle(Input::Consumed { id, items: n % 8 }),
            Self::Tick => script.handle(Input::Tick),
            Self::Pass => script.advance(millis * 10),
            Self::Freeze => script.freeze(millis * 10),
            Self::Migrate => script.migrate((n % 4).checked_sub(1)),
            Self::Standby => act_on_standby(script, n),
            Self::Retiring => act_on_retiring(script, n),
        }
    }

    /// The server replies to all commands; during the handshake, only `Serve` accepts the connect command.
    fn serve(self, script: &mut Script, n: usize) {
        if script.phase() == SessionPhase::Handshake {
            if let Self::Serve = self {
                script.accept_connect();
            }
            return;
        }
        for command in script.commands() {
            let result = match (&command.request, self) {
                (_, Self::Reject) => Err(error(n)),
                (Request::Subscribe(it), _) if it.recover && !n.is_multiple_of(3) => {
                    let next = it.position.offset + 1;
                    let result = recovered(it.position.clone(), &[next]);
                    Ok(ReplyResult::Subscribe(result))
                }
                (Request::Subscribe(_), _) => Ok(ReplyResult::Subscribe(subscribed(at(3)))),
                (Request::Unsubscribe(_), _) => Ok(ReplyResult::Unsubscribe),
                (Request::Pong, _) => continue,
                _ => Ok(ack(1, false)),
            };
            script.reply_to(command.id, result);
        }
    }
}

/// The server of the standby does one thing, if there is a standby.
fn act_on_standby(script: &mut Script, n: usize) {
    let Some(attempt) = script.invariants.standby() else {
        return script.migrate(None);
    };
    if !script.invariants.is_standby_open() {
        return match n % 8 {
            0 => script.handle(Input::DialQueued { attempt }),
            1 => script.handle(Input::DialStarted { attempt }),
            2 => {
                let failure = DialFailure {
                    is_local: n.is_multiple_of(3),
                    retry_after: n.is_multiple_of(5).then_some(Duration::from_secs(2)),
                    ..dial_failure()
                };
                script.handle(Input::DialFailed { attempt, failure });
            }
            _ => script.dial_standby(),
        };
    }
    match n % 8 {
        0 => script.lose(attempt),
        1 => script.receive_on(attempt, INVALID[n % INVALID.len()].as_bytes()),
        2 if script.must_accept_standby() => script.reply_to_standby(Err(error(n))),
        _ if script.must_accept_standby() => script.accept_standby(),
        _ => script.receive_on(attempt, b"{}"),
    }
}

/// The server of a connection that was replaced does one thing, if there is one.
fn act_on_retiring(script: &mut Script, n: usize) {
    let Some(attempt) = script.invariants.retiring() else {
        return;
    };
    if n.is_multiple_of(3) {
        return script.lose(attempt);
    }
    for command in std::mem::take(&mut script.retired_inbox) {
        let (id, outcome) = (command.id, Ok(ack(1, false)));
        script.reply_on(attempt, &Reply::Response { id, outcome });
    }
}

fn channel(n: usize) -> &'static str {
    ["c0", "c1", "c2"][n % 3]
}

fn error(n: usize) -> steadfast_protocol::message::ReplyError {
    let all = ErrorCode::ALL;
    all[n % all.len()].reply()
}

/// An input of an attempt that has ended, or that never existed.
fn late(script: &mut Script, number: u16) {
    let now = script.attempt().0;
    let attempt = Attempt(if number.is_multiple_of(2) {
        now.saturating_sub(1)
    } else {
        now + 1
    });
    script.handle(match number % 6 {
        0 => Input::Dialled { attempt },
        1 => Input::DialFailed {
            attempt,
            failure: dial_failure(),
        },
        2 => Input::BytesReceived { attempt, bytes: 2 },
        3 => Input::PongReceived { attempt },
        4 => Input::Received {
            attempt,
            frame: Frame::Text("no json".into()),
        },
        _ => Input::Lost {
            attempt,
            loss: ConnectionLoss::Failed {
                kind: ConnectionErrorKind::Other,
                text: "late".to_owned(),
            },
        },
    });
}

fn steps() -> impl Strategy<Value = Vec<(Step, u16)>> {
    // Half of the steps are those of a healthy connection; otherwise no session would ever connect.
    let healthy = proptest::sample::select(HEALTHY.as_slice());
    let step = prop_oneof![healthy, proptest::sample::select(STEPS.as_slice())];
    proptest::collection::vec((step, 0_u16..2_000), 1..150)
}

/// Executes the steps; the script checks the invariants after each.
fn run(steps: &[(Step, u16)], attempts_max: Option<u32>) -> Script {
    let mut settings = settings();
    settings.link.priorities = vec![0, 1];
    settings.link.endpoints.hold_down = Duration::from_secs(1);
    settings.link.endpoints.hold_down_jitter = Duration::from_secs(1);
    settings.link.endpoints.failback =
        Some(FailbackSettings::new(Duration::from_secs(2)).jitter(Duration::from_secs(2)));
    settings.link.backoff.attempts_max = attempts_max;
    let mut script = Script::idle(settings, 1);
    for (step, number) in steps {
        step.apply(&mut script, *number);
    }
    script
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_invariants_hold_over_any_inputs_and_close_completes_everything(
        steps in steps(),
        attempts_max in prop_oneof![Just(None), Just(Some(3))],
        drain_ms in 0_u64..5_000,
    ) {
        let mut script = run(&steps, attempts_max);
        let drain = Duration::from_millis(drain_ms);

        script.handle(Input::CloseRequested { drain });
        script.advance(drain + settings().link.close_timeout);

        prop_assert_eq!(script.state(), SessionState::Disconnected);
        prop_assert_eq!(script.invariants.pending(), 0);
        prop_assert_eq!(script.invariants.transports(), 0);
    }

    #[test]
    fn from_any_state_a_healthy_server_brings_a_session_back_to_ready(steps in steps()) {
        let mut script = run(&steps, None);

        for _ in 0..60 {
            for input in [Input::OpenRequested, Input::RestartRequested, Input::ReconnectRequested] {
                script.handle(input);
            }
            if script.invariants.is_dialing() {
                script.dial();
            }
            Step::Serve.apply(&mut script, 0);
            script.receive_pong();
            // Altogether longer than any delay that a server can request.
            script.advance(Duration::from_secs(8));
        }

        prop_assert_eq!(script.phase(), SessionPhase::Ready);
    }
}
