//! Requests that are handled together share messages, and keep their order.

use std::time::Duration;

use bytes::Bytes;
use steadfast_core::dialect::centrifuge::{Call, Input, Outgoing, Output, Publish, Session};
use steadfast_core::io::{Attempt, CallId, Frame, MessageId};
use steadfast_core::policy::{SessionPolicy, SessionSettings};
use steadfast_machine::{Instant, Machine, Seed, convert};
use steadfast_protocol::limits::Limits;

use crate::script::{centrifuge, no_credentials, settings};

const NOW: Instant = Instant::START;

/// A connected session without pending outputs.
fn connected() -> Session {
    connected_with(|_| {})
}

fn connected_with(change: impl FnOnce(&mut SessionSettings)) -> Session {
    let mut settings = settings();
    change(&mut settings);
    let policy = SessionPolicy::new(settings).expect("valid");
    let mut session = Session::new(&policy, centrifuge(), no_credentials(), Seed::new(1), NOW);
    let attempt = Attempt(1);
    session.handle(NOW, Input::OpenRequested);
    session.handle(NOW, Input::Dialled { attempt });
    let message = Bytes::from_static(br#"{"id":1,"connect":{"client":"c","version":"v"}}"#);
    session.handle(
        NOW,
        Input::Received {
            attempt,
            frame: Frame::Text(message),
        },
    );
    outputs(&mut session);
    session
}

fn outputs(session: &mut Session) -> Vec<Output> {
    std::iter::from_fn(|| session.poll_output()).collect()
}

fn publish(number: u64) -> Input {
    Input::SendRequested(Outgoing {
        id: MessageId(number),
        message: Publish::new(
            "chat".into(),
            Bytes::from(number.to_string()),
            format!("k{number}"),
        ),
        ttl: None,
        drops_oldest: false,
    })
}

fn call(number: u64) -> Input {
    Input::CallRequested {
        id: CallId(number),
        call: Call::Presence {
            channel: "chat".to_owned(),
        },
        deadline: NOW + Duration::from_secs(10),
    }
}

fn messages(outputs: &[Output]) -> Vec<String> {
    let mut texts = Vec::new();
    for output in outputs {
        if let Output::Transmit { frame, .. } = output {
            texts.push(String::from_utf8_lossy(frame.payload()).into_owned());
        }
    }
    texts
}

#[test]
fn requests_handled_together_leave_in_one_message_and_in_order() {
    let (mut one_by_one, mut together) = (connected(), connected());

    for input in [publish(1), publish(2), call(3)] {
        one_by_one.handle(NOW, input);
    }
    together.handle_all(NOW, [publish(1), publish(2), call(3)]);

    let (apart, shared) = (outputs(&mut one_by_one), outputs(&mut together));
    assert_eq!(messages(&apart).len(), 3);
    assert_eq!(messages(&shared), [messages(&apart).join("\n")]);
    assert_eq!(one_by_one.snapshot(), together.snapshot());
}

#[test]
fn requests_before_an_immediate_close_are_sent() {
    let mut session = connected();
    let drain = Duration::ZERO;

    session.handle_all(NOW, [publish(1), Input::CloseRequested { drain }]);

    let outputs = outputs(&mut session);
    let position_of = |predicate: fn(&Output) -> bool| outputs.iter().position(predicate);
    let sent = position_of(|output| matches!(output, Output::Transmit { .. }));
    let ended = position_of(|output| matches!(output, Output::Close { .. }));
    assert!(sent.is_some() && sent < ended, "{outputs:?}");
}

#[test]
fn a_message_has_at_most_half_of_the_commands_that_servers_accept() {
    let limit = Limits::COMMANDS_MAX / 2;
    let mut session = connected_with(|settings| {
        settings.outbox.messages_max = limit + 1;
        settings.outbox.in_flight_max = limit + 1;
        settings.outbox.channel_in_flight_max = limit + 1;
    });

    session.handle_all(NOW, (0..=convert::to_u64(limit)).map(publish));

    let messages = messages(&outputs(&mut session));
    let commands: Vec<usize> = messages.iter().map(|it| it.lines().count()).collect();
    assert_eq!(commands, [limit, 1]);
}
