//! Exercises every feature with every kind of client, each together with a client of another kind.
//!
//! The script stops at the first deviation from the specification. Called by the binary and by the tests.

mod steps;
mod test_client;

use std::path::PathBuf;

use anyhow::{Context, Result};

use self::test_client::TestClient;
use crate::binaries;
use crate::driver::ClientKind;
use crate::gateway::Gateway;
use crate::third_party::Drivers;

/// One feature: its name, and the script that exercises it.
type Step = (&'static str, fn(&mut FeatureRun) -> Result<()>);

/// Every feature, in order. Each step uses channels of its own.
const STEPS: [Step; 12] = [
    ("connect", steps::connect),
    ("subscribe and publish", steps::subscribe_and_publish),
    ("idempotent publish", steps::idempotent_publish),
    ("rejected rpc", steps::rejected_rpc),
    ("join, presence and leave", steps::join_presence_and_leave),
    ("unsubscribe", steps::unsubscribe),
    ("history", steps::history),
    ("history of another epoch", steps::history_of_another_epoch),
    (
        "subscribe from a position",
        steps::subscribe_from_a_position,
    ),
    ("resume", steps::resume),
    ("resume, many missed", steps::resume_after_many_publications),
    ("bad channel", steps::bad_channel),
];

/// One test run: the client under test, and one of another kind.
#[derive(Debug)]
struct FeatureRun {
    drivers: Drivers,
    url: String,
    /// The kind of the client under test.
    kind: ClientKind,
    client: TestClient,
    other: TestClient,
    step: usize,
}

impl FeatureRun {
    /// A channel that no other step and no other kind uses.
    fn channel(&self) -> String {
        format!("walk-{}-{}", self.kind.name_prefix(), self.step)
    }

    /// Connects one more client of the kind under test.
    fn connect_another(&mut self) -> Result<TestClient> {
        let name = format!("{}-new-{}", self.kind.name_prefix(), self.step);
        TestClient::connect(&mut self.drivers, &name, &self.url)
    }
}

/// Exercises every feature of this program with every kind of client.
///
/// # Errors
///
/// When a feature is not as specified; the message names client and feature.
pub fn run(program: PathBuf) -> Result<()> {
    let mut gateway = Gateway::new(program, binaries::scratch("walk")?)?;
    let mut drivers = Drivers::start()?;
    gateway.start()?;
    let url = gateway.url();
    for (kind, other_kind) in [
        (ClientKind::Node, ClientKind::Rust),
        (ClientKind::Rust, ClientKind::Node),
    ] {
        let client =
            TestClient::connect(&mut drivers, &format!("{}-host", kind.name_prefix()), &url)?;
        let name = format!("{}-with-{}", other_kind.name_prefix(), kind.name_prefix());
        let other = TestClient::connect(&mut drivers, &name, &url)?;
        let mut walk = FeatureRun {
            drivers,
            url: url.clone(),
            kind,
            client,
            other,
            step: 0,
        };
        for (number, (name, step)) in STEPS.iter().enumerate() {
            walk.step = number;
            step(&mut walk).with_context(|| format!("{} clients, {name}", kind.name_prefix()))?;
        }
        drivers = walk.drivers;
    }
    gateway.clean_up()
}
