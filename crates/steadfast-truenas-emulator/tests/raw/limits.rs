//! The limits on calls, on messages and on methods that need no login.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde_json::{Value, json};
use steadfast_truenas_emulator::{ApiVersion, ConnectionId, Control};

use crate::rig::{End, Rig, policy, seconds};

fn long_ping(method: &str, length: usize) -> String {
    let head = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":[""#);
    // Two bytes each, so that characters and bytes differ.
    let filler = "é".repeat(length - head.chars().count() - 3);
    format!(r#"{head}{filler}"]}}"#)
}

fn end_after(mut rig: Rig, connection: ConnectionId, text: &str) -> Option<End> {
    rig.text(connection, text);
    rig.advance(seconds(1));
    rig.end(connection)
}

#[test]
fn ten_calls_run_ten_wait_and_one_more_is_rejected_at_once_without_data() {
    let mut rig = Rig::with(steadfast_truenas_emulator::Policy {
        call_time: seconds(1),
        ..policy(ApiVersion::V26_0_0)
    });
    let connection = rig.logged_in();
    let ids: Vec<u64> = (0..21)
        .map(|_| rig.request(connection, "pool.query", json!([])))
        .collect();

    let at_once = rig.messages(connection);
    rig.advance(seconds(1));
    let first = rig.messages(connection);
    rig.advance(seconds(1));
    let second = rig.messages(connection);

    let text = "Maximum number of concurrent calls (20) has exceeded";
    let error = json!({"code": -32_000, "message": text});
    let rejection = json!({"jsonrpc": "2.0", "id": ids[20], "error": error});
    assert_eq!(at_once, [rejection]);
    let replied = |messages: &[Value]| -> Vec<u64> {
        messages
            .iter()
            .map(|it| it["id"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(replied(&first), ids[..10]);
    assert_eq!(replied(&second), ids[10..20]);
}

#[test]
fn a_test_can_hold_calls_until_as_many_are_open_as_it_needs() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();
    rig.control(Control::HoldCalls);
    for _ in 0..21 {
        rig.request(connection, "pool.query", json!([]));
    }

    rig.advance(seconds(100));
    let held = rig.messages(connection);
    rig.control(Control::ReleaseCalls);
    rig.advance(seconds(1));
    let released = rig.messages(connection);

    assert_eq!(held.len(), 1, "the rejection");
    assert_eq!(released.len(), 20);
}

#[test]
fn the_limit_of_calls_is_that_of_one_connection_and_a_reply_frees_a_permit() {
    let mut rig = Rig::new();
    let (busy, other) = (rig.logged_in(), rig.logged_in());
    for _ in 0..20 {
        rig.request(busy, "pool.query", json!([]));
    }

    let elsewhere = rig.call(other, "pool.query", json!([]));
    let later = rig.call(busy, "pool.query", json!([]));

    assert!(elsewhere.get("result").is_some() && later.get("result").is_some());
}

#[test]
fn an_anonymous_message_above_8192_characters_closes_with_1007() {
    let fits = long_ping("core.ping", 8_192);
    let too_long = long_ping("core.ping", 8_193);
    let end = |text: &str| {
        let mut rig = Rig::new();
        let connection = rig.open();
        end_after(rig, connection, text)
    };

    let reason = "Anonymous connection max message length is 8 kB".to_owned();
    assert_eq!(end(&fits), None);
    assert_eq!(end(&too_long), Some(End::Closed(1007, reason)));
}

#[test]
fn a_message_above_65536_characters_closes_with_1009_after_the_login() {
    let end = |text: &str| {
        let mut rig = Rig::new();
        let connection = rig.logged_in();
        end_after(rig, connection, text)
    };

    let reason = "Max message length is 64 kB".to_owned();
    let too_long = Some(End::Closed(1009, reason));
    assert_eq!(end(&long_ping("core.ping", 65_536)), None);
    assert_eq!(end(&long_ping("core.ping", 65_537)), too_long);
    assert_eq!(end(&long_ping("filesystem.file_receive", 2_097_152)), None);
    assert_eq!(
        end(&long_ping("filesystem.file_receive", 2_097_153)),
        too_long
    );
}

#[test]
fn a_long_message_that_is_no_json_is_a_parse_error() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();

    rig.text(connection, &"x".repeat(70_000));

    assert_eq!(rig.messages(connection)[0]["error"]["code"], -32_700);
    assert_eq!(rig.end(connection), None);
}

/// Sends calls of one method, and returns how many were refused.
fn refused(rig: &mut Rig, connection: ConnectionId, method: &str, calls: usize) -> usize {
    let replies = (0..calls).map(|_| {
        let id = rig.request(connection, method, json!([]));
        rig.advance(Duration::from_millis(100));
        id
    });
    let ids: Vec<u64> = replies.collect();
    rig.advance(seconds(10));
    let busy = ids.into_iter().filter(|id| {
        let error = rig.reply(connection, *id)["error"].clone();
        error["data"]["error"] == 16
    });
    busy.count()
}

#[test]
fn the_21st_anonymous_call_of_a_method_within_60_s_waits_1_to_10_s_for_ebusy() {
    let mut rig = Rig::new();
    let connection = rig.open();
    assert_eq!(refused(&mut rig, connection, "core.ping", 20), 0);

    let id = rig.request(connection, "core.ping", json!([]));
    rig.advance(Duration::from_millis(999));
    let early = rig.messages(connection);
    rig.advance(Duration::from_millis(9_001));
    let error = rig.reply(connection, id)["error"].clone();

    assert_eq!(early, Vec::<Value>::new());
    assert_eq!(
        (&error["code"], &error["data"]["error"]),
        (&json!(-32_001), &json!(16))
    );
    assert_eq!(error["data"]["reason"], "[EBUSY] Rate Limit Exceeded");
}

#[test]
fn the_window_is_fixed_and_a_new_one_begins_after_60_s() {
    let mut rig = Rig::new();
    let connection = rig.open();
    assert_eq!(refused(&mut rig, connection, "core.ping", 25), 5);

    // 25 calls took 2.5 s, and the last refusal at most 10 s.
    rig.advance(seconds(47));
    let before = refused(&mut rig, connection, "core.ping", 1);
    rig.advance(seconds(1));
    let after = refused(&mut rig, connection, "core.ping", 1);

    assert_eq!((before, after), (1, 0));
}

#[test]
fn methods_and_addresses_are_counted_separately_and_connections_together() {
    let mut rig = Rig::new();
    let connection = rig.open();
    assert_eq!(refused(&mut rig, connection, "core.ping", 20), 0);
    let (same, other) = (rig.open(), rig.open_from(Ipv4Addr::new(10, 0, 0, 1).into()));

    assert_eq!(refused(&mut rig, same, "core.ping", 1), 1);
    assert_eq!(
        refused(&mut rig, connection, "auth.mechanism_choices", 1),
        0
    );
    assert_eq!(refused(&mut rig, other, "core.ping", 1), 0);
}

#[test]
fn set_options_and_calls_after_the_login_are_not_limited() {
    let mut rig = Rig::new();
    let (anonymous, user) = (rig.open(), rig.logged_in());

    let options = (0..30).map(|_| rig.call(anonymous, "core.set_options", json!([{}])));
    assert!({ options }.all(|reply| reply.get("result").is_some()));
    assert_eq!(refused(&mut rig, user, "core.ping", 30), 0);
}

#[test]
fn a_table_with_100_entries_refuses_all_addresses_until_it_is_cleared() {
    let mut rig = Rig::new();
    let address = |number: u8| IpAddr::from(Ipv4Addr::new(10, 0, 0, number));
    for number in 1..100 {
        let connection = rig.open_from(address(number));
        rig.request(connection, "core.ping", json!([]));
        rig.advance(Duration::from_millis(10));
        assert_eq!(rig.messages(connection)[0]["result"], "pong");
    }
    let (hundredth, known) = (rig.open_from(address(100)), rig.open_from(address(1)));
    assert_eq!(refused(&mut rig, hundredth, "core.ping", 1), 1);
    assert_eq!(refused(&mut rig, known, "core.ping", 1), 1);

    rig.advance(seconds(600));

    assert_eq!(refused(&mut rig, known, "core.ping", 1), 0);
}

#[test]
fn an_address_that_is_not_allowed_is_closed_with_1008_after_the_upgrade() {
    let allowed = IpAddr::from(Ipv4Addr::new(10, 0, 0, 1));
    let mut policy = policy(ApiVersion::V26_0_0);
    policy.allowed_addresses = Some(vec![allowed]);
    let mut rig = Rig::with(policy);

    let (inside, outside) = (rig.open_from(allowed), rig.open());

    assert_eq!(rig.end(inside), None);
    assert!(matches!(rig.end(outside), Some(End::Closed(1008, _))));
}
