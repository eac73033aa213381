//! The gateway with third-party clients: every feature, and load over kills and restarts.

use steadfast_e2e::kills::{self, Plan};
use steadfast_e2e::{binaries, walk};

#[test]
fn every_feature_works_with_third_party_clients() {
    let gateway = binaries::gateway().unwrap();

    let outcome = walk::run(gateway);

    outcome.unwrap();
}

#[test]
fn acknowledged_publications_survive_kills_under_load_once_and_in_order() {
    let gateway = binaries::gateway().unwrap();
    let plan = Plan::short();

    let verdict = kills::run(gateway, "kills", &plan).unwrap();

    println!("{plan}\n{verdict}");
    assert!(verdict.holds(), "{verdict}");
    assert_eq!(verdict.counts.kills, u64::from(plan.cycles));
    assert!(verdict.counts.in_flight_at_kills.idempotent >= verdict.counts.kills);
}
