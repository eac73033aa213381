//! How many logins a process makes at one server in a time: fewer than the server permits for its address.

use std::collections::VecDeque;
use std::time::Duration;

use steadfast_machine::Instant;

/// The limit on logins at one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoginBudgetSettings {
    /// The most calls of one method in any window; above zero.
    pub calls_max: u32,
    /// The length of the window; above zero.
    pub window: Duration,
}

impl LoginBudgetSettings {
    /// This number of calls, at least 1, in any window of this length.
    pub const fn new(calls_max: u32, window: Duration) -> Self {
        let calls_max = if calls_max == 0 { 1 } else { calls_max };
        Self { calls_max, window }
    }
}

/// The calls of the logins at one server in the last window.
#[derive(Clone, Debug)]
pub struct LoginBudget {
    settings: LoginBudgetSettings,
    /// The time of each call, the oldest first; at most `calls_max`.
    calls: VecDeque<Instant>,
}

impl LoginBudget {
    /// A budget of which nothing is used.
    pub const fn new(settings: LoginBudgetSettings) -> Self {
        Self {
            settings,
            calls: VecDeque::new(),
        }
    }

    /// Takes what a login needs that makes up to this number of calls of one method.
    ///
    /// # Errors
    ///
    /// Returns when there may be enough; nothing is taken. A login with more calls than the budget has is limited to those.
    pub fn take(&mut self, now: Instant, calls: u32) -> Result<(), Instant> {
        self.forget(now);
        let calls = usize_of(calls.clamp(1, self.settings.calls_max));
        let free = usize_of(self.settings.calls_max).saturating_sub(self.calls.len());
        if free < calls {
            let last_needed = self.calls.get(calls - free - 1);
            let at = last_needed.map_or(now, |at| *at + self.settings.window);
            return Err(at.max(now));
        }
        self.calls.extend(std::iter::repeat_n(now, calls));
        Ok(())
    }

    /// Counts the calls of a login that is not delayed, over an open connection.
    pub fn charge(&mut self, now: Instant, calls: u32) {
        self.forget(now);
        for _ in 0..calls.min(self.settings.calls_max) {
            if self.calls.len() >= usize_of(self.settings.calls_max) {
                self.calls.pop_front();
            }
            self.calls.push_back(now);
        }
    }

    /// Gives back what [`Self::take`] took for a login that was not made, for example because the server was not reached.
    pub fn refund(&mut self, calls: u32) {
        let calls = usize_of(calls.clamp(1, self.settings.calls_max));
        self.calls.truncate(self.calls.len().saturating_sub(calls));
    }

    /// Whether nothing of it is used, so that it can be forgotten.
    pub fn is_unused(&mut self, now: Instant) -> bool {
        self.forget(now);
        self.calls.is_empty()
    }

    fn forget(&mut self, now: Instant) {
        let window = self.settings.window;
        while self.calls.front().is_some_and(|at| now >= *at + window) {
            self.calls.pop_front();
        }
    }
}

fn usize_of(calls: u32) -> usize {
    steadfast_machine::convert::to_usize(calls)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTINGS: LoginBudgetSettings = LoginBudgetSettings::new(6, Duration::from_mins(1));

    fn at(seconds: u64) -> Instant {
        Instant::START + Duration::from_secs(seconds)
    }

    #[test]
    fn a_login_waits_until_enough_calls_are_out_of_the_window() {
        let mut budget = LoginBudget::new(SETTINGS);
        assert_eq!(budget.take(at(0), 2), Ok(()));
        assert_eq!(budget.take(at(10), 2), Ok(()));
        assert_eq!(budget.take(at(20), 2), Ok(()));

        assert_eq!(budget.take(at(30), 2), Err(at(60)));
        assert_eq!(budget.take(at(30), 3), Err(at(70)));
        assert_eq!(budget.take(at(59), 2), Err(at(60)));
        assert_eq!(budget.take(at(60), 2), Ok(()));
        assert_eq!(budget.take(at(60), 1), Err(at(70)));
    }

    #[test]
    fn a_login_that_was_not_made_costs_nothing() {
        let mut budget = LoginBudget::new(SETTINGS);
        for second in 0..100 {
            assert_eq!(budget.take(at(second), 2), Ok(()));
            budget.refund(2);
        }
        assert!(budget.is_unused(at(0)));

        budget.refund(2);
        assert!(budget.is_unused(at(0)));
    }

    #[test]
    fn what_was_not_delayed_is_counted_too() {
        let mut budget = LoginBudget::new(SETTINGS);
        for _ in 0..5 {
            budget.charge(at(1), 2);
        }

        assert_eq!(budget.take(at(2), 1), Err(at(61)));
        assert!(!budget.is_unused(at(60)));
        assert!(budget.is_unused(at(61)));
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn no_window_has_more_calls_than_permitted(
            logins in proptest::collection::vec((0..20_u64, 1..9_u32), 1..100),
        ) {
            let mut budget = LoginBudget::new(SETTINGS);
            let mut now = Instant::START;
            let mut taken: Vec<Instant> = Vec::new();
            for (pause, calls) in logins {
                now = now + Duration::from_secs(pause);
                let calls = calls.min(SETTINGS.calls_max);
                if let Err(until) = budget.take(now, calls) {
                    prop_assert!(until > now);
                    now = until;
                    prop_assert_eq!(budget.take(now, calls), Ok(()), "as it said");
                }
                taken.extend((0..calls).map(|_| now));
                let recent = taken.iter().filter(|at| now < **at + SETTINGS.window).count();
                prop_assert!(recent <= 6, "{}", recent);
            }
        }
    }
}
