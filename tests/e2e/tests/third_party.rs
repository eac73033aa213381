//! The gateway with third-party clients: every feature, load over kills and restarts, many channels at once, and what it
//! does not support. And a third-party server with the client library.

use serde_json::{Value, json};
use steadfast_e2e::edges::{self, Part};
use steadfast_e2e::kills::{self, Plan};
use steadfast_e2e::{binaries, many_channels, rpc_server, walk};

#[test]
fn every_feature_works_with_third_party_clients() {
    let gateway = binaries::gateway().unwrap();

    let outcome = walk::run(gateway);

    outcome.unwrap();
}

#[test]
fn clients_with_many_channels_are_subscribed_again_after_a_kill_and_a_large_batch_is_acknowledged()
{
    let gateway = binaries::gateway().unwrap();

    let outcome = many_channels::run(gateway);

    outcome.unwrap();
}

#[test]
fn acknowledged_publications_survive_kills_under_load_once_and_in_order() {
    let gateway = binaries::gateway().unwrap();
    let plan = Plan::short();

    let verdict = kills::run(gateway, "kills", &plan).unwrap();

    println!("{plan}\n{verdict}");
    assert!(verdict.holds(), "{verdict}");
    assert_eq!(verdict.counts.kills, u64::from(plan.cycles));
    assert!(verdict.counts.in_flight_at_kills.idempotent >= verdict.counts.kills);
}

#[test]
fn the_protobuf_build_of_the_sdk_is_disconnected_with_3506_and_does_not_reconnect() {
    let gateway = binaries::gateway().unwrap();

    let cases = edges::run(gateway, Part::Protobuf).unwrap();

    let expected = json!({
        "case": "protobuf",
        "code": 3506,
        "state": "disconnected",
        "sockets": 1,
        "disconnects": [3506],
    });
    assert_eq!(cases, [expected]);
}

#[test]
fn half_an_emoji_from_the_sdk_fails_only_its_command() {
    let gateway = binaries::gateway().unwrap();

    let cases = edges::run(gateway, Part::HalfEmoji).unwrap();

    let expected = [
        ("channel of subscribe", json!(107)),
        ("channel of publish", json!(107)),
        ("data of publish", json!("ok")),
        ("channel of history", json!(107)),
        ("channel of presence", json!(107)),
        ("method of rpc", json!(107)),
        ("data of rpc", json!(104)),
        ("channel in data of gw.publish", json!(107)),
        ("key in data of gw.publish", json!(107)),
        ("data in data of gw.publish", json!("ok")),
    ];
    let expected = expected.map(|(case, result)| -> Value {
        json!({
            "case": case,
            "result": result,
            "next": "ok",
            "state": "connected",
            "sockets": 1,
            "disconnects": [],
        })
    });
    assert_eq!(cases, expected);
}

#[test]
fn a_third_party_server_for_json_rpc_executes_calls_notifications_and_batches_of_the_client() {
    let outcome = rpc_server::run_calls();

    outcome.unwrap();
}

#[test]
fn a_third_party_server_for_json_rpc_that_is_killed_under_load_executes_no_call_twice() {
    let outcome = rpc_server::run_kill();

    outcome.unwrap();
}
