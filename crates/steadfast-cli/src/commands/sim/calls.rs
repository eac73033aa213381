//! The world of calls: TrueNAS clients and a server whose executions are compared with what they report.

use std::ops::Range;

use serde_json::json;
use steadfast_sim::calls::{self, PlantedBug, Report};

use super::{explore, finding, outcome, totals, unknown_bug};
use crate::args::Sim;
use crate::exit::Failure;
use crate::output;

pub(super) fn run(arguments: &Sim, seeds: Range<u64>) -> Result<(), Failure> {
    let planted_bug = arguments.plant.as_deref().map(parse_planted_bug);
    let planted_bug = planted_bug.transpose()?;
    let report = explore_calls(seeds, planted_bug);
    if arguments.json {
        output::print(&to_json(&report).to_string());
    } else {
        let (counts, findings) = (report.counts_text(), report.findings_text());
        output::print(&format!("{counts}{findings}{}", report.verdict_text()));
    }
    let first = report.failed_seeds.first().map(|result| result.seed);
    outcome(report.verdict(), first, &options(planted_bug))
}

fn explore_calls(seeds: Range<u64>, planted_bug: Option<PlantedBug>) -> Report {
    let mut report = Report::default();
    explore(
        seeds,
        |seed| calls::run(seed, planted_bug),
        |result| {
            report.add(result);
            report.failed_count
        },
    );
    report
}

/// The options that select the same runs on the command line.
fn options(planted_bug: Option<PlantedBug>) -> String {
    let plant = planted_bug.map(|bug| format!(" --plant {}", bug.name()));
    format!(" --world calls{}", plant.unwrap_or_default())
}

fn parse_planted_bug(name: &str) -> Result<PlantedBug, Failure> {
    let names = PlantedBug::ALL.map(PlantedBug::name);
    PlantedBug::from_name(name).ok_or_else(|| unknown_bug(name, &names))
}

fn to_json(report: &Report) -> serde_json::Value {
    let results = report.failed_seeds.iter();
    let results = results.map(|result| finding(result.seed, &result.violations));
    json!({
        "verdict": report.verdict().name(),
        "failed": report.failed_count,
        "totals": totals(report.counts.rows()),
        "findings": results.collect::<Vec<_>>(),
        "not_exercised": report.not_exercised(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_threads_report_the_same_as_one() {
        let mut one = Report::default();
        for seed in 0..7 {
            one.add(calls::run(seed, None));
        }

        assert_eq!(explore_calls(0..7, None), one);
    }
}
