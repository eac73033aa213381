//! What the gateway must reach.

use crate::aim::Aim;
use crate::plan::Row;
use crate::results::Results;
use crate::servers::Server;
use crate::spread::Spread;

/// Bytes in the table's kilobyte.
const KB: f64 = 1000.0;

/// One line of the table of targets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) row: Row,
    pub(crate) server: Server,
    pub(crate) measure: Measure,
    /// The bound that must hold; none where only a goal is set.
    pub(crate) least: Option<f64>,
    /// The bound to work towards.
    pub(crate) goal: f64,
}

/// What is compared with the bound, and which side of it is good.
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

/// Every target, in the order of the table.
pub(crate) const TARGETS: [Target; 20] = {
    use Measure::{AtLeast, AtMost, CpuPerClientAtMost, TimesAtLeast, TimesAtMost};
    use Row::{
        Fanout1, Fanout32, Fanout64, IdleOwn, IdleShared, Join, Latency, Ping, Storm, StormKilled,
    };
    use Server::{Bare, Bun, GatewayDurable, GatewayMemory, Ws};
    [
        Target {
            row: Fanout1,
            server: GatewayMemory,
            measure: TimesAtLeast(Bare),
            least: Some(0.7),
            goal: 0.85,
        },
        Target {
            row: Fanout1,
            server: GatewayMemory,
            measure: TimesAtLeast(Ws),
            least: None,
            goal: 1.4,
        },
        Target {
            row: Fanout32,
            server: GatewayMemory,
            measure: TimesAtLeast(Bare),
            least: Some(0.6),
            goal: 0.8,
        },
        Target {
            row: Fanout32,
            server: GatewayMemory,
            measure: TimesAtLeast(Ws),
            least: None,
            goal: 20.0,
        },
        Target {
            row: Fanout64,
            server: GatewayMemory,
            measure: TimesAtLeast(Bare),
            least: Some(0.6),
            goal: 0.8,
        },
        Target {
            row: Fanout64,
            server: GatewayMemory,
            measure: TimesAtLeast(Bun),
            least: None,
            goal: 1.5,
        },
        Target {
            row: Latency,
            server: GatewayMemory,
            measure: TimesAtMost(Bare),
            least: None,
            goal: 1.2,
        },
        Target {
            row: Latency,
            server: GatewayMemory,
            measure: TimesAtMost(Ws),
            least: None,
            goal: 0.7,
        },
        Target {
            row: Fanout1,
            server: GatewayDurable,
            measure: TimesAtLeast(GatewayMemory),
            least: Some(0.5),
            goal: 0.7,
        },
        Target {
            row: Fanout32,
            server: GatewayDurable,
            measure: TimesAtLeast(GatewayMemory),
            least: Some(0.5),
            goal: 0.7,
        },
        Target {
            row: Fanout64,
            server: GatewayDurable,
            measure: TimesAtLeast(GatewayMemory),
            least: Some(0.5),
            goal: 0.7,
        },
        Target {
            row: IdleShared,
            server: GatewayMemory,
            measure: AtMost,
            least: Some(5.0 * KB),
            goal: 3.0 * KB,
        },
        Target {
            row: IdleOwn,
            server: GatewayMemory,
            measure: AtMost,
            least: Some(5.0 * KB),
            goal: 3.0 * KB,
        },
        Target {
            row: Join,
            server: GatewayMemory,
            measure: AtLeast,
            least: Some(12_000.0),
            goal: 20_000.0,
        },
        Target {
            row: Storm,
            server: GatewayMemory,
            measure: AtMost,
            least: None,
            goal: 0.15,
        },
        Target {
            row: Storm,
            server: GatewayMemory,
            measure: CpuPerClientAtMost,
            least: None,
            goal: 70.0,
        },
        Target {
            row: Storm,
            server: GatewayDurable,
            measure: AtMost,
            least: None,
            goal: 0.15,
        },
        Target {
            row: Storm,
            server: GatewayDurable,
            measure: CpuPerClientAtMost,
            least: None,
            goal: 70.0,
        },
        Target {
            row: StormKilled,
            server: GatewayDurable,
            measure: AtMost,
            least: None,
            goal: 0.3,
        },
        Target {
            row: Ping,
            server: GatewayMemory,
            measure: AtMost,
            least: None,
            goal: 1.0,
        },
    ]
};

impl Target {
    /// The measured value; `None` when its row or server was not part of the run.
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

impl Aim for Target {
    fn wants_more(&self) -> bool {
        match self.measure {
            Measure::TimesAtLeast(_) | Measure::AtLeast => true,
            Measure::TimesAtMost(_) | Measure::AtMost | Measure::CpuPerClientAtMost => false,
        }
    }

    fn least(&self) -> Option<f64> {
        self.least
    }

    fn goal(&self) -> f64 {
        self.goal
    }

    fn plain(&self, value: f64) -> String {
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
    fn half_of_a_target_is_looser_on_its_bad_side() {
        let fanout = TARGETS[0];
        let idle = TARGETS[11];

        assert!(fanout.is_half_met(0.36) && !fanout.is_half_met(0.34));
        assert!(idle.is_half_met(9_900.0) && !idle.is_half_met(10_100.0));
    }
}
