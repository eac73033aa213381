//! The targets of the gateway.

use crate::bounds::TargetBounds;
use crate::plan::Row;
use crate::results::Results;
use crate::servers::Server;
use crate::spread::Spread;

/// Bytes in one kilobyte of the tables.
const KB: f64 = 1000.0;

/// One row of the table of targets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) row: Row,
    pub(crate) server: Server,
    pub(crate) measure: Measure,
    /// The bound that every build must meet; `None` if only a goal is set.
    pub(crate) required: Option<f64>,
    /// The bound that the product aims for.
    pub(crate) goal: f64,
}

/// The value that is compared with the bound, and the direction of the bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Measure {
    /// The ratio to this server's median, at least the bound.
    TimesAtLeast(Server),
    /// The ratio to this server's median, at most the bound.
    TimesAtMost(Server),
    /// The value itself, at least the bound.
    AtLeast,
    /// The value itself, at most the bound.
    AtMost,
    /// The storm's server CPU per client in µs, at most the bound.
    CpuPerClientAtMost,
}

/// All targets, in the order of the table.
pub(crate) const TARGETS: [Target; 24] = {
    use Measure::{AtLeast, AtMost, CpuPerClientAtMost, TimesAtLeast, TimesAtMost};
    use Row::{
        Durable1, Durable64, Fanout1, Fanout32, Fanout64, IdleOwn, IdleShared, Join, Latency, Ping,
        Storm, StormKilled,
    };
    use Server::{Bare, Bun, GatewayDurable, GatewayMemory, JetStream, S2Lite, Ws};
    [
        Target {
            row: Fanout1,
            server: GatewayMemory,
            measure: TimesAtLeast(Bare),
            required: Some(0.7),
            goal: 0.85,
        },
        Target {
            row: Fanout1,
            server: GatewayMemory,
            measure: TimesAtLeast(Ws),
            required: None,
            goal: 1.4,
        },
        Target {
            row: Fanout32,
            server: GatewayMemory,
            measure: TimesAtLeast(Bare),
            required: Some(0.6),
            goal: 0.8,
        },
        Target {
            row: Fanout32,
            server: GatewayMemory,
            measure: TimesAtLeast(Ws),
            required: None,
            goal: 20.0,
        },
        Target {
            row: Fanout64,
            server: GatewayMemory,
            measure: TimesAtLeast(Bare),
            required: Some(0.6),
            goal: 0.8,
        },
        Target {
            row: Fanout64,
            server: GatewayMemory,
            measure: TimesAtLeast(Bun),
            required: None,
            goal: 1.5,
        },
        Target {
            row: Latency,
            server: GatewayMemory,
            measure: TimesAtMost(Bare),
            required: None,
            goal: 1.2,
        },
        Target {
            row: Latency,
            server: GatewayMemory,
            measure: TimesAtMost(Ws),
            required: None,
            goal: 0.7,
        },
        Target {
            row: Fanout1,
            server: GatewayDurable,
            measure: TimesAtLeast(GatewayMemory),
            required: Some(0.5),
            goal: 0.7,
        },
        Target {
            row: Fanout32,
            server: GatewayDurable,
            measure: TimesAtLeast(GatewayMemory),
            required: Some(0.5),
            goal: 0.7,
        },
        Target {
            row: Fanout64,
            server: GatewayDurable,
            measure: TimesAtLeast(GatewayMemory),
            required: Some(0.5),
            goal: 0.7,
        },
        Target {
            row: IdleShared,
            server: GatewayMemory,
            measure: AtMost,
            required: Some(5.0 * KB),
            goal: 3.0 * KB,
        },
        Target {
            row: IdleOwn,
            server: GatewayMemory,
            measure: AtMost,
            required: Some(5.0 * KB),
            goal: 3.0 * KB,
        },
        Target {
            row: Join,
            server: GatewayMemory,
            measure: AtLeast,
            required: Some(12_000.0),
            goal: 20_000.0,
        },
        Target {
            row: Storm,
            server: GatewayMemory,
            measure: AtMost,
            required: None,
            goal: 0.15,
        },
        Target {
            row: Storm,
            server: GatewayMemory,
            measure: CpuPerClientAtMost,
            required: None,
            goal: 70.0,
        },
        Target {
            row: Storm,
            server: GatewayDurable,
            measure: AtMost,
            required: None,
            goal: 0.15,
        },
        Target {
            row: Storm,
            server: GatewayDurable,
            measure: CpuPerClientAtMost,
            required: None,
            goal: 70.0,
        },
        Target {
            row: StormKilled,
            server: GatewayDurable,
            measure: AtMost,
            required: None,
            goal: 0.3,
        },
        Target {
            row: Ping,
            server: GatewayMemory,
            measure: AtMost,
            required: None,
            goal: 1.0,
        },
        Target {
            row: Durable1,
            server: GatewayDurable,
            measure: TimesAtLeast(JetStream),
            required: None,
            goal: 1.0,
        },
        Target {
            row: Durable1,
            server: GatewayDurable,
            measure: TimesAtLeast(S2Lite),
            required: None,
            goal: 1.0,
        },
        Target {
            row: Durable64,
            server: GatewayDurable,
            measure: TimesAtLeast(JetStream),
            required: None,
            goal: 1.0,
        },
        Target {
            row: Durable64,
            server: GatewayDurable,
            measure: TimesAtLeast(S2Lite),
            required: None,
            goal: 1.0,
        },
    ]
};

impl Target {
    /// Returns the measured value; `None` if its row or server was not part of the run.
    pub(crate) fn result(&self, results: &Results) -> Option<Spread> {
        match self.measure {
            Measure::TimesAtLeast(against) | Measure::TimesAtMost(against) => {
                results.ratio(self.row, self.server, against)
            }
            Measure::AtLeast | Measure::AtMost => results.value(self.row, self.server),
            Measure::CpuPerClientAtMost => {
                results.spread(self.row, self.server, |sample| sample.cpu_us_per_client)
            }
        }
    }
}

impl TargetBounds for Target {
    fn is_lower_bound(&self) -> bool {
        match self.measure {
            Measure::TimesAtLeast(_) | Measure::AtLeast => true,
            Measure::TimesAtMost(_) | Measure::AtMost | Measure::CpuPerClientAtMost => false,
        }
    }

    fn required(&self) -> Option<f64> {
        self.required
    }

    fn goal(&self) -> f64 {
        self.goal
    }

    fn format_value(&self, value: f64) -> String {
        match (self.measure, self.row) {
            (Measure::TimesAtLeast(_) | Measure::TimesAtMost(_), _) => format!("{value:.2}"),
            (Measure::CpuPerClientAtMost, _) => format!("{value:.0} µs"),
            (_, Row::IdleShared | Row::IdleOwn) => format!("{:.2} KB", value / 1000.0),
            (_, Row::Ping) => format!("{value:.2} %"),
            (_, Row::Storm | Row::StormKilled) => format!("{value:.3} s"),
            (_, _) => format!("{value:.0}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_target_is_a_looser_bound() {
        let fanout = TARGETS[0];
        let idle = TARGETS[11];

        assert!(fanout.is_half_met(0.36) && !fanout.is_half_met(0.34));
        assert!(idle.is_half_met(9_900.0) && !idle.is_half_met(10_100.0));
    }
}
