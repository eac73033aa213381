//! The gateway with the clients that others wrote: every feature, and load over kills and restarts.

use steadfast_e2e::kills::{self, Plan};
use steadfast_e2e::{binaries, walk};

#[test]
fn published_clients_walk_through_every_feature() {
    let gateway = binaries::gateway().unwrap();

    let outcome = walk::run(gateway);

    outcome.unwrap();
}

#[test]
fn acknowledged_publications_outlive_kills_under_load_once_and_in_order() {
    let gateway = binaries::gateway().unwrap();
    let plan = Plan::short();

    let verdict = kills::run(gateway, "kills", &plan).unwrap();

    println!("{plan}\n{verdict}");
    assert!(verdict.holds(), "{verdict}");
    assert_eq!(verdict.counts.kills, u64::from(plan.cycles));
    assert!(verdict.counts.in_flight_at_kills.keyed >= verdict.counts.kills);
}
