//! What the bridge replies without the server.

use serde_json::{Value, json};
use steadfast_bridge::{DisconnectReason, Policy, ProgramId, SessionState};

use super::world::{A, B, C, World, short};

#[test]
fn logins_succeed_in_the_form_of_the_server_and_never_reach_it() {
    let mut world = World::connecting(Policy::DEFAULT);
    let key = json!(["1-key"]);
    let methods = [
        "auth.login",
        "auth.login_with_api_key",
        "auth.login_with_token",
        "auth.logout",
        "auth.login_ex",
        "auth.login_ex_continue",
        "auth.mechanism_choices",
    ];

    for method in methods {
        world.request(A, 1, method, &key);
    }
    world.session(SessionState::Connected, 1);

    let results: Vec<Value> = world
        .sent_to(A)
        .iter()
        .map(|it| it["result"].clone())
        .collect();
    assert_eq!(results[..4], [true, true, true, true].map(Value::from));
    for result in &results[4..6] {
        assert_eq!(result["response_type"], "SUCCESS");
    }
    assert_eq!(results[6][0], "API_KEY_PLAIN");
    assert_eq!(results.len(), methods.len());
    assert_eq!(world.methods(), Vec::<&str>::new());
}

#[test]
fn the_options_in_effect_are_those_of_the_bridge_whatever_a_program_sets() {
    let mut world = World::connected(Policy::DEFAULT);

    world.request(A, 1, "core.set_options", &json!([{"legacy_jobs": false}]));

    let options = json!({"legacy_jobs": true, "private_methods": false, "py_exceptions": false});
    assert_eq!(world.sent_to(A)[0]["result"], options);
    assert_eq!(world.methods(), Vec::<&str>::new());
}

#[test]
fn a_ping_and_the_questions_about_the_account_reach_the_server() {
    let mut world = World::connected(Policy::DEFAULT);

    for method in ["core.ping", "auth.me", "auth.sessions"] {
        world.call(A, 1, method);
    }

    assert_eq!(world.methods(), ["core.ping", "auth.me", "auth.sessions"]);
}

#[test]
fn the_status_names_the_state_and_the_cause_of_the_last_loss() {
    let mut world = World::connected(Policy::DEFAULT);
    world.call(B, 1, "m");
    world.session(SessionState::Connecting, 1);
    world.call(B, 2, "m");

    let status = world.status();

    assert_eq!(
        status,
        json!({
            "state": "connecting",
            "user": "admin",
            "cause": "it was unplugged",
            "reconnects": 0,
            "programs": 2,
            "programs_ended": 0,
            "programs_disconnected": 0,
            "in_flight": 1,
            "in_flight_max": 10,
            "queued": 1,
            "subscriptions": 0,
        })
    );
}

#[test]
fn what_is_no_request_is_rejected_without_the_server_and_the_connection_stays() {
    let mut world = World::connected(Policy::DEFAULT);

    world.text(A, "nonsense");
    world.text(A, r#"[{"jsonrpc":"2.0","id":1,"method":"m"}]"#);
    world.text(A, r#"{"jsonrpc":"2.0","id":2,"method":"m","params":{}}"#);
    world.call(A, 3, "m");

    let replies: Vec<Value> = world.sent_to(A).iter().map(short).collect();
    let rejected = |id: Value, code: i64| json!([id, code, "rejected", false]);
    assert_eq!(
        replies,
        [
            rejected(Value::Null, -32_700),
            rejected(Value::Null, -32_700),
            rejected(json!(2), -32_600),
        ]
    );
    assert_eq!(world.methods(), ["m"]);
}

#[test]
fn more_programs_than_permitted_are_disconnected_until_one_leaves() {
    let policy = Policy {
        programs_max: 2,
        ..Policy::DEFAULT
    };
    let mut world = World::connected(policy);
    world.open(C);
    assert_eq!(world.disconnected, [(C, DisconnectReason::TooManyPrograms)]);
    let reason = short(&world.sent_to(C)[0]);
    assert_eq!(reason, json!([null, -32_050, "not_sent", false]));
    world.call(C, 1, "m");
    assert_eq!(world.methods(), Vec::<&str>::new());

    world.leave(A);
    world.open(C);
    world.call(C, 1, "m");

    assert_eq!(world.methods(), ["m"]);
}

#[test]
fn programs_that_have_ended_or_were_disconnected_are_counted() {
    let policy = Policy {
        programs_max: 2,
        send_messages_max: 1,
        ..Policy::DEFAULT
    };
    let mut world = World::connected(policy);
    world.open(C);
    for id in 0..2 {
        world.call(B, id, "auth.logout");
    }
    world.open(ProgramId(4));
    world.leave(ProgramId(4));

    let status = world.status();

    assert_eq!(status["programs"], 1);
    assert_eq!(status["programs_ended"], 1);
    assert_eq!(
        status["programs_disconnected"], 2,
        "{:?}",
        world.disconnected
    );
}
