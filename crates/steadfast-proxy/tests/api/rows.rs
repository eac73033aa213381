//! Every request with a name that does not exist, and the limits of names and numbers.

use super::http::Api;

fn error(text: &str) -> String {
    format!("{{\"error\":\"{text}\",\"status\":404}}\n")
}

/// The name decides first: what a body would change does not exist.
#[test]
fn a_name_that_does_not_exist_is_404_whatever_the_body_is() {
    let api = Api::start();
    api.create("a", "127.0.0.1:1".parse().unwrap());

    for (method, path, text) in [
        ("GET", "/proxies/b", "proxy not found"),
        ("POST", "/proxies/b", "proxy not found"),
        ("PATCH", "/proxies/b", "proxy not found"),
        ("DELETE", "/proxies/b", "proxy not found"),
        ("GET", "/proxies/b/toxics", "proxy not found"),
        ("POST", "/proxies/b/toxics", "proxy not found"),
        ("GET", "/proxies/b/toxics/t", "proxy not found"),
        ("POST", "/proxies/b/toxics/t", "proxy not found"),
        ("PATCH", "/proxies/b/toxics/t", "proxy not found"),
        ("DELETE", "/proxies/b/toxics/t", "proxy not found"),
        ("GET", "/proxies/a/toxics/t", "toxic not found"),
        ("POST", "/proxies/a/toxics/t", "toxic not found"),
        ("PATCH", "/proxies/a/toxics/t", "toxic not found"),
        ("DELETE", "/proxies/a/toxics/t", "toxic not found"),
    ] {
        let response = api.send(method, path, "no JSON");

        assert_eq!(response.status, 404, "{method} {path}: {response:?}");
        assert_eq!(response.body, error(text), "{method} {path}");
    }
}

#[test]
fn a_server_has_at_most_1024_proxies() {
    let api = Api::start();
    let entry = |number: usize| {
        format!(
            r#"{{"name":"{number}","upstream":"127.0.0.1:1","listen":"127.0.0.1:0","enabled":false}}"#
        )
    };
    let all: Vec<String> = (0..1_024).map(entry).collect();
    let populated = api.send("POST", "/populate", &format!("[{}]", all.join(",")));
    assert_eq!(populated.status, 201);

    let beyond = api.send("POST", "/proxies", &entry(1_024));

    assert_eq!(beyond.status, 503, "{beyond:?}");
    assert_eq!(api.send("GET", "/proxies/1024", "").status, 404);
    assert_eq!(api.send("DELETE", "/proxies/7", "").status, 204);
    assert_eq!(api.send("POST", "/proxies", &entry(1_024)).status, 201);
}

#[test]
fn the_name_of_a_toxic_has_at_most_256_bytes() {
    let api = Api::start();
    api.create("a", "127.0.0.1:1".parse().unwrap());
    let add = |length: usize| {
        let body = format!(r#"{{"type":"noop","name":"{}"}}"#, "n".repeat(length));
        api.send("POST", "/proxies/a/toxics", &body).status
    };

    assert_eq!(add(256), 200);
    assert_eq!(add(257), 400);
}
