//! Simulates a fleet of clients whose server was away, in virtual time: when they are connected again, and how many attempts
//! that takes.
//!
//! `cargo run --release --example fleet_recovery -- docs/images/fleet-recovery.svg` prints the tables of the decision about the backoff, and draws
//! the picture. The clients are the real state machines of this library; the policy of the official Centrifuge SDKs is
//! calculated, as the comparison. Each run has the same result.

mod fleet;
mod plot;

use std::error::Error;
use std::time::Duration;

use fleet::{Fleet, Policy};

/// The clients of a run.
const CLIENTS: usize = 10_000;
/// The connections that the limited server accepts per second.
const ACCEPTED_PER_SECOND: u32 = 500;
const OUTAGES: [(&str, Duration); 4] = [
    ("1 s", Duration::from_secs(1)),
    ("3 s", Duration::from_secs(3)),
    ("30 s", Duration::from_secs(30)),
    ("10 min", Duration::from_mins(10)),
];

#[expect(clippy::print_stdout, reason = "it shows what happens")]
fn main() -> Result<(), Box<dyn Error>> {
    let Some(picture) = std::env::args().nth(1) else {
        return Err("usage: fleet_recovery PICTURE.svg".into());
    };
    for (server, accepted) in [
        ("a server that accepts all attempts", None),
        (
            "a server that accepts 500 per second",
            Some(ACCEPTED_PER_SECOND),
        ),
    ] {
        println!(
            "| 10,000 clients of {server} | 1 s: 50 % / 99 % / all (attempts) | 3 s | 30 s | 10 min |"
        );
        println!("| --- | ---: | ---: | ---: | ---: |");
        for policy in Policy::ALL {
            let cells =
                OUTAGES.map(|(_, outage)| cell(&Fleet::after(policy, outage, CLIENTS, accepted)));
            println!("| {} | {} |", policy.name(), cells.join(" | "));
        }
        println!();
    }
    let panels = [OUTAGES[1], OUTAGES[2]].map(|(name, outage)| plot::Panel {
        title: format!("after an outage of {name}"),
        curves: Policy::ALL
            .map(|policy| (policy, Fleet::after(policy, outage, CLIENTS, None)))
            .to_vec(),
    });
    std::fs::write(&picture, plot::svg(&panels))?;
    Ok(())
}

fn cell(fleet: &Fleet) -> String {
    let [half, most, all] = [50, 99, 100].map(|percent| fleet.percentile(percent).as_secs_f64());
    let attempts = fleet.attempts_per_client();
    format!("{half:.1} / {most:.1} / {all:.1} s ({attempts:.1})")
}
