//! What Toxiproxy does not have: durations, victims, connections, events, batches, metrics that are live.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use steadfast_proxy::api::Settings;

use super::http::{Api, link, upstream};
use super::wait::until;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_toxic_with_a_duration_removes_itself() {
    let api = Api::start();
    api.create("a", "127.0.0.1:1".parse().unwrap());
    let start = Instant::now();

    let added = api.send(
        "POST",
        "/proxies/a/toxics",
        r#"{"type":"noop","duration_ms":300}"#,
    );

    assert!(
        added.body.ends_with("\"toxicity\":1,\"duration_ms\":300}"),
        "{added:?}"
    );
    until("the toxic is gone", || {
        api.send("GET", "/proxies/a/toxics", "").body == "[]"
    });
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[test]
fn connections_show_their_bytes_and_what_they_drew() {
    let api = Api::start();
    let (listener, address) = upstream();
    let proxy = api.create("a:b", address);
    let links = [(); 4].map(|()| link(proxy, &listener));
    let toxic = r#"{"type":"noop","name":"n","toxicity":0.5,"select":{"every_nth":2}}"#;
    assert_eq!(api.send("POST", "/proxies/a:b/toxics", toxic).status, 200);
    let (mut client, mut server) = links.into_iter().next().unwrap();
    client.write_all(b"hello").unwrap();
    server.read_exact(&mut [0; 5]).unwrap();

    let mut list = Value::Null;
    until("the bytes are counted", || {
        list = json(&api.send("GET", "/lab/connections", "").body);
        list.pointer("/connections/0/to_server/sent_bytes") == Some(&json!(5))
    });

    assert_eq!(list["seed"], 7);
    let first = &list["connections"][0];
    assert_eq!(first["id"], "a:b:1");
    assert_eq!(
        (&first["proxy"], &first["number"]),
        (&json!("a:b"), &json!(1))
    );
    assert_eq!(first["upstream"], address.to_string());
    assert_eq!(first["peer"], client.local_addr().unwrap().to_string());
    assert_eq!(first["to_server"]["received_bytes"], 5);
    assert!(first["age_ms"].is_u64());
    assert_eq!(first["toxics"][0]["name"], "n");
    assert_eq!(
        first["toxics"][0]["is_victim"], false,
        "not every second one"
    );
}

#[test]
fn a_connection_is_ended_in_the_chosen_way() {
    let api = Api::start();
    let (listener, address) = upstream();
    let proxy = api.create("a", address);
    let mut links = [(); 3].map(|()| link(proxy, &listener));
    let close = |id: &str| {
        api.send("DELETE", &format!("/lab/connections/{id}"), "")
            .status
    };

    assert_eq!(close("a:1?mode=fin"), 204);
    assert_eq!(close("a:2?mode=rst"), 204);
    assert_eq!(close("a:3?mode=silent"), 204);
    let [fin, rst, silent] = &mut links;

    for socket in [&mut fin.0, &mut fin.1] {
        assert_eq!(socket.read(&mut [0]).unwrap(), 0);
    }
    for socket in [&mut rst.0, &mut rst.1] {
        let error = socket.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    for socket in [&mut silent.0, &mut silent.1] {
        socket.write_all(b"x").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let error = socket.read(&mut [0]).unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::WouldBlock,
            "neither bytes nor an end"
        );
    }
    for (id, status) in [
        ("a:99", 404),
        ("b:1", 404),
        ("1", 404),
        ("a:x", 404),
        ("a:3?mode=abrupt", 400),
        ("a:3?how=rst", 400),
    ] {
        assert_eq!(close(id), status, "{id}");
    }
}

#[test]
fn events_are_sent_as_they_happen_with_the_seed_first() {
    let api = Api::start();
    let (listener, address) = upstream();
    let mut socket = api.connect();
    socket
        .write_all(b"GET /lab/events HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut lines = BufReader::new(socket).lines().map(Result::unwrap);
    let mut next = || loop {
        let line = lines.next().unwrap();
        if line.starts_with('{') {
            return json(&line);
        }
    };

    let first = next();
    let proxy = api.create("a", address);
    let toxic = r#"{"type":"reset","name":"r"}"#;
    let (mut client, _server) = link(proxy, &listener);
    assert_eq!(api.send("POST", "/proxies/a/toxics", toxic).status, 200);
    assert!(client.read(&mut [0]).is_err());
    let mut events = Vec::new();
    while events
        .last()
        .is_none_or(|event: &Value| event["event"] != "ended")
    {
        events.push(next());
    }

    assert_eq!(first["seed"], 7);
    let names: Vec<&str> = events
        .iter()
        .map(|it| it["event"].as_str().unwrap())
        .collect();
    for expected in ["listening", "accepted", "connected", "toxic_added", "ended"] {
        assert!(names.contains(&expected), "{expected}: {names:?}");
    }
    let times: Vec<u64> = events
        .iter()
        .map(|it| it["at_us"].as_u64().unwrap())
        .collect();
    assert!(
        times.is_sorted() && times[0] >= first["at_us"].as_u64().unwrap(),
        "{times:?}"
    );
    let last = events.last().unwrap();
    let expected =
        json!({"proxy": "a", "connection": 1, "reason": "toxic", "toxic": "r", "mode": "rst"});
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&last[key], value, "{last}");
    }
}

