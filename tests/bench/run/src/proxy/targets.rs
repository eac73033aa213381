//! The targets of the proxy without toxics: of rates, the ratio to the copy loop of the same run.

use load::relays::{Path, Row};

use super::results::Results;
use super::table::title;
use crate::bounds::TargetBounds;
use crate::spread::Spread;

/// One row of the table of targets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) row: Row,
    required: f64,
    goal: f64,
}

/// All targets, in the order of the table. A run may miss a goal, but no required value.
pub(crate) const TARGETS: [Target; 5] = [
    ratio(Row::ProxyStream),
    ratio(Row::ProxyStreams),
    ratio(Row::ProxyRedis),
    ratio(Row::ProxyRedis50),
    Target {
        row: Row::ProxyMemory,
        required: 20_000.0,
        goal: 10_000.0,
    },
];

const fn ratio(row: Row) -> Target {
    Target {
        row,
        required: 0.9,
        goal: 1.0,
    }
}

impl Target {
    /// Returns the measured value; `None` if its row was not part of the run.
    pub(crate) fn result(&self, results: &Results) -> Option<Spread> {
        if self.is_lower_bound() {
            results.ratio(self.row, Path::Proxy, Path::Copy)
        } else {
            results.spread(self.row, Path::Proxy)
        }
    }
}

impl TargetBounds for Target {
    fn is_lower_bound(&self) -> bool {
        self.row != Row::ProxyMemory
    }

    fn required(&self) -> Option<f64> {
        Some(self.required)
    }

    fn goal(&self) -> f64 {
        self.goal
    }

    fn format_value(&self, value: f64) -> String {
        if self.is_lower_bound() {
            format!("{value:.2}")
        } else {
            format!("{:.1} KB", value / 1e3)
        }
    }
}

/// Returns the targets of which less than this share was reached: all of it in a full run, half in a smoke run.
pub(crate) fn misses(results: &Results, share: f64) -> Vec<String> {
    let missed = TARGETS.iter().filter_map(|target| {
        let median = target.result(results)?.median;
        (target.share_reached(median, target.required) < share).then(|| {
            format!(
                "proxy, {}: {}, must be {}",
                title(target.row),
                target.format_value(median),
                target.format_bound(target.required)
            )
        })
    });
    missed.collect()
}

#[cfg(test)]
mod tests {
    use load::relays::Sample;

    use super::*;

    #[test]
    fn a_value_below_the_required_one_is_missed_and_half_of_it_is_enough_for_a_smoke_run() {
        let sample = |row, path, value| (0, Sample { row, path, value });
        let results = Results {
            machine: String::new(),
            repeats: 1,
            connections: 1,
            samples: vec![
                sample(Row::ProxyStream, Path::Copy, 100.0),
                sample(Row::ProxyStream, Path::Proxy, 89.0),
                sample(Row::ProxyMemory, Path::Proxy, 19_000.0),
            ],
            skipped: None,
        };

        let missed = misses(&results, 1.0);

        assert_eq!(
            missed,
            ["proxy, bytes per second, 1 connection: 0.89, must be ≥ 0.90"]
        );
        assert_eq!(misses(&results, 0.5), Vec::<String>::new());
    }
}
