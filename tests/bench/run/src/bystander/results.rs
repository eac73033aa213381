//! The samples of the bystander rows, with their medians and ranges.

use serde::{Deserialize, Serialize};

use super::plan::{Reference, Row};
use crate::spread::Spread;

/// One row in one repeat.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) row: Row,
    pub(crate) repeat: u32,
    /// 99th percentile of the bystanders' latency before the disturbance, in ms.
    pub(crate) quiet_ms: f64,
    /// 99th percentile of the bystanders' latency during the disturbance, in ms.
    pub(crate) disturbed_ms: f64,
    /// Events of the disturbance per second.
    pub(crate) events_per_second: f64,
    /// Events of the disturbance that the gateway rejected or ended, per second.
    pub(crate) rejected_per_second: f64,
    /// Growth of the gateway's resident memory to its maximum, in bytes.
    pub(crate) memory_bytes: f64,
    /// CPU use of the gateway during the disturbance as a share of its core.
    pub(crate) server_share: f64,
    /// Log lines that the gateway has dropped.
    pub(crate) lines_dropped: u64,
}

/// The results of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    /// The machine: processor, cores and kernel.
    pub(crate) machine: String,
    /// Number of runs of each row.
    pub(crate) repeats: u32,
    /// Number of bystanders.
    pub(crate) bystanders: u32,
    pub(crate) samples: Vec<Sample>,
}

impl Results {
    /// Returns median and range of any field; `None` if the row was not measured.
    pub(crate) fn spread(&self, row: Row, field: fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of(self.of(row).map(field))
    }

    /// Returns the ratio of the latency to that of the row's reference, with the range of the ratios within each repeat.
    pub(crate) fn ratio(&self, row: Row) -> Option<Spread> {
        let values = |row, field: fn(&Sample) -> f64| -> Vec<(u32, f64)> {
            let samples = self.of(row);
            samples
                .map(|sample| (sample.repeat, field(sample)))
                .collect()
        };
        let disturbed = |sample: &Sample| sample.disturbed_ms;
        let against = match row.reference() {
            Reference::Quiet => values(row, |sample| sample.quiet_ms),
            Reference::Row(other) => values(other, disturbed),
        };
        Spread::of_ratios(&values(row, disturbed), &against)
    }

    fn of(&self, row: Row) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.row == row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(row: Row, quiet_ms: f64, disturbed_ms: f64) -> Sample {
        Sample {
            row,
            repeat: 0,
            quiet_ms,
            disturbed_ms,
            events_per_second: 0.0,
            rejected_per_second: 0.0,
            memory_bytes: 0.0,
            server_share: 0.0,
            lines_dropped: 0,
        }
    }

    #[test]
    fn a_sink_is_compared_with_a_file_under_the_same_load_and_a_crowd_with_quiet() {
        let results = Results {
            machine: String::new(),
            repeats: 1,
            bystanders: 1,
            samples: vec![
                sample(Row::LogFile, 1.0, 4.0),
                sample(Row::LogStalled, 1.0, 6.0),
                sample(Row::Silent300, 2.0, 3.0),
            ],
        };

        let ratio = |row| results.ratio(row).map(|ratio| ratio.median);

        assert_eq!(ratio(Row::LogStalled), Some(1.5));
        assert_eq!(ratio(Row::Silent300), Some(1.5));
        assert_eq!(ratio(Row::Silent1000), None);
    }
}
