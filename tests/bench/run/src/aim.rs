//! What a measured value must reach, and how far it is.
//!
//! `least` is what a build must not fall below; `goal` is where the product wants to be. The smoke run fails below half
//! of `least`, because cores that are shared drift by a quarter from one minute to the next.

use crate::spread::Spread;

/// A bound on one measured value.
pub(crate) trait Aim {
    /// Whether the bound is one from below.
    fn wants_more(&self) -> bool;

    /// The bound that must hold; none where only a goal is set.
    fn least(&self) -> Option<f64>;

    /// The bound to work towards.
    fn goal(&self) -> f64;

    /// A value of it in words.
    fn plain(&self, value: f64) -> String;

    /// The share of the bound that was reached; 1 and above is good.
    fn reach(&self, value: f64, bound: f64) -> f64 {
        if self.wants_more() {
            value / bound
        } else {
            bound / value
        }
    }

    /// True when `value` reaches at least half of what must hold.
    fn is_half_met(&self, value: f64) -> bool {
        self.least()
            .is_none_or(|least| self.reach(value, least) >= 0.5)
    }

    /// A bound of it in words.
    fn bound(&self, bound: f64) -> String {
        let sign = if self.wants_more() { '≥' } else { '≤' };
        format!("{sign} {}", self.plain(bound))
    }

    /// The last columns of its row: must, goal, result, of must, of goal.
    fn columns(&self, result: Spread) -> String {
        let share = |bound: f64| format!("{:.0} %", self.reach(result.median, bound) * 100.0);
        let of_least =
            |told: &dyn Fn(f64) -> String| self.least().map_or_else(|| "–".to_owned(), told);
        format!(
            "{} | {} | {} | {} | {}",
            of_least(&|least| self.bound(least)),
            self.bound(self.goal()),
            result.told(|value| self.plain(value)),
            of_least(&share),
            share(self.goal()),
        )
    }
}
