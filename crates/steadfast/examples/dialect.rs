//! Implements a protocol of its own over WebSocket: one JSON object per message, with a login, calls, notes without a
//! reply, and subscriptions without a history.
//!
//! A server in the same process drops its first connection, so that the program shows what the engine adds to a dialect:
//! the client reconnects, logs in, and subscribes again. Run it with `cargo run -p steadfast --example dialect`.

#![expect(clippy::indexing_slicing, reason = "an absent field is null")]

use std::time::Duration;

use serde::Deserialize as _;
use serde_json::{Value, json};
use steadfast::dialect::{
    self, Delivery, Dialect, DialectEvent, EarlyRequests, InFlight, Outcome, Request, Subscribed,
    Unsendable, Wire,
};
use steadfast::retry_advice::{Action, RetryAdvice};
use steadfast::{
    Builder, ConnectionLoss, DisconnectCause, Frame, Secret, SubscribeOptions, SubscriptionEvent,
};
use steadfast_protocol::websocket::handshake::{accept_key, response};
use steadfast_protocol::websocket::{self, Decoder, Opcode, Role, WebSocketEvent, WebSocketLimits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The protocol. It keeps nothing: the engine numbers the requests, and knows which of them have no reply.
#[derive(Clone, Debug)]
struct JsonLogin;

#[derive(Clone, Debug, PartialEq)]
struct Call(&'static str, Value);

#[derive(Clone, Debug, PartialEq)]
struct Note(Value);

impl dialect::Call for Call {
    fn is_idempotent(&self) -> bool {
        self.0 == "add"
    }
}

impl dialect::Message for Note {
    type Lane = ();

    fn lane(&self) -> &() {
        &()
    }

    fn bytes(&self) -> usize {
        self.0.to_string().len()
    }

    fn delivery(&self) -> Delivery {
        Delivery::Unacknowledged
    }
}

fn text(value: &Value) -> Frame {
    Frame::Text(value.to_string().into())
}

impl Dialect for JsonLogin {
    type Call = Call;
    type Response = Value;
    type Message = Note;
    type Acknowledgement = ();
    type Topic = String;
    type Item = Value;
    type Refusal = String;

    fn start_handshake(&mut self, credentials: &Secret, wire: &mut Wire) -> EarlyRequests {
        wire.frame(text(&json!({"login": credentials.expose()})));
        EarlyRequests::None
    }

    fn read(
        &mut self,
        frame: &Frame,
        in_flight: &impl InFlight<Self>,
        events: &mut Vec<DialectEvent<Self>>,
        _wire: &mut Wire,
    ) -> Result<(), String> {
        let message: Value =
            serde_json::from_slice(frame.payload()).map_err(|error| error.to_string())?;
        // Messages without an id name no request.
        let id = u32::deserialize(&message["id"]).unwrap_or_default();
        events.push(if message["welcome"] == true {
            let expires_after = None;
            DialectEvent::Accepted { expires_after }
        } else if let Some(reason) = message["denied"].as_str() {
            let (code, message) = (0, reason.to_owned());
            let cause = DisconnectCause::ConnectRejected { code, message };
            let advice = RetryAdvice::RETRY.with(Action::RenewCredentials);
            DialectEvent::Rejected { cause, advice }
        } else if let Some(topic) = message["topic"].as_str() {
            DialectEvent::Item {
                topic: topic.to_owned(),
                offset: None,
                item: message["item"].clone(),
            }
        } else if let Some(error) = message["error"].as_str() {
            DialectEvent::Refused {
                id,
                refusal: error.to_owned(),
                advice: RetryAdvice::GIVE_UP,
                maybe_executed: false,
            }
        } else if let Some(Request::Subscribe(..)) = in_flight.request(id) {
            let subscribed = Subscribed::without_history();
            DialectEvent::Subscribed { id, subscribed }
        } else {
            let response = message["result"].clone();
            DialectEvent::Responded { id, response }
        });
        Ok(())
    }

    fn write(
        &mut self,
        id: u32,
        request: Request<'_, Self>,
        wire: &mut Wire,
    ) -> Option<Outcome<Self>> {
        wire.frame(text(&match request {
            Request::Call(Call(method, params)) => {
                json!({"id": id, "method": method, "params": params})
            }
            Request::Message(Note(note)) => json!({"note": note}),
            Request::Subscribe(topic, _) => json!({"id": id, "subscribe": topic}),
            Request::Unsubscribe(topic) => json!({"id": id, "unsubscribe": topic}),
            // `check` says that the protocol has no such request.
            Request::Authenticate(_) => return None,
        }));
        matches!(request, Request::Message(_)).then_some(Outcome::Acknowledged(()))
    }

    fn check(&self, request: Request<'_, Self>) -> Result<(), Unsendable> {
        if matches!(request, Request::Authenticate(_)) {
            return Err(Unsendable::Unsupported);
        }
        Ok(())
    }

    fn advise(&self, _loss: &ConnectionLoss) -> RetryAdvice {
        RetryAdvice::RETRY
    }
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "it shows what happens")]
async fn main() -> Result<(), Error> {
    run(|line| println!("{line}")).await
}

/// Starts the server, uses it, and prints what happens.
pub(crate) async fn run(mut print: impl FnMut(String)) -> Result<(), Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}", listener.local_addr()?);
    let server = tokio::spawn(serve(listener));

    let client = Builder::new(&url, JsonLogin)?.token("secret").connect()?;
    let sum = client.call(Call("add", json!([1, 2]))).await?;
    print(format!("1 + 2 = {sum}"));
    client.send_message_now(Note(json!("hello")), None)?.await?;
    let refusal = client.call(Call("halve", json!([3]))).await;
    print(format!("halve: {refusal:?}"));

    let topic = "news".to_owned();
    let mut news = client.subscribe_with(SubscribeOptions::to(topic, 16));
    let mut has_gap = false;
    while let Some(event) = news.next().await {
        print(format!("{event:?}"));
        // Without a history, the engine cannot know what was sent in the meantime: the application reloads its state.
        has_gap |= matches!(event, SubscriptionEvent::Gap { .. });
        if has_gap && matches!(event, SubscriptionEvent::Item(_)) {
            break;
        }
    }
    print(format!(
        "reconnects: {}",
        client.state().borrow().reconnects
    ));
    client.close(Duration::from_secs(1)).await?;
    server.await?
}

