//! The ends of sessions, connections and of the middleware.

use std::time::Duration;

use serde_json::{Value, json};
use steadfast_truenas_emulator::{
    Account, ApiVersion, AssuranceLevel, ConnectionId, Control, Input, Policy,
};

use crate::rig::{End, PASSWORD, Rig, account, policy, seconds};

const DAY: u64 = 24 * 60 * 60;

#[test]
fn a_session_of_30_days_ends_with_the_next_message_and_the_socket_stays() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();
    rig.advance(seconds(30 * DAY - 60));
    let before = rig.call(connection, "auth.me", json!([]));
    rig.advance(seconds(60));

    let after = rig.call(connection, "auth.me", json!([]));
    let ping = rig.call(connection, "core.ping", json!([]));
    let again = rig.log_in(connection);

    assert_eq!(before["result"]["pw_name"], "admin");
    let error = &after["error"];
    assert_eq!(
        (&error["code"], &error["data"]["error"]),
        (&json!(-32_001), &json!(207))
    );
    assert_eq!(ping["result"], "pong");
    assert_eq!(again["response_type"], "SUCCESS");
    assert_eq!(rig.end(connection), None);
}

#[test]
fn subscriptions_of_an_expired_session_continue_except_those_to_jobs() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();
    for name in ["pool.dataset.query", "core.get_jobs"] {
        rig.call(connection, "core.subscribe", json!([name]));
    }
    rig.control(Control::ExpireSessions);
    assert_eq!(
        rig.call(connection, "auth.me", json!([]))["error"]["data"]["error"],
        207
    );

    let other = rig.logged_in();
    rig.call(other, "pool.dataset.create", json!([{"name": "tank/a"}]));
    rig.call(other, "pool.scrub.scrub", json!(["tank"]));

    let messages = rig.messages(connection);
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0]["params"]["collection"], "pool.dataset.query");
}

#[test]
fn a_restart_cuts_all_connections_and_job_ids_begin_at_1_again() {
    let mut rig = Rig::new();
    let (first, second) = (rig.logged_in(), rig.open());
    let id = rig.call(first, "pool.scrub.scrub", json!(["tank"]))["result"].clone();
    rig.call(first, "pool.dataset.create", json!([{"name": "tank/a"}]));

    rig.control(Control::Restart);

    assert_eq!(
        (rig.end(first), rig.end(second)),
        (Some(End::Cut), Some(End::Cut))
    );
    let after = rig.logged_in();
    let jobs = rig.call(after, "core.get_jobs", json!([]));
    assert_eq!(jobs["result"], json!([]));
    let again = rig.call(after, "core.bulk", json!(["core.ping", [[]]]))["result"].clone();
    assert_eq!(
        (id, again),
        (json!(1), json!(1)),
        "the id is that of another job now"
    );
    let found = rig.call(
        after,
        "pool.dataset.query",
        json!([[["id", "=", "tank/a"]]]),
    );
    assert_eq!(found["result"][0]["id"], "tank/a", "what is stored stays");
}

#[test]
fn a_running_job_is_lost_with_a_restart() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();
    rig.request(connection, "pool.scrub.scrub", json!(["tank"]));
    rig.advance(Duration::from_millis(100));

    rig.control(Control::Restart);
    rig.advance(seconds(5));

    let after = rig.logged_in();
    assert_eq!(
        rig.call(after, "core.get_jobs", json!([]))["result"],
        json!([])
    );
}

#[test]
fn a_restart_ends_calls_that_a_lost_connection_would_not_end() {
    let mut rig = Rig::of_release(ApiVersion::V25_10_5);
    let connection = rig.logged_in();
    for number in 0..12 {
        let name = format!("tank/{number}");
        rig.request(connection, "pool.dataset.create", json!([{"name": name}]));
    }

    rig.control(Control::Restart);
    rig.advance(seconds(1));

    let created = rig.middleware.journal().of("pool.dataset.create");
    assert_eq!(created.count(), 0);
}

#[test]
fn an_administrator_ends_a_session_with_1000_and_without_a_reason() {
    let mut rig = Rig::new();
    let (admin, other) = (rig.logged_in(), rig.logged_in());
    let sessions = rig.call(admin, "auth.sessions", json!([]))["result"].clone();
    let rows = sessions.as_array().unwrap();
    let foreign = rows.iter().find(|row| row["current"] == false).unwrap();

    let reply = rig.call(admin, "auth.terminate_session", json!([foreign["id"]]));

    assert_eq!(reply["result"], true);
    assert_eq!(rig.end(other), Some(End::Closed(1000, String::new())));
    assert_eq!(rig.end(admin), None);
}

