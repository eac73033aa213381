//! What people and programs read about a run, word for word.

use steadfast_faults::ledger::record::ClientFact;
use steadfast_faults::report::{Report, json, text};

use crate::run::{Run, healthy};

#[test]
fn a_run_that_passed_is_told_with_its_groups_recoveries_and_books() {
    let run = healthy();

    check(&run, include_str!("passed.txt"));
}

#[test]
fn a_run_that_failed_is_told_with_what_failed_and_the_evidence() {
    let mut run = healthy();
    let (victim, lost) = run.victim();
    run.silence(victim, lost);

    check(&run, include_str!("failed.txt"));
}

#[test]
fn programs_read_the_same_with_units_in_the_names() {
    let mut run = healthy();
    let (reader, lost) = run.early_message();
    run.retain_of(
        reader,
        |_, fact| !matches!(fact, ClientFact::Delivered { message, .. } if *message == Some(lost)),
    );

    let told: serde_json::Value = serde_json::from_str(&with(&run, json::render)).unwrap();

    assert_eq!(told["schema"], "lab-report/1");
    assert_eq!(told["verdict"], "FAIL");
    assert_eq!(told["seed"], 7);
    assert_eq!(told["clients"]["affected"], 4);
    assert_eq!(told["clients"]["reconnected"], 4);
    assert_eq!(told["messages"]["lost_pairs"], 1);
    assert_eq!(told["clients_by_kind"].as_array().unwrap().len(), 4);
    let total = &told["recovery"][3];
    assert_eq!(total["name"], "total");
    assert_eq!(total["unit"], "us");
    assert_eq!(total["n"], 8);
    assert!(total["p99"].is_null(), "too few samples: {total}");
    assert!(total["max"]["value"].as_u64().unwrap() > 300_000);
    assert_eq!(told["faults"][0]["connections_ended"], 4);
}

fn check(run: &Run, expected: &str) {
    let told = with(run, text::render);

    assert_eq!(told, expected, "\n{told}");
}

fn with(run: &Run, render: fn(&Report<'_>) -> String) -> String {
    let (ledger, judgement) = (run.ledger(), run.judge());
    render(&Report {
        scenario: &run.scenario,
        profiles: &["short".to_owned()],
        plan: &run.plan,
        ledger: &ledger,
        judgement: &judgement,
    })
}
