//! The text and JSON reports, compared exactly.

use steadfast_faults::report::{Report, json, text};

use crate::rendered::rendered;
use crate::run::{Run, healthy, with_a_lost_message};

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
    let run = with_a_lost_message();

    let report: serde_json::Value = serde_json::from_str(&rendered(&run, json::render)).unwrap();

    assert_eq!(report["schema"], "lab-report/1");
    assert_eq!(report["verdict"], "FAIL");
    assert_eq!(report["seed"], 7);
    assert_eq!(report["clients"]["affected"], 4);
    assert_eq!(report["clients"]["reconnected"], 4);
    assert_eq!(report["messages"]["lost_deliveries"], 1);
    assert_eq!(report["clients_by_kind"].as_array().unwrap().len(), 4);
    let phases = report["recovery"].as_array().unwrap();
    let total = phases.iter().find(|it| it["name"] == "total").unwrap();
    assert_eq!(total["unit"], "us");
    assert_eq!(total["n"], 8);
    assert!(total["p50"].is_null(), "too few samples: {total}");
    assert!(total["p99"].is_null(), "too few samples: {total}");
    assert!(total["min"]["value"].as_u64().unwrap() > 300_000);
    assert!(total["max"]["value"].as_u64().unwrap() > 300_000);
    assert_eq!(report["faults"][0]["connections_ended"], 4);
    assert_eq!(report["params"]["clients"], "8");
    assert_eq!(report["is_placebo"], false);
    assert_eq!(report["programs"][0]["service"], "gateway");
    assert_eq!(report["programs"][0]["version"], "gateway 1.2 & 3");
}

#[test]
fn the_json_report_has_the_measured_value_and_the_limit_of_each_check() {
    let run = with_a_lost_message();

    let report: serde_json::Value = serde_json::from_str(&rendered(&run, json::render)).unwrap();

    let lost = &report["checks"][2];
    assert_eq!(
        lost["measured"],
        "1 lost of 1,792 expected deliveries, must be 0"
    );
    let comparison = &lost["comparisons"][0];
    assert_eq!(comparison["left"]["value"], 1);
    assert_eq!(comparison["left"]["unit"], "count");
    assert_eq!(comparison["right"]["value"], 0);
    assert_eq!(comparison["outcome"], "fails");
    let bound = &report["checks"][9]["comparisons"][0];
    assert_eq!(bound["right"]["value"], 6_000_000);
    assert_eq!(bound["right"]["unit"], "us");
    let ratio = &report["checks"][11]["comparisons"][0];
    assert_eq!(ratio["right"]["value"], 0.95);
}

#[test]
fn a_placebo_and_a_check_that_is_not_applicable_are_visible_in_the_text() {
    let text = include_str!("../../../../scenarios/gateway-freeze.toml");
    let mut run = healthy();
    run.use_scenario("gateway-freeze", text);
    // The run of another scenario: no client is disconnected.
    run.records = run.control.clone().unwrap();
    let (ledger, evaluation) = (run.ledger(), run.evaluate());

    let report = text::render(&Report {
        scenario: &run.scenario,
        profiles: &[],
        is_placebo: true,
        plan: &run.plan,
        ledger: &ledger,
        evaluation: &evaluation,
        programs: &[],
    });

    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(lines[0], "INCONCLUSIVE  gateway-freeze  seed 7");
    assert_eq!(lines.last(), Some(&lines[0]));
    assert!(report.contains("Placebo: faults were reported, and none was injected."));
    assert!(report.contains("n/a    detection-bounded"), "{report}");
    assert!(report.contains("no samples, must be <= 40 s"), "{report}");
    assert!(
        report.contains("recovery: no client was disconnected"),
        "{report}"
    );
}

fn check(run: &Run, expected: &str) {
    let text = rendered(run, text::render);

    assert_eq!(text, expected, "\n{text}");
}
