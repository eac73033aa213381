//! Every call of the published clients, with its result and its errors.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::driver::{ProxyClient, ProxyClientKind};

pub(super) fn run(client: &mut ProxyClient) -> Result<()> {
    let version = client.succeed(&json!({"do": "version"}))?;
    ensure!(version == "{\"version\": \"2.12.0\"}\n", "{version}");
    proxies(client).context("proxies")?;
    toxics(client).context("toxics")?;
    match client.kind {
        ProxyClientKind::Node => of_node(client),
        ProxyClientKind::Python => of_python(client),
    }?;
    client.expect(&json!({"do": "list"}), &json!([]))
}

fn proxies(client: &mut ProxyClient) -> Result<()> {
    client.expect(&json!({"do": "list"}), &json!([]))?;
    let body = json!({"name": "a", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"});
    let created = client.succeed(&json!({"do": "create", "body": body}))?;
    ensure!(
        created.get("enabled") == Some(&json!(true)) && created.get("name") == Some(&json!("a")),
        "{created}"
    );
    client.expect(&json!({"do": "get", "proxy": "a"}), &created)?;
    client.expect(&json!({"do": "list"}), &json!([created]))?;
    let exists = match client.kind {
        ProxyClientKind::Node => "409",
        ProxyClientKind::Python => "ProxyExists",
    };
    client.fail(&json!({"do": "create", "body": body}), exists)?;
    let disabled = with(&created, "enabled", json!(false));
    let update = json!({"do": "update", "proxy": "a", "body": {"enabled": false}});
    client.expect(&update, &disabled)?;
    client.expect(&json!({"do": "reset"}), &Value::Null)?;
    client.expect(&json!({"do": "get", "proxy": "a"}), &created)?;
    let absent = match client.kind {
        ProxyClientKind::Node => "404",
        ProxyClientKind::Python => "not found",
    };
    client.fail(&json!({"do": "get", "proxy": "b"}), absent)
}

fn toxics(client: &mut ProxyClient) -> Result<()> {
    let body = json!({
        "name": "t",
        "type": "latency",
        "stream": "upstream",
        "toxicity": 0.5,
        "attributes": {"latency": 5, "jitter": 1},
    });
    let add = json!({"do": "add_toxic", "proxy": "a", "body": body});
    client.expect(&add, &body)?;
    let get = json!({"do": "get_toxic", "proxy": "a", "toxic": "t"});
    client.expect(&get, &body)?;
    let (exists, invalid) = match client.kind {
        ProxyClientKind::Node => ("409", "400"),
        ProxyClientKind::Python => ("ProxyExists", "InvalidToxic"),
    };
    client.fail(&add, exists)?;
    let unknown = json!({"do": "add_toxic", "proxy": "a", "body": {"type": "lag"}});
    client.fail(&unknown, invalid)?;
    let remove = json!({"do": "remove_toxic", "proxy": "a", "toxic": "t"});
    client.expect(&remove, &Value::Null)?;
    client.fail(
        &remove,
        match client.kind {
            ProxyClientKind::Node => "404",
            ProxyClientKind::Python => "NotFound",
        },
    )
}

fn of_node(client: &mut ProxyClient) -> Result<()> {
    let toxic = json!({"type": "latency", "name": "t", "attributes": {"latency": 5}});
    client.succeed(&json!({"do": "add_toxic", "proxy": "a", "body": toxic}))?;
    let body = json!({"toxicity": 0.5, "attributes": {"jitter": 2}});
    let update = json!({"do": "update_toxic", "proxy": "a", "toxic": "t", "body": body});
    let expected = json!({
        "name": "t",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 0.5,
        "attributes": {"latency": 5, "jitter": 2},
    });
    client.expect(&update, &expected)?;
    let moved = json!({"do": "update", "proxy": "a", "body": {"upstream": "127.0.0.1:2"}});
    let moved = client.succeed(&moved)?;
    ensure!(
        moved.get("upstream") == Some(&json!("127.0.0.1:2")),
        "{moved}"
    );
    let entry =
        |name: &str| json!({"name": name, "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"});
    let populate = json!({"do": "populate", "body": [entry("b"), entry("c")]});
    let populated = client.succeed(&populate)?;
    ensure!(populated.as_array().map(Vec::len) == Some(2), "{populated}");
    for name in ["a", "b", "c"] {
        client.expect(&json!({"do": "remove", "proxy": name}), &Value::Null)?;
    }
    client.fail(&json!({"do": "remove", "proxy": "a"}), "404")
}

fn of_python(client: &mut ProxyClient) -> Result<()> {
    client.expect(&json!({"do": "running"}), &json!(true))?;
    client.expect(&json!({"do": "down", "proxy": "a"}), &json!(true))?;
    let list = json!({"do": "list_toxics", "proxy": "a"});
    client.expect(&list, &json!([]))?;
    let body = json!({"type": "timeout", "attributes": {"timeout": 5}});
    client.succeed(&json!({"do": "add_toxic", "proxy": "a", "body": body}))?;
    let expected = json!([{
        "name": "timeout_downstream",
        "type": "timeout",
        "stream": "downstream",
        "toxicity": 1,
        "attributes": {"timeout": 5},
    }]);
    client.expect(&list, &expected)?;
    let entry =
        |name: &str| json!({"name": name, "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"});
    let populate = json!({"do": "populate", "body": [entry("b"), entry("c")]});
    let populated = client.succeed(&populate)?;
    ensure!(populated.as_array().map(Vec::len) == Some(2), "{populated}");
    client.expect(&json!({"do": "remove_all"}), &Value::Null)
}

/// The object with another value of a field.
fn with(object: &Value, field: &str, value: Value) -> Value {
    let mut changed = object.clone();
    if let Some(fields) = changed.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
    changed
}
