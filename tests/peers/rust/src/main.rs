//! Owns clients of the crate `centrifuge-client` and does what the harness says, one JSON object a line.
//!
//! It decides nothing: no retry, no reconnect, no memory of what was published; all of that is the client's or the
//! harness's. The lines are described in `tests/peers/README.md`. Started by `tests/e2e`.

mod calls;
mod command;
mod events;

use std::collections::HashMap;
use std::error::Error;

use centrifuge::{Client, EventDelivery, Protocol};
use command::{Answer, Command};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter, Lines, Stdin};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Whatever goes wrong here is a mistake of the harness, and is printed.
type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let (lines, unsent) = unbounded_channel();
    let printer = tokio::spawn(print(unsent));
    lines.send(json!({"event": "ready", "driver": "rust"}))?;

    let outcome = obey(BufReader::new(tokio::io::stdin()).lines(), &lines).await;

    drop(lines);
    printer.abort();
    outcome
}

/// Carries out commands until stdin ends. Each runs as a task of its own, since an answer may take seconds.
async fn obey(
    mut commands: Lines<BufReader<Stdin>>,
    lines: &UnboundedSender<Value>,
) -> Result<(), Failure> {
    let mut clients = HashMap::new();
    while let Some(line) = commands.next_line().await? {
        let command = Command::parse(&line)?;
        let answer = match command.name() {
            "open" => Some(open(&mut clients, &command, lines)),
            _ => None,
        };
        let lines = lines.clone();
        if let Some(answer) = answer {
            lines.send(command.answered(answer))?;
            continue;
        }
        let client = clients
            .get(command.client())
            .cloned()
            .ok_or("no client of that name")?;
        tokio::spawn(async move {
            let answer = calls::carry_out(&client, &command, &lines).await;
            // Only the end of the program closes the other side.
            drop(lines.send(command.answered(answer)));
        });
    }
    Ok(())
}

/// Makes a client and connects it, or connects again one that was closed.
fn open(
    clients: &mut HashMap<String, Client>,
    command: &Command,
    lines: &UnboundedSender<Value>,
) -> Answer {
    if let Some(client) = clients.get(command.client()) {
        return calls::outcome(client.connect().map(|()| json!({})));
    }
    let built = Client::builder(command.text("url"))
        .protocol(Protocol::Json)
        .name("peer-rust")
        // Handlers only push a line, so a thread for each client would be waste.
        .event_delivery(EventDelivery::Inline)
        .build();
    let client = match built {
        Ok(client) => client,
        Err(error) => return calls::outcome(Err(error)),
    };
    events::report_client(&client, command.client(), lines);
    let answer = calls::outcome(client.connect().map(|()| json!({})));
    clients.insert(command.client().to_owned(), client);
    answer
}

/// Writes lines to stdout; those that wait are written together.
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
