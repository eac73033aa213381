//! One subscription at the server for each name, shared by programs.

use std::time::Duration;

use serde_json::{Value, json};
use steadfast_bridge::{Input, Output, Policy, TopicEvent, TopicNumber};
use steadfast_machine::{Instant, Machine as _};
use steadfast_protocol::jsonrpc::ErrorObject;

use super::world::{A, B, World, short};

const JOBS: &str = "core.get_jobs";

fn subscribe(name: &str, topic: u64) -> Output {
    Output::Subscribe {
        topic: TopicNumber(topic),
        name: name.to_owned(),
    }
}

fn event(collection: &str) -> Value {
    json!({"msg": "changed", "collection": collection, "id": 1})
}

/// A world in which A and B are subscribed to jobs, and the ids of their subscriptions.
fn shared() -> (World, Value, Value) {
    let mut world = World::connected(Policy::DEFAULT);
    world.request(A, 1, "core.subscribe", &json!([JOBS]));
    world.request(B, 1, "core.subscribe", &json!([JOBS]));
    world.topic(1, TopicEvent::Started);
    let a = world.sent_to(A)[0]["result"].clone();
    let b = world.sent_to(B)[0]["result"].clone();
    assert!(a.is_string() && b.is_string() && a != b, "{a} {b}");
    (world, a, b)
}

#[test]
fn programs_share_one_subscription_and_each_receives_each_event_once() {
    let (mut world, ..) = shared();
    world.request(A, 2, "core.subscribe", &json!([JOBS]));
    world.sent_to(A);

    world.notify(&event(JOBS));
    world.notify(&event("pool.query"));

    assert_eq!(world.others, [subscribe(JOBS, 1)]);
    let expected = json!({"jsonrpc": "2.0", "method": "collection_update", "params": event(JOBS)});
    for program in [A, B] {
        assert_eq!(world.sent_to(program), std::slice::from_ref(&expected));
    }
    assert_eq!(world.methods(), Vec::<&str>::new());
}

#[test]
fn the_subscription_at_the_server_ends_with_the_last_one_of_a_program() {
    let (mut world, a, b) = shared();
    let end = Output::Unsubscribe {
        topic: TopicNumber(1),
    };

    world.request(A, 2, "core.unsubscribe", &json!([a]));
    world.request(A, 3, "core.unsubscribe", &json!([b]));
    assert!(
        !world.others.contains(&end),
        "another program cannot end it"
    );
    world.notify(&event(JOBS));
    assert_eq!(world.sent_to(A).len(), 2, "two replies and no event");
    assert_eq!(world.sent_to(B).len(), 1);

    world.request(B, 2, "core.unsubscribe", &json!([b]));
    assert_eq!(world.others.last(), Some(&end));
}

#[test]
fn a_program_that_leaves_releases_its_subscriptions_and_its_requests() {
    let (mut world, ..) = shared();
    world.request(A, 2, "core.subscribe", &json!(["pool.query"]));

    world.leave(A);
    world.leave(B);

    let ended: Vec<&Output> = world.others[2..].iter().collect();
    let of = |topic| Output::Unsubscribe {
        topic: TopicNumber(topic),
    };
    assert_eq!(ended, [&of(2), &of(1)]);
}

#[test]
fn after_a_reconnect_each_subscriber_receives_a_gap_and_later_subscribers_none() {
    let (mut world, ..) = shared();
    world.topic(1, TopicEvent::Interrupted);
    world.open(super::world::C);
    world.request(super::world::C, 1, "core.subscribe", &json!([JOBS]));
    assert_eq!(world.sent_to(super::world::C), Vec::<Value>::new());

    world.topic(1, TopicEvent::Restarted);

    let gap = json!({
        "jsonrpc": "2.0",
        "method": "bridge.gap",
        "params": {"collection": JOBS, "reason": "reconnected"},
    });
    for program in [A, B] {
        assert_eq!(world.sent_to(program), std::slice::from_ref(&gap));
    }
    let late = world.sent_to(super::world::C);
    assert!(late.len() == 1 && late[0]["result"].is_string(), "{late:?}");
}

#[test]
fn dropped_events_are_a_gap_too() {
    let (mut world, ..) = shared();

    world.handle(Input::EventsDropped);

    assert_eq!(world.sent_to(A)[0]["params"]["reason"], "overflow");
}

#[test]
fn a_subscription_that_the_server_ends_is_reported_in_its_words_and_can_be_requested_again() {
    for error in [json!(null), json!({"error": 22, "errname": "EINVAL"})] {
        let (mut world, ..) = shared();
        let mut ended = ErrorObject::new(0, "the server ended the subscription");
        ended.data = (!error.is_null()).then(|| error.to_string().into());

        world.topic(1, TopicEvent::Ended(ended));
        world.notify(&event(JOBS));

        for program in [A, B] {
            let sent = world.sent_to(program);
            assert_eq!(sent.len(), 1);
            assert_eq!(sent[0]["method"], "notify_unsubscribed");
            let params = json!({"collection": JOBS, "error": error});
            assert_eq!(sent[0]["params"], params);
        }
        world.request(A, 5, "core.subscribe", &json!([JOBS]));
        assert_eq!(world.others.last(), Some(&subscribe(JOBS, 2)));
    }
}

