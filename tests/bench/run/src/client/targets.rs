//! What the client library must reach.

use load::order::Library;

use super::plan::Row;
use super::results::{Results, Sample};
use crate::aim::Aim;
use crate::spread::Spread;

/// One line of the table of targets. All of them are about the client under test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) row: Row,
    pub(crate) library: Library,
    /// The ratio to this library, or the value itself.
    against: Option<Library>,
    field: fn(&Sample) -> f64,
    /// Whether the bound is one from below.
    pub(crate) wants_more: bool,
    /// What divides the value for the table, its unit and its decimals.
    pub(crate) unit: (f64, &'static str, usize),
    /// The bound that must hold; none where only a goal is set.
    pub(crate) least: Option<f64>,
    /// The bound to work towards.
    pub(crate) goal: f64,
}

const RATIO: (f64, &str, usize) = (1.0, "", 2);
const KILOBYTES: (f64, &str, usize) = (1000.0, " KB", 1);
const SECONDS: (f64, &str, usize) = (1.0, " s", 2);
const ATTEMPTS: (f64, &str, usize) = (1.0, "", 2);

/// Every target, in the order of the table.
pub(crate) const TARGETS: [Target; 7] = [
    Target {
        name: "calls per second: × bare loop",
        row: Row::Calls,
        library: Library::Steadfast,
        against: Some(Library::Bare),
        field: |sample| sample.value,
        wants_more: true,
        unit: RATIO,
        least: None,
        goal: 0.9,
    },
    Target {
        name: "calls per client CPU-second: × bare loop",
        row: Row::Calls,
        library: Library::Steadfast,
        against: Some(Library::Bare),
        field: |sample| sample.per_client_second,
        wants_more: true,
        unit: RATIO,
        least: Some(0.5),
        goal: 0.9,
    },
    Target {
        name: "calls per client CPU-second: × centrifuge-client",
        row: Row::Calls,
        library: Library::Steadfast,
        against: Some(Library::Centrifuge),
        field: |sample| sample.per_client_second,
        wants_more: true,
        unit: RATIO,
        least: Some(1.0),
        goal: 2.0,
    },
    Target {
        name: "publications per client CPU-second: × bare loop",
        row: Row::Calls,
        library: Library::SteadfastPublish,
        against: Some(Library::Bare),
        field: |sample| sample.per_client_second,
        wants_more: true,
        unit: RATIO,
        least: Some(0.5),
        goal: 0.9,
    },
    Target {
        name: "memory of an idle session",
        row: Row::Session,
        library: Library::Steadfast,
        against: None,
        field: |sample| sample.value,
        wants_more: false,
        unit: KILOBYTES,
        least: Some(20_000.0),
        goal: 10_000.0,
    },
    Target {
        name: "back after a kill, p99",
        row: Row::Recovery,
        library: Library::Steadfast,
        against: None,
        field: |sample| sample.value,
        wants_more: false,
        unit: SECONDS,
        least: Some(2.5),
        goal: 1.5,
    },
    Target {
        name: "attempts for a recovery",
        row: Row::Recovery,
        library: Library::Steadfast,
        against: None,
        field: |sample| sample.attempts_mean,
        wants_more: false,
        unit: ATTEMPTS,
        least: Some(2.0),
        goal: 1.2,
    },
];

impl Target {
    /// The measured value; `None` when its row was not part of the run.
    pub(crate) fn result(&self, results: &Results) -> Option<Spread> {
        match self.against {
            Some(against) => results.ratio(self.row, self.library, against, self.field),
            None => results.spread(self.row, self.library, self.field),
        }
    }
}

impl Aim for Target {
    fn wants_more(&self) -> bool {
        self.wants_more
    }

    fn least(&self) -> Option<f64> {
        self.least
    }

    fn goal(&self) -> f64 {
        self.goal
    }

    fn plain(&self, value: f64) -> String {
        let (scale, unit, digits) = self.unit;
        format!("{:.digits$}{unit}", value / scale)
    }
}

/// The targets that were missed by more than half.
pub(crate) fn misses(results: &Results) -> Vec<String> {
    TARGETS
        .iter()
        .filter_map(|target| {
            let result = target.result(results)?;
            let least = target.least?;
            let missed = !target.is_half_met(result.median);
            missed.then(|| {
                format!(
                    "{}: {}, must be {}",
                    target.name,
                    target.plain(result.median),
                    target.bound(least)
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(library: Library, per_client_second: f64) -> Sample {
        Sample {
            per_client_second,
            ..Sample::new(Row::Calls, library, 0)
        }
    }

    #[test]
    fn a_client_far_below_the_bare_loop_is_a_miss_and_names_the_target() {
        let results = |ours| Results {
            machine: String::new(),
            repeats: 1,
            in_flight: 64,
            idle: 0,
            returning: 0,
            samples: vec![
                sample(Library::Bare, 100.0),
                sample(Library::Steadfast, ours),
            ],
        };

        assert_eq!(misses(&results(26.0)), Vec::<String>::new());
        assert_eq!(
            misses(&results(24.0)),
            ["calls per client CPU-second: × bare loop: 0.24, must be ≥ 0.50"]
        );
    }

    #[test]
    fn half_of_an_upper_bound_is_twice_as_much() {
        let memory = TARGETS[4];

        assert!(memory.is_half_met(39_000.0) && !memory.is_half_met(41_000.0));
    }
}
