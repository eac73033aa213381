//! The samples of the rows of JSON-RPC, with their medians and ranges.

use load::rpc::{Row, Sample, Subject};
use serde::{Deserialize, Serialize};

use super::plan::Plan;
use crate::spread::Spread;

/// The results of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    /// The machine: processor, cores and kernel.
    pub(crate) machine: String,
    /// Number of runs of each subject.
    pub(crate) repeats: u32,
    /// Number of calls in flight in the row of the rate.
    pub(crate) in_flight: u32,
    /// Number of calls of which the latency is measured.
    pub(crate) latencies: u32,
    /// Each sample with its repeat.
    pub(crate) samples: Vec<(u32, Sample)>,
    /// Why something was not measured.
    pub(crate) skipped: Option<String>,
}

impl Results {
    /// Returns results without samples.
    pub(crate) fn new(plan: &Plan, machine: String) -> Self {
        Self {
            machine,
            repeats: plan.repeats,
            in_flight: plan.in_flight,
            latencies: plan.latencies,
            samples: Vec::new(),
            skipped: None,
        }
    }

    /// Returns median and range of any field.
    pub(crate) fn spread(
        &self,
        row: Row,
        subject: Subject,
        field: fn(&Sample) -> f64,
    ) -> Option<Spread> {
        let values = self.values(row, subject, field).into_iter();
        Spread::of(values.map(|(_, value)| value))
    }

    /// Returns the ratio of two subjects' medians, with the range of the ratios within each repeat.
    pub(crate) fn ratio(
        &self,
        row: Row,
        subject: Subject,
        against: Subject,
        field: fn(&Sample) -> f64,
    ) -> Option<Spread> {
        let values = |subject| self.values(row, subject, field);
        Spread::of_ratios(&values(subject), &values(against))
    }

    fn values(&self, row: Row, subject: Subject, field: fn(&Sample) -> f64) -> Vec<(u32, f64)> {
        let samples = self.samples.iter();
        samples
            .filter(|(_, sample)| sample.row == row && sample.subject == subject)
            .map(|(repeat, sample)| (*repeat, field(sample)))
            .collect()
    }
}
