//! Each metric of a check that does not hold shows what it counts: which client or process, and when.
//!
//! The runs have everything that a metric can count. `evidence.txt` has the lines of every metric.

use std::fmt::Write as _;

use roxmltree::{Document, Node};
use steadfast_faults::ledger::event::{
    ClientEvent, FaultEvent, LossCause, ProcessEvent, ProcessExit, RequestOutcome, RunEvent,
    RunPhase,
};
use steadfast_faults::metrics::{Metric, MetricShape};
use steadfast_faults::quantity::Unit;
use steadfast_faults::topology::{ClientId, InstanceId};
use steadfast_machine::Instant;

use crate::rendered::{page_of, parsed};
use crate::request_run::{self, READER, VICTIM, client};
use crate::run::{MILLI, Run, healthy, hold_back};
use crate::subscribed;

#[test]
fn a_check_on_any_metric_that_does_not_hold_shows_what_the_metric_counts() {
    let mut found = String::new();
    let runs = [chat(), requests(), unnoticed(), stream()];
    let pages: Vec<String> = runs.iter().map(|run| page_of(run, &[])).collect();
    let pages: Vec<Document<'_>> = pages.iter().map(|page| parsed(page)).collect();
    for metric in Metric::ALL {
        let lines = lines(&pages[run_of(*metric)], *metric);

        writeln!(found, "{}", metric.name()).unwrap();
        for line in &lines {
            writeln!(found, "  {line}").unwrap();
        }
        assert!(!lines[0].starts_with("none in this run"), "{metric:?}");
    }

    assert_eq!(found, include_str!("evidence.txt"), "\n{found}");
}

#[test]
fn a_metric_that_counts_nothing_says_so() {
    let mut run = healthy();
    add_probes(&mut run, "gateway-kill", KILL);
    let page = page_of(&run, &[]);

    let lost = lines(&parsed(&page), Metric::DeliveryLost);

    assert_eq!(lost, ["none in this run; violations by delivery"]);
}

/// Entries beyond the first five are counted.
#[test]
fn a_long_list_says_how_many_entries_it_has() {
    let mut run = healthy();
    add_probes(&mut run, "gateway-kill", KILL);
    let page = page_of(&run, &[]);

    let lines = lines(&parsed(&page), Metric::DisconnectsTotal);

    assert_eq!(lines.len(), 6);
    assert_eq!(lines[5], "3 more entries; the slowest recoveries");
}

const KILL: &str = include_str!("../../../../scenarios/gateway-kill.toml");
const REQUESTS: &str = include_str!("requests.toml");

/// The index of the run that has what the metric counts.
fn run_of(metric: Metric) -> usize {
    match metric.name().split('.').next().unwrap() {
        "requests" | "latency" | "connect" | "connections" => 1,
        _ if metric == Metric::RecoveryLogin => 1,
        _ if metric == Metric::FaultsWithoutImpact => 2,
        _ if metric == Metric::DeliveryMissed => 3,
        _ => 0,
    }
}

/// The lines of the evidence of the check on this metric.
fn lines(page: &Document<'_>, metric: Metric) -> Vec<String> {
    let id = format!("check-{}", id(metric));
    let mut all = page.descendants();
    let section = all.find(|it| it.attribute("id") == Some(&id));
    let section = section.unwrap_or_else(|| panic!("{id} is not on the page"));
    let items = section.descendants().filter(|it| it.has_tag_name("li"));
    items
        .map(|item| {
            let texts = item.descendants().filter(Node::is_text);
            texts.filter_map(|it| it.text()).collect()
        })
        .collect()
}

fn id(metric: Metric) -> String {
    format!("metric-{}", metric.name().replace(['.', '_'], "-"))
}

/// Adds a check on each metric that no run fulfils.
fn add_probes(run: &mut Run, name: &str, scenario: &str) {
    // Metrics of executions need an effect log.
    let effects = "[service.gateway]\neffects = \"${self.data}/effects.jsonl\"\n";
    let mut text = if scenario.contains("effects =") {
        scenario.to_owned()
    } else {
        scenario.replacen("[service.gateway]\n", effects, 1)
    };
    for metric in Metric::ALL {
        let condition = match metric.shape() {
            MetricShape::Number => "== 987654",
            MetricShape::Samples(Unit::Dimensionless) => "max == 987654",
            MetricShape::Samples(Unit::Time) => "max == 23h",
        };
        let (id, name) = (id(*metric), metric.name());
        write!(
            text,
            "\n[[check]]\nid = \"{id}\"\nthat = \"{name} {condition}\"\n"
        )
        .unwrap();
    }
    run.use_scenario(name, &text);
}

