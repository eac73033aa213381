//! The client: prints the trades, and reports which are missing.

use std::error::Error;

use serde_json::Value;
use steadfast::websocket::{Client, Event, Frame};

const SUBSCRIBE: &str = r#"{"op":"subscribe","channel":"trades"}"#;

/// Follows the feed at this URL until it has printed this many trades.
pub(crate) async fn follow(
    url: &str,
    trades: usize,
    print: impl Fn(&str),
) -> Result<(), Box<dyn Error>> {
    let client = Client::builder(url)?
        .subprotocol("feed.v1")
        .first_messages([SUBSCRIBE])
        .accepted_when(|message| field(message, "type") == "subscribed")
        .connect()?;
    let mut inbox = client.receive();

    let (mut printed, mut last) = (0, None);
    while let Some(event) = inbox.next().await {
        match event {
            Event::Connected { .. } => print("connected"),
            Event::Message(message) => {
                let Some(number) = field(&message, "number").as_u64() else {
                    continue; // the reply to the subscription
                };
                // The feed numbers its trades, so that it is known how many were not received.
                if let Some(missing) = last.map(|last| number - last - 1).filter(|it| *it > 0) {
                    print(&format!("{missing} trades are missing"));
                }
                last = Some(number);
                print(&format!("trade {number} at {}", field(&message, "price")));
                printed += 1;
                if printed == trades {
                    return Ok(());
                }
            }
            Event::Missed { messages } => print(&format!("too slow for {messages} messages")),
            Event::Disconnected { cause } => print(&format!("disconnected: {cause}")),
            Event::Failed { cause } => return Err(cause.to_string().into()),
            other @ (Event::Unavailable(_) | _) => print(&format!("{other:?}")),
        }
    }
    Ok(())
}

/// A field of a message in JSON; `null` if it has none.
fn field(message: &Frame, name: &str) -> Value {
    let parsed = serde_json::from_slice(message.payload());
    let message: Value = parsed.unwrap_or_default();
    message.get(name).cloned().unwrap_or_default()
}
