//! The text and JSON reports, compared exactly.

use steadfast_faults::ledger::event::ClientEvent;
use steadfast_faults::report::{Report, json, text};

use crate::run::{Run, healthy};

#[test]
fn the_report_of_a_passed_run_has_clients_recoveries_and_messages() {
    let run = healthy();

    check(&run, include_str!("passed.txt"));
}

#[test]
fn the_report_of_a_failed_run_has_the_failed_checks_with_evidence() {
    let mut run = healthy();
    let (victim, lost) = run.victim();
    run.silence(victim, lost);

    check(&run, include_str!("failed.txt"));
}

#[test]
fn the_json_report_has_the_same_values_with_units_in_the_names() {
    let mut run = healthy();
    let (reader, lost) = run.early_message();
    run.retain_events(
        reader,
        |_, event| !matches!(event, ClientEvent::Delivered { message, .. } if *message == Some(lost)),
    );

    let report: serde_json::Value = serde_json::from_str(&with(&run, json::render)).unwrap();

    assert_eq!(report["schema"], "lab-report/1");
    assert_eq!(report["verdict"], "FAIL");
    assert_eq!(report["seed"], 7);
    assert_eq!(report["clients"]["affected"], 4);
    assert_eq!(report["clients"]["reconnected"], 4);
    assert_eq!(report["messages"]["lost_deliveries"], 1);
    assert_eq!(report["clients_by_kind"].as_array().unwrap().len(), 4);
    let total = &report["recovery"][3];
    assert_eq!(total["name"], "total");
    assert_eq!(total["unit"], "us");
    assert_eq!(total["n"], 8);
    assert!(total["p99"].is_null(), "too few samples: {total}");
    assert!(total["max"]["value"].as_u64().unwrap() > 300_000);
    assert_eq!(report["faults"][0]["connections_ended"], 4);
}

fn check(run: &Run, expected: &str) {
    let text = with(run, text::render);

    assert_eq!(text, expected, "\n{text}");
}

fn with(run: &Run, render: fn(&Report<'_>) -> String) -> String {
    let (ledger, evaluation) = (run.ledger(), run.evaluate());
    render(&Report {
        scenario: &run.scenario,
        profiles: &["short".to_owned()],
        plan: &run.plan,
        ledger: &ledger,
        evaluation: &evaluation,
    })
}
