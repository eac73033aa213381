//! `steadfast sim`: runs the simulation for many seeds, and reports totals and the seeds that violated an invariant.
//!
//! `calls` has the world of calls; everything else is about that of the gateway.

mod calls;

use std::num::NonZero;
use std::ops::Range;
use std::sync::mpsc;
use std::thread;

use serde_json::json;
use steadfast_sim::{EngineKind, PlantedBug, SimulationReport, Variant, Verdict};

use crate::args::Sim;
use crate::exit::Failure;
use crate::output;

/// The worlds, as they are named on the command line.
const WORLDS: [&str; 2] = ["gateway", "calls"];

/// Runs the seeds.
///
/// # Errors
///
/// When an invariant is violated, or too few faults occurred for a meaningful result.
pub(crate) fn run(arguments: &Sim) -> Result<(), Failure> {
    let seeds = parse_seeds(&arguments.seeds)?;
    match arguments.world.as_str() {
        "gateway" => run_gateway(arguments, seeds),
        "calls" => calls::run(arguments, seeds),
        other => Err(Failure::usage(
            format!("invalid --world \"{other}\": unknown world"),
            format!("Choose one of: {}", WORLDS.join(", ")),
        )),
    }
}

fn run_gateway(arguments: &Sim, seeds: Range<u64>) -> Result<(), Failure> {
    let variant = parse_variant(arguments)?;
    let report = explore_gateway(seeds, variant);
    if arguments.json {
        output::print(&to_json(&report).to_string());
    } else {
        output::print(&to_text(&report, arguments.verbose));
    }
    check(&report, variant)
}

fn explore_gateway(seeds: Range<u64>, variant: Variant) -> SimulationReport {
    let mut report = SimulationReport::new(variant.engine);
    explore(
        seeds,
        |seed| steadfast_sim::run(seed, variant),
        |result| {
            report.add(result);
            report.failed_count
        },
    );
    report
}

/// The maximum number of results by which one thread can be ahead of the others.
const RESULTS_AHEAD_MAX: usize = 64;

/// Runs the seeds on all processors. Runs are independent, and `add` gets their results in the order of the seeds, so that
/// a report is the same on every machine; it returns the number of failed seeds so far.
fn explore<R: Send>(
    seeds: Range<u64>,
    run: impl Fn(u64) -> R + Sync,
    mut add: impl FnMut(R) -> u64,
) {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let mut progress = output::Progress::new(seeds.end - seeds.start);
    thread::scope(|scope| {
        let lanes: Vec<mpsc::Receiver<R>> = (0..threads)
            .map(|lane| {
                let (sender, receiver) = mpsc::sync_channel(RESULTS_AHEAD_MAX);
                let seeds = seeds.clone().skip(lane).step_by(threads);
                let run = &run;
                scope.spawn(move || run_seeds(seeds, run, &sender));
                receiver
            })
            .collect();
        let mut done = 0;
        for lane in lanes.iter().cycle() {
            // The next seed belongs to this lane; if the lane has ended, there are no more seeds.
            let Ok(result) = lane.recv() else { break };
            done += 1;
            progress.show(done, add(result));
        }
    });
    progress.end();
}

fn run_seeds<R>(
    seeds: impl Iterator<Item = u64>,
    run: impl Fn(u64) -> R,
    results: &mpsc::SyncSender<R>,
) {
    for seed in seeds {
        if results.send(run(seed)).is_err() {
            return;
        }
    }
}

fn check(report: &SimulationReport, variant: Variant) -> Result<(), Failure> {
    let first = report.failed_seeds.first().map(|result| result.seed);
    outcome(report.verdict(), first, &options(variant))
}

/// What the command ends with: the seeds to run again have these options.
fn outcome(verdict: Verdict, first: Option<u64>, options: &str) -> Result<(), Failure> {
    let command = |seeds: &str| format!("steadfast sim --seeds {seeds}{options}");
    match verdict {
        Verdict::Pass => Ok(()),
        Verdict::Fail => {
            let again = command(&first.unwrap_or_default().to_string());
            Err(Failure::verdict_fail(format!("Run it again: {again}")))
        }
        Verdict::Inconclusive => Err(Failure::failed(
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
    let names = PlantedBug::ALL.map(PlantedBug::name);
    PlantedBug::from_name(name).ok_or_else(|| unknown_bug(name, &names))
}

fn unknown_bug(name: &str, names: &[&str]) -> Failure {
    Failure::usage(
        format!("invalid --plant \"{name}\": unknown bug"),
        format!("Choose one of: {}", names.join(", ")),
    )
}

fn to_json(report: &SimulationReport) -> serde_json::Value {
    let results = report.failed_seeds.iter();
    let results = results.map(|result| finding(result.seed, &result.violations));
    json!({
        "verdict": report.verdict().name(),
        "failed": report.failed_count,
        "totals": totals(report.rows()),
        "findings": results.collect::<Vec<_>>(),
        "too_few_faults": report.inconclusive,
        "not_exercised": report.not_exercised(),
    })
}

fn totals(rows: Vec<(&'static str, u64)>) -> serde_json::Map<String, serde_json::Value> {
    let rows = rows.into_iter();
    rows.map(|(name, count)| (name.replace(' ', "_"), count.into()))
        .collect()
}

fn finding(seed: u64, violations: &[impl ToString]) -> serde_json::Value {
    let violations: Vec<String> = violations.iter().map(ToString::to_string).collect();
    json!({ "seed": seed, "violations": violations })
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

            assert_eq!(explore_gateway(0..7, variant), one);
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
