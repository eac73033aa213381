//! The targets of the client library.

use load::job::Library;

use super::plan::Row;
use super::results::{Results, Sample};
use crate::bounds::TargetBounds;
use crate::spread::Spread;

/// One row of the table of targets, which are all for the client under test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) row: Row,
    pub(crate) library: Library,
    /// The library to which the ratio is computed; `None` for the value itself.
    against: Option<Library>,
    field: fn(&Sample) -> f64,
    /// True if the value must be at least the bound, false if it must be at most the bound.
    pub(crate) is_lower_bound: bool,
    /// Divisor, unit and number of decimals of the value in the table.
    pub(crate) unit: (f64, &'static str, usize),
    /// The bound that every build must meet; `None` if only a goal is set.
    pub(crate) required: Option<f64>,
    /// The bound that the product aims for.
    pub(crate) goal: f64,
}

const RATIO: (f64, &str, usize) = (1.0, "", 2);
const KILOBYTES: (f64, &str, usize) = (1000.0, " KB", 1);
const SECONDS: (f64, &str, usize) = (1.0, " s", 2);
const ATTEMPTS: (f64, &str, usize) = (1.0, "", 2);

/// All targets, in the order of the table.
pub(crate) const TARGETS: [Target; 8] = [
    Target {
        name: "calls per second: × bare loop",
        row: Row::Calls,
        library: Library::Steadfast,
        against: Some(Library::Bare),
        field: |sample| sample.value,
        is_lower_bound: true,
        unit: RATIO,
        required: None,
        goal: 0.9,
    },
    Target {
        name: "calls per client CPU-second: × bare loop",
        row: Row::Calls,
        library: Library::Steadfast,
        against: Some(Library::Bare),
        field: |sample| sample.per_client_second,
        is_lower_bound: true,
        unit: RATIO,
        required: Some(0.5),
        goal: 0.9,
    },
    Target {
        name: "calls per client CPU-second: × centrifuge-client",
        row: Row::Calls,
        library: Library::Steadfast,
        against: Some(Library::Centrifuge),
        field: |sample| sample.per_client_second,
        is_lower_bound: true,
        unit: RATIO,
        required: Some(1.0),
        goal: 2.0,
    },
    Target {
        name: "publications per client CPU-second: × bare loop",
        row: Row::Calls,
        library: Library::SteadfastPublish,
        against: Some(Library::Bare),
        field: |sample| sample.per_client_second,
        is_lower_bound: true,
        unit: RATIO,
        required: Some(0.5),
        goal: 0.9,
    },
    Target {
        name: "memory of an idle session",
        row: Row::Session,
        library: Library::Steadfast,
        against: None,
        field: |sample| sample.value,
        is_lower_bound: false,
        unit: KILOBYTES,
        required: Some(12_000.0),
        goal: 10_000.0,
    },
    Target {
        name: "recovery after a kill, p99",
        row: Row::Recovery,
        library: Library::Steadfast,
        against: None,
        field: |sample| sample.value,
        is_lower_bound: false,
        unit: SECONDS,
        required: Some(2.5),
        goal: 1.5,
    },
    Target {
        name: "recovery after an outage of 3 s, p99 from the open port",
        row: Row::RecoveryLate,
        library: Library::Steadfast,
        against: None,
        field: |sample| sample.value - sample.unavailable,
        is_lower_bound: false,
        unit: SECONDS,
        required: Some(3.0),
        goal: 2.0,
    },
    Target {
        name: "attempts for a recovery",
        row: Row::Recovery,
        library: Library::Steadfast,
        against: None,
        field: |sample| sample.attempts_mean,
        is_lower_bound: false,
        unit: ATTEMPTS,
        required: Some(2.0),
        goal: 1.2,
    },
];

impl Target {
    /// Returns the measured value; `None` if its row was not part of the run.
    pub(crate) fn result(&self, results: &Results) -> Option<Spread> {
        match self.against {
            Some(against) => results.ratio(self.row, self.library, against, self.field),
            None => results.spread(self.row, self.library, self.field),
        }
    }
}

impl TargetBounds for Target {
    fn is_lower_bound(&self) -> bool {
        self.is_lower_bound
    }

    fn required(&self) -> Option<f64> {
        self.required
    }

    fn goal(&self) -> f64 {
        self.goal
    }

    fn format_value(&self, value: f64) -> String {
        let (scale, unit, digits) = self.unit;
        format!("{:.digits$}{unit}", value / scale)
    }
}

/// Returns the targets of which less than half was reached.
pub(crate) fn misses(results: &Results) -> Vec<String> {
    TARGETS
        .iter()
        .filter_map(|target| {
            let result = target.result(results)?;
            let required = target.required?;
            let missed = !target.is_half_met(result.median);
            missed.then(|| {
                format!(
                    "{}: {}, must be {}",
                    target.name,
                    target.format_value(result.median),
                    target.format_bound(required)
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
    fn a_client_far_below_the_bare_loop_misses_the_target_which_is_named() {
        let results = |ours| Results {
            machine: String::new(),
            repeats: 1,
            in_flight: 64,
            idle: 0,
            recovering: 0,
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
    fn half_of_an_upper_bound_is_twice_its_value() {
        let memory = TARGETS[4];

        assert!(memory.is_half_met(23_000.0) && !memory.is_half_met(25_000.0));
    }
}
