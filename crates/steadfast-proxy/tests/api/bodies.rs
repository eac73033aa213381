//! Lists of proxies: `populate`, and proxies that are created with their toxics.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::http::{Api, link, upstream};

#[test]
fn populate_checks_all_entries_before_it_applies_one() {
    let api = Api::start();

    for (body, error) in [
        (
            r#"[{"name":"a","upstream":"127.0.0.1:1","listen":"127.0.0.1:0"},{"upstream":"x:1"}]"#,
            "missing required field: name at proxy 2",
        ),
        (
            r#"[{"name":"a"}]"#,
            "missing required field: upstream at proxy 1",
        ),
        (
            r#"[{"name":"a","upstream":"127.0.0.1:1","toxics":[{"type":"lag"}]}]"#,
            "invalid toxic type",
        ),
        ("{}", "bad request body: expected an array, not {}"),
    ] {
        let response = api.send("POST", "/populate", body);

        assert_eq!(response.status, 400, "{body}");
        let expected = format!("{{\"error\":\"{error}\",\"status\":400,\"proxies\":null}}");
        assert_eq!(response.body, expected, "{body}");
        assert_eq!(response.header("content-type"), Some("application/json"));
    }
    assert_eq!(api.send("GET", "/proxies", "").body, "{}");
}

#[test]
fn populate_ends_at_the_first_failure_and_shows_what_was_done() {
    let api = Api::start();
    let (_occupied, occupied) = upstream();
    let body = format!(
        r#"[{{"name":"a","upstream":"127.0.0.1:1","listen":"127.0.0.1:0"}},
            {{"name":"b","upstream":"127.0.0.1:1","listen":"{occupied}"}},
            {{"name":"c","upstream":"127.0.0.1:1","listen":"127.0.0.1:0"}}]"#
    );

    let response = api.send("POST", "/populate", &body);

    assert_eq!(response.status, 500);
    assert!(
        response
            .body
            .contains("\"status\":500,\"proxies\":[{\"name\":\"a\""),
        "{response:?}"
    );
    let list = api.send("GET", "/proxies", "").body;
    assert!(list.contains("\"a\":") && !list.contains("\"b\":") && !list.contains("\"c\":"));
}

#[test]
fn populate_keeps_the_connections_of_a_proxy_with_the_same_addresses() {
    let api = Api::start();
    let (listener, address) = upstream();
    let entry = |extra: &str| {
        format!(r#"[{{"name":"a","upstream":"{address}","listen":"127.0.0.1:0"{extra}}}]"#)
    };
    let created = api.send("POST", "/populate", &entry(""));
    let listen = created.listen();
    let (mut client, mut server) = link(listen, &listener);
    let same = format!(r#"[{{"name":"a","upstream":"{address}","listen":"{listen}"}}]"#);

    let response = api.send("POST", "/populate", &same);

    assert_eq!((created.status, response.status), (201, 201));
    assert!(
        created.body.starts_with("{\"proxies\":[{\"name\":\"a\""),
        "{created:?}"
    );
    assert_eq!(response.listen(), listen);
    server.write_all(b"x").unwrap();
    let mut byte = [0];
    client.read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"x");
}

/// Defect 9 of Toxiproxy: both are ignored there.
#[test]
fn populate_applies_enabled_and_toxics_to_an_existing_proxy() {
    let api = Api::start();
    let listen = api.create("a", "127.0.0.1:1".parse().unwrap());
    let old = api.send(
        "POST",
        "/proxies/a/toxics",
        r#"{"type":"noop","name":"old"}"#,
    );
    assert_eq!(old.status, 200);
    let populate = |extra: &str| {
        let body =
            format!(r#"[{{"name":"a","upstream":"127.0.0.1:1","listen":"{listen}"{extra}}}]"#);
        let response = api.send("POST", "/populate", &body);
        assert_eq!(response.status, 201, "{response:?}");
        response.body
    };

    let absent = populate("");
    let toxics =
        populate(r#","toxics":[{"type":"latency","name":"new","attributes":{"latency":9}}]"#);
    let disabled = populate(r#","enabled":false"#);

    assert!(absent.contains("\"name\":\"old\""), "{absent}");
    assert!(
        toxics.contains("\"name\":\"new\"") && !toxics.contains("\"old\""),
        "{toxics}"
    );
    assert!(disabled.contains("\"enabled\":false"), "{disabled}");
    assert!(disabled.contains("\"name\":\"new\""), "{disabled}");
    assert!(TcpStream::connect(listen).is_err());
}

/// Defect 8 of Toxiproxy: a connection between the creation of a proxy and of its toxic is not affected.
#[test]
fn a_proxy_is_created_with_its_toxics() {
    let api = Api::start();
    let (_listener, address) = upstream();
    let body = format!(
        r#"{{"name":"a","upstream":"{address}","listen":"127.0.0.1:0","toxics":[{{"type":"limit_data","attributes":{{"bytes":0}}}}]}}"#
    );

    let response = api.send("POST", "/proxies", &body);

    assert_eq!(response.status, 201, "{response:?}");
    assert!(
        response
            .body
            .contains("\"toxics\":[{\"attributes\":{\"bytes\":0}"),
        "{response:?}"
    );
    let duplicate = body
        .replace("}}]", "}},{\"type\":\"limit_data\"}]")
        .replace("\"a\"", "\"b\"");
    let response = api.send("POST", "/proxies", &duplicate);
    assert_eq!(response.status, 409, "{response:?}");
}
