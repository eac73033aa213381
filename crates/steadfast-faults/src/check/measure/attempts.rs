//! How often clients try to connect again, and how many of them at the same time.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_machine::{Instant, convert};

use crate::ledger::{ClientStats, Incident};
use crate::samples::Sample;

/// The window of [`rate_peak`]: longer than the lab takes to read the reports of clients that act in the same instant, and
/// short compared with the delays over which clients spread their attempts.
const PEAK_WINDOW: Duration = Duration::from_millis(100);

/// The attempts of each incident; a lower bound until its client has recovered.
pub(super) fn per_recovery<'a>(incidents: impl Iterator<Item = &'a Incident>) -> Vec<Sample> {
    let samples = incidents.map(|it| Sample {
        is_censored: it.recovered.is_none(),
        value: it.attempts,
    });
    samples.collect()
}

/// The most attempts that the clients of one load began within a window, after their first disconnects.
pub(super) fn rate_peak<'a>(clients: impl Iterator<Item = &'a ClientStats>) -> u64 {
    let mut loads: BTreeMap<&str, Vec<Instant>> = BTreeMap::new();
    for stats in clients {
        let attempts = loads.entry(&stats.client.load).or_default();
        attempts.extend(&stats.connections.retries);
    }
    let peaks = loads.into_values().map(|mut attempts| {
        attempts.sort_unstable();
        most_within(&attempts, PEAK_WINDOW)
    });
    peaks.max().unwrap_or_default()
}

/// The most of these sorted instants within a window.
fn most_within(sorted: &[Instant], window: Duration) -> u64 {
    let counts = sorted.iter().enumerate().map(|(index, first)| {
        let until = *first + window;
        sorted.partition_point(|at| *at < until) - index
    });
    convert::to_u64(counts.max().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_window_counts() {
        let at = |millis: Vec<u64>| {
            let instants = millis.into_iter();
            let instants = instants.map(|it| Instant::default() + Duration::from_millis(it));
            instants.collect::<Vec<_>>()
        };
        for (attempts, most) in [
            (vec![], 0),
            (vec![500], 1),
            (vec![0, 100, 200], 1),
            (vec![0, 99, 100, 150, 199, 200], 3),
            (vec![7, 7, 7, 300], 3),
        ] {
            let attempts = at(attempts);
            assert_eq!(most_within(&attempts, PEAK_WINDOW), most, "{attempts:?}");
        }
    }
}
