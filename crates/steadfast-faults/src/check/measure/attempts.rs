//! How often clients try to connect again, and how many of them at the same time.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_machine::{Instant, convert};

use crate::ledger::{ClientStats, Incident};
use crate::samples::Sample;

/// The window of [`peak`]: longer than the lab takes to read the reports of clients that act in the same instant, and
/// short compared with the delays over which clients spread their attempts.
pub(crate) const PEAK_WINDOW: Duration = Duration::from_millis(100);

/// The attempts of each incident; a lower bound until its client has recovered.
pub(super) fn per_recovery<'a>(incidents: impl Iterator<Item = &'a Incident>) -> Vec<Sample> {
    let samples = incidents.map(|it| Sample {
        is_censored: it.recovered.is_none(),
        value: it.attempts,
    });
    samples.collect()
}

/// The window in which the clients of one load began the most attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peak<'a> {
    /// The load of the clients.
    pub(crate) load: &'a str,
    /// When the first of these attempts began.
    pub(crate) from: Instant,
    /// How many began before the window ended.
    pub(crate) attempts: u64,
}

/// The most attempts that the clients of one load began within a window, after their first disconnects; `None` without an
/// attempt.
pub(crate) fn peak<'a>(clients: impl Iterator<Item = &'a ClientStats>) -> Option<Peak<'a>> {
    let mut loads: BTreeMap<&str, Vec<Instant>> = BTreeMap::new();
    for stats in clients {
        let attempts = loads.entry(&stats.client.load).or_default();
        attempts.extend(&stats.connections.retries);
    }
    let peaks = loads.into_iter().filter_map(|(load, mut attempts)| {
        attempts.sort_unstable();
        let (from, attempts) = most_within(&attempts, PEAK_WINDOW)?;
        Some(Peak {
            load,
            from,
            attempts,
        })
    });
    peaks.max_by_key(|it| it.attempts)
}

/// The most of these sorted instants within a window, and the first of them.
fn most_within(sorted: &[Instant], window: Duration) -> Option<(Instant, u64)> {
    let counts = sorted.iter().enumerate().map(|(index, first)| {
        let until = *first + window;
        let end = sorted.partition_point(|at| *at < until);
        (*first, convert::to_u64(end - index))
    });
    counts.max_by_key(|(_, count)| *count)
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
            let found = most_within(&attempts, PEAK_WINDOW).map_or(0, |(_, count)| count);
            assert_eq!(found, most, "{attempts:?}");
        }
    }
}
