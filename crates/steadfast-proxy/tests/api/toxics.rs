//! Toxics: every request for them with its status and its exact body.

use super::http::Api;

/// A server with the proxy `a`, whose upstream is never dialled.
fn api() -> Api {
    let api = Api::start();
    api.create("a", "127.0.0.1:1".parse().unwrap());
    api
}

fn add(api: &Api, body: &str) -> (u16, String) {
    let response = api.send("POST", "/proxies/a/toxics", body);
    (response.status, response.body)
}

#[test]
fn a_toxic_is_added_shown_updated_and_removed() {
    let api = api();
    let view = |latency, jitter, toxicity| {
        format!(
            "{{\"attributes\":{{\"latency\":{latency},\"jitter\":{jitter}}},\"name\":\"latency_downstream\",\"type\":\"latency\",\"stream\":\"downstream\",\"toxicity\":{toxicity}}}"
        )
    };
    let path = "/proxies/a/toxics/latency_downstream";

    let added = add(
        &api,
        r#"{"type":"latency","attributes":{"Latency":100.0,"other":"x"}}"#,
    );
    let shown = api.send("GET", path, "");
    let attributes = api.send("PATCH", path, r#"{"attributes":{"jitter":5}}"#);
    let toxicity = api.send(
        "POST",
        path,
        r#"{"toxicity":0.25,"name":"b","type":"noop","stream":"upstream"}"#,
    );
    let list = api.send("GET", "/proxies/a/toxics", "");
    let removed = api.send("DELETE", path, "");

    // Not 201, as for a proxy.
    assert_eq!(added, (200, view(100, 0, "1")));
    assert_eq!((shown.status, shown.body), (200, view(100, 0, "1")));
    assert_eq!(attributes.body, view(100, 5, "1"), "merged");
    assert_eq!(toxicity.body, view(100, 5, "0.25"));
    assert_eq!(list.body, format!("[{}]", view(100, 5, "0.25")));
    assert_eq!((removed.status, removed.body.as_str()), (204, ""));
    for method in ["GET", "POST", "DELETE"] {
        let response = api.send(method, path, "{}");
        assert_eq!(response.status, 404, "{method}");
        assert_eq!(
            response.body,
            "{\"error\":\"toxic not found\",\"status\":404}\n"
        );
    }
    assert_eq!(api.send("GET", "/proxies/a/toxics", "").body, "[]");
}

#[test]
fn every_type_has_all_its_attributes() {
    let api = api();

    for (kind, attributes) in [
        ("noop", "{}"),
        ("latency", r#"{"latency":0,"jitter":0}"#),
        ("bandwidth", r#"{"rate":0}"#),
        ("slow_close", r#"{"delay":0}"#),
        ("timeout", r#"{"timeout":0}"#),
        ("reset_peer", r#"{"timeout":0}"#),
        ("limit_data", r#"{"bytes":0}"#),
        ("reset", r#"{"after":0}"#),
        ("half_close", r#"{"after":0}"#),
        ("half_open", r#"{"after":0}"#),
        ("blackhole", r#"{"close_after":0}"#),
        ("slow_connect", r#"{"dial_delay":0,"first_byte_delay":0}"#),
        ("stall", r#"{"after_bytes":0,"time":0}"#),
        ("slow_read", r#"{"rate":0}"#),
        ("corrupt", r#"{"at_byte":0,"every":0}"#),
    ] {
        let (status, body) = add(&api, &format!(r#"{{"type":"{kind}"}}"#));
        assert_eq!(status, 200, "{body}");
        let expected = format!("{{\"attributes\":{attributes},\"name\":\"{kind}_downstream\"");
        assert!(body.starts_with(&expected), "{body}");
    }
    let (status, body) = add(
        &api,
        r#"{"type":"slicer","attributes":{"average_size":9,"size_variation":2,"delay":1}}"#,
    );
    assert_eq!(status, 200, "{body}");
    assert!(body.starts_with(r#"{"attributes":{"average_size":9,"size_variation":2,"delay":1}"#));
    let (_, body) = add(
        &api,
        r#"{"type":"limit_data","name":"l","attributes":{"bytes":1,"close":"rst"}}"#,
    );
    assert!(
        body.contains(r#""attributes":{"bytes":1,"close":"rst"}"#),
        "{body}"
    );
}

#[test]
fn toxics_to_the_server_come_first_then_those_to_the_client_by_creation() {
    let api = api();
    for (name, stream) in [
        ("d1", "downstream"),
        ("u1", "UPSTREAM"),
        ("d2", ""),
        ("u2", "upstream"),
    ] {
        let body = format!(r#"{{"type":"noop","name":"{name}","stream":"{stream}"}}"#);
        assert_eq!(add(&api, &body).0, 200);
    }

    let list = api.send("GET", "/proxies/a/toxics", "").body;

    let names = list.split("\"name\":\"").skip(1);
    let names: Vec<Option<&str>> = names.map(|it| it.split('"').next()).collect();
    assert_eq!(names, ["u1", "u2", "d1", "d2"].map(Some));
}

#[test]
fn the_checks_of_a_new_toxic_have_an_order() {
    let api = api();
    assert_eq!(add(&api, r#"{"type":"noop","name":"n"}"#).0, 200);

    // Each body has all mistakes that are checked later.
    for (body, status, error) in [
        (
            r#"{"name":1,"stream":"x","type":"x"}"#,
            400,
            "bad request body: `name` must be a text, not 1",
        ),
        (
            r#"{"name":"n","stream":"x","type":"x","attributes":{"latency":"x"}}"#,
            400,
            "stream was invalid, can be either upstream or downstream",
        ),
        (
            r#"{"name":"n","type":"x","attributes":{"latency":"x"}}"#,
            400,
            "invalid toxic type",
        ),
        (r#"{"name":"n"}"#, 400, "invalid toxic type"),
        (
            r#"{"name":"n","type":"latency","attributes":{"latency":"x"}}"#,
            409,
            "toxic already exists",
        ),
        (
            r#"{"type":"latency","attributes":{"latency":1.5}}"#,
            400,
            r#"bad request body: attribute \"latency\" must be an integer, in milliseconds"#,
        ),
    ] {
        let expected = format!("{{\"error\":\"{error}\",\"status\":{status}}}\n");
        assert_eq!(add(&api, body), (status, expected), "{body}");
    }
    let missing = api.send("POST", "/proxies/b/toxics", "no JSON");
    assert_eq!(missing.status, 404);
}

#[test]
fn a_value_out_of_its_range_is_rejected_and_changes_nothing() {
    let api = api();
    let valid = r#"{"type":"slicer","name":"s","attributes":{"average_size":10}}"#;
    let (_, before) = add(&api, valid);

    for body in [
        r#"{"type":"slicer"}"#,
        r#"{"type":"noop","toxicity":7}"#,
        r#"{"type":"noop","toxicity":-0.1}"#,
        r#"{"type":"noop","select":{"every_nth":0}}"#,
        r#"{"type":"noop","select":{"nth":2}}"#,
        r#"{"type":"noop","select":{"source_cidr":"10.0.0.0/99"}}"#,
        r#"{"type":"blackhole","attributes":{"mod":"hold"}}"#,
        r#"{"type":"blackhole","attributes":{"mode":"maybe"}}"#,
    ] {
        let (status, text) = add(&api, body);
        assert_eq!(status, 400, "{body}: {text}");
        assert!(
            text.starts_with("{\"error\":\"bad request body: "),
            "{text}"
        );
    }
    let update = r#"{"attributes":{"average_size":0}}"#;
    let response = api.send("PATCH", "/proxies/a/toxics/s", update);
    assert_eq!(response.status, 400, "{response:?}");

    assert_eq!(
        api.send("GET", "/proxies/a/toxics", "").body,
        format!("[{before}]")
    );
}
