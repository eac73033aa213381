//! Whose call is sent next, limits, ids, and what a program is sent for each end of a call.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use steadfast_bridge::{CallEnd, DisconnectReason, Input, Policy, SessionState};
use steadfast_protocol::jsonrpc::ErrorObject;

use super::world::{A, B, C, World, short};

const POLICY: Policy = Policy {
    in_flight_max: 4,
    reserved_for_others: 1,
    queue_len_max: 3,
    ..Policy::DEFAULT
};

#[test]
fn ids_of_any_form_are_returned_as_they_were_written_also_if_two_programs_use_the_same() {
    let mut world = World::connected(Policy::DEFAULT);
    let ids = ["7", "\"a\"", "null", "1.50", "[1,2]"];
    for (program, ids) in [(A, &ids[..]), (B, &ids[..1])] {
        for id in ids {
            world.text(
                program,
                &format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m","params":[]}}"#),
            );
        }
    }

    for call in world.calls.clone().into_iter().rev() {
        world.succeed(call.call);
    }

    let of = |id: &str| json!([serde_json::from_str::<Value>(id).unwrap(), true]);
    let a: Vec<Value> = world.sent_to(A).iter().map(short).collect();
    let expected: Vec<Value> = ids.iter().rev().map(|id| of(id)).collect();
    assert_eq!(a, expected);
    let b: Vec<Value> = world.sent_to(B).iter().map(short).collect();
    assert_eq!(b, [of("7")]);
}

#[test]
fn params_results_and_errors_of_the_server_are_passed_on_unchanged() {
    let mut world = World::connected(Policy::DEFAULT);
    world.text(
        A,
        r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[1e400, 1.50]}"#,
    );
    world.call(A, 2, "n");
    let calls = world.calls.clone();

    let result = Bytes::from_static(br#"{"size":1.50}"#);
    world.end(calls[0].call, CallEnd::Result(result));
    let error = ErrorObject::new(-32_001, "Method call error").data(Bytes::from_static(b"[1.50]"));
    world.end(calls[1].call, CallEnd::Error(error));

    assert_eq!(calls[0].params, "[1e400, 1.50]");
    assert_eq!(
        world.raw,
        [
            r#"{"jsonrpc":"2.0","id":1,"result":{"size":1.50}}"#,
            r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32001,"message":"Method call error","data":[1.50]}}"#,
        ]
    );
}

