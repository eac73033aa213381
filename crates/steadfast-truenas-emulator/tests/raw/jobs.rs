//! Jobs: ids, events, progress, replies, abort, bulk.

use std::time::Duration;

use serde_json::{Value, json};
use steadfast_truenas_emulator::{ApiVersion, ConnectionId, Control};

use crate::rig::{Rig, policy, seconds};

const SCRUB: &str = "pool.scrub.scrub";

/// A connection that receives the events of jobs.
fn watching(rig: &mut Rig) -> ConnectionId {
    let connection = rig.logged_in();
    rig.call(connection, "core.subscribe", json!(["core.get_jobs"]));
    connection
}

fn without_legacy_jobs(rig: &mut Rig, connection: ConnectionId) {
    let options = json!([{"legacy_jobs": false}]);
    let effective = rig.call(connection, "core.set_options", options);
    assert_eq!(effective["result"]["legacy_jobs"], false);
}

/// The message kind, the state and the progress of the events of a job.
fn events(messages: &[Value], id: u64) -> Vec<(String, String, u64)> {
    let params = messages.iter().map(|it| &it["params"]);
    let of_job = params.filter(|it| it["id"] == id);
    let summary = of_job.map(|it| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let percent = it["fields"]["progress"]["percent"].as_u64().unwrap();
        (text(&it["msg"]), text(&it["fields"]["state"]), percent)
    });
    summary.collect()
}

fn event(msg: &str, state: &str, percent: u64) -> (String, String, u64) {
    (msg.to_owned(), state.to_owned(), percent)
}

#[test]
fn a_job_replies_with_its_id_at_once_and_ids_count_from_1() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();

    let first = rig.call(connection, SCRUB, json!(["tank"]));
    let second = rig.call(connection, SCRUB, json!(["tank"]));

    assert_eq!(
        (&first["result"], &second["result"]),
        (&json!(1), &json!(2))
    );
}

#[test]
fn events_of_a_job_precede_its_reply_and_show_its_progress() {
    let mut rig = Rig::new();
    let connection = watching(&mut rig);
    let id = rig.request(connection, SCRUB, json!(["tank"]));
    rig.advance(seconds(2));

    let messages = rig.messages(connection);

    let reply = messages.iter().position(|it| it["id"] == id).unwrap();
    let added = messages
        .iter()
        .position(|it| it["params"]["msg"] == "added");
    assert!(added.unwrap() < reply, "{messages:?}");
    assert_eq!(
        events(&messages, 1),
        [
            event("added", "WAITING", 0),
            event("changed", "RUNNING", 0),
            event("changed", "RUNNING", 25),
            event("changed", "RUNNING", 50),
            event("changed", "RUNNING", 75),
            event("changed", "SUCCESS", 100),
        ]
    );
}

#[test]
fn the_last_event_of_a_job_can_be_sent_twice() {
    let mut policy = policy(ApiVersion::V26_0_0);
    policy.repeats_last_job_event = true;
    let mut rig = Rig::with(policy);
    let connection = watching(&mut rig);
    rig.call(connection, SCRUB, json!(["tank"]));

    let messages = rig.messages(connection);

    let last = events(&messages, 1).split_off(5);
    assert_eq!(
        last,
        [
            event("changed", "SUCCESS", 100),
            event("changed", "SUCCESS", 100)
        ]
    );
}

#[test]
fn without_legacy_jobs_the_reply_comes_at_the_end_and_events_name_the_request() {
    let mut rig = Rig::new();
    let connection = watching(&mut rig);
    without_legacy_jobs(&mut rig, connection);
    let id = rig.request(connection, SCRUB, json!(["tank"]));

    rig.advance(Duration::from_millis(900));
    let early = rig.messages(connection);
    rig.advance(Duration::from_millis(200));
    let reply = rig.reply(connection, id);

    assert!(early.iter().all(|message| message["id"] != id));
    assert_eq!(early[0]["params"]["fields"]["message_ids"], json!([id]));
    assert_eq!(reply["result"], Value::Null);
}

#[test]
fn legacy_jobs_is_an_option_since_release_25_10() {
    let mut rig = Rig::of_release(ApiVersion::V25_04_2);
    let connection = rig.logged_in();

    let reply = rig.call(
        connection,
        "core.set_options",
        json!([{"legacy_jobs": false}]),
    );

    assert_eq!(reply["error"]["code"], -32_602);
}

