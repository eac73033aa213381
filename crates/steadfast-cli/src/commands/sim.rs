//! `steadfast sim`: many seeds of the simulation, with progress, counts, and the seeds that broke a promise.

use std::num::NonZero;
use std::ops::Range;
use std::sync::mpsc;
use std::thread;

use serde_json::json;
use steadfast_sim::{Finding, Mutation, Report};

use crate::args::Sim;
use crate::exit::Failure;
use crate::output;

/// Runs the seeds.
///
/// # Errors
///
/// When a promise is broken, or too little went wrong to prove that none is.
pub(crate) fn run(arguments: &Sim) -> Result<(), Failure> {
    let seeds = parse_seeds(&arguments.seeds)?;
    let mutation = arguments
        .mutation
        .as_deref()
        .map(parse_mutation)
        .transpose()?;
    let report = explore(seeds, mutation);
    if arguments.json {
        output::print(&to_json(&report).to_string());
    } else {
        output::print(report.to_string().trim_end());
    }
    judge(&report, arguments.mutation.as_deref())
}

/// Findings of one thread that may wait for those of the others.
const FINDINGS_AHEAD_MAX: usize = 64;

/// Runs the seeds on all processors. Each is a world of its own, and the report takes them in their order, so that it is
/// the same on every machine.
fn explore(seeds: Range<u64>, mutation: Option<Mutation>) -> Report {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let mut progress = output::Progress::new(seeds.end - seeds.start);
    let mut report = Report::default();
    thread::scope(|scope| {
        let lanes: Vec<mpsc::Receiver<Finding>> = (0..threads)
            .map(|lane| {
                let (sender, receiver) = mpsc::sync_channel(FINDINGS_AHEAD_MAX);
                let seeds = seeds.clone().skip(lane).step_by(threads);
                scope.spawn(move || run_seeds(seeds, mutation, &sender));
                receiver
            })
            .collect();
        for lane in lanes.iter().cycle() {
            // The first lane that is at its end was the next in turn: there are no more seeds.
            let Ok(finding) = lane.recv() else { break };
            report.add(finding);
            progress.show(report.totals.seeds, report.failed);
        }
    });
    progress.end();
    report
}

fn run_seeds(
    seeds: impl Iterator<Item = u64>,
    mutation: Option<Mutation>,
    findings: &mpsc::SyncSender<Finding>,
) {
    for seed in seeds {
        if findings.send(steadfast_sim::run(seed, mutation)).is_err() {
            return;
        }
    }
}

fn judge(report: &Report, mutation: Option<&str>) -> Result<(), Failure> {
    if report.is_convincing() {
        return Ok(());
    }
    let again = report.findings.first().map_or_else(String::new, |finding| {
        let mutation = mutation.map_or_else(String::new, |name| format!(" --break {name}"));
        format!(
            "Run the first one again: steadfast sim --seeds {}{mutation}",
            finding.seed
        )
    });
    if report.failed > 0 {
        let what = format!(
            "{} of {} seeds broke a promise",
            report.failed, report.totals.seeds
        );
        return Err(Failure::failed(what, again));
    }
    Err(Failure::failed(
        "too little went wrong in these seeds to prove anything",
        "Run more of them: steadfast sim --seeds 0..200",
    ))
}

fn parse_seeds(text: &str) -> Result<Range<u64>, Failure> {
    let range = match text.split_once("..") {
        Some((start, end)) => start
            .parse()
            .and_then(|start| Ok(start..end.parse::<u64>()?)),
        None => text.parse().map(|seed: u64| seed..seed.saturating_add(1)),
    };
    match range {
        Ok(range) if !range.is_empty() => Ok(range),
        Ok(_) | Err(_) => Err(Failure::usage(
            format!("--seeds must be A..B with A below B, or one number, found \"{text}\""),
            "For example: steadfast sim --seeds 0..1000",
        )),
    }
}

fn parse_mutation(name: &str) -> Result<Mutation, Failure> {
    Mutation::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Mutation::ALL
            .iter()
            .map(|mutation| mutation.name())
            .collect();
        Failure::usage(
            format!("there is no promise \"{name}\" to break"),
            format!("Choose one of: {}", names.join(", ")),
        )
    })
}

fn to_json(report: &Report) -> serde_json::Value {
    let totals: serde_json::Map<String, serde_json::Value> = report
        .totals
        .rows()
        .into_iter()
        .map(|(name, count)| (name.replace(' ', "_"), count.into()))
        .collect();
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            let broken: Vec<String> = finding.violations.iter().map(ToString::to_string).collect();
            json!({ "seed": finding.seed, "violations": broken })
        })
        .collect();
    json!({
        "is_convincing": report.is_convincing(),
        "failed": report.failed,
        "totals": totals,
        "findings": findings,
        "too_few_faults": report.harmless,
        "never_happened": report.missing(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_threads_report_what_one_does() {
        let one = steadfast_sim::explore(0..7, None, |_| {});

        assert_eq!(explore(0..7, None), one);
    }

    #[test]
    fn seeds_are_a_range_or_one_number() {
        assert_eq!(parse_seeds("3..5").ok(), Some(3..5));
        assert_eq!(parse_seeds("7").ok(), Some(7..8));
        for wrong in ["", "..", "5..3", "3..3", "a..b", "-1..2", "1..2..3"] {
            assert!(parse_seeds(wrong).is_err(), "{wrong}");
        }
    }
}
