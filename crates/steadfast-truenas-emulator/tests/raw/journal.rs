//! The journal: what was executed, whatever the client believes.

use std::time::Duration;

use serde_json::{Value, json};
use steadfast_truenas_emulator::{ApiVersion, CallState, Control, Input, JournalEntry};

use crate::rig::{End, KEY, Rig, seconds};

const CREATE: &str = "pool.dataset.create";

fn entries(rig: &Rig) -> Vec<JournalEntry> {
    rig.middleware.journal().of(CREATE).cloned().collect()
}

fn exists(rig: &mut Rig, name: &str) -> bool {
    let connection = rig.logged_in();
    let found = rig.call(
        connection,
        "pool.dataset.query",
        json!([[["id", "=", name]]]),
    );
    found["result"]
        .as_array()
        .is_some_and(|rows| !rows.is_empty())
}

#[test]
fn an_entry_has_connection_method_params_time_and_whether_the_reply_was_sent() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();
    let params = json!([{"name": "tank/a"}]);

    rig.call(connection, CREATE, params.clone());
    rig.call(connection, CREATE, params.clone());

    let [first, second] = &entries(&rig)[..] else {
        panic!("two entries")
    };
    assert_eq!(
        (first.connection, json!(first.params)),
        (connection, params)
    );
    assert_eq!((first.state, first.reply_sent), (CallState::Executed, true));
    assert_eq!((second.state, second.reply_sent), (CallState::Failed, true));
    assert_eq!(
        first.at.as_millis(),
        11_010,
        "10 ms after the login and its 11 s"
    );
}

#[test]
fn rejected_calls_have_no_entry() {
    let mut rig = Rig::new();
    let anonymous = rig.open();
    rig.call(anonymous, CREATE, json!([{"name": "tank/a"}]));
    rig.call(anonymous, "pool.explode", json!([]));
    let connection = rig.logged_in();
    for _ in 0..21 {
        rig.request(connection, CREATE, json!([]));
    }
    rig.advance(seconds(1));

    assert_eq!(entries(&rig).len(), 20);
}

#[test]
fn a_lost_reply_belongs_to_an_executed_call_whose_connection_is_cut() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();
    rig.control(Control::LoseReply {
        method: CREATE.to_owned(),
    });

    rig.request(connection, CREATE, json!([{"name": "tank/a"}]));
    rig.advance(seconds(1));

    assert_eq!(rig.end(connection), Some(End::Cut));
    assert_eq!(rig.messages(connection), Vec::<Value>::new());
    let [entry] = &entries(&rig)[..] else {
        panic!("one entry")
    };
    assert_eq!(
        (entry.state, entry.reply_sent),
        (CallState::Executed, false)
    );
    assert!(exists(&mut rig, "tank/a"));
}

#[test]
fn since_release_26_the_end_of_a_connection_cancels_its_calls() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();
    rig.request(connection, CREATE, json!([{"name": "tank/a"}]));

    rig.input(Input::Closed { connection });
    rig.advance(seconds(1));

    let states: Vec<CallState> = entries(&rig).iter().map(|entry| entry.state).collect();
    assert_eq!(states, [CallState::Cancelled]);
    assert!(!exists(&mut rig, "tank/a"));
}

#[test]
fn held_calls_are_cancelled_too() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();
    rig.control(Control::HoldCalls);
    rig.request(connection, CREATE, json!([{"name": "tank/a"}]));
    rig.advance(seconds(1));

    rig.input(Input::Closed { connection });
    rig.control(Control::ReleaseCalls);
    rig.advance(seconds(1));

    let states: Vec<CallState> = entries(&rig).iter().map(|entry| entry.state).collect();
    assert_eq!(states, [CallState::Cancelled]);
}

#[test]
fn before_release_26_calls_are_executed_after_the_end_of_their_connection() {
    let mut rig = Rig::of_release(ApiVersion::V25_10_5);
    let connection = rig.logged_in();
    for number in 0..12 {
        rig.request(
            connection,
            CREATE,
            json!([{"name": format!("tank/{number}")}]),
        );
    }

    rig.input(Input::Closed { connection });
    rig.advance(seconds(1));

    let all = entries(&rig);
    let unseen = all.iter().filter(|entry| !entry.reply_sent);
    assert_eq!(
        (all.len(), unseen.count()),
        (12, 12),
        "running and waiting calls"
    );
    assert!(exists(&mut rig, "tank/0") && exists(&mut rig, "tank/11"));
}

#[test]
fn secrets_are_not_in_the_journal() {
    let mut rig = Rig::new();
    let connection = rig.open();
    rig.call(connection, "auth.login_with_api_key", json!([KEY]));

    let journal = rig.middleware.journal().to_json();

    assert_eq!(journal[0]["method"], "auth.login_with_api_key");
    assert_eq!(journal[0]["params"], json!([null]));
}

#[test]
fn entries_name_the_start_of_the_middleware() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();
    rig.call(connection, "pool.query", json!([]));
    rig.control(Control::Restart);
    let connection = rig.logged_in();
    rig.call(connection, "pool.query", json!([]));

    let starts: Vec<u64> = rig
        .middleware
        .journal()
        .of("pool.query")
        .map(|it| it.start)
        .collect();

    assert_eq!(starts, [1, 2]);
}

#[test]
fn the_same_seed_and_inputs_give_the_same_outputs() {
    let run = || {
        let mut rig = Rig::new();
        let connection = rig.open();
        let mut all = Vec::new();
        for _ in 0..25 {
            rig.request(connection, "core.ping", json!([]));
            rig.advance(Duration::from_millis(700));
            all.extend(rig.messages(connection));
        }
        let token = rig.logged_in();
        all.push(rig.call(token, "auth.generate_token", json!([])));
        all
    };

    assert_eq!(run(), run());
}

#[test]
fn each_execution_of_a_create_is_an_effect_also_one_that_finds_the_dataset_there() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();

    for name in ["tank/a", "tank/b", "tank/a", "other"] {
        rig.call(connection, CREATE, json!([{"name": name}]));
    }
    rig.call(connection, "pool.dataset.query", json!([]));

    assert_eq!(rig.effects, ["a", "b", "a"]);
}

#[test]
fn a_create_that_is_cancelled_is_no_effect() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();

    rig.request(connection, CREATE, json!([{"name": "tank/a"}]));
    rig.input(Input::Closed { connection });
    rig.advance(seconds(1));

    assert_eq!(rig.effects, Vec::<String>::new());
}
