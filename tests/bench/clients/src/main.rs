//! One client process: a library, and work that all libraries are given alike.
//!
//! Owns nothing but clients; what it is told and says is in `load::order`. A process of its own for each library, so
//! that memory and CPU time are those of that library alone. Everything runs on one thread.

mod bare;
mod calls;
mod idle;
mod recovery;

use std::io::Write;

use anyhow::{Context, Result, bail};
use load::order::{Order, Word, Work};

fn main() -> Result<()> {
    let order = std::env::args()
        .nth(1)
        .context("the bench starts this with an order")?;
    let order: Order = serde_json::from_str(&order)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match order.work {
            Work::Calls { .. } => calls::run(order).await,
            Work::Idle { sessions } => idle::run(order, sessions).await,
            Work::Recovery {
                sessions,
                publications,
            } => recovery::run(order, sessions, publications).await,
        }
    })?;
    // The orchestrator still reads what this process has cost.
    wait_for_line()
}

/// Says a word to the orchestrator.
fn say(word: &Word) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, word)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Waits for a line or the end of the input. Nothing else happens in this process meanwhile.
fn wait_for_line() -> Result<()> {
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

fn url(port: u16) -> String {
    format!("ws://127.0.0.1:{port}/connection/websocket")
}

/// A session of the client under test that runs by itself; its jitter is from the system, as in an application.
fn steadfast(port: u16) -> Result<steadfast::Client> {
    let (client, driver) = steadfast::Client::builder(&url(port))?.build()?;
    tokio::spawn(driver);
    Ok(client)
}

/// The official client with its defaults. Handlers here only count, so a thread for each client would be waste.
fn centrifuge(port: u16) -> Result<centrifuge::Client> {
    let client = centrifuge::Client::builder(url(port))
        .protocol(centrifuge::Protocol::Json)
        .event_delivery(centrifuge::EventDelivery::Inline)
        .build()?;
    client.connect()?;
    Ok(client)
}

fn refuse<T>(order: Order) -> Result<T> {
    bail!("{:?} does not do this work", order.library)
}
