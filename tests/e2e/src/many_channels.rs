//! Unmodified SDKs with as many channels as the gateway permits: they are served after a kill as they were before.
//!
//! A client subscribes channel by channel. After a lost connection, SDKs send the connect command and all subscribe
//! commands at once, in one message that is far longer than any command. Another client publishes as much in one message.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

use crate::binaries;
use crate::gateway::Gateway;
use crate::sdk::{Client, Sdk};

/// The number of channels of each client.
const CHANNELS: usize = 1_200;
/// The data of each subscription in bytes: about 800 kB for all of them.
const DATA_BYTES: usize = 600;
/// The number of publications in one message.
const BATCH: u64 = 5_000;
/// How long a step takes at most on a busy machine.
const STEP_MAX: Duration = Duration::from_secs(30);

/// Lets a client of each SDK subscribe to many channels, kills and restarts the gateway, and waits until all of them are
/// subscribed again. Then one of them publishes a batch.
///
/// # Errors
///
/// When a client is not subscribed to all channels, or gives up, or a publication is not acknowledged.
pub fn run(program: PathBuf) -> Result<()> {
    let mut gateway = Gateway::new(program, binaries::scratch("many-channels")?)?;
    let configuration = gateway.folder().join("steadfast.toml");
    let text = fs::read_to_string(&configuration)?;
    fs::write(
        &configuration,
        format!("{text}\n[client]\nchannels_max = {CHANNELS}\n"),
    )?;
    gateway.start()?;
    let url = gateway.url();
    let starting: Vec<_> = Sdk::ALL
        .into_iter()
        .map(|sdk| {
            let url = url.clone();
            thread::spawn(move || start(sdk, &url))
        })
        .collect();
    let mut clients = Vec::new();
    for client in starting {
        let client = client
            .join()
            .map_err(|panic| anyhow!("a client panicked: {panic:?}"))?;
        clients.push(client?);
    }

    gateway.kill()?;
    gateway.start()?;
    for (sdk, client) in Sdk::ALL.into_iter().zip(&clients) {
        await_subscribed(client).with_context(|| format!("{sdk:?} after the kill"))?;
    }

    let node = clients.first_mut().context("there is no client")?;
    node.send(json!({"do": "publish_batch", "channel": "batch", "count": BATCH}))?;
    let acknowledged = await_response(node)?;
    ensure!(
        acknowledged == json!({"acknowledged": BATCH}),
        "a batch of publications: {acknowledged}"
    );
    gateway.clean_up()
}

/// Starts a client, and subscribes it to all channels.
fn start(sdk: Sdk, url: &str) -> Result<Client> {
    let mut client = Client::start(sdk.driver()?)?;
    client.send(json!({"do": "open", "url": url}))?;
    client.await_event("connected", Instant::now() + STEP_MAX)?;
    let data = "x".repeat(DATA_BYTES);
    for number in 0..CHANNELS {
        client.send(json!({
            "do": "subscribe",
            "channel": format!("channel{number}"),
            "recoverable": false,
            "join_leave": false,
            "data": data,
        }))?;
    }
    await_subscribed(&client).with_context(|| format!("{sdk:?} before the kill"))?;
    Ok(client)
}

/// Waits until each channel was subscribed to once.
fn await_subscribed(client: &Client) -> Result<()> {
    let deadline = Instant::now() + STEP_MAX;
    let mut subscribed = 0;
    while subscribed < CHANNELS {
        let line = client
            .next(deadline)
            .with_context(|| format!("{subscribed} of {CHANNELS} channels are subscribed to"))?;
        match line.get("event").and_then(Value::as_str) {
            Some("subscribed") => subscribed += 1,
            Some("disconnected" | "unsubscribed") => {
                bail!("after {subscribed} of {CHANNELS} channels: {line}")
            }
            Some(_) | None => ensure!(line.get("error").is_none(), "{line}"),
        }
    }
    Ok(())
}

/// Waits for the response to the only command without one.
fn await_response(client: &Client) -> Result<Value> {
    let deadline = Instant::now() + STEP_MAX;
    loop {
        let line = client.next(deadline)?;
        if let Some(ok) = line.get("ok").filter(|ok| **ok != json!({})) {
            return Ok(ok.clone());
        }
        ensure!(
            line.get("error").is_none() && line.get("event") != Some(&json!("disconnected")),
            "{line}"
        );
    }
}
