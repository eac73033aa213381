//! Programs that open a WebSocket over the Unix socket, next to those that send lines.

use serde_json::json;
use steadfast_protocol::websocket::{Frame, Opcode};
use tokio::net::UnixStream;

use super::lab::Lab;
use super::wire::Wire;

async fn connect(lab: &Lab) -> Wire<UnixStream> {
    let stream = UnixStream::connect(&lab.socket).await.unwrap();
    let mut wire = Wire::new(stream);
    let status = wire.upgrade(&[]).await;
    assert_eq!(status, 101);
    wire
}

#[tokio::test]
async fn a_web_socket_and_lines_share_the_socket() {
    let lab = Lab::start().await;
    let (mut wire, mut lines) = (connect(&lab).await, lab.program().await);

    wire.text(&json!({"jsonrpc": "2.0", "id": "w", "method": "pool.query"}))
        .await;
    let by_lines = lines.call("pool.query", &json!([])).await;
    let by_socket = wire.message().await.unwrap();

    assert_eq!(by_socket["id"], "w");
    assert_eq!(by_socket["result"], by_lines["result"]);
    assert_eq!(lab.nas.logins().await, [1]);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn pings_have_pongs_and_a_close_frame_is_replied_to() {
    let lab = Lab::start().await;
    let mut wire = connect(&lab).await;

    wire.frame(Frame::unfragmented(Opcode::Ping, b"hi")).await;
    assert_eq!(wire.pong().await, b"hi");
    wire.frame(Frame::unfragmented(Opcode::Close, &1000_u16.to_be_bytes()))
        .await;

    assert_eq!(wire.closed().await, Some(1000));
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn binary_and_large_messages_close_the_connection_as_the_server_does() {
    let lab = Lab::start().await;
    for (opcode, bytes, code) in [(Opcode::Binary, 2, 1003), (Opcode::Text, 65_537, 1009)] {
        let mut wire = connect(&lab).await;

        wire.frame(Frame::unfragmented(opcode, &vec![b' '; bytes]))
            .await;

        assert_eq!(wire.closed().await, Some(code));
    }
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_message_of_exactly_64_kib_is_permitted() {
    let lab = Lab::start().await;
    let mut wire = connect(&lab).await;
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"bridge.status""#;
    let blanks = " ".repeat((64 << 10) - request.len() - 1);

    let text = format!("{request}{blanks}}}");
    wire.frame(Frame::unfragmented(Opcode::Text, text.as_bytes()))
        .await;

    assert!(wire.message().await.unwrap()["result"].is_object());
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn the_end_of_the_bridge_is_a_close_frame() {
    let lab = Lab::start().await;
    let mut wire = connect(&lab).await;
    wire.text(&json!({"jsonrpc": "2.0", "id": 1, "method": "core.ping"}))
        .await;
    wire.message().await.unwrap();

    lab.stop().await.unwrap();

    assert_eq!(wire.closed().await, Some(1001));
}

#[tokio::test]
async fn a_request_that_is_no_upgrade_has_a_response_that_says_so() {
    let lab = Lab::start().await;
    let stream = UnixStream::connect(&lab.socket).await.unwrap();

    let status = Wire::new(stream).get(&["Host: localhost"]).await;

    assert_eq!(status, 426);
    lab.stop().await.unwrap();
}
