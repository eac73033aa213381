//! Requests that came together: they share messages, and nothing changes its place.

use std::time::Duration;

use bytes::Bytes;
use steadfast_core::Session;
use steadfast_core::io::{Attempt, Call, CallId, Input, Output, PublicationId, Publish};
use steadfast_core::policy::SessionPolicy;
use steadfast_machine::{Instant, Machine, Seed};

use crate::script::settings;

const NOW: Instant = Instant::START;

/// A session whose connection stands, and nothing of it is left to be carried out.
fn connected() -> Session {
    let policy = SessionPolicy::new(settings()).expect("valid");
    let mut session = Session::new(policy, Seed::new(1), NOW);
    let attempt = Attempt(1);
    session.handle(NOW, Input::OpenRequested);
    session.handle(NOW, Input::Dialled { attempt });
    let message = Bytes::from_static(br#"{"id":1,"connect":{"client":"c","version":"v"}}"#);
    session.handle(NOW, Input::Received { attempt, message });
    outputs(&mut session);
    session
}

fn outputs(session: &mut Session) -> Vec<Output> {
    std::iter::from_fn(|| session.poll_output()).collect()
}

fn publish(number: u64) -> Input {
    Input::PublishRequested(Publish {
        id: PublicationId(number),
        channel: "room".to_owned(),
        data: Bytes::from(number.to_string()),
        key: format!("k{number}"),
        ttl: None,
    })
}

fn call(number: u64) -> Input {
    Input::CallRequested {
        id: CallId(number),
        call: Call::Presence {
            channel: "room".to_owned(),
        },
        deadline: NOW + Duration::from_secs(10),
    }
}

fn messages(outputs: &[Output]) -> Vec<String> {
    let mut texts = Vec::new();
    for output in outputs {
        if let Output::Transmit { message, .. } = output {
            texts.push(String::from_utf8_lossy(message).into_owned());
        }
    }
    texts
}

#[test]
fn what_came_together_leaves_in_one_message_in_the_order_of_before() {
    let (mut one_by_one, mut together) = (connected(), connected());

    for input in [publish(1), publish(2), call(3)] {
        one_by_one.handle(NOW, input);
    }
    together.handle_together(NOW, [publish(1), publish(2), call(3)]);

    let (apart, shared) = (outputs(&mut one_by_one), outputs(&mut together));
    assert_eq!(messages(&apart).len(), 3);
    assert_eq!(messages(&shared), [messages(&apart).join("\n")]);
    assert_eq!(one_by_one.snapshot(), together.snapshot());
}

#[test]
fn what_was_asked_before_an_end_at_once_has_gone_out() {
    let mut session = connected();
    let drain = Duration::ZERO;

    session.handle_together(NOW, [publish(1), Input::CloseRequested { drain }]);

    let outputs = outputs(&mut session);
    let place = |wanted: fn(&Output) -> bool| outputs.iter().position(wanted);
    let sent = place(|output| matches!(output, Output::Transmit { .. }));
    let ended = place(|output| matches!(output, Output::HangUp { .. }));
    assert!(sent.is_some() && sent < ended, "{outputs:?}");
}
