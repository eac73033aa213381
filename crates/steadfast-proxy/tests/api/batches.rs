//! Batches whose changes depend on each other, and settings that a batch or a list takes over.

use serde_json::json;

use super::http::Api;

fn batch(api: &Api, changes: &serde_json::Value) -> (u16, String) {
    let body = json!({"changes": changes}).to_string();
    let response = api.send("POST", "/lab/batch", &body);
    (response.status, response.body)
}

#[test]
fn a_change_is_merged_into_what_the_changes_before_it_made() {
    let api = Api::start();
    api.create("a", "127.0.0.1:1".parse().unwrap());
    let update = |attributes| {
        let toxic = json!({"name": "l", "attributes": attributes});
        json!({"op": "update_toxic", "proxy": "a", "toxic": toxic})
    };
    let add = json!({"op": "add_toxic", "proxy": "a", "toxic": {"type": "latency", "name": "l"}});

    let changes = json!([
        add,
        update(json!({"latency": 5})),
        update(json!({"jitter": 3}))
    ]);
    let (status, body) = batch(&api, &changes);

    assert_eq!(status, 200, "{body}");
    let toxics = api.send("GET", "/proxies/a/toxics", "").body;
    assert!(toxics.contains("\"latency\":5,\"jitter\":3"), "{toxics}");
}

#[test]
fn a_toxic_that_an_earlier_change_removed_cannot_be_updated() {
    let api = Api::start();
    api.create("a", "127.0.0.1:1".parse().unwrap());
    api.send("POST", "/proxies/a/toxics", r#"{"type":"noop","name":"l"}"#);

    let (status, body) = batch(
        &api,
        &json!([
            {"op": "remove_toxics", "proxy": "a"},
            {"op": "update_toxic", "proxy": "a", "toxic": {"name": "l", "toxicity": 0.5}},
        ]),
    );

    assert_eq!(status, 404, "{body}");
    let toxics = api.send("GET", "/proxies/a/toxics", "").body;
    assert!(toxics.contains("\"name\":\"l\""), "{toxics}");
}

#[test]
fn the_timeout_of_dials_is_shown_updated_and_populated() {
    let api = Api::start();
    let listen = api.create("a", "127.0.0.1:1".parse().unwrap());

    let updated = api.send("PATCH", "/proxies/a", r#"{"dial_timeout_ms":70}"#);
    let entry = |rest: &str| {
        let body =
            format!(r#"[{{"name":"a","listen":"{listen}","upstream":"127.0.0.1:1"{rest}}}]"#);
        api.send("POST", "/populate", &body)
    };
    let kept = entry("");
    let changed = entry(r#","dial_timeout_ms":80"#);

    for (response, timeout) in [(updated, 70), (kept, 70), (changed, 80)] {
        let expected = format!("\"dial_timeout_ms\":{timeout},");
        assert!(response.body.contains(&expected), "{response:?}");
    }
}

/// One connection would otherwise use up all file descriptors, and the API could not be called any more.
#[test]
fn an_upstream_that_leads_back_through_other_proxies_is_rejected() {
    let api = Api::start();
    let first = api.create("a", "127.0.0.1:1".parse().unwrap());
    let second = api.create("b", first);
    let third = api.create("c", second);

    let body = json!({"upstream": third.to_string()}).to_string();
    let rejected = api.send("PATCH", "/proxies/a", &body);
    let chained = api.send(
        "PATCH",
        "/proxies/c",
        &json!({"upstream": first.to_string()}).to_string(),
    );

    assert_eq!(rejected.status, 400);
    assert!(
        rejected
            .body
            .contains("leads back to the proxy through the proxy \\\"b\\\""),
        "{}",
        rejected.body
    );
    let shown = api.send("GET", "/proxies/a", "").body;
    assert!(shown.contains("\"upstream\":\"127.0.0.1:1\""), "{shown}");
    assert_eq!(chained.status, 200, "a chain is no circle");
}
