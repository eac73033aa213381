//! The samples of the proxy rows, with their medians and ranges.

use load::relays::{Path, Row, Sample};
use serde::{Deserialize, Serialize};

use crate::spread::Spread;

/// The results of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    /// The machine: processor, cores and kernel.
    pub(crate) machine: String,
    /// Number of runs of each path.
    pub(crate) repeats: u32,
    /// Number of open connections in the memory row.
    pub(crate) connections: u32,
    /// Each sample with its repeat.
    pub(crate) samples: Vec<(u32, Sample)>,
    /// Why the rows of Redis were not measured.
    pub(crate) skipped: Option<String>,
}

impl Results {
    /// Returns median and range of a path.
    pub(crate) fn spread(&self, row: Row, path: Path) -> Option<Spread> {
        Spread::of(self.values(row, path).into_iter().map(|(_, value)| value))
    }

    /// Returns the ratio of two paths' medians, with the range of the ratios within each repeat.
    pub(crate) fn ratio(&self, row: Row, path: Path, against: Path) -> Option<Spread> {
        Spread::of_ratios(&self.values(row, path), &self.values(row, against))
    }

    fn values(&self, row: Row, path: Path) -> Vec<(u32, f64)> {
        let samples = self.samples.iter();
        samples
            .filter(|(_, sample)| sample.row == row && sample.path == path)
            .map(|(repeat, sample)| (*repeat, sample.value))
            .collect()
    }
}
