//! The API of TrueNAS, as servers have it that the emulator is not: SCRAM, only the method of old releases, and versions.

#![expect(
    clippy::indexing_slicing,
    reason = "a missing member of a JSON value is null"
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};
use steadfast::Secret;
use steadfast::truenas::{Builder, Client, LoginBudgetSettings, LoginLimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::server::{Connection, Server, within};

const ITERATIONS: u32 = 4_096;
const SALT: &[u8] = b"0123456789abcdef";

fn builder(url: &str) -> Builder {
    let limit = LoginBudgetSettings::new(1_000, std::time::Duration::from_secs(1));
    Client::builder(url)
        .unwrap()
        .api_key("root", Secret::new("7-secret".to_owned()))
        .login_limit(LoginLimit::new(limit))
}

async fn connect(server: &Server) -> (Client, Connection) {
    let client = builder(&server.url()).current_version().connect().unwrap();
    let connection = server.accept().await;
    (client, connection)
}

/// The next request: its id, method and first param.
async fn request(connection: &mut Connection) -> (Value, String, Value) {
    let request: Value = serde_json::from_str(&connection.receive_text().await).unwrap();
    let method = request["method"].as_str().unwrap().to_owned();
    (request["id"].clone(), method, request["params"][0].clone())
}

async fn reply(connection: &mut Connection, id: Value, result: Value) {
    let reply = json!({"jsonrpc": "2.0", "id": id, "result": result});
    connection.send_text(&reply.to_string()).await;
}

async fn no_such_method(connection: &mut Connection, id: Value) {
    let error = json!({"code": -32601, "message": "Method does not exist"});
    let reply = json!({"jsonrpc": "2.0", "id": id, "error": error});
    connection.send_text(&reply.to_string()).await;
}

fn sign(key: &[u8], text: &[u8]) -> [u8; 64] {
    let mac = Hmac::<Sha512>::new_from_slice(key).unwrap();
    mac.chain_update(text).finalize().into_bytes().into()
}

/// The derivation of the key, block by block as RFC 8018 defines it.
fn salted() -> [u8; 64] {
    let mut block = sign(b"secret", &[SALT, &[0, 0, 0, 1]].concat());
    let mut key = block;
    for _ in 1..ITERATIONS {
        block = sign(b"secret", &block);
        for (key, block) in key.iter_mut().zip(block) {
            *key ^= block;
        }
    }
    key
}

/// Plays a server that knows the key, up to its last message. Returns whether the proof of the client is right, and the id
/// and text of that message.
async fn play_scram(connection: &mut Connection) -> (bool, Value, String) {
    let (id, method, _) = request(connection).await;
    assert_eq!(method, "auth.mechanism_choices");
    reply(connection, id, json!(["API_KEY_PLAIN", "SCRAM"])).await;
    let (id, _, data) = request(connection).await;
    assert_eq!(data["scram_type"], "CLIENT_FIRST_MESSAGE");
    let bare = data["rfc_str"]
        .as_str()
        .unwrap()
        .strip_prefix("n,,")
        .unwrap()
        .to_owned();
    let nonce = bare.strip_prefix("n=root:7,r=").unwrap();
    let first = format!("r={nonce}server,s={},i={ITERATIONS}", STANDARD.encode(SALT));
    let message = |scram_type: &str, text: &str| json!({"response_type": "SCRAM_RESPONSE", "scram_type": scram_type, "rfc_str": text});
    reply(connection, id, message("SERVER_FIRST_RESPONSE", &first)).await;
    let (id, _, data) = request(connection).await;
    let last = data["rfc_str"].as_str().unwrap();
    let (without_proof, proof) = last.split_once(",p=").unwrap();
    let signed = format!("{bare},{first},{without_proof}");
    let client_key = sign(&salted(), b"Client Key");
    let signature = sign(&Sha512::digest(client_key), signed.as_bytes());
    let proven: Vec<u8> = client_key
        .iter()
        .zip(signature)
        .map(|(a, b)| a ^ b)
        .collect();
    let is_proven = STANDARD.decode(proof).unwrap() == proven;
    let server_key = sign(&salted(), b"Server Key");
    let verifier = STANDARD.encode(sign(&server_key, signed.as_bytes()));
    (is_proven, id, format!("v={verifier}"))
}

fn last_message(text: &str) -> Value {
    json!({"response_type": "SCRAM_RESPONSE", "scram_type": "SERVER_FINAL_RESPONSE", "rfc_str": text})
}

#[tokio::test]
async fn a_client_logs_in_by_scram_and_never_sends_the_key() {
    let server = Server::start().await;
    let (client, mut connection) = connect(&server).await;

    let (is_proven, id, verifier) = play_scram(&mut connection).await;
    reply(&mut connection, id, last_message(&verifier)).await;

    assert!(is_proven);
    within(client.ready(std::time::Duration::from_secs(10)))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_know_the_key_is_left() {
    let server = Server::start().await;
    let (client, mut connection) = connect(&server).await;

    let (_, id, verifier) = play_scram(&mut connection).await;
    let other = verifier.chars().rev().collect::<String>();
    reply(&mut connection, id, last_message(&format!("v={other}"))).await;
    // The next attempt asks again, and gets no key either.
    let mut connection = server.accept().await;
    let (id, _, _) = request(&mut connection).await;
    reply(&mut connection, id, json!(["API_KEY_PLAIN"])).await;
    let mut connection = server.accept().await;
    let (_, method, _) = request(&mut connection).await;

    assert_eq!(method, "auth.mechanism_choices");
    assert_eq!(client.state().borrow().epoch.0, 0, "never connected");
}

#[tokio::test]
async fn a_server_of_an_old_release_gets_the_method_that_it_has() {
    let server = Server::start().await;
    let (client, mut connection) = connect(&server).await;
    for expected in ["auth.mechanism_choices", "auth.login_ex"] {
        let (id, method, _) = request(&mut connection).await;
        assert_eq!(method, expected);
        no_such_method(&mut connection, id).await;
    }

    let (id, method, key) = request(&mut connection).await;
    reply(&mut connection, id, json!(true)).await;

    assert_eq!(
        (method.as_str(), key),
        ("auth.login_with_api_key", json!("7-secret"))
    );
    within(client.ready(std::time::Duration::from_secs(10)))
        .await
        .unwrap();
}

/// The first line of the next HTTP request.
async fn request_line(listener: &TcpListener) -> (TcpStream, String) {
    let (mut socket, _) = within(listener.accept()).await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        assert!(within(socket.read_buf(&mut request)).await.unwrap() > 0);
    }
    let request = String::from_utf8(request).unwrap();
    (socket, request.lines().next().unwrap().to_owned())
}

#[tokio::test]
async fn a_client_uses_the_newest_version_that_both_know_and_the_current_one_if_that_is_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let _client = builder(&url).connect().unwrap();

    let (mut socket, list) = request_line(&listener).await;
    let body = r#"["v25.04.0","v26.0.0","v99.0.0"]"#;
    let response = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(response.as_bytes()).await.unwrap();
    let (mut socket, versioned) = request_line(&listener).await;
    let response = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    socket.write_all(response).await.unwrap();
    let (_socket, current) = request_line(&listener).await;

    assert_eq!(list, "GET /api/versions HTTP/1.1");
    assert_eq!(versioned, "GET /api/v26.0.0 HTTP/1.1");
    assert_eq!(current, "GET /api/current HTTP/1.1");
}

#[tokio::test]
async fn a_server_without_a_list_of_versions_is_used_as_it_is() {
    for response in [
        "HTTP/1.1 404 Not Found\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n{}",
        "x",
        "",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let _client = builder(&url).connect().unwrap();

        let (mut socket, _) = request_line(&listener).await;
        socket.write_all(response.as_bytes()).await.unwrap();
        drop(socket);
        let (_socket, current) = request_line(&listener).await;

        assert_eq!(current, "GET /api/current HTTP/1.1", "{response}");
    }
}
