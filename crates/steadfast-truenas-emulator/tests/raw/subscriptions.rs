//! Subscriptions: events to subscribers, and the end of a subscription by the server.

use serde_json::{Value, json};
use steadfast_truenas_emulator::{ConnectionId, Control};

use crate::rig::Rig;

fn subscribed(rig: &mut Rig, name: &str) -> (ConnectionId, Value) {
    let connection = rig.logged_in();
    let id = rig.call(connection, "core.subscribe", json!([name]))["result"].clone();
    (connection, id)
}

fn create(rig: &mut Rig, name: &str) {
    let other = rig.logged_in();
    rig.call(other, "pool.dataset.create", json!([{"name": name}]));
}

#[test]
fn a_subscription_has_a_uuid_and_needs_a_login() {
    let mut rig = Rig::new();
    let anonymous = rig.open();

    let (_, id) = subscribed(&mut rig, "pool.dataset.query");
    let refused = rig.call(anonymous, "core.subscribe", json!(["pool.dataset.query"]));

    let parts: Vec<usize> = id.as_str().unwrap().split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12]);
    assert_eq!(refused["error"]["data"]["error"], 207);
}

#[test]
fn subscribers_of_a_collection_and_of_all_receive_its_events() {
    let mut rig = Rig::new();
    let (one, _) = subscribed(&mut rig, "pool.dataset.query");
    let (all, _) = subscribed(&mut rig, "*");
    let (other, _) = subscribed(&mut rig, "alert.list");

    create(&mut rig, "tank/a");

    let [event] = &rig.messages(one)[..] else {
        panic!("one event")
    };
    assert_eq!(event["method"], "collection_update");
    assert!(event.get("id").is_none(), "a notification has no id");
    let params = &event["params"];
    assert_eq!(params["msg"], "added");
    assert_eq!(params["collection"], "pool.dataset.query");
    assert_eq!(
        (&params["id"], &params["fields"]["name"]),
        (&json!("tank/a"), &json!("tank/a"))
    );
    assert_eq!(rig.messages(all).len(), 1);
    assert_eq!(rig.messages(other), Vec::<Value>::new());
}

#[test]
fn a_removed_event_has_no_fields() {
    let mut rig = Rig::new();
    create(&mut rig, "tank/a");
    let (connection, _) = subscribed(&mut rig, "pool.dataset.query");

    rig.call(connection, "pool.dataset.delete", json!(["tank/a"]));

    let params = rig.messages(connection)[0]["params"].clone();
    assert_eq!(
        params,
        json!({"msg": "removed", "collection": "pool.dataset.query", "id": "tank/a"})
    );
}

#[test]
fn nothing_arrives_after_an_unsubscribe() {
    let mut rig = Rig::new();
    let (connection, id) = subscribed(&mut rig, "pool.dataset.query");
    rig.call(connection, "core.unsubscribe", json!([id]));

    create(&mut rig, "tank/a");

    assert_eq!(rig.messages(connection), Vec::<Value>::new());
}

#[test]
fn the_end_of_a_source_of_events_is_confirmed_before_the_response_and_of_others_not() {
    for (name, is_confirmed) in [
        (r#"reporting.realtime:{"interval":2}"#, true),
        ("pool.dataset.query", false),
    ] {
        let mut rig = Rig::new();
        let (connection, subscription) = subscribed(&mut rig, name);
        let id = rig.request(connection, "core.unsubscribe", json!([subscription]));
        rig.advance(crate::rig::seconds(1));

        let mut messages = rig.messages(connection);

        assert_eq!(messages.pop().unwrap()["id"], id);
        let params = json!({"collection": name, "error": null});
        let confirmation =
            json!({"jsonrpc": "2.0", "method": "notify_unsubscribed", "params": params});
        let expected: Vec<Value> = is_confirmed.then_some(confirmation).into_iter().collect();
        assert_eq!(messages, expected);
    }
}

#[test]
fn the_server_can_end_a_subscription_without_an_error() {
    let mut rig = Rig::new();
    let (connection, _) = subscribed(&mut rig, "pool.dataset.query");
    rig.control(Control::EndSubscriptions {
        collection: "pool.dataset.query".to_owned(),
    });

    create(&mut rig, "tank/a");

    let messages = rig.messages(connection);
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0]["method"], "notify_unsubscribed");
    let params = json!({"collection": "pool.dataset.query", "error": null});
    assert_eq!(messages[0]["params"], params);
}

#[test]
fn a_bad_argument_ends_a_subscription_with_an_error_before_its_reply() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();
    let id = rig.request(
        connection,
        "core.subscribe",
        json!(["reporting.realtime:{"]),
    );
    rig.advance(crate::rig::seconds(1));

    let messages = rig.messages(connection);

    assert_eq!(messages[0]["method"], "notify_unsubscribed");
    let error = &messages[0]["params"]["error"];
    assert_eq!(
        (&error["error"], &error["errname"]),
        (&json!(22), &json!("EINVAL"))
    );
    assert_eq!(messages[1]["id"], id);
}

#[test]
fn subscriptions_end_with_their_connection() {
    let mut rig = Rig::new();
    let (connection, _) = subscribed(&mut rig, "pool.dataset.query");
    rig.control(Control::CutConnections);
    let again = rig.logged_in();

    create(&mut rig, "tank/a");

    assert_eq!(rig.messages(connection), Vec::<Value>::new());
    assert_eq!(rig.messages(again), Vec::<Value>::new());
}