#[test]
fn a_request_without_an_id_is_executed_and_has_no_reply() {
    let mut world = World::connected(Policy::DEFAULT);
    world.text(A, r#"{"jsonrpc":"2.0","method":"m"}"#);

    let call = world.calls[0].clone();
    world.succeed(call.call);

    assert_eq!((call.method.as_str(), call.params.as_str()), ("m", ""));
    assert_eq!(world.sent_to(A), Vec::<Value>::new());
    assert_eq!(world.status()["in_flight"], 0);
}

#[test]
fn a_flood_of_one_program_leaves_capacity_for_others_and_is_rejected_beyond_its_queue() {
    let mut world = World::connected(POLICY);
    for id in 0..8 {
        world.call(A, id, "flood");
    }

    world.call(B, 1, "single");

    // Three of four are in flight, three wait, two were rejected.
    assert_eq!(world.methods(), ["flood", "flood", "flood", "single"]);
    let rejected: Vec<Value> = world.sent_to(A).iter().map(short).collect();
    let too_many = |id: u64| json!([id, -32_000, "not_sent", false]);
    assert_eq!(rejected, [too_many(6), too_many(7)]);
}

#[test]
fn programs_that_wait_take_turns_whatever_the_length_of_their_queues() {
    let policy = Policy {
        in_flight_max: 3,
        reserved_for_others: 0,
        ..Policy::DEFAULT
    };
    let mut world = World::connected(policy);
    world.open(C);
    for id in 0..10 {
        world.call(A, id, "a");
    }
    for id in 0..3 {
        world.call(B, id, "b");
        world.call(C, id, "c");
    }

    for at in 0..9 {
        let call = world.calls[at].call;
        world.succeed(call);
    }

    let methods = world.methods();
    assert_eq!(methods[..3], ["a", "a", "a"], "no other program had calls");
    let mut next = methods[3..9].to_vec();
    next.sort_unstable();
    assert_eq!(next, ["a", "a", "b", "b", "c", "c"], "{methods:?}");
}

#[test]
fn the_bytes_of_a_queue_are_limited_too() {
    let policy = Policy {
        queue_bytes_max: 100,
        ..Policy::DEFAULT
    };
    let mut world = World::connecting(policy);
    let params = json!(["x".repeat(60)]);

    world.request(A, 1, "m", &params);
    world.request(A, 2, "m", &params);
    world.request(B, 3, "m", &params);

    let rejected: Vec<Value> = world.sent_to(A).iter().map(short).collect();
    assert_eq!(rejected, [json!([2, -32_000, "not_sent", false])]);
    assert_eq!(world.sent_to(B), Vec::<Value>::new());
}

#[test]
fn each_end_of_a_call_has_a_code_and_says_whether_it_may_have_been_executed() {
    let mut world = World::connected(Policy::DEFAULT);
    let ends = [
        (
            CallEnd::NotSent("too large".to_owned()),
            json!([-32_050, "not_sent", false]),
        ),
        (
            CallEnd::Interrupted {
                maybe_executed: true,
            },
            json!([-32_051, "interrupted", true]),
        ),
        (
            CallEnd::Interrupted {
                maybe_executed: false,
            },
            json!([-32_051, "interrupted", false]),
        ),
        (
            CallEnd::TimedOut {
                maybe_executed: true,
            },
            json!([-32_052, "timed_out", true]),
        ),
        (
            CallEnd::TimedOut {
                maybe_executed: false,
            },
            json!([-32_052, "timed_out", false]),
        ),
    ];
    for (end, expected) in ends {
        world.call(A, 1, "m");
        let call = world.calls.last().unwrap().call;

        world.end(call, end);

        let reply = short(&world.sent_to(A)[0]);
        assert_eq!(json!([reply[1], reply[2], reply[3]]), expected);
    }
}

#[test]
fn without_a_connection_calls_wait_until_their_deadline_and_then_were_not_sent() {
    let mut world = World::connecting(Policy::DEFAULT);
    world.call(A, 1, "m");
    world.pass(Duration::from_secs(20));
    world.call(A, 2, "m");

    world.pass(Duration::from_secs(40));

    let replies = world.sent_to(A);
    assert_eq!(
        replies.iter().map(short).collect::<Vec<_>>(),
        [json!([1, -32_050, "not_sent", false])]
    );
    let text = replies[0]["error"]["message"].as_str().unwrap();
    assert_eq!(
        text,
        "The call was not sent: no connection to the server for 60 s: not connected yet"
    );
    world.session(SessionState::Connected, 1);
    assert_eq!(world.calls.len(), 1);
    assert_eq!(world.calls[0].timeout, Duration::from_secs(20));
}

#[test]
fn nothing_is_sent_while_the_connection_is_lost_and_calls_in_flight_end_as_the_session_says() {
    let mut world = World::connected(Policy::DEFAULT);
    world.call(A, 1, "before");
    world.session(SessionState::Connecting, 1);
    let maybe_executed = true;
    let before = world.calls[0].call;
    world.end(before, CallEnd::Interrupted { maybe_executed });
    world.call(A, 2, "during");
    assert_eq!(world.methods(), ["before"]);

    world.session(SessionState::Connected, 2);

    assert_eq!(world.methods(), ["before", "during"]);
    let replies: Vec<Value> = world.sent_to(A).iter().map(short).collect();
    assert_eq!(replies, [json!([1, -32_051, "interrupted", true])]);
    assert_eq!(world.status()["reconnects"], 1);
}

#[test]
fn what_a_program_did_not_send_before_it_left_is_withdrawn_and_what_is_in_flight_ends_without_it() {
    let mut world = World::connected(POLICY);
    for id in 0..5 {
        world.call(A, id, "a");
    }
    world.leave(A);

    for call in world.calls.clone() {
        world.succeed(call.call);
    }
    world.call(B, 1, "b");

    assert_eq!(world.methods(), ["a", "a", "a", "b"]);
    assert_eq!(world.sent_to(A), Vec::<Value>::new());
}

#[test]
fn a_program_that_does_not_read_is_disconnected_at_its_limit_and_one_that_reads_is_not() {
    let policy = Policy {
        send_bytes_max: 1_000,
        ..Policy::DEFAULT
    };
    for reads in [false, true] {
        let mut world = World::connected(policy);
        for id in 0..100 {
            world.call(A, id, "core.set_options");
            if reads {
                let (program, messages) = (A, 1);
                world.handle(Input::Written { program, messages });
            }
        }

        let received = world.sent_to(A).len();

        let expected = if reads {
            vec![]
        } else {
            vec![(A, DisconnectReason::SlowReader)]
        };
        assert_eq!(world.disconnected, expected);
        assert_eq!(received == 100, reads, "{received}");
    }
}

/// A result with as many bytes, at least two.
fn result(bytes: usize) -> CallEnd {
    CallEnd::Result(format!("\"{}\"", "x".repeat(bytes - 2)).into())
}

#[test]
fn large_results_are_all_received_also_with_other_messages_after_them() {
    let policy = Policy {
        send_bytes_max: 1_000,
        ..Policy::DEFAULT
    };
    let mut world = World::connected(policy);
    for id in 1..=3 {
        world.call(A, id, "m");
    }

    for call in world.calls.clone() {
        world.end(call.call, result(2_000));
    }
    world.call(A, 4, "bridge.status");

    let ids: Vec<Value> = world.sent_to(A).iter().map(|it| it["id"].clone()).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    assert_eq!(world.disconnected, []);
}

#[test]
fn a_program_that_has_not_read_its_results_gets_no_further_ones_until_it_has() {
    let policy = Policy {
        send_bytes_max: 1_000,
        ..Policy::DEFAULT
    };
    let mut world = World::connected(policy);
    world.call(A, 1, "first");
    let first = world.calls[0].call;
    world.end(first, result(2_000));

    world.call(A, 2, "second");
    world.call(B, 1, "other");
    assert_eq!(world.methods(), ["first", "other"]);
    let (program, messages) = (A, 1);
    world.handle(Input::Written { program, messages });

    assert_eq!(world.methods(), ["first", "other", "second"]);
}

#[test]
fn when_all_together_have_read_too_little_the_one_with_the_most_is_disconnected() {
    let policy = Policy {
        send_bytes_total_max: 5_000,
        ..Policy::DEFAULT
    };
    let mut world = World::connected(policy);
    world.call(A, 1, "m");
    world.call(B, 1, "m");
    world.call(B, 2, "m");
    let calls = world.calls.clone();

    world.end(calls[0].call, result(2_000));
    world.end(calls[1].call, result(2_500));
    assert_eq!(world.disconnected, []);
    world.end(calls[2].call, result(2_500));

    assert_eq!(world.disconnected, [(B, DisconnectReason::TooMuchUnread)]);
    assert_eq!(world.status()["programs_disconnected"], 1);
}

#[test]
fn a_program_can_request_a_shorter_time_limit_and_no_longer_one() {
    let mut world = World::connecting(Policy::DEFAULT);
    let request = |id: u64, seconds: u64| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m","timeout_seconds":{seconds}}}"#)
    };
    world.call(A, 1, "m");
    world.text(A, &request(2, 10));
    world.text(A, &request(3, 30));
    world.text(A, &request(4, 90));

    world.pass(Duration::from_secs(10));
    let replies = world.sent_to(A);
    assert_eq!(
        replies.iter().map(short).collect::<Vec<_>>(),
        [json!([2, -32_050, "not_sent", false])]
    );
    let text = replies[0]["error"]["message"].as_str().unwrap();
    assert!(text.contains("for 10 s"), "{text}");
    world.session(SessionState::Connected, 1);

    let timeouts: Vec<u64> = world.calls.iter().map(|it| it.timeout.as_secs()).collect();
    assert_eq!(timeouts, [50, 20, 50]);
}

#[test]
fn many_small_messages_that_are_not_read_count_too() {
    let policy = Policy {
        send_messages_max: 5,
        ..Policy::DEFAULT
    };
    let mut world = World::connected(policy);

    for id in 0..6 {
        world.call(A, id, "auth.logout");
    }

    assert_eq!(world.sent_to(A).len(), 5);
    assert_eq!(world.disconnected, [(A, DisconnectReason::SlowReader)]);
}
