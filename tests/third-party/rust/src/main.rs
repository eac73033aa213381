//! Owns clients of the crate `centrifuge-client` and executes the harness's commands, one JSON object per line.
//!
//! The driver neither retries, nor reconnects, nor stores publications; the client or the harness does.
//! `tests/third-party/README.md` describes the lines. `tests/e2e` and the lab start this program.

mod calls;
mod command;
mod events;

use std::collections::HashMap;
use std::error::Error;

use centrifuge::{Client, EventDelivery, Protocol};
use command::{Command, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter, Lines, Stdin};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A failure of this program is a bug in the harness, and is printed.
type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let (lines, unsent) = unbounded_channel();
    let printer = tokio::spawn(print(unsent));
    lines.send(json!({"event": "ready", "driver": "rust"}))?;

    let outcome = run_commands(BufReader::new(tokio::io::stdin()).lines(), &lines).await;

    drop(lines);
    printer.abort();
    outcome
}

/// Executes commands until stdin ends. Each call runs in its own task, since its response may take seconds.
async fn run_commands(
    mut commands: Lines<BufReader<Stdin>>,
    lines: &UnboundedSender<Value>,
) -> Result<(), Failure> {
    let mut clients = HashMap::new();
    while let Some(line) = commands.next_line().await? {
        let command = Command::parse(&line)?;
        let response = match command.name() {
            "open" => Some(open(&mut clients, &command, lines)),
            _ => None,
        };
        let lines = lines.clone();
        if let Some(response) = response {
            lines.send(command.response_line(response))?;
            continue;
        }
        let client = clients
            .get(command.client())
            .cloned()
            .ok_or("client not found")?;
        tokio::spawn(async move {
            let response = calls::execute(&client, &command, &lines).await;
            // The send fails only at the end of the program, which closes the receiver.
            drop(lines.send(command.response_line(response)));
        });
    }
    Ok(())
}

/// Creates and connects a client, or reconnects one that was closed.
fn open(
    clients: &mut HashMap<String, Client>,
    command: &Command,
    lines: &UnboundedSender<Value>,
) -> Response {
    if let Some(client) = clients.get(command.client()) {
        return calls::outcome(client.connect().map(|()| json!({})));
    }
    let built = Client::builder(command.text("url"))
        .protocol(Protocol::Json)
        .name("third-party-rust")
        // A handler only queues a line, so no thread per client is necessary.
        .event_delivery(EventDelivery::Inline)
        .build();
    let client = match built {
        Ok(client) => client,
        Err(error) => return calls::outcome(Err(error)),
    };
    events::report_client(&client, command.client(), lines);
    let response = calls::outcome(client.connect().map(|()| json!({})));
    clients.insert(command.client().to_owned(), client);
    response
}

/// Writes lines to stdout; queued lines are written together.
async fn print(mut unsent: UnboundedReceiver<Value>) -> Result<(), Failure> {
    let mut out = BufWriter::new(tokio::io::stdout());
    while let Some(line) = unsent.recv().await {
        out.write_all(line.to_string().as_bytes()).await?;
        out.write_all(b"\n").await?;
        if unsent.is_empty() {
            out.flush().await?;
        }
    }
    Ok(())
}
