//! Every check of every shipped scenario holds in a healthy run, and fails as soon as what it names is violated.

mod violations;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use steadfast_faults::check::CheckOutcome;
use steadfast_faults::ledger::event::{ClientEvent, LossCause, ProcessEvent, RunEvent, RunPhase};
use steadfast_faults::verdict::Verdict;
use steadfast_machine::Instant;

use self::violations::{BREAKS, lose_connection};
use crate::run::{Before as _, MILLI, Run, healthy_of};

/// The scenarios, and parameters with which a violation is possible in the short profile.
const SCENARIOS: [(&str, &[(&str, &str)]); 11] = [
    // Shorter than the suspension of the short profile.
    ("gateway-freeze", &[("detect_max", "1s")]),
    ("gateway-kill", &[]),
    ("gateway-term", &[]),
    ("idle-proxy", &[]),
    ("link-blackhole", &[]),
    ("link-flap", &[]),
    ("link-reset", &[]),
    // A stall can be longer than what these faults explain.
    ("link-slow", &[("slow", "1s")]),
    ("truenas-calls", &[]),
    ("truenas-field-report", &[]),
    ("truenas-idle", &[]),
];

#[test]
fn every_shipped_scenario_is_covered() {
    let files = fs::read_dir(folder()).unwrap();
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: BTreeSet<String> = names.collect();

    let covered = SCENARIOS.map(|(name, _)| format!("{name}.toml"));
    assert_eq!(names, BTreeSet::from(covered));
}

#[test]
fn every_check_of_a_scenario_holds_in_a_healthy_run() {
    for (name, params) in SCENARIOS {
        let evaluation = healthy(name, params).evaluate();

        assert_eq!(
            evaluation.verdict,
            Verdict::Pass,
            "{name}: {:#?}",
            evaluation.reasons
        );
        for check in &evaluation.checks {
            let is_untested = check.outcome == CheckOutcome::NotApplicable;
            assert!(
                check.outcome == CheckOutcome::Holds || is_untested,
                "{name}: {check:#?}"
            );
        }
    }
}

#[test]
fn every_check_of_a_scenario_fails_for_each_violation_of_what_it_names() {
    for (name, params) in SCENARIOS {
        let healthy = healthy(name, params);
        for check in healthy.scenario.checks() {
            let of_check = |(scenario, id, _): &&(&str, &str, _)| {
                *id == check.id && (*scenario == "*" || *scenario == name)
            };
            let breaks: Vec<_> = BREAKS.iter().filter(of_check).collect();
            // A condition of several comparisons needs a violation of each.
            let needed = check.that.comparisons().len();
            assert!(
                breaks.len() >= needed,
                "{name}: {} is never broken",
                check.id
            );
            let mut failing = BTreeSet::new();
            for (_, _, violate) in breaks {
                let mut run = healthy.clone();
                violate(&mut run);

                let evaluation = run.evaluate();

                let result = evaluation.checks.iter().find(|it| it.id == check.id);
                let result = result.unwrap();
                assert_eq!(result.outcome, CheckOutcome::Fails, "{name}: {result:#?}");
                let comparisons = result.comparisons.iter().enumerate();
                let failed = comparisons.filter(|(_, it)| it.outcome == CheckOutcome::Fails);
                failing.extend(failed.map(|(index, _)| index));
            }
            assert_eq!(failing.len(), needed, "{name}: a part of {}", check.id);
        }
    }
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios"))
}

fn healthy(name: &str, params: &[(&str, &str)]) -> Run {
    let text = fs::read_to_string(folder().join(format!("{name}.toml"))).unwrap();
    let mut run = healthy_of(name, &text, params);
    if ["idle-proxy", "truenas-idle"].contains(&name) {
        cut_mute_clients(&mut run);
    }
    report_attempts(&mut run);
    count_connections(&mut run);
    run
}

/// When each client was requested to connect, and when each further attempt began.
fn report_attempts(run: &mut Run) {
    let clients = run.plan.topology().clients().to_vec();
    for client in clients {
        let mut is_first = true;
        let connected = run.records.iter().filter_map(|record| {
            let is_meant = matches!(&record.event, RunEvent::Client { client: it, event }
                if *it == client.id && *event == ClientEvent::Connected);
            is_meant.then_some(record.at)
        });
        let connected: Vec<Instant> = connected.collect();
        for at in connected {
            let event = if is_first {
                ClientEvent::Opened
            } else {
                ClientEvent::Attempting
            };
            let client = client.id;
            run.push(
                at.before(Duration::from_micros(500)),
                RunEvent::Client { client, event },
            );
            is_first = false;
        }
    }
}

fn count_connections(run: &mut Run) {
    let senders_stop = run.begin(RunPhase::Drain);
    for instance in run.plan.topology().instances().to_vec() {
        let (instance, event) = (instance.id, ProcessEvent::Connections(4));
        run.push(senders_stop, RunEvent::Process { instance, event });
    }
}

/// Without pings the load balancer cuts each connection after its limit.
fn cut_mute_clients(run: &mut Run) {
    let cut = Duration::from_secs(3);
    let clients = run.plan.topology().clients().to_vec();
    for client in clients.iter().filter(|it| it.load == "mute") {
        let mut connected = Instant::START + 10 * MILLI;
        for _ in 0..4 {
            lose_connection(run, client.id, connected + cut, LossCause::Fin);
            connected = connected + cut + MILLI;
        }
    }
}
