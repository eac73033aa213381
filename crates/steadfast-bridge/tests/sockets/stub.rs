//! A server that accepts each login and rejects each subscription with an error that the emulator never has.

use bytes::BytesMut;
use serde_json::{Value, json};
use steadfast_bridge::{Key, Policy};
use steadfast_protocol::websocket::{
    Decoder, EndpointEvent, Frame, Opcode, Role, WebSocketEndpoint, WebSocketLimits, handshake,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::lab::{KEY, Lab, Nas, secret};

fn response(request: &Value) -> Value {
    let id = &request["id"];
    let result = match request["method"].as_str().unwrap() {
        "auth.mechanism_choices" => json!(["API_KEY_PLAIN"]),
        "auth.login_ex" => json!({"response_type": "SUCCESS"}),
        "core.subscribe" => {
            let data = json!({"error": 13, "errname": "EACCES", "reason": "[EACCES] no access"});
            let error = json!({"code": -32_001, "message": "Method call error", "data": data});
            return json!({"jsonrpc": "2.0", "id": id, "error": error});
        }
        _ => json!(null),
    };
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut input = BytesMut::new();
    while !input.ends_with(b"\r\n\r\n") {
        stream.read_buf(&mut input).await?;
    }
    let head = String::from_utf8_lossy(&input.split()).into_owned();
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let fields = fields.map(|(name, value)| (name, value.as_bytes()));
    let accepted = handshake::accept("GET", 1, fields).unwrap();
    let accepted = handshake::response(&accepted.accept_key, None);
    stream.write_all(&accepted).await?;
    let limits = WebSocketLimits {
        message_bytes_max: 1 << 20,
        frame_bytes_max: 1 << 20,
        fragments_max: 1,
    };
    let mut decoder = Decoder::new(Role::Server, limits);
    let mut endpoint = WebSocketEndpoint::new(Role::Server);
    while stream.read_buf(&mut input).await? > 0 {
        let mut responses = Vec::new();
        let mut received = input.split();
        let mut reading = decoder.read(&mut received);
        while let Some(event) = endpoint.next_event(&mut reading) {
            if let EndpointEvent::Message { payload, .. } = event {
                let request = serde_json::from_slice(payload).unwrap();
                let text = response(&request).to_string();
                let frame = Frame::unfragmented(Opcode::Text, text.as_bytes());
                frame.append_server(&mut responses);
            }
        }
        stream.write_all(&responses).await?;
    }
    Ok(())
}

#[tokio::test]
async fn any_error_of_the_server_to_a_subscription_reaches_the_program() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/api/current", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    let key = Key::Fixed(secret(KEY));
    let lab = Lab::over(Nas::start().await, url, Policy::DEFAULT, None, key).await;
    let mut program = lab.program().await;

    let reply = program.call("core.subscribe", &json!(["pool.query"])).await;

    assert_eq!(reply["error"]["code"], -32_001);
    assert_eq!(reply["error"]["data"]["errname"], "EACCES");
    lab.stop().await.unwrap();
}