/// Serves two connections, the first until it has sent an item.
async fn serve(listener: TcpListener) -> Result<(), Error> {
    for number in 1..=2 {
        let (mut socket, _) = listener.accept().await?;
        serve_connection(&mut socket, number).await?;
    }
    Ok(())
}

/// Replies to the messages of one connection until it is closed. The first one ends after its first item.
async fn serve_connection(socket: &mut TcpStream, number: u32) -> Result<(), Error> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        socket.read_buf(&mut request).await?;
    }
    let request = String::from_utf8(request)?;
    let mut lines = request.lines();
    let key = lines.find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let accepted = response(&accept_key(key.ok_or("no key")?), None);
    socket.write_all(&accepted).await?;

    let limits = WebSocketLimits {
        message_bytes_max: 1 << 16,
        frame_bytes_max: 1 << 16,
        fragments_max: 1,
    };
    let mut decoder = Decoder::new(Role::Server, limits);
    let mut received = Vec::new();
    while socket.read_buf(&mut received).await? > 0 {
        let mut replies = Vec::new();
        let mut reading = decoder.read(&mut received);
        while let Some(event) = reading.next_event()? {
            match event {
                WebSocketEvent::Message { payload, .. } => {
                    replies.extend(reply(&serde_json::from_slice(payload)?, number));
                }
                WebSocketEvent::Close { .. } => return Ok(()),
                WebSocketEvent::Ping(_) | WebSocketEvent::Pong(_) => {}
            }
        }
        received.clear();
        let has_item = replies.iter().any(|it| it["topic"].is_string());
        for message in replies {
            let message = message.to_string();
            let frame = websocket::encoder::encode_server(Opcode::Text, message.as_bytes());
            socket.write_all(&frame).await?;
        }
        if number == 1 && has_item {
            return Ok(());
        }
    }
    Ok(())
}

fn reply(message: &Value, number: u32) -> Vec<Value> {
    let id = &message["id"];
    if let Some(token) = message["login"].as_str() {
        return vec![if token == "secret" {
            json!({"welcome": true})
        } else {
            json!({"denied": "wrong token"})
        }];
    }
    if let Some(topic) = message["subscribe"].as_str() {
        let item = json!({"topic": topic, "item": format!("item of connection {number}")});
        return vec![json!({"id": id, "ok": true}), item];
    }
    if message["method"] == "add" {
        let params = message["params"].as_array().into_iter().flatten();
        let sum: i64 = params.filter_map(Value::as_i64).sum();
        return vec![json!({"id": id, "result": sum})];
    }
    if id.is_null() {
        return Vec::new();
    }
    vec![json!({"id": id, "error": "unknown method"})]
}
