//! `steadfast sim`: runs the simulation for many seeds, and reports totals and the seeds that violated an invariant.

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
/// When an invariant is violated, or too few faults occurred for a meaningful result.
pub(crate) fn run(arguments: &Sim) -> Result<(), Failure> {
    let seeds = parse_seeds(&arguments.seeds)?;
    let planted_bug = arguments
        .plant
        .as_deref()
        .map(parse_planted_bug)
        .transpose()?;
    let report = explore(seeds, planted_bug);
    if arguments.json {
        output::print(&to_json(&report).to_string());
    } else {
        output::print(report.to_string().trim_end());
    }
    check(&report, arguments.plant.as_deref())
}

/// Findings that one thread can be ahead of the others.
const FINDINGS_AHEAD_MAX: usize = 64;

/// Runs the seeds on all processors. Runs are independent, and the report adds them in the order of their seeds, so
/// that it is the same on every machine.
fn explore(seeds: Range<u64>, planted_bug: Option<Mutation>) -> Report {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let mut progress = output::Progress::new(seeds.end - seeds.start);
    let mut report = Report::default();
    thread::scope(|scope| {
        let lanes: Vec<mpsc::Receiver<Finding>> = (0..threads)
            .map(|lane| {
                let (sender, receiver) = mpsc::sync_channel(FINDINGS_AHEAD_MAX);
                let seeds = seeds.clone().skip(lane).step_by(threads);
                scope.spawn(move || run_seeds(seeds, planted_bug, &sender));
                receiver
            })
            .collect();
        for lane in lanes.iter().cycle() {
            // The next seed belongs to this lane; if it has ended, there are no more seeds.
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
    planted_bug: Option<Mutation>,
    findings: &mpsc::SyncSender<Finding>,
) {
    for seed in seeds {
        if findings
            .send(steadfast_sim::run(seed, planted_bug))
            .is_err()
        {
            return;
        }
    }
}

fn check(report: &Report, planted_bug: Option<&str>) -> Result<(), Failure> {
    if report.is_convincing() {
        return Ok(());
    }
    let hint = report.findings.first().map_or_else(String::new, |finding| {
        let planted_bug = planted_bug.map_or_else(String::new, |name| format!(" --plant {name}"));
        format!(
            "Run the first failed seed again: steadfast sim --seeds {}{planted_bug}",
            finding.seed
        )
    });
    if report.failed > 0 {
        let what = format!(
            "{} of {} seeds violated an invariant",
            report.failed, report.totals.seeds
        );
        return Err(Failure::failed(what, hint));
    }
    Err(Failure::failed(
        "too few faults occurred in these seeds for a meaningful result",
        "Run more seeds: steadfast sim --seeds 0..200",
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
            format!("invalid --seeds \"{text}\": must be A..B with A below B, or one number"),
            "For example: steadfast sim --seeds 0..1000",
        )),
    }
}

fn parse_planted_bug(name: &str) -> Result<Mutation, Failure> {
    Mutation::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Mutation::ALL
            .iter()
            .map(|planted_bug| planted_bug.name())
            .collect();
        Failure::usage(
            format!("unknown bug \"{name}\""),
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
            let violations: Vec<String> =
                finding.violations.iter().map(ToString::to_string).collect();
            json!({ "seed": finding.seed, "violations": violations })
        })
        .collect();
    json!({
        "is_conclusive": report.is_convincing(),
        "failed": report.failed,
        "totals": totals,
        "findings": findings,
        "too_few_faults": report.harmless,
        "not_exercised": report.missing(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_threads_report_the_same_as_one() {
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
