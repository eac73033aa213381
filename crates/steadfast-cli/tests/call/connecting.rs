//! No connection: each reason says what to do, and the call was not executed.

use std::net::TcpListener;

use crate::program::{call, ended};
use crate::server::{Connection, Server, sending};

#[test]
fn a_refused_connection_is_tried_again_until_the_time_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);

    let run = call(&format!("ws://{address}"), "add --json --timeout 2");

    let reason = format!("connection refused by {address}");
    let line = format!(
        "{{\"outcome\":\"not-sent\",\"reason\":\"not sent within 2 s: {reason}\",\"safe_to_repeat\":true}}\n"
    );
    let lines = [
        &format!("{reason}; trying again until the 2 s of --timeout are over"),
        &format!("error: not sent within 2 s: {reason}"),
        "No program listens there. Check host and port in the URL, and that the server runs.",
        "If it restarts, a longer --timeout waits for it.",
    ];
    assert_eq!(run, ended(8, &line, &lines));
}

#[test]
fn a_host_name_without_an_address_is_tried_again_until_the_time_limit() {
    // Too long for a label, so that no server is asked.
    let host = "x".repeat(80);

    let run = call(&format!("ws://{host}"), "add --timeout 2");

    let reason = format!("no address found for the host name {host}");
    let lines = [
        &format!("{reason}; trying again until the 2 s of --timeout are over"),
        &format!("error: not sent within 2 s: {reason}"),
        "Check the host name in the URL, and the network of this machine.",
    ];
    assert_eq!(run, ended(8, "", &lines));
}

#[test]
fn a_server_without_a_websocket_ends_the_call_at_once_with_what_to_change() {
    let path = "Check the path of the URL: the API may be at another one, for example /rpc or /ws.";
    let credentials = "The server, or a proxy before it, requires credentials in the HTTP request, which this command does not send,";
    let or =
        "or it does not permit this machine. --login sends a key only once the connection is open.";
    for (response, reason, hints) in [
        (
            "HTTP/1.1 404 Not Found\r\n\r\n",
            "SERVER has no /api (HTTP status 404)",
            vec![path],
        ),
        (
            "HTTP/1.1 200 OK\r\n\r\n",
            "no WebSocket at /api of SERVER (HTTP status 200)",
            vec![path],
        ),
        (
            "HTTP/1.1 401 Unauthorized\r\n\r\n",
            "SERVER refused the connection (HTTP status 401)",
            vec![credentials, or],
        ),
        (
            "HTTP/1.1 403 Forbidden\r\n\r\n",
            "SERVER refused the connection (HTTP status 403)",
            vec![credentials, or],
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: https://a.example/rpc?token=secret\r\n\r\n",
            "WebSocket upgrade with SERVER failed: the server redirects to https://a.example/rpc (HTTP status 302), which is not followed, because the token would be sent to another server: use that URL",
            vec![],
        ),
        (
            "SSH-2.0-OpenSSH\r\n\r\n",
            "WebSocket upgrade with SERVER failed: invalid HTTP response",
            vec!["The program on this port is no WebSocket server. Check the port in the URL."],
        ),
    ] {
        let server = sending(response.as_bytes());

        let run = call(&format!("{}/api?key=hidden", server.url), "add");

        let reason = reason.replace("SERVER", &server.address);
        let error = format!("error: not sent: {reason}");
        let lines = [vec![error.as_str()], hints].concat();
        assert_eq!(run, ended(8, "", &lines));
    }
}

#[test]
fn a_server_that_is_not_available_is_tried_again() {
    let server = Server::start(|listener| {
        let (mut socket, _) = listener.accept().unwrap();
        let response = b"HTTP/1.1 503 Service Unavailable\r\n\r\n";
        std::io::Read::read(&mut socket, &mut [0; 4096]).unwrap();
        std::io::Write::write_all(&mut socket, response).unwrap();
        drop(socket);
        let mut connection = Connection::accept(&listener);
        let request = connection.receive().unwrap();
        connection.reply(&request, "\"result\":1");
        connection.wait_for_end();
    });

    let run = call(&server.url, "add");

    let line = format!(
        "{} is not available (HTTP status 503); trying again until the 30 s of --timeout are over",
        server.address
    );
    assert_eq!(run, ended(0, "1\n", &[&line]));
    server.finish();
}

/// Its proxy is up before its API, and replies with status 502 until then.
#[test]
fn a_server_that_is_still_starting_at_the_time_limit_says_how_to_wait_for_it() {
    let server = sending(b"HTTP/1.1 502 Bad Gateway\r\n\r\n");

    let run = call(&server.url, "add --timeout 2");

    let reason = format!("{} is not available (HTTP status 502)", server.address);
    let lines = [
        &format!("{reason}; trying again until the 2 s of --timeout are over"),
        &format!("error: not sent within 2 s: {reason}"),
        "Check the server, and the proxy before it. If it restarts, a longer --timeout waits for it.",
    ];
    assert_eq!(run, ended(8, "", &lines));
}

#[test]
fn each_attempt_is_shown_on_request() {
    let server = crate::server::replying("\"result\":1");

    let run = call(&format!("{}/rpc", server.url), "add -v");

    let attempt = format!("connecting to {}/rpc (attempt 1)", server.url);
    let lines = [attempt.as_str(), "connected; calling add"];
    assert_eq!(run, ended(0, "1\n", &lines));
}
