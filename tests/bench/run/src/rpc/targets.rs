//! The targets of calls over JSON-RPC. The latency that the bridge adds has none: its ratio is stated.

use load::rpc::{Row, Subject};

use super::results::Results;
use crate::bounds::TargetBounds;
use crate::spread::Spread;

/// One row of the table of targets: a ratio of calls per CPU-second of the client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    against: Subject,
    required: f64,
    goal: f64,
}

/// All targets, in the order of the table. A run may miss a goal, but no required value.
pub(crate) const TARGETS: [Target; 2] = [
    Target {
        name: "JSON-RPC calls per client CPU-second: × bare loop",
        against: Subject::Bare,
        required: 0.7,
        goal: 0.85,
    },
    Target {
        name: "JSON-RPC calls per client CPU-second: × jsonrpsee",
        against: Subject::Jsonrpsee,
        required: 1.0,
        goal: 1.5,
    },
];

impl Target {
    /// Returns the measured ratio; `None` if its row was not part of the run.
    pub(crate) fn result(&self, results: &Results) -> Option<Spread> {
        let field = |sample: &load::rpc::Sample| sample.value;
        results.ratio(Row::RpcCalls, Subject::Steadfast, self.against, field)
    }
}

impl TargetBounds for Target {
    fn is_lower_bound(&self) -> bool {
        true
    }

    fn required(&self) -> Option<f64> {
        Some(self.required)
    }

    fn goal(&self) -> f64 {
        self.goal
    }

    fn format_value(&self, value: f64) -> String {
        format!("{value:.2}")
    }
}

/// Returns the targets of which less than this share was reached: all of it in a full run, half in a smoke run.
pub(crate) fn misses(results: &Results, share: f64) -> Vec<String> {
    let missed = TARGETS.iter().filter_map(|target| {
        let median = target.result(results)?.median;
        (target.share_reached(median, target.required) < share).then(|| {
            format!(
                "{}: {}, must be {}",
                target.name,
                target.format_value(median),
                target.format_bound(target.required)
            )
        })
    });
    missed.collect()
}

#[cfg(test)]
mod tests {
    use load::rpc::Sample;

    use super::super::plan::Plan;
    use super::*;

    fn sample(subject: Subject, value: f64) -> (u32, Sample) {
        let sample = Sample {
            row: Row::RpcCalls,
            subject,
            value,
            second_value: 0.0,
            client_share: 0.0,
            server_share: 0.0,
            others_share: 0.0,
        };
        (0, sample)
    }

    #[test]
    fn a_ratio_below_the_required_one_is_missed_and_half_of_it_is_enough_for_a_smoke_run() {
        let mut results = Results::new(&Plan::smoke(), String::new());
        results.samples = vec![
            sample(Subject::Bare, 100.0),
            sample(Subject::Steadfast, 69.0),
            sample(Subject::Jsonrpsee, 60.0),
        ];

        let missed = misses(&results, 1.0);

        let expected = "JSON-RPC calls per client CPU-second: × bare loop: 0.69, must be ≥ 0.70";
        assert_eq!(missed, [expected]);
        assert_eq!(misses(&results, 0.5), Vec::<String>::new());
    }
}
