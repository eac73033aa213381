//! The end of a bridge, and of programs that send no more.

use std::time::Duration;

use serde_json::{Value, json};
use steadfast_bridge::{DisconnectReason, Input, Output, Policy, SessionState};
use steadfast_machine::Machine as _;

use super::world::{A, B, C, World, short};

const ONE_AT_A_TIME: Policy = Policy {
    in_flight_max: 1,
    ..Policy::DEFAULT
};

#[test]
fn at_the_end_what_was_not_sent_is_rejected_and_what_is_in_flight_may_end() {
    let mut world = World::connected(ONE_AT_A_TIME);
    world.call(A, 1, "m");
    world.call(A, 2, "m");
    world.request(B, 3, "core.subscribe", &json!(["x"]));

    world.handle(Input::StopRequested);
    world.call(B, 4, "late");
    assert_eq!(world.disconnected, []);
    let call = world.calls[0].call;
    world.succeed(call);

    let not_sent = |id: u64| json!([id, -32_050, "not_sent", false]);
    let a: Vec<Value> = world.sent_to(A).iter().map(short).collect();
    assert_eq!(a, [not_sent(2), json!([1, true])]);
    let b: Vec<Value> = world.sent_to(B).iter().map(short).collect();
    assert_eq!(b, [not_sent(3), not_sent(4)]);
    let stopping = DisconnectReason::Stopping;
    assert_eq!(world.disconnected, [(A, stopping), (B, stopping)]);
    assert_eq!(world.others.last(), Some(&Output::Stopped));
    assert_eq!(world.bridge.poll_timeout(), None);
}

#[test]
fn a_call_that_does_not_end_in_the_time_to_drain_may_have_been_executed() {
    let mut world = World::connected(ONE_AT_A_TIME);
    world.call(A, 1, "m");
    world.handle(Input::StopRequested);

    world.pass(Duration::from_secs(5));

    let a: Vec<Value> = world.sent_to(A).iter().map(short).collect();
    assert_eq!(a, [json!([1, -32_051, "interrupted", true])]);
    assert_eq!(world.others.last(), Some(&Output::Stopped));
}

#[test]
fn a_session_that_has_failed_ends_the_bridge_with_its_reason() {
    let mut world = World::connecting(Policy::DEFAULT);
    world.call(A, 1, "m");

    world.session(SessionState::Failed, 0);

    let text = world.sent_to(A)[0]["error"]["message"].clone();
    let expected = "The call was not sent: no further attempt is made to connect to the server: it was unplugged";
    assert_eq!(text, expected);
    assert_eq!(world.others, [Output::Stopped]);
}

#[test]
fn a_program_that_sends_no_more_is_disconnected_after_its_last_reply() {
    let mut world = World::connected(ONE_AT_A_TIME);
    world.call(A, 1, "m");
    world.call(A, 2, "m");
    world.handle(Input::Finished { program: A });
    for at in 0..2 {
        assert_eq!(world.disconnected, []);
        let call = world.calls[at].call;
        world.succeed(call);
    }

    assert_eq!(world.sent_to(A).len(), 2);
    assert_eq!(world.disconnected, [(A, DisconnectReason::Finished)]);
}

#[test]
fn a_program_that_waits_for_a_subscription_is_not_finished() {
    let mut world = World::connected(Policy::DEFAULT);
    world.request(A, 1, "core.subscribe", &json!(["x"]));
    world.handle(Input::Finished { program: A });
    assert_eq!(world.disconnected, []);

    world.topic(1, steadfast_bridge::TopicEvent::Started);

    assert_eq!(world.sent_to(A).len(), 1);
    assert_eq!(world.disconnected, [(A, DisconnectReason::Finished)]);
}

#[test]
fn a_program_that_has_finished_counts_until_it_has_read_its_replies() {
    let policy = Policy {
        programs_max: 2,
        ..Policy::DEFAULT
    };
    let mut world = World::connected(policy);
    world.handle(Input::Finished { program: A });
    assert_eq!(world.disconnected, [(A, DisconnectReason::Finished)]);

    world.open(C);
    let too_many = (C, DisconnectReason::TooManyPrograms);
    assert_eq!(world.disconnected.last(), Some(&too_many));
    world.leave(A);
    world.open(C);
    world.call(C, 1, "m");

    assert_eq!(world.methods(), ["m"]);
}
