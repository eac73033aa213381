//! Unmodified SDKs on slow links: they recover everything that they missed, and keep their connection.
//!
//! Each client subscribes, disconnects, misses publications, and reconnects over a link of a few kbit/s in both
//! directions. All clients of a run recover the same publications at once, each over a link of its own.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

use crate::binaries;
use crate::gateway::Gateway;
use crate::namespaces::link::{self, Link};
use crate::sdk::{Client, Sdk};

/// The channel of a run.
const CHANNEL: &str = "slow";
/// How long a step takes at most over a fast link, on a busy machine.
const STEP_MAX: Duration = Duration::from_secs(30);
/// The payload of a missed publication in bytes.
const PAYLOAD_BYTES: usize = 1_000;
/// What a publication needs on the wire: the payload, the JSON around it, and the headers of its packets.
const WIRE_BYTES: u64 = 1_250;

/// The clients and links of a run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The rates of the links; each of them has a client of each SDK.
    kbit_per_second: &'static [u32],
    /// The number of publications that each client misses.
    missed: u64,
}

impl Plan {
    /// A few seconds.
    pub const SHORT: Self = Self {
        kbit_per_second: &[32],
        missed: 24,
    };

    /// About two minutes: 150 kB over 16 kbit/s.
    pub const LONG: Self = Self {
        kbit_per_second: &[16, 64, 256],
        missed: 150,
    };

    /// How long the recovery takes at this rate, with as much again for what the machine does otherwise.
    fn recovery_max(self, kbit_per_second: u32) -> Duration {
        let bits = self.missed * WIRE_BYTES * 8;
        STEP_MAX + 2 * Duration::from_millis(bits / u64::from(kbit_per_second))
    }
}

/// Runs a plan; this process must be in namespaces of its own.
///
/// # Errors
///
/// When a client does not receive everything, or does not keep its connection.
pub fn run(program: PathBuf, plan: Plan) -> Result<()> {
    link::prepare()?;
    let folder = binaries::scratch("slow-links")?;
    let mut gateway = Gateway::on_all_addresses(program, folder)?;
    gateway.start()?;

    let mut clients = Vec::new();
    for rate in plan.kbit_per_second {
        for sdk in Sdk::ALL {
            let number = u8::try_from(clients.len())?;
            clients.push(SlowClient::subscribe(&gateway, sdk, number, *rate)?);
        }
    }
    let mut publisher = Client::start(Sdk::Node.driver()?)?;
    publisher.send(json!({"do": "open", "url": gateway.url()}))?;
    publisher.await_event("connected", Instant::now() + STEP_MAX)?;
    publish(&mut publisher, 0, plan.missed)?;
    let recoveries: Vec<_> = clients
        .into_iter()
        .map(|client| thread::spawn(move || client.recover(plan)))
        .collect();
    // A live publication follows what was missed.
    publish(&mut publisher, plan.missed, 1)?;
    let outcomes: Vec<_> = recoveries
        .into_iter()
        .map(|recovery| {
            recovery
                .join()
                .map_err(|panic| anyhow!("a client panicked: {panic:?}"))
        })
        .collect();
    for outcome in outcomes {
        outcome??;
    }
    gateway.clean_up()
}

/// Publishes, and returns once everything is acknowledged.
fn publish(publisher: &mut Client, before: u64, count: u64) -> Result<()> {
    let deadline = Instant::now() + STEP_MAX;
    for number in before + 1..=before + count {
        let data = format!("{number:0>PAYLOAD_BYTES$}");
        publisher.send(json!({"do": "publish", "channel": CHANNEL, "data": data}))?;
    }
    let mut acknowledged = 0;
    while acknowledged < count {
        let line = publisher.next(deadline).context("publishing")?;
        ensure!(line.get("error").is_none(), "publishing failed: {line}");
        acknowledged += u64::from(line.get("ok").is_some());
    }
    Ok(())
}

/// A client that has subscribed and disconnected.
struct SlowClient {
    sdk: Sdk,
    kbit_per_second: u32,
    link: Link,
    client: Client,
    url: String,
}

impl SlowClient {
    fn subscribe(gateway: &Gateway, sdk: Sdk, number: u8, kbit_per_second: u32) -> Result<Self> {
        let link = Link::create(number)?;
        let url = gateway
            .url()
            .replace("127.0.0.1", &link.near_address().to_string());
        let mut client = Client::start(link.command(&sdk.driver()?))?;
        let deadline = Instant::now() + STEP_MAX;
        client.send(json!({"do": "open", "url": url}))?;
        client.await_event("connected", deadline)?;
        client.send(json!({
            "do": "subscribe", "channel": CHANNEL, "recoverable": true, "join_leave": false
        }))?;
        client.await_event("subscribed", deadline)?;
        client.send(json!({"do": "close"}))?;
        client.await_event("disconnected", deadline)?;
        Ok(Self {
            sdk,
            kbit_per_second,
            link,
            client,
            url,
        })
    }

    /// Reconnects over the slow link, and checks that everything arrives over this connection.
    fn recover(mut self, plan: Plan) -> Result<()> {
        self.link.slow_down(self.kbit_per_second)?;
        self.client.send(json!({"do": "open", "url": self.url}))?;
        let begin = Instant::now();
        let deadline = begin + plan.recovery_max(self.kbit_per_second);
        let (mut connections, mut next) = (0, 1);
        while next <= plan.missed + 1 {
            let line = self.client.next(deadline).with_context(|| {
                let (sdk, rate) = (self.sdk, self.kbit_per_second);
                format!(
                    "{sdk:?} at {rate} kbit/s received {} of {}",
                    next - 1,
                    plan.missed + 1
                )
            })?;
            match line.get("event").and_then(Value::as_str) {
                Some("connected") => connections += 1,
                Some("subscribed") => {
                    ensure!(
                        line.get("recovered") == Some(&json!(true)),
                        "not recovered: {line}"
                    );
                }
                Some("publication") => {
                    ensure!(
                        line.get("offset") == Some(&json!(next)),
                        "{next} is missing: {line}"
                    );
                    next += 1;
                }
                Some("disconnected" | "unsubscribed" | "warning") => self.fail(next, &line)?,
                // The connection was lost, and the SDK tries again.
                Some("connecting") if connections > 0 => self.fail(next, &line)?,
                Some(_) | None => {}
            }
        }
        ensure!(connections == 1, "{connections} connections");
        Ok(())
    }

    /// Fails with an event that must not occur before the publication `next`.
    fn fail(&self, next: u64, line: &Value) -> Result<()> {
        let (sdk, rate) = (self.sdk, self.kbit_per_second);
        bail!("{sdk:?} at {rate} kbit/s before {next}: {line}");
    }
}
