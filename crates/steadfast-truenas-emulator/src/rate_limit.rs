//! The limit on methods that need no login: a number of calls for each method and address, and a table of limited size.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use steadfast_machine::Instant;

/// Calls of one method from one address within a window.
const CALLS_MAX: u32 = 20;
/// The window, which begins with the first call and is not sliding.
const WINDOW: Duration = Duration::from_mins(1);
/// With as many entries all callers are refused.
const ENTRIES_MAX: usize = 100;
/// How often the table is cleared.
const CLEARED_EVERY: Duration = Duration::from_mins(10);

/// The shortest and the longest time for which a refused call waits for its error.
pub(crate) const DELAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

#[derive(Debug)]
pub(crate) struct RateLimiter {
    entries: BTreeMap<(String, IpAddr), Window>,
    cleared_at: Instant,
}

#[derive(Debug)]
struct Window {
    begin: Instant,
    calls: u32,
}

impl RateLimiter {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            entries: BTreeMap::new(),
            cleared_at: now,
        }
    }

    /// Counts a call, and returns whether it is executed.
    pub(crate) fn admits(&mut self, method: &str, address: IpAddr, now: Instant) -> bool {
        if now - self.cleared_at >= CLEARED_EVERY {
            self.entries.clear();
            self.cleared_at = now;
        }
        let key = (method.to_owned(), address);
        let is_known = self.entries.contains_key(&key);
        if !is_known && self.entries.len() >= ENTRIES_MAX {
            return false;
        }
        let window = self.entries.entry(key).or_insert(Window {
            begin: now,
            calls: 0,
        });
        if now - window.begin >= WINDOW {
            *window = Window {
                begin: now,
                calls: 0,
            };
        }
        window.calls = window.calls.saturating_add(1);
        let is_within = window.calls <= CALLS_MAX;
        // The entry that fills the table is refused too.
        is_within && self.entries.len() < ENTRIES_MAX
    }
}
