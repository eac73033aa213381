//! The samples of the client rows, with their medians and ranges.

use load::job::Library;
use serde::{Deserialize, Serialize};

use super::plan::Row;
use crate::spread::Spread;

/// One row of one library in one repeat. Fields that a row does not have are 0.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) row: Row,
    pub(crate) library: Library,
    pub(crate) repeat: u32,
    /// Calls: completed per second. Session: bytes. Recovery: the 99th percentile in seconds, from the kill.
    pub(crate) value: f64,
    /// CPU use of the client process as a share of its core.
    pub(crate) client_share: f64,
    /// CPU use of the gateway as a share of its core.
    pub(crate) server_share: f64,
    /// CPU use of other processes during the run, in cores.
    pub(crate) others_share: f64,
    /// Calls: completed per second of the client's CPU time.
    pub(crate) per_client_second: f64,
    /// Recovery: the median in seconds, from the kill.
    pub(crate) median: f64,
    /// Recovery: from the kill until the port was open again, in seconds.
    pub(crate) unavailable: f64,
    /// Recovery: attempts of a session including the successful one, mean and maximum.
    pub(crate) attempts_mean: f64,
    pub(crate) attempts_max: u32,
    /// Recovery: CPU time of the client process per session, in µs.
    pub(crate) cpu_us_per_session: f64,
}

impl Sample {
    pub(crate) fn new(row: Row, library: Library, repeat: u32) -> Self {
        Self {
            row,
            library,
            repeat,
            value: 0.0,
            client_share: 0.0,
            server_share: 0.0,
            others_share: 0.0,
            per_client_second: 0.0,
            median: 0.0,
            unavailable: 0.0,
            attempts_mean: 0.0,
            attempts_max: 0,
            cpu_us_per_session: 0.0,
        }
    }
}

/// The results of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    /// The machine: processor, cores and kernel.
    pub(crate) machine: String,
    /// Number of runs of each library.
    pub(crate) repeats: u32,
    /// Number of calls in flight.
    pub(crate) in_flight: u32,
    /// Number of sessions in the memory row.
    pub(crate) idle: u32,
    /// Number of sessions that recovered.
    pub(crate) recovering: u32,
    pub(crate) samples: Vec<Sample>,
}

impl Results {
    /// Returns the samples of one row of one library.
    pub(crate) fn of(&self, row: Row, library: Library) -> impl Iterator<Item = &Sample> {
        self.samples
            .iter()
            .filter(move |sample| sample.row == row && sample.library == library)
    }

    /// Returns median and range of any field.
    pub(crate) fn spread(
        &self,
        row: Row,
        library: Library,
        field: fn(&Sample) -> f64,
    ) -> Option<Spread> {
        Spread::of(self.of(row, library).map(field))
    }

    /// Returns the median of any field; 0 without samples.
    pub(crate) fn median(&self, row: Row, library: Library, field: fn(&Sample) -> f64) -> f64 {
        let spread = self.spread(row, library, field);
        spread.map_or(0.0, |spread| spread.median)
    }

    /// Returns the ratio of two libraries' medians, with the range of the ratios within each repeat.
    pub(crate) fn ratio(
        &self,
        row: Row,
        library: Library,
        against: Library,
        field: fn(&Sample) -> f64,
    ) -> Option<Spread> {
        let values = |library| -> Vec<(u32, f64)> {
            let samples = self.of(row, library);
            samples
                .map(|sample| (sample.repeat, field(sample)))
                .collect()
        };
        Spread::of_ratios(&values(library), &values(against))
    }
}