#[test]
fn equal_jobs_run_one_after_the_other_and_equal_waiting_jobs_are_one() {
    let mut rig = Rig::new();
    let connection = watching(&mut rig);
    let requests: Vec<u64> = (0..3)
        .map(|_| {
            let id = rig.request(connection, SCRUB, json!(["tank"]));
            rig.advance(Duration::from_millis(50));
            id
        })
        .collect();

    let jobs = requests
        .iter()
        .map(|id| rig.reply(connection, *id)["result"].clone());
    let jobs: Vec<Value> = jobs.collect();
    let messages = rig.messages(connection);

    assert_eq!(jobs, [json!(1), json!(2), json!(2)]);
    let merged = messages.iter().rfind(|it| it["params"]["id"] == 2).unwrap();
    let of_both = json!([requests[1], requests[2]]);
    assert_eq!(merged["params"]["msg"], "changed");
    assert_eq!(merged["params"]["fields"]["message_ids"], of_both);
    assert_eq!(merged["params"]["fields"]["state"], "WAITING");
}

#[test]
fn an_aborted_job_ends_and_its_callers_get_an_error() {
    let mut rig = Rig::new();
    let connection = watching(&mut rig);
    without_legacy_jobs(&mut rig, connection);
    let id = rig.request(connection, SCRUB, json!(["tank"]));
    rig.advance(Duration::from_millis(300));

    let abort = rig.request(connection, "core.job_abort", json!([1]));
    rig.advance(Duration::from_millis(10));

    assert_eq!(rig.reply(connection, abort)["result"], Value::Null);
    assert_eq!(rig.reply(connection, id)["error"]["code"], -32_001);
    let messages = rig.messages(connection);
    assert_eq!(
        events(&messages, 1).last(),
        Some(&event("changed", "ABORTED", 25))
    );
}

#[test]
fn a_test_can_let_a_job_fail() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();
    rig.control(Control::FailJob {
        method: SCRUB.to_owned(),
    });
    rig.call(connection, SCRUB, json!(["tank"]));

    let jobs = rig.call(connection, "core.get_jobs", json!([[["id", "=", 1]]]));

    let job = &jobs["result"][0];
    assert_eq!(job["state"], "FAILED");
    assert!(job["error"].is_string() && job["exc_info"]["errno"].is_number());
}

#[test]
fn jobs_are_visible_to_their_user_after_a_new_login() {
    let mut rig = Rig::new();
    let first = rig.logged_in();
    rig.call(first, SCRUB, json!(["tank"]));
    let second = rig.logged_in();

    let jobs = rig.call(second, "core.get_jobs", json!([]));

    let job = &jobs["result"][0];
    assert_eq!((&job["id"], &job["state"]), (&json!(1), &json!("SUCCESS")));
    assert!(job["time_finished"]["$date"].is_u64());
}

#[test]
fn waiting_for_a_job_is_a_job() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();
    without_legacy_jobs(&mut rig, connection);
    rig.request(connection, SCRUB, json!(["tank"]));
    rig.advance(Duration::from_millis(100));

    let wait = rig.request(connection, "core.job_wait", json!([1]));
    rig.advance(Duration::from_millis(500));
    let early: Vec<Value> = rig.messages(connection);
    rig.advance(Duration::from_millis(500));

    assert_eq!(early, Vec::<Value>::new());
    assert!(rig.reply(connection, wait).get("result").is_some());
    let jobs = rig.call(connection, "core.get_jobs", json!([]));
    assert_eq!(jobs["result"][1]["method"], "core.job_wait");
}

#[test]
fn bulk_succeeds_and_has_a_result_or_an_error_for_each_item() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();
    without_legacy_jobs(&mut rig, connection);
    let items = json!([[{"name": "tank/a"}], [{"name": "tank/a"}], [{"name": "none/a"}]]);

    let reply = rig.call(
        connection,
        "core.bulk",
        json!(["pool.dataset.create", items]),
    );

    let results = reply["result"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    assert_eq!(results[0]["result"]["id"], "tank/a");
    assert_eq!(results[0]["error"], Value::Null);
    assert!(
        results[1]["error"]
            .as_str()
            .unwrap()
            .contains("already exists")
    );
    assert!(results[2]["error"].is_string());
}

#[test]
fn a_job_continues_without_the_connection_that_started_it() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();
    rig.request(connection, SCRUB, json!(["tank"]));
    rig.advance(Duration::from_millis(100));
    rig.control(Control::CutConnections);
    rig.advance(seconds(1));

    let after = rig.logged_in();
    let jobs = rig.call(after, "core.get_jobs", json!([]));

    assert_eq!(jobs["result"][0]["state"], "SUCCESS");
}
