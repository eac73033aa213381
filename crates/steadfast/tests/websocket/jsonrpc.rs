//! JSON-RPC 2.0: typed results, errors of the server, and what becomes of calls when the connection is lost.

use std::time::Duration;

use steadfast::CallError;
use steadfast::jsonrpc::{Class, Client, Error, Feed, LoginCall, LoginRequest, SubscriptionEvent};

use crate::server::{Arrived, Connection, Server, within};

async fn client_of(server: &Server) -> (Client, Connection) {
    let builder = Client::builder(&server.url()).unwrap();
    let client = builder.class("get_*", Class::Read).connect().unwrap();
    let connection = server.accept().await;
    (client, connection)
}

#[tokio::test]
async fn a_call_returns_a_typed_result_and_an_error_of_the_server_with_its_code() {
    let server = Server::start().await;
    let (client, mut connection) = client_of(&server).await;

    let calls = async {
        let sum: u64 = client.request("add", &(1, 2)).await.unwrap();
        let error = client.request::<u64>("fail", &()).await.unwrap_err();
        let other = client.request::<u64>("get_name", &()).await.unwrap_err();
        (sum, error, other)
    };
    let replies = async {
        let request = connection.receive_text().await;
        assert_eq!(
            request,
            r#"{"jsonrpc":"2.0","id":1,"method":"add","params":[1,2]}"#
        );
        connection
            .send_text(r#"{"jsonrpc":"2.0","id":1,"result":3}"#)
            .await;
        assert_eq!(
            connection.receive_text().await,
            r#"{"jsonrpc":"2.0","id":2,"method":"fail"}"#
        );
        connection
            .send_text(
                r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"no","data":[1]}}"#,
            )
            .await;
        connection.receive_text().await;
        connection
            .send_text(r#"{"jsonrpc":"2.0","id":3,"result":"x"}"#)
            .await;
    };
    let ((sum, error, other), ()) = within(async { tokio::join!(calls, replies) }).await;

    assert_eq!(sum, 3);
    let Error::Call(CallError::Rejected(rejected)) = error else {
        panic!("{error}");
    };
    assert_eq!((rejected.code, rejected.message.as_str()), (-32_602, "no"));
    assert_eq!(rejected.data.as_deref(), Some(b"[1]".as_slice()));
    assert!(matches!(other, Error::Result(_)), "{other}");
}

#[tokio::test]
async fn after_a_reset_a_read_has_its_result_and_a_write_says_that_it_may_have_been_executed() {
    let server = Server::start().await;
    let (client, mut connection) = client_of(&server).await;

    let nothing = ();
    let calls = async {
        let read = client.request::<u64>("get_height", &nothing);
        let write = client.request::<u64>("create", &nothing);
        tokio::join!(read, write)
    };
    let replies = async {
        for _ in 0..2 {
            connection.receive_text().await;
        }
        connection.reset();
        let mut connection = server.accept().await;
        let repeated = connection.receive_text().await;
        assert!(repeated.contains("get_height"), "{repeated}");
        connection
            .send_text(r#"{"jsonrpc":"2.0","id":"3","result":7}"#)
            .await;
        connection
    };
    let ((read, write), _connection) = within(async { tokio::join!(calls, replies) }).await;

    assert_eq!(read, Ok(7));
    let maybe_executed = true;
    assert_eq!(
        write,
        Err(Error::Call(CallError::Interrupted { maybe_executed }))
    );
}

#[tokio::test]
async fn a_call_that_was_not_sent_says_so_at_its_time_limit() {
    let client = Client::builder("ws://127.0.0.1:9")
        .unwrap()
        .connect()
        .unwrap();

    let request = client.method("create").timeout(Duration::from_millis(100));
    let error = request.request::<u64>(&()).await.unwrap_err();

    let maybe_executed = false;
    assert_eq!(error, Error::Call(CallError::TimedOut { maybe_executed }));
}

#[tokio::test]
async fn a_subscription_is_requested_again_and_reports_the_gap() {
    let server = Server::start().await;
    let (client, mut connection) = client_of(&server).await;
    let feed = Feed::subscription("eth_subscribe", r#"["newHeads"]"#.into(), "eth_unsubscribe");
    let mut heads = client.subscribe(feed);

    connection.receive_text().await;
    connection.send_text(r#"{"id":1,"result":"0x1"}"#).await;
    let first = r#"{"method":"eth_subscription","params":{"subscription":"0x1","result":1}}"#;
    connection.send_text(first).await;
    let mut received = Vec::new();
    while !matches!(received.last(), Some(SubscriptionEvent::Item(_))) {
        received.push(within(heads.next()).await.unwrap());
    }
    connection.reset();
    let mut connection = server.accept().await;
    connection.receive_text().await;
    connection.send_text(r#"{"id":2,"result":"0x2"}"#).await;

    while !matches!(received.last(), Some(SubscriptionEvent::Gap { .. })) {
        received.push(within(heads.next()).await.unwrap());
    }
}

/// The limit of the client is 100 bytes, and that of what it discards 10,000.
#[tokio::test]
async fn a_result_above_the_limit_fails_its_call_and_the_connection_stays() {
    let server = Server::start().await;
    let builder = Client::builder(&server.url()).unwrap();
    let builder = builder
        .received_message_bytes_max(100)
        .skipped_message_bytes_max(10_000);
    let client = builder.class("get_*", Class::Read).connect().unwrap();
    let mut connection = server.accept().await;

    let nothing = ();
    let calls = async {
        let long = client.request::<Vec<u8>>("get_all", &nothing).await;
        let short = client.request::<u64>("get_height", &nothing).await;
        let too_long = client.request::<Vec<u8>>("get_more", &nothing).await;
        (long, short, too_long)
    };
    let replies = async {
        connection.receive_text().await;
        let items = vec!["1"; 4_000].join(",");
        let long = format!(r#"{{"jsonrpc":"2.0","result":[{items}],"id":1}}"#);
        connection.send_text(&long).await;
        connection.receive_text().await;
        connection.send_text(r#"{"id":2,"result":7}"#).await;
        connection.receive_text().await;
        let items = vec!["1"; 6_000].join(",");
        let long = format!(r#"{{"id":3,"result":[{items}]}}"#);
        connection.send_text(&long).await;
        assert_eq!(connection.receive().await, Arrived::Close(Some(1009)));
    };
    let ((long, short, too_long), ()) = within(async { tokio::join!(calls, replies) }).await;

    let bytes = 8_035;
    let expected = CallError::ResultTooLarge { bytes };
    assert_eq!(long, Err(Error::Call(expected)));
    assert_eq!(short, Ok(7));
    let maybe_executed = true;
    let interrupted = CallError::Interrupted { maybe_executed };
    assert_eq!(too_long, Err(Error::Call(interrupted)));
}

#[test]
fn credentials_with_which_no_login_can_be_sent_are_rejected_before_the_first_attempt() {
    let login = LoginCall::new(|token| LoginRequest {
        method: "login".to_owned(),
        params: format!("[\"{}\"]", token.expose()).into(),
    });
    let builder = |token: &str| {
        let builder = Client::builder("ws://127.0.0.1:9").unwrap();
        let builder = builder.login(login.clone()).sent_message_bytes_max(100);
        builder.token(token)
    };

    let error = builder(&"x".repeat(100)).build().unwrap_err();

    let text = error.to_string();
    assert!(
        text.starts_with("the credentials cannot be used: "),
        "{text}"
    );
    assert!(text.ends_with("above the limit of 100 bytes"), "{text}");
    assert!(!text.contains("xx"), "it is a secret");
    assert!(builder("x").build().is_ok());
}
