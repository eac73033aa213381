//! Every kind of client through every feature, one after another, each with a client of another kind beside it.
//!
//! A script that stops at the first thing that is not as specified. Called by the binary and by the tests.

mod guest;
mod steps;

use std::path::PathBuf;

use anyhow::{Context, Result};

use self::guest::Guest;
use crate::binaries;
use crate::driver::Kind;
use crate::gateway::Gateway;
use crate::peers::Peers;

/// One feature: its name, and the script that shows it.
type Step = (&'static str, fn(&mut Walk) -> Result<()>);

/// Every feature, in order. Each step uses channels of its own.
const STEPS: [Step; 12] = [
    ("connect", steps::connect),
    ("subscribe and publish", steps::subscribe_and_publish),
    ("keyed publish", steps::keyed_publish),
    ("refused rpc", steps::refused_rpc),
    ("join, presence and leave", steps::join_presence_and_leave),
    ("unsubscribe", steps::unsubscribe),
    ("history", steps::history),
    ("history of another epoch", steps::history_of_another_epoch),
    (
        "subscribe from a position",
        steps::subscribe_from_a_position,
    ),
    ("resume", steps::resume),
    ("resume over a long gap", steps::resume_over_a_long_gap),
    ("bad channel", steps::bad_channel),
];

/// A walk under way: the client that is looked at, and one of another kind.
#[derive(Debug)]
struct Walk {
    peers: Peers,
    url: String,
    /// The kind that is looked at.
    kind: Kind,
    host: Guest,
    other: Guest,
    step: usize,
}

impl Walk {
    /// A channel that no other step and no other kind uses.
    fn channel(&self) -> String {
        format!("walk-{}-{}", self.kind.word(), self.step)
    }

    /// Connects one more client of the kind that is looked at.
    fn newcomer(&mut self) -> Result<Guest> {
        let name = format!("{}-new-{}", self.kind.word(), self.step);
        Guest::connect(&mut self.peers, &name, &self.url)
    }
}

/// Leads every kind of client through every feature of this program.
///
/// # Errors
///
/// When a feature is not as specified; the message names client and feature.
pub fn run(program: PathBuf) -> Result<()> {
    let mut gateway = Gateway::new(program, binaries::scratch("walk")?)?;
    let mut peers = Peers::start()?;
    gateway.start()?;
    let url = gateway.url();
    for (kind, beside) in [(Kind::Node, Kind::Rust), (Kind::Rust, Kind::Node)] {
        let host = Guest::connect(&mut peers, &format!("{}-host", kind.word()), &url)?;
        let name = format!("{}-beside-{}", beside.word(), kind.word());
        let other = Guest::connect(&mut peers, &name, &url)?;
        let mut walk = Walk {
            peers,
            url: url.clone(),
            kind,
            host,
            other,
            step: 0,
        };
        for (number, (name, step)) in STEPS.iter().enumerate() {
            walk.step = number;
            step(&mut walk).with_context(|| format!("{} clients, {name}", kind.word()))?;
        }
        peers = walk.peers;
    }
    gateway.clean_up()
}