#[test]
fn a_batch_applies_all_changes_or_none() {
    let api = Api::start();
    for name in ["a", "b"] {
        api.create(name, "127.0.0.1:1".parse().unwrap());
    }
    let toxics = |proxy: &str| {
        api.send("GET", &format!("/proxies/{proxy}/toxics"), "")
            .body
    };
    let batch = |changes: Value| {
        let body = json!({"changes": changes}).to_string();
        let response = api.send("POST", "/lab/batch", &body);
        (response.status, json(&response.body))
    };
    let latency = json!({"type": "latency", "name": "l", "attributes": {"latency": 5}});

    let (status, applied) = batch(json!([
        {"op": "add_toxic", "proxy": "a", "toxic": latency},
        {"op": "add_toxic", "proxy": "b", "toxic": {"type": "noop"}},
    ]));
    let before = (toxics("a"), toxics("b"));
    let (missing, error) = batch(json!([
        {"op": "update_toxic", "proxy": "a", "toxic": {"name": "l", "attributes": {"jitter": 5}}},
        {"op": "remove_toxic", "proxy": "b", "toxic": "none"},
    ]));
    let unchanged = (toxics("a"), toxics("b"));
    let (updated, _) = batch(json!([
        {"op": "update_toxic", "proxy": "a", "toxic": {"name": "l", "attributes": {"jitter": 5}}},
        {"op": "remove_toxics", "proxy": "b"},
    ]));

    assert_eq!(status, 200, "{applied}");
    assert_eq!(
        (&applied["seed"], &applied["changes"]),
        (&json!(7), &json!(2))
    );
    assert!(applied["at_us"].is_u64());
    assert!(
        before.0.contains("\"latency\":5") && before.1.contains("noop"),
        "{before:?}"
    );
    assert_eq!(
        (missing, error),
        (
            404,
            json!({"error": "change 2: toxic not found", "status": 404})
        )
    );
    assert_eq!(unchanged, before);
    assert_eq!(updated, 200);
    assert!(toxics("a").contains("\"latency\":5,\"jitter\":5"), "merged");
    assert_eq!(toxics("b"), "[]");
}

#[test]
fn a_batch_that_is_invalid_names_its_change() {
    let api = Api::start();
    api.create("a", "127.0.0.1:1".parse().unwrap());
    let toxic = api.send("POST", "/proxies/a/toxics", r#"{"type":"noop","name":"l"}"#);
    assert_eq!(toxic.status, 200);
    let batch = |changes: Value| {
        let body = json!({"changes": changes}).to_string();
        let response = api.send("POST", "/lab/batch", &body);
        (response.status, json(&response.body))
    };

    for (changes, status, text) in [
        (
            json!([{"op": "add", "proxy": "a"}]),
            400,
            "change 1: bad request body: `op` must be",
        ),
        (
            json!([{"op": "remove_toxics"}]),
            400,
            "change 1: missing required field: proxy",
        ),
        (
            json!([{"op": "remove_toxics", "proxy": "c"}]),
            404,
            "change 1: proxy not found",
        ),
        (
            json!([{"op": "add_toxic", "proxy": "a", "toxic": {"type": "noop", "name": "l"}}]),
            409,
            "change 1: toxic already exists",
        ),
        (
            json!(vec![json!({}); 1_025]),
            400,
            "bad request body: at most 1024 changes",
        ),
    ] {
        let (found, body) = batch(changes);
        assert_eq!(found, status, "{body}");
        assert!(body["error"].as_str().unwrap().starts_with(text), "{body}");
    }
    assert_eq!(api.send("POST", "/lab/batch", "{}").status, 400);
}

#[test]
fn metrics_are_live() {
    let api = Api::with(Settings {
        proxy_metrics: true,
        runtime_metrics: true,
        ..Settings::default()
    });
    let (listener, address) = upstream();
    let proxy = api.create("a", address);
    let (mut client, mut server) = link(proxy, &listener);
    client.write_all(b"hello").unwrap();
    server.read_exact(&mut [0; 5]).unwrap();
    server.write_all(b"abc").unwrap();
    client.read_exact(&mut [0; 3]).unwrap();

    let labels = format!("listener=\"{proxy}\",proxy=\"a\",upstream=\"{address}\"");
    let series = |name: &str, direction: &str, value| {
        format!("toxiproxy_proxy_{name}_bytes_total{{direction=\"{direction}\",{labels}}} {value}")
    };
    let expected = [
        series("received", "upstream", 5),
        series("sent", "upstream", 5),
        series("received", "downstream", 3),
        series("sent", "downstream", 3),
        "steadfast_proxy_connections_open{proxy=\"a\"} 1".to_owned(),
        "steadfast_proxy_connections_accepted_total{proxy=\"a\"} 1".to_owned(),
    ];
    let mut response = api.send("GET", "/metrics", "");
    until("the bytes are counted while the connection is open", || {
        response = api.send("GET", "/metrics", "");
        let lines: Vec<&str> = response.body.lines().collect();
        expected.iter().all(|line| lines.contains(&line.as_str()))
    });

    assert_eq!(response.status, 200);
    let content_type = response.header("content-type").unwrap();
    assert!(
        content_type.starts_with("text/plain; version=0.0.4"),
        "{content_type}"
    );
    assert!(
        response
            .body
            .contains("\nsteadfast_process_resident_memory_bytes ")
    );
    for line in response.body.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<u64>().is_ok(), "{line}");
    }
}

#[test]
fn a_selected_connection_is_the_only_victim() {
    let api = Api::start();
    let (listener, address) = upstream();
    let proxy = api.create("a", address);
    let mut links = [(); 3].map(|()| link(proxy, &listener));

    let toxic = r#"{"type":"reset","stream":"both","select":{"conn_ids":[2]}}"#;
    let added = api.send("POST", "/proxies/a/toxics", toxic);

    assert!(
        added.body.ends_with("\"select\":{\"conn_ids\":[2]}}"),
        "{added:?}"
    );
    let error = links[1].0.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    for index in [0, 2] {
        let (client, server) = &mut links[index];
        server.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
    drop::<[(TcpStream, TcpStream); 3]>(links);
}