#[test]
fn a_subscription_that_the_server_rejects_is_an_error_for_those_who_wait() {
    let mut world = World::connected(Policy::DEFAULT);
    world.request(A, 1, "core.subscribe", &json!(["nonsense"]));

    let error = ErrorObject::new(-32_602, "Invalid params");
    world.topic(1, TopicEvent::Ended(error));

    assert_eq!(world.sent_to(A)[0]["error"]["code"], -32_602);
    world.request(A, 2, "core.subscribe", &json!(["nonsense"]));
    assert_eq!(world.others.last(), Some(&subscribe("nonsense", 2)));
}

#[test]
fn a_subscription_after_a_reconnect_that_is_rejected_ends_in_the_words_of_the_server() {
    let (mut world, ..) = shared();

    let error = ErrorObject::new(-32_001, "no longer there");
    world.topic(1, TopicEvent::Ended(error));

    let sent = &world.sent_to(A)[0];
    assert_eq!(sent["method"], "notify_unsubscribed");
    assert_eq!(sent["params"]["collection"], JOBS);
    assert_eq!(sent["params"]["error"]["reason"], "no longer there");
}

#[test]
fn names_with_an_argument_and_the_name_of_all_receive_what_they_mean() {
    let mut world = World::connected(Policy::DEFAULT);
    let name = r#"reporting.realtime:{"interval":2}"#;
    world.request(A, 1, "core.subscribe", &json!([name]));
    world.request(B, 1, "core.subscribe", &json!(["*"]));
    world.topic(1, TopicEvent::Started);
    world.topic(2, TopicEvent::Started);
    world.sent_to(A);
    world.sent_to(B);

    for collection in [name, "reporting.realtime", "pool.query"] {
        world.notify(&event(collection));
    }

    assert_eq!(world.sent_to(A).len(), 2);
    assert_eq!(world.sent_to(B).len(), 3);
}

#[test]
fn a_subscription_that_does_not_begin_in_time_is_an_error_and_is_released() {
    let mut world = World::connecting(Policy::DEFAULT);
    world.request(A, 1, "core.subscribe", &json!([JOBS]));

    world.pass(Duration::from_mins(1));

    let replies: Vec<Value> = world.sent_to(A).iter().map(short).collect();
    assert_eq!(replies, [json!([1, -32_052, "timed_out", false])]);
    let end = Output::Unsubscribe {
        topic: TopicNumber(1),
    };
    assert_eq!(world.others, [subscribe(JOBS, 1), end]);
}

#[test]
fn a_subscription_has_the_time_limit_of_its_request_also_if_others_wait_longer() {
    let mut world = World::connecting(Policy::DEFAULT);
    world.request(A, 1, "core.subscribe", &json!([JOBS]));
    let request = r#"{"jsonrpc":"2.0","id":2,"method":"core.subscribe","params":["core.get_jobs"],"timeout_seconds":5}"#;
    world.text(B, request);
    let first = Instant::START + Duration::from_secs(5);
    assert_eq!(world.bridge.poll_timeout(), Some(first));

    world.pass(Duration::from_secs(5));

    let replies: Vec<Value> = world.sent_to(B).iter().map(short).collect();
    assert_eq!(replies, [json!([2, -32_052, "timed_out", false])]);
    assert_eq!(world.sent_to(A), Vec::<Value>::new());
    assert_eq!(world.others, [subscribe(JOBS, 1)]);
}

#[test]
fn subscriptions_are_limited_for_a_program_and_for_the_bridge() {
    let policy = Policy {
        subscriptions_max: 2,
        topics_max: 3,
        ..Policy::DEFAULT
    };
    let mut world = World::connected(policy);
    for (program, name) in [(A, "a"), (A, "b"), (A, "c"), (B, "c"), (B, "d"), (B, "a")] {
        world.request(program, 1, "core.subscribe", &json!([name]));
    }

    let of_program = world.sent_to(A)[0]["error"]["message"].clone();
    let of_bridge = world.sent_to(B)[0]["error"]["message"].clone();

    let text = "The call was not sent: the limit of 2 subscriptions of a program is reached";
    assert_eq!(of_program, text);
    let text = "The call was not sent: the limit of 3 subscriptions of the bridge is reached";
    assert_eq!(of_bridge, text);
    assert_eq!(world.others.len(), 3, "the last one shares a subscription");
}

#[test]
fn a_subscription_without_a_name_is_invalid() {
    let mut world = World::connected(Policy::DEFAULT);

    world.request(A, 1, "core.subscribe", &json!([7]));

    let error = world.sent_to(A)[0]["error"].clone();
    assert_eq!(
        (&error["code"], &error["data"]["error"]),
        (&json!(-32_602), &json!(22))
    );
    assert_eq!(world.others, []);
}
