//! Proxies: every request for them with its status and its exact body.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::http::{Api, link, upstream};

const JSON: Option<&str> = Some("application/json");
const TEXT: Option<&str> = Some("text/plain; charset=utf-8");

#[test]
fn each_response_has_its_type_and_a_request_id() {
    let api = Api::start();

    for (method, path, status, content_type, body) in [
        ("GET", "/proxies", 200, JSON, "{}"),
        (
            "GET",
            "/version",
            200,
            Some("application/json;charset=utf-8"),
            "{\"version\": \"2.12.0\"}\n",
        ),
        (
            "GET",
            "/proxies/a",
            404,
            TEXT,
            "{\"error\":\"proxy not found\",\"status\":404}\n",
        ),
        ("POST", "/reset", 204, None, ""),
        ("GET", "/metrics", 404, TEXT, "404 page not found\n"),
    ] {
        let response = api.send(method, path, "");

        assert_eq!(response.status, status, "{path}");
        assert_eq!(response.header("content-type"), content_type, "{path}");
        assert_eq!(response.body, body, "{path}");
        let id = response.header("x-toxiproxy-request-id");
        assert_eq!(id.map(str::len), Some(20), "{path}");
    }
    let ids = [(); 2].map(|()| {
        let response = api.send("GET", "/version", "");
        response.header("x-toxiproxy-request-id").map(str::to_owned)
    });
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn unknown_paths_wrong_methods_and_browsers_are_rejected() {
    let api = Api::start();

    for path in ["/", "/proxies/", "/version/", "/proxies//toxics", "/lab"] {
        let response = api.send("GET", path, "");
        assert_eq!(
            (response.status, response.body.as_str()),
            (404, "404 page not found\n")
        );
        assert_eq!(response.header("content-type"), TEXT);
    }
    for (method, path) in [
        ("PUT", "/proxies"),
        ("GET", "/reset"),
        ("DELETE", "/populate"),
    ] {
        let response = api.send(method, path, "");
        assert_eq!(
            (response.status, response.body.as_str()),
            (405, ""),
            "{path}"
        );
    }
    let browser = "POST /reset HTTP/1.1\r\nHost: x\r\nUser-Agent: Mozilla/5.0 (X11)\r\nConnection: close\r\n\r\n";
    let response = api.raw(browser);
    assert_eq!(
        (response.status, response.body.as_str()),
        (403, "User agent not allowed\n")
    );
}

#[test]
fn a_proxy_is_created_shown_updated_and_deleted() {
    let api = Api::start();
    let (_listener, upstream) = upstream();
    let view = |listen: &str, enabled| {
        format!(
            "{{\"name\":\"a\",\"listen\":\"{listen}\",\"upstream\":\"{upstream}\",\"enabled\":{enabled},\"toxics\":[]}}"
        )
    };

    let created = api.send(
        "POST",
        "/proxies",
        &format!(r#"{{"NAME":"a","listen":"localhost:0","upstream":"{upstream}","extra":1}}x"#),
    );
    let listen = created.listen().to_string();
    let shown = api.send("GET", "/proxies/a", "");
    let list = api.send("GET", "/proxies", "");
    let disabled = api.send("PATCH", "/proxies/a", r#"{"enabled":false,"name":"b"}"#);
    let refused = TcpStream::connect(&listen).unwrap_err();
    let enabled = api.send("POST", "/proxies/a", r#"{"enabled":true,"toxics":[]}"#);
    let connected = TcpStream::connect(&listen);
    let deleted = api.send("DELETE", "/proxies/a", "");

    assert!(listen.starts_with("127.0.0.1:"), "{listen}");
    assert_eq!((created.status, created.body), (201, view(&listen, true)));
    assert_eq!((shown.status, shown.body), (200, view(&listen, true)));
    assert_eq!(list.body, format!("{{\"a\":{}}}", view(&listen, true)));
    assert_eq!(
        (disabled.status, disabled.body),
        (200, view(&listen, false))
    );
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!((enabled.status, enabled.body), (200, view(&listen, true)));
    assert!(connected.is_ok(), "the port is the same");
    assert_eq!((deleted.status, deleted.body.as_str()), (204, ""));
    assert!(TcpStream::connect(&listen).is_err());
    assert_eq!(api.send("DELETE", "/proxies/a", "").status, 404);
}

#[test]
fn a_proxy_that_cannot_be_created_is_not_stored() {
    let api = Api::start();
    let (occupied, address) = upstream();

    for (body, status, error) in [
        ("{}", 400, "missing required field: name".to_owned()),
        (
            r#"{"name":"a"}"#,
            400,
            "missing required field: upstream".to_owned(),
        ),
        (
            r#"{"name":"","upstream":"x:1"}"#,
            400,
            "missing required field: name".to_owned(),
        ),
        ("", 400, "bad request body: EOF".to_owned()),
        (
            r#"{"name":7}"#,
            400,
            "bad request body: `name` must be a text, not 7".to_owned(),
        ),
        (
            "[1]",
            400,
            "bad request body: expected an object, not [1]".to_owned(),
        ),
    ] {
        let response = api.send("POST", "/proxies", body);
        assert_eq!(response.status, status, "{body}");
        let expected = format!("{{\"error\":\"{error}\",\"status\":{status}}}\n");
        assert_eq!(response.body, expected, "{body}");
        assert_eq!(response.header("content-type"), TEXT);
    }
    let body = format!(r#"{{"name":"a","listen":"{address}","upstream":"127.0.0.1:1"}}"#);
    let response = api.send("POST", "/proxies", &body);
    assert_eq!(response.status, 500, "{response:?}");
    assert!(
        response.body.contains("Address already in use"),
        "{response:?}"
    );
    assert_eq!(api.send("GET", "/proxies", "").body, "{}");
    drop(occupied);

    // The address is free now, and the name was never taken.
    assert_eq!(api.send("POST", "/proxies", &body).status, 201);
    let again = api.send("POST", "/proxies", &body);
    assert_eq!(again.status, 409);
    assert_eq!(
        again.body,
        "{\"error\":\"proxy already exists\",\"status\":409}\n"
    );
}

#[test]
fn an_upstream_that_is_the_proxy_itself_is_rejected_with_the_reason() {
    let api = Api::start();
    let (free, address) = upstream();
    drop(free);

    let body = format!(
        r#"{{"name":"a","listen":"{address}","upstream":"localhost:{}"}}"#,
        address.port()
    );
    let response = api.send("POST", "/proxies", &body);

    assert_eq!(response.status, 400, "{response:?}");
    assert!(
        response.body.contains("is the proxy itself"),
        "{response:?}"
    );
    assert_eq!(api.send("GET", "/proxies", "").body, "{}");
}

#[test]
fn an_absent_address_is_a_free_port_of_all_interfaces() {
    let api = Api::start();

    let response = api.send(
        "POST",
        "/proxies",
        r#"{"name":"a","upstream":"127.0.0.1:1"}"#,
    );

    assert!(response.listen().ip().is_unspecified(), "{response:?}");
    assert_ne!(response.listen().port(), 0);
}

#[test]
fn an_update_without_a_difference_keeps_connections_and_one_with_a_difference_ends_them() {
    let api = Api::start();
    let (listener, address) = upstream();
    let (_other, other) = upstream();
    let proxy = api.create("a", address);
    let (mut client, mut server) = link(proxy, &listener);

    let same = format!(r#"{{"listen":"{proxy}","upstream":"{address}","enabled":true}}"#);
    assert_eq!(api.send("POST", "/proxies/a", &same).status, 200);
    server.write_all(b"x").unwrap();
    let mut byte = [0];
    client.read_exact(&mut byte).unwrap();
    let moved = format!(r#"{{"upstream":"{other}"}}"#);
    let response = api.send("POST", "/proxies/a", &moved);

    assert_eq!(response.listen(), proxy, "the port is the same");
    assert!(matches!(client.read(&mut byte), Ok(0) | Err(_)));
}

#[test]
fn an_address_that_cannot_be_bound_disables_the_proxy_and_stays_stored() {
    let api = Api::start();
    let (_occupied, occupied) = upstream();
    api.create("a", "127.0.0.1:1".parse().unwrap());

    let body = format!(r#"{{"listen":"{occupied}"}}"#);
    let response = api.send("POST", "/proxies/a", &body);

    assert_eq!(response.status, 500, "{response:?}");
    let shown = api.send("GET", "/proxies/a", "").body;
    assert!(
        shown.contains(&format!("\"listen\":\"{occupied}\"")),
        "{shown}"
    );
    assert!(shown.contains("\"enabled\":false"), "{shown}");
}

#[test]
fn reset_enables_all_proxies_and_removes_all_toxics() {
    let api = Api::start();
    for name in ["a", "b"] {
        api.create(name, "127.0.0.1:1".parse().unwrap());
        let toxic = api.send(
            "POST",
            &format!("/proxies/{name}/toxics"),
            r#"{"type":"noop"}"#,
        );
        assert_eq!(toxic.status, 200);
    }
    api.send("POST", "/proxies/b", r#"{"enabled":false}"#);

    // As the client for Node sends it: neither a body nor a length.
    let response = api.send("POST", "/reset", "");

    assert_eq!(response.status, 204);
    let list = api.send("GET", "/proxies", "").body;
    assert_eq!(list.matches("\"enabled\":true").count(), 2, "{list}");
    assert_eq!(list.matches("\"toxics\":[]").count(), 2, "{list}");
}