#[test]
fn a_test_can_terminate_all_sessions_and_anonymous_connections_stay() {
    let mut rig = Rig::new();
    let (user, anonymous) = (rig.logged_in(), rig.open());

    rig.control(Control::TerminateSessions);

    assert_eq!(rig.end(user), Some(End::Closed(1000, String::new())));
    assert_eq!(rig.end(anonymous), None);
}

#[test]
fn the_server_sends_nothing_on_its_own() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();

    rig.advance(seconds(DAY));

    assert_eq!(rig.messages(connection), Vec::<Value>::new());
    assert_eq!(rig.end(connection), None);
}

#[test]
fn an_idle_connection_is_cut_60_s_after_the_last_byte_of_the_server() {
    let mut policy = policy(ApiVersion::V26_0_0);
    policy.idle_cut = Some(seconds(60));
    let mut rig = Rig::with(policy);
    let (idle, pinging) = (rig.open(), rig.open());
    for _ in 0..3 {
        rig.advance(seconds(30));
        rig.input(Input::PongSent {
            connection: pinging,
        });
    }
    assert_eq!((rig.end(idle), rig.end(pinging)), (Some(End::Cut), None));

    rig.advance(Duration::from_millis(59_999));
    let before = rig.end(pinging);
    rig.advance(Duration::from_millis(1));

    assert_eq!((before, rig.end(pinging)), (None, Some(End::Cut)));
}

#[test]
fn a_message_of_the_client_alone_does_not_delay_the_idle_cut() {
    let mut policy = policy(ApiVersion::V26_0_0);
    policy.idle_cut = Some(seconds(60));
    let mut rig = Rig::with(policy);
    let connection = rig.logged_in();
    rig.messages(connection);
    // The login took 11 s in this test, and its reply came 10 ms after it began.
    rig.advance(seconds(45));
    rig.text(connection, r#"{"jsonrpc": "2.0", "method": "pool.query"}"#);

    rig.advance(seconds(5));

    assert_eq!(rig.end(connection), Some(End::Cut));
}

/// A session at a level that requires a one-time password; its login takes 22 s.
fn with_otp(level: AssuranceLevel) -> (Rig, ConnectionId) {
    let account = Account {
        otp: Some("123456".to_owned()),
        ..account()
    };
    let policy = Policy::of_release(ApiVersion::V26_0_0, vec![account]).at_assurance(level);
    let mut rig = Rig::with(policy);
    let connection = rig.open();
    let login = json!([{"mechanism": "PASSWORD_PLAIN", "username": "admin", "password": PASSWORD}]);
    rig.call(connection, "auth.login_ex", login);
    let otp = json!([{"mechanism": "OTP_TOKEN", "otp_token": "123456"}]);
    let reply = rig.call(connection, "auth.login_ex_continue", otp);
    assert_eq!(reply["result"]["response_type"], "SUCCESS", "{reply}");
    (rig, connection)
}

fn is_in_session(rig: &mut Rig, connection: ConnectionId) -> bool {
    let reply = rig.call(connection, "auth.me", json!([]));
    let code = &reply["error"]["data"]["error"];
    assert!(code.is_null() || code == 207, "{reply}");
    code.is_null()
}

#[test]
fn a_session_of_level_2_ends_after_12_hours_and_after_30_minutes_without_a_message() {
    let (mut rig, busy) = with_otp(AssuranceLevel::Level2);
    // A call takes 11 s in these tests.
    for _ in 0..35 {
        rig.advance(seconds(20 * 60 - 11));
        assert!(is_in_session(&mut rig, busy));
    }
    rig.advance(seconds(20 * 60));
    let after_12_hours = is_in_session(&mut rig, busy);
    let (mut rig, quiet) = with_otp(AssuranceLevel::Level2);
    rig.advance(seconds(30 * 60 - 12));
    let before_30_minutes = is_in_session(&mut rig, quiet);
    rig.advance(seconds(30 * 60 - 11));
    let after_30_minutes = is_in_session(&mut rig, quiet);

    assert_eq!(
        (after_12_hours, before_30_minutes, after_30_minutes),
        (false, true, false)
    );
}

#[test]
fn a_session_of_level_3_ends_after_13_minutes() {
    let (mut rig, connection) = with_otp(AssuranceLevel::Level3);
    rig.advance(seconds(12 * 60));
    let before = is_in_session(&mut rig, connection);
    rig.advance(seconds(60));

    let after = is_in_session(&mut rig, connection);

    assert_eq!((before, after), (true, false));
}

#[test]
fn a_session_of_level_1_needs_no_messages() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();

    rig.advance(seconds(29 * DAY));

    assert!(is_in_session(&mut rig, connection));
}
