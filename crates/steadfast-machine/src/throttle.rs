//! Reports of what may happen thousands of times in a second: at most one per interval and kind, with a count and one
//! example.
//!
//! A peer can cause an event as often as it sends bytes, and a log line for each would hide everything else and fill a
//! disk. What happens now and then is reported at once, each time. Pure: the caller passes the time and writes the
//! reports.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Instant;

/// What happened since the last report of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary<K, E> {
    /// The kind of the events.
    pub kind: K,
    /// The number of events, at least 1.
    pub count: u64,
    /// The first of the events.
    pub example: E,
}

/// Counts events by kind. Needs memory for each kind with recent events, so `K` must have few values.
#[derive(Debug)]
pub struct Throttle<K, E> {
    interval: Duration,
    burst: u32,
    kinds: BTreeMap<K, Recent<E>>,
}

/// The recent events of one kind.
#[derive(Debug)]
struct Recent<E> {
    /// When the current interval began.
    since: Instant,
    /// How many events may be reported at once.
    credit: u32,
    unreported: u64,
    /// The first event that is not reported.
    example: Option<E>,
}

impl<K: Copy + Ord, E> Throttle<K, E> {
    /// Creates an empty counter. `interval` is the least time between two reports of one kind; up to `burst` events of
    /// a kind, at least one, are reported at once before that, and each interval without a summary permits one more.
    pub const fn new(interval: Duration, burst: u32) -> Self {
        Self {
            interval,
            burst,
            kinds: BTreeMap::new(),
        }
    }

    /// Counts one event. Returns a summary of this event alone if it is to be reported at once.
    pub fn record(&mut self, now: Instant, kind: K, event: E) -> Option<Summary<K, E>> {
        let burst = self.burst.max(1);
        let recent = self.kinds.entry(kind).or_insert(Recent {
            since: now,
            credit: burst,
            unreported: 0,
            example: None,
        });
        // Only an interval without a summary adds credit, so no event passes those that are only counted.
        if recent.credit > 0 {
            recent.credit -= 1;
            return Some(Summary {
                kind,
                count: 1,
                example: event,
            });
        }
        recent.unreported += 1;
        recent.example.get_or_insert(event);
        None
    }

    /// Returns the summaries that are due.
    pub fn take_due(&mut self, now: Instant) -> Vec<Summary<K, E>> {
        let (interval, burst) = (self.interval, self.burst.max(1));
        let mut due = Vec::new();
        self.kinds.retain(|kind, recent| {
            if now < recent.since + interval {
                return true;
            }
            recent.since = now;
            if let Some(summary) = recent.take(*kind) {
                due.push(summary);
                return true;
            }
            recent.credit += 1;
            recent.credit < burst
        });
        due
    }

    /// Returns summaries of everything that is only counted, for the end of the caller.
    pub fn take_all(&mut self) -> Vec<Summary<K, E>> {
        let kinds = self.kinds.iter_mut();
        kinds
            .filter_map(|(kind, recent)| recent.take(*kind))
            .collect()
    }

    /// Returns when [`Self::take_due`] has something to do next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let since = self.kinds.values().map(|recent| recent.since);
        since.min().map(|since| since + self.interval)
    }
}

impl<E> Recent<E> {
    fn take<K>(&mut self, kind: K) -> Option<Summary<K, E>> {
        let example = self.example.take()?;
        let count = std::mem::replace(&mut self.unreported, 0);
        Some(Summary {
            kind,
            count,
            example,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn after_the_burst_events_are_counted_and_reported_once_per_interval_with_the_first_as_example()
    {
        let mut throttle = Throttle::new(SECOND, 2);
        let start = Instant::START;

        let at_once: Vec<bool> = (0..5)
            .map(|event| throttle.record(start, 'a', event).is_some())
            .collect();

        assert_eq!(at_once, [true, true, false, false, false]);
        assert_eq!(throttle.take_due(start), []);
        assert_eq!(throttle.next_deadline(), Some(start + SECOND));
        let due = throttle.take_due(start + SECOND);
        assert_eq!(due, [summary('a', 3, 2)]);
        assert_eq!(throttle.record(start + SECOND, 'a', 9), None);
        assert_eq!(throttle.take_due(start + SECOND), []);
        assert_eq!(throttle.take_due(start + SECOND * 2), [summary('a', 1, 9)]);
    }

    #[test]
    fn an_interval_without_events_permits_one_more_at_once_and_a_quiet_kind_needs_no_memory() {
        let mut throttle = Throttle::new(SECOND, 2);
        let mut now = Instant::START;
        for event in 0..2 {
            throttle.record(now, 'a', event);
        }

        now = now + SECOND;
        assert_eq!(throttle.take_due(now), []);
        assert_eq!(throttle.record(now, 'a', 2), Some(summary('a', 1, 2)));
        assert_eq!(throttle.record(now, 'a', 3), None);
        for _ in 0..3 {
            now = now + SECOND;
            throttle.take_due(now);
        }

        assert_eq!(throttle.next_deadline(), None);
    }

    #[test]
    fn kinds_are_counted_apart_and_all_can_be_taken_at_the_end() {
        let mut throttle = Throttle::new(SECOND, 1);
        let start = Instant::START;
        for (kind, event) in [('a', 0), ('b', 1), ('a', 2), ('b', 3), ('b', 4)] {
            throttle.record(start, kind, event);
        }

        let rest = throttle.take_all();

        assert_eq!(rest, [summary('a', 1, 2), summary('b', 2, 3)]);
        assert_eq!(throttle.take_all(), []);
    }

    fn summary(kind: char, count: u64, example: u32) -> Summary<char, u32> {
        Summary {
            kind,
            count,
            example,
        }
    }
}