/// Clients with every outcome, every kind of disconnect, and a delivery of every kind.
fn chat() -> Run {
    let mut run = healthy();
    let victims = affected(&run, true);
    let others = affected(&run, false);
    let quiet = run.begin(RunPhase::Quiet);
    let (_, lost) = run.victim();
    run.lose_early_message();
    deliver_wrongly(&mut run, others[3], quiet);
    let gave_up = ClientEvent::GaveUp { code: Some(3500) };
    run.silence(victims[0], lost);
    run.push(lost + MILLI, client(victims[0], gave_up));
    run.silence(victims[1], lost);
    let causes = [LossCause::Reset, LossCause::Timeout];
    for (victim, causes) in [
        (victims[2], causes),
        (victims[3], [LossCause::Code(3000); 2]),
    ] {
        let mut causes = causes.into_iter();
        run.retain_events(victim, |_, event| {
            if let ClientEvent::ConnectionLost(cause) = event {
                *cause = causes.next().unwrap();
            }
            if let ClientEvent::Subscribed(it) = event
                && it.was_recovering
            {
                *event = subscribed("another", false);
            }
            true
        });
    }
    let steps = run.begin(RunPhase::Steps);
    hold_back(&mut run.records, others[0], steps, quiet);
    run.silence(others[1], quiet);
    run.retain_events(others[2], |_, _| false);
    for (event, after) in [
        (ClientEvent::ConnectionLost(LossCause::Fin), 0),
        (ClientEvent::Connected, 1),
        (ClientEvent::Unsent, 2),
    ] {
        run.push(quiet + after * MILLI, client(others[3], event));
    }
    let exited = ProcessEvent::Exited(ProcessExit::Code(1));
    let event = RunEvent::Process {
        instance: InstanceId(0),
        event: exited,
    };
    run.push(quiet, event);
    let fault = run.plan.faults()[0].id;
    let event = FaultEvent::Ineffective("it had exited before".to_owned());
    run.push(quiet, RunEvent::Fault { fault, event });
    add_probes(&mut run, "gateway-kill", KILL);
    run
}

/// The clients whose connection ended, or the others.
fn affected(run: &Run, is_affected: bool) -> Vec<ClientId> {
    let ledger = run.ledger();
    let clients = ledger.clients.iter();
    let found = clients.filter(|it| it.connections.outcome.is_affected() == is_affected);
    found.map(|it| it.client.id).collect()
}

/// One delivery each that is a duplicate with another offset, of no client, and reordered.
fn deliver_wrongly(run: &mut Run, reader: ClientId, at: Instant) {
    let mut delivered = Vec::new();
    run.retain_events(reader, |_, event| {
        let ClientEvent::Delivered {
            message: Some(message),
            ..
        } = event
        else {
            return true;
        };
        if message.publisher != reader {
            return true;
        }
        delivered.push((*message, event.clone()));
        // The second one is late.
        delivered.len() != 2
    });
    let (first, _) = delivered[0];
    for (message, offset) in [(Some(first), 77_777), (None, 100_000)] {
        let event = ClientEvent::Delivered { message, offset };
        run.push(at, client(reader, event));
    }
    run.push(at + MILLI, client(reader, delivered[1].1.clone()));
}

/// Requests with every outcome and every wrong number of executions.
fn requests() -> Run {
    let mut run = request_run::healthy();
    let put = |publisher, sequence| steadfast_faults::ledger::event::MessageId {
        publisher,
        sequence,
    };
    run.settle_first(RequestOutcome::Error { code: 500 });
    run.execute(put(VICTIM, 1));
    run.execute(put(VICTIM, 100_000));
    run.execute(run.not_sent()[0]);
    let unexecuted = put(ClientId(2), 2);
    run.records
        .retain(|it| !request_run::is_execution_of(it, unexecuted));
    let lost = run.lost()[0];
    run.execute(lost);
    let again = ClientEvent::RequestedAgain {
        sequence: lost.sequence,
    };
    let at = run.begin(RunPhase::Steps) + 1_001 * MILLI;
    run.push(at, client(lost.publisher, again));
    run.set_connections(InstanceId(1), 7);
    add_probes(&mut run, "requests", REQUESTS);
    run
}

/// Faults that no client noticed.
fn unnoticed() -> Run {
    let mut run = healthy();
    run.let_no_client_notice();
    add_probes(&mut run, "gateway-kill", KILL);
    run
}

/// A stream that is not resumed, of which a client missed messages while it was disconnected.
fn stream() -> Run {
    let mut run = request_run::healthy();
    let down = run.begin(RunPhase::Steps) + 1_000 * MILLI;
    run.retain_events(READER, |at, event| {
        let is_missed = *at >= down && *at < down + 541 * MILLI;
        !(is_missed && matches!(event, ClientEvent::Received { .. }))
    });
    let unresumed = REQUESTS.replace("at-least-once", "at-most-once");
    add_probes(&mut run, "requests", &unresumed);
    run
}
