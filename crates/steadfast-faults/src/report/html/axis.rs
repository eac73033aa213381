//! Positions on the axes of plots, in integers: the horizontal axis is time, the vertical one a count or a latency.

use std::time::Duration;

use steadfast_machine::{Instant, convert};

use crate::counted::grouped;
use crate::ledger::LATENCY_BOUNDS;
use crate::ledger::event::RunPhase;
use crate::report::Report;

/// The width of a plot in its own units; the browser stretches it.
pub(super) const WIDTH: u64 = 10_000;
/// The height of a plot in its own units.
pub(super) const HEIGHT: u64 = 1_000;

/// A labelled position in units of a plot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tick {
    pub(super) at: u64,
    pub(super) label: String,
}

/// The time of a run from left to right.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeAxis {
    pub(super) start: Instant,
    zero: Instant,
    /// From the left end to the right end; above zero.
    pub(super) duration: Duration,
}

impl TimeAxis {
    /// The whole run; the labels count from time 0 of the fault plan.
    pub(super) fn of(report: &Report<'_>) -> Self {
        let phases = &report.ledger.phases;
        let begin = |phase| phases.get(&phase).copied();
        let start = begin(RunPhase::Connect).unwrap_or_default();
        Self {
            start,
            zero: begin(RunPhase::Steps).unwrap_or(start),
            duration: report.ledger.duration().max(Duration::from_millis(1)),
        }
    }

    /// The same axis for as long as some intervals of equal length last.
    pub(super) fn lasting(self, duration: Duration) -> Self {
        Self {
            duration: duration.max(Duration::from_millis(1)),
            ..self
        }
    }

    /// The position of an instant; one outside of the axis is at its nearer end.
    pub(super) fn x(&self, at: Instant) -> u64 {
        self.scaled(at - self.start)
    }

    /// The width of a duration, which may be longer than the axis.
    pub(super) fn width(&self, duration: Duration) -> u64 {
        convert::saturating(duration.as_nanos() * u128::from(WIDTH) / self.duration.as_nanos())
    }

    fn scaled(&self, since: Duration) -> u64 {
        self.width(since).min(WIDTH)
    }

    /// Between four and ten labels.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        const LABELS: u64 = 5;
        let before = (self.zero - self.start).as_secs();
        let step = round_step((self.duration.as_secs() / LABELS).max(1));
        let first = before % step;
        let ticks = (0..=2 * LABELS).map(|number| first + number * step);
        let ticks = ticks.take_while(|seconds| *seconds <= self.duration.as_secs());
        // The fraction of a second before time 0 moves all labels.
        let fraction = Duration::from_nanos(u64::from((self.zero - self.start).subsec_nanos()));
        ticks
            .map(|seconds| Tick {
                at: self.scaled(Duration::from_secs(seconds) + fraction),
                label: if seconds < before {
                    format!("-{} s", before - seconds)
                } else {
                    format!("{} s", seconds - before)
                },
            })
            .collect()
    }
}

/// A linear scale from 0 to at least `max`.
#[derive(Clone, Copy, Debug)]
pub(super) struct CountScale {
    step: u64,
    steps: u64,
}

impl CountScale {
    pub(super) fn up_to(max: u64) -> Self {
        let step = round_step(max.div_ceil(4).max(1));
        Self {
            step,
            steps: max.div_ceil(step).max(1),
        }
    }

    /// The height of a count above the bottom.
    pub(super) fn y(self, count: u64) -> u64 {
        let top = u128::from(self.step) * u128::from(self.steps);
        let position = u128::from(count) * u128::from(HEIGHT) / top;
        convert::saturating::<u64>(position).min(HEIGHT)
    }

    pub(super) fn ticks(self) -> Vec<Tick> {
        let counts = (0..=self.steps).map(|number| number.saturating_mul(self.step));
        let tick = |count| Tick {
            at: self.y(count),
            label: grouped(count),
        };
        counts.map(tick).collect()
    }
}

/// The height of a latency on a scale whose classes are equally high, so that 2 ms and 2 s can be compared.
pub(super) fn latency_y(latency: Duration) -> u64 {
    let classes = convert::to_u64(LATENCY_BOUNDS.len());
    let micros = convert::saturating::<u64>(latency.as_micros());
    let mut below = 0;
    for (class, bound) in (0_u64..).zip(LATENCY_BOUNDS) {
        if micros <= bound {
            let inside = (micros - below) * HEIGHT / (bound - below);
            return (class * HEIGHT + inside) / classes;
        }
        below = bound;
    }
    HEIGHT
}

/// Each power of ten.
pub(super) fn latency_ticks() -> Vec<Tick> {
    [1, 10, 100, 1_000, 10_000, 100_000]
        .map(|millis| {
            let latency = Duration::from_millis(millis);
            Tick {
                at: latency_y(latency),
                label: super::time(latency),
            }
        })
        .into()
}

/// The smallest of 1, 2, 5, 10, 20, 50 … that is at least `min`.
fn round_step(min: u64) -> u64 {
    let mut power: u64 = 1;
    loop {
        for factor in [1, 2, 5] {
            let step = power.saturating_mul(factor);
            if step >= min {
                return step;
            }
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_end_at_the_largest_number() {
        for (min, step) in [
            (0, 1),
            (1, 1),
            (3, 5),
            (11, 20),
            (500, 500),
            (u64::MAX, u64::MAX),
        ] {
            assert_eq!(round_step(min), step, "{min}");
        }
    }

    #[test]
    fn a_count_scale_contains_its_maximum_and_begins_at_zero() {
        for max in [0, 1, 7, 8, 999, 1_000_000, u64::MAX] {
            let scale = CountScale::up_to(max);

            assert!(scale.y(max) <= HEIGHT && scale.y(0) == 0, "{max}");
            assert!((2..=6).contains(&scale.ticks().len()), "{max}: {scale:?}");
        }
        assert_eq!(CountScale::up_to(8).y(4), HEIGHT / 2);
    }

    #[test]
    fn labels_of_time_count_from_the_end_of_the_baseline() {
        let axis = TimeAxis {
            start: Instant::START + Duration::from_millis(500),
            zero: Instant::START + Duration::from_secs(4),
            duration: Duration::from_secs(20),
        };

        let ticks = axis.ticks();

        let labels: Vec<&str> = ticks.iter().map(|it| it.label.as_str()).collect();
        assert_eq!(labels, ["0 s", "5 s", "10 s", "15 s"]);
        assert_eq!(ticks[0].at, axis.x(axis.zero));
        assert_eq!(axis.x(Instant::START), 0, "before the start");
        assert_eq!(axis.x(Instant::START + Duration::from_secs(99)), WIDTH);
    }

    #[test]
    fn latencies_are_ordered_and_their_classes_equally_high() {
        let y = |micros| latency_y(Duration::from_micros(micros));

        assert_eq!(y(0), 0);
        assert_eq!(y(100_000_000), HEIGHT);
        assert_eq!(y(200_000_000), HEIGHT);
        assert!(y(1_000) < y(1_500) && y(1_500) < y(2_000));
        assert!((y(2_000) - y(1_000)).abs_diff(y(2_000_000) - y(1_000_000)) <= 1);
    }
}
