//! The bounds of a measured value, and the share of them that was reached.
//!
//! `required` is the value that every build must reach; `goal` is the value that the product aims for. The smoke run
//! fails below half of `required`, because shared cores drift by a quarter from one minute to the next.

use crate::spread::Spread;

/// The bounds of one measured value.
pub(crate) trait TargetBounds {
    /// Returns `true` if the value must be at least the bound, `false` if it must be at most the bound.
    fn is_lower_bound(&self) -> bool;

    /// Returns the bound that every build must meet; `None` if only a goal is set.
    fn required(&self) -> Option<f64>;

    /// Returns the bound that the product aims for.
    fn goal(&self) -> f64;

    /// Formats a value with its unit.
    fn format_value(&self, value: f64) -> String;

    /// Returns the share of the bound that was reached; 1 or more meets the bound.
    fn share_reached(&self, value: f64, bound: f64) -> f64 {
        if self.is_lower_bound() {
            value / bound
        } else {
            bound / value
        }
    }

    /// Returns `true` if `value` reaches at least half of the required bound, or if no bound is required.
    fn is_half_met(&self, value: f64) -> bool {
        self.required()
            .is_none_or(|required| self.share_reached(value, required) >= 0.5)
    }

    /// Formats a bound with its direction and unit.
    fn format_bound(&self, bound: f64) -> String {
        let sign = if self.is_lower_bound() { '≥' } else { '≤' };
        format!("{sign} {}", self.format_value(bound))
    }

    /// Formats the last columns of the target's row: must, goal, result, of must, of goal.
    fn table_columns(&self, result: Spread) -> String {
        let share =
            |bound: f64| format!("{:.0} %", self.share_reached(result.median, bound) * 100.0);
        let required =
            |format: &dyn Fn(f64) -> String| self.required().map_or_else(|| "–".to_owned(), format);
        format!(
            "{} | {} | {} | {} | {}",
            required(&|bound| self.format_bound(bound)),
            self.format_bound(self.goal()),
            result.format_with(|value| self.format_value(value)),
            required(&share),
            share(self.goal()),
        )
    }
}
