//! The shape of requests, replies and errors.

use serde_json::{Value, json};
use steadfast_truenas_emulator::{ApiVersion, Input};

use crate::rig::{End, Rig, seconds};

fn reply_to(text: &str) -> Value {
    let mut rig = Rig::new();
    let connection = rig.open();
    rig.text(connection, text);
    rig.advance(seconds(1));
    let messages = rig.messages(connection);
    assert_eq!(rig.end(connection), None);
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages[0].clone()
}

#[test]
fn a_reply_has_the_id_of_its_request_in_its_type() {
    for id in [json!(7), json!("7"), json!(null)] {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": "core.ping", "params": []});

        let reply = reply_to(&request.to_string());

        assert_eq!(reply, json!({"jsonrpc": "2.0", "id": id, "result": "pong"}));
    }
}

#[test]
fn params_may_be_omitted() {
    let reply = reply_to(r#"{"jsonrpc": "2.0", "id": 1, "method": "core.ping"}"#);

    assert_eq!(reply["result"], "pong");
}

#[test]
fn a_request_without_an_id_is_executed_and_has_no_reply() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();
    let create =
        r#"{"jsonrpc": "2.0", "method": "pool.dataset.create", "params": [{"name": "tank/a"}]}"#;

    rig.text(connection, create);
    rig.advance(seconds(1));

    assert_eq!(rig.messages(connection), Vec::<Value>::new());
    assert_eq!(
        rig.middleware.journal().of("pool.dataset.create").count(),
        1
    );
}

#[test]
fn what_is_no_object_is_a_parse_error_with_the_id_null_and_without_data() {
    let batch = r#"[{"jsonrpc": "2.0", "id": 1, "method": "core.ping"}]"#;
    for text in ["{", "1", "null", batch] {
        let reply = reply_to(text);

        assert_eq!(reply["error"]["code"], -32_700, "{text}");
        assert_eq!(reply["id"], Value::Null);
        assert!(reply.get("id").is_some() && reply["error"].get("data").is_none());
    }
}

#[test]
fn an_invalid_request_has_the_id_null_although_it_had_one() {
    for text in [
        r#"{"jsonrpc": "2.0", "id": 1, "method": "core.ping", "params": {}}"#,
        r#"{"jsonrpc": "2.0", "id": 1, "method": 5}"#,
        r#"{"jsonrpc": "1.0", "id": 1, "method": "core.ping"}"#,
        r#"{"id": 1, "method": "core.ping"}"#,
        r#"{"jsonrpc": "2.0", "id": [], "method": "core.ping"}"#,
        r#"{"jsonrpc": "2.0", "id": 1, "method": "core.ping", "more": 1}"#,
    ] {
        let reply = reply_to(text);

        assert_eq!(reply["error"]["code"], -32_600, "{text}");
        assert_eq!(reply["id"], Value::Null);
        assert!(reply["error"].get("data").is_none());
    }
}

#[test]
fn an_unknown_method_has_an_error_without_data_also_before_the_login() {
    let reply = reply_to(r#"{"jsonrpc": "2.0", "id": 1, "method": "pool.explode"}"#);

    let error = json!({"code": -32_601, "message": "Method does not exist"});
    assert_eq!(reply, json!({"jsonrpc": "2.0", "id": 1, "error": error}));
}

#[test]
fn a_binary_message_closes_the_connection_with_1003() {
    let mut rig = Rig::new();
    let connection = rig.open();

    rig.input(Input::ReceivedBinary { connection });

    assert!(matches!(rig.end(connection), Some(End::Closed(1003, _))));
}

#[test]
fn a_validation_error_names_the_attribute_and_its_error_number() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();
    let params = json!([{"name": "tank/a"}]);
    rig.call(connection, "pool.dataset.create", params.clone());

    let error = rig.call(connection, "pool.dataset.create", params)["error"].clone();

    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!(-32_602), &json!("Invalid params"))
    );
    let data = &error["data"];
    assert_eq!(
        (&data["error"], &data["errname"]),
        (&json!(22), &json!("EINVAL"))
    );
    let extra = json!([["pool_dataset_create.name", "Path tank/a already exists", 17]]);
    assert_eq!(data["extra"], extra);
}

#[test]
fn an_instance_that_does_not_exist_is_a_validation_error() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();

    let error = rig.call(connection, "pool.dataset.delete", json!(["tank/none"]))["error"].clone();

    assert_eq!(
        (&error["code"], &error["data"]["error"]),
        (&json!(-32_602), &json!(22))
    );
}

#[test]
fn any_other_error_has_its_number_name_reason_trace_and_extra() {
    let mut rig = Rig::new();
    let connection = rig.open();

    let error = rig.call(connection, "pool.query", json!([]))["error"].clone();

    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!(-32_001), &json!("Method call error"))
    );
    let data = &error["data"];
    assert_eq!(
        (&data["error"], &data["errname"]),
        (&json!(207), &json!("ENOTAUTHENTICATED"))
    );
    assert_eq!(data["reason"], "[ENOTAUTHENTICATED] Not authenticated");
    assert!(data.get("extra").is_some_and(Value::is_null));
    assert_eq!(data["trace"]["class"], "CallError");
}

#[test]
fn traces_have_frames_up_to_release_26() {
    for (release, has_frames) in [(ApiVersion::V26_0_0, true), (ApiVersion::V27_0_0, false)] {
        let mut rig = Rig::of_release(release);
        let connection = rig.open();

        let error = rig.call(connection, "pool.query", json!([]))["error"].clone();

        let trace = &error["data"]["trace"];
        assert_eq!(trace.get("frames").is_some(), has_frames, "{release}");
        assert!(trace["formatted"].is_string() && trace["repr"].is_string());
    }
}

#[test]
fn dates_are_extended_values() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();

    let info = rig.call(connection, "system.info", json!([]))["result"].clone();

    assert!(info["datetime"]["$date"].is_u64(), "{info}");
}

#[test]
fn queries_have_filters_and_options() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();
    for name in ["tank/a", "tank/b", "tank/c"] {
        rig.call(connection, "pool.dataset.create", json!([{"name": name}]));
    }
    let mut query = |params| rig.call(connection, "pool.dataset.query", params);

    let count = query(json!([[["id", "^", "tank/"]], {"count": true}]));
    let page = query(json!([[["id", "in", ["tank/a", "tank/c"]]], {"offset": 1, "limit": 1}]));
    let one = query(json!([[["id", "=", "tank/b"]], {"get": true}]));
    let none = query(json!([[["id", "=", "tank/x"]], {"get": true}]));

    assert_eq!(count["result"], 3);
    assert_eq!(page["result"][0]["id"], "tank/c");
    assert_eq!(one["result"]["name"], "tank/b");
    assert_eq!(none["error"]["code"], -32_602);
}
