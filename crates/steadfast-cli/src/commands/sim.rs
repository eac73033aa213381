//! `steadfast sim`: runs the simulation for many seeds, and reports totals and the seeds that violated an invariant.

use std::num::NonZero;
use std::ops::Range;
use std::sync::mpsc;
use std::thread;

use serde_json::json;
use steadfast_sim::{EngineKind, PlantedBug, SeedResult, SimulationReport, Variant, Verdict};

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
    let variant = parse_variant(arguments)?;
    let report = explore(seeds, variant);
    if arguments.json {
        output::print(&to_json(&report).to_string());
    } else {
        output::print(&to_text(&report, arguments.verbose));
    }
    check(&report, variant)
}

/// The maximum number of results by which one thread can be ahead of the others.
const RESULTS_AHEAD_MAX: usize = 64;

/// Runs the seeds on all processors. Runs are independent, and the report adds them in the order of their seeds, so
/// that the report is the same on every machine.
fn explore(seeds: Range<u64>, variant: Variant) -> SimulationReport {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let mut progress = output::Progress::new(seeds.end - seeds.start);
    let mut report = SimulationReport::new(variant.engine);
    thread::scope(|scope| {
        let lanes: Vec<mpsc::Receiver<SeedResult>> = (0..threads)
            .map(|lane| {
                let (sender, receiver) = mpsc::sync_channel(RESULTS_AHEAD_MAX);
                let seeds = seeds.clone().skip(lane).step_by(threads);
                scope.spawn(move || run_seeds(seeds, variant, &sender));
                receiver
            })
            .collect();
        for lane in lanes.iter().cycle() {
            // The next seed belongs to this lane; if the lane has ended, there are no more seeds.
            let Ok(result) = lane.recv() else { break };
            report.add(result);
            progress.show(report.totals.seeds, report.failed_count);
        }
    });
    progress.end();
    report
}

fn run_seeds(
    seeds: impl Iterator<Item = u64>,
    variant: Variant,
    results: &mpsc::SyncSender<SeedResult>,
) {
    for seed in seeds {
        if results.send(steadfast_sim::run(seed, variant)).is_err() {
            return;
        }
    }
}

fn check(report: &SimulationReport, variant: Variant) -> Result<(), Failure> {
    let command = |seeds: &str| format!("steadfast sim --seeds {seeds}{}", options(variant));
    match (report.verdict(), report.failed_seeds.first()) {
        (Verdict::Pass, _) => Ok(()),
        (Verdict::Fail, first) => {
            let seed = first.map_or(0, |result| result.seed);
            let again = command(&seed.to_string());
            Err(Failure::verdict_fail(format!("Run it again: {again}")))
        }
        (Verdict::Inconclusive, _) => Err(Failure::failed(
            "the verdict is INCONCLUSIVE: the run proves nothing",
            format!("Run more seeds: {}", command("0..200")),
        )),
    }
}

/// The counts, what was found, and the verdict in the last line.
fn to_text(report: &SimulationReport, is_verbose: bool) -> String {
    let counts = if is_verbose {
        report.counts_text()
    } else {
        format!("{}\n", report.totals)
    };
    format!(
        "{counts}{}{}",
        report.findings_text(),
        report.verdict_text()
    )
}

/// The options that select this variant on the command line.
fn options(variant: Variant) -> String {
    let engine = match variant.engine {
        EngineKind::Log => String::new(),
        EngineKind::Memory => format!(" --engine {}", variant.engine.name()),
    };
    let planted_bug = variant
        .planted_bug
        .map_or_else(String::new, |bug| format!(" --plant {}", bug.name()));
    engine + &planted_bug
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

fn parse_variant(arguments: &Sim) -> Result<Variant, Failure> {
    let engine = parse_engine(&arguments.engine)?;
    let planted_bug = arguments.plant.as_deref().map(parse_planted_bug);
    let planted_bug = planted_bug.transpose()?;
    match planted_bug.filter(|planted_bug| !planted_bug.applies_to(engine)) {
        Some(planted_bug) => Err(Failure::usage(
            format!(
                "--plant {} has no effect with --engine {}",
                planted_bug.name(),
                engine.name()
            ),
            "Leave out --engine: the log has a disk whose syncs can be skipped.",
        )),
        None => Ok(Variant {
            engine,
            planted_bug,
        }),
    }
}

fn parse_engine(name: &str) -> Result<EngineKind, Failure> {
    EngineKind::from_name(name).ok_or_else(|| {
        let names = EngineKind::ALL.map(EngineKind::name);
        Failure::usage(
            format!("invalid --engine \"{name}\": unknown engine"),
            format!("Choose one of: {}", names.join(", ")),
        )
    })
}

fn parse_planted_bug(name: &str) -> Result<PlantedBug, Failure> {
    PlantedBug::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = PlantedBug::ALL
            .iter()
            .map(|planted_bug| planted_bug.name())
            .collect();
        Failure::usage(
            format!("invalid --plant \"{name}\": unknown bug"),
            format!("Choose one of: {}", names.join(", ")),
        )
    })
}

fn to_json(report: &SimulationReport) -> serde_json::Value {
    let totals: serde_json::Map<String, serde_json::Value> = report
        .rows()
        .into_iter()
        .map(|(name, count)| (name.replace(' ', "_"), count.into()))
        .collect();
    let results: Vec<_> = report
        .failed_seeds
        .iter()
        .map(|result| {
            let violations: Vec<String> =
                result.violations.iter().map(ToString::to_string).collect();
            json!({ "seed": result.seed, "violations": violations })
        })
        .collect();
    json!({
        "verdict": report.verdict().name(),
        "failed": report.failed_count,
        "totals": totals,
        "findings": results,
        "too_few_faults": report.inconclusive,
        "not_exercised": report.not_exercised(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_threads_report_the_same_as_one() {
        for engine in EngineKind::ALL {
            let variant = Variant {
                engine,
                planted_bug: None,
            };
            let one = steadfast_sim::explore(0..7, variant, |_| {});

            assert_eq!(explore(0..7, variant), one);
        }
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
