//! Which toxics a fault of a link is, and what shows their effect.

use std::time::Duration;

use steadfast_faults::counted::{counted, counted_len, grouped};
use steadfast_faults::scenario::model::{BlockMode, LinkFault};
use steadfast_proxy::{BlackHoleMode, Proxy, Toxic, ToxicKind, Traffic};

/// The toxics of a fault, with names that begin with `name`. Draws depend on these names, which follow from the plan.
pub(super) fn of(fault: &LinkFault, name: &str) -> Vec<Toxic> {
    let blackhole = |mode| ToxicKind::BlackHole {
        mode,
        close_after: Duration::ZERO,
    };
    let toxic = match fault {
        LinkFault::Block(block) => {
            let kind = match block.mode {
                // TCP repeats what was dropped, so after the heal it arrives. Discarding it would leave a gap in the
                // stream, which no network does.
                BlockMode::Drop => blackhole(BlackHoleMode::Hold),
                // A connection is reset as soon as it has bytes in that direction.
                BlockMode::Reject => ToxicKind::ResetPeer {
                    timeout: Duration::ZERO,
                },
            };
            Toxic::new(kind).directions(block.directions)
        }
        LinkFault::Freeze { directions } => {
            Toxic::new(blackhole(BlackHoleMode::Hold)).directions(*directions)
        }
        LinkFault::Latency {
            delay,
            jitter,
            directions,
        } => Toxic::latency_with_jitter(*delay, *jitter).directions(*directions),
        LinkFault::Bandwidth {
            bytes_per_second,
            directions,
        } => Toxic::bandwidth((bytes_per_second / 1_000).max(1)).directions(*directions),
        LinkFault::Toxic(toxic) => toxic.clone(),
        LinkFault::Down | LinkFault::Reset => return Vec::new(),
    };
    vec![toxic.named(name)]
}

/// What toxics did on one or several links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Effect {
    /// Open connections that are victims.
    victims: usize,
    /// Bytes that the proxy has read since the fault began.
    received: u64,
    /// Bytes that it has read and not passed on.
    withheld: u64,
}

/// What these toxics of a proxy have done since its counters had these values.
pub(super) fn effect(
    proxy: &Proxy,
    toxics: &[String],
    to_server: Traffic,
    to_client: Traffic,
) -> Effect {
    let connections = proxy.connections();
    let victims = connections.iter().filter(|connection| {
        let mut own = connection.toxics.iter();
        own.any(|toxic| toxic.is_victim && toxics.contains(&toxic.name))
    });
    let counters = proxy.counters();
    let moved = [
        (to_server, counters.to_server),
        (to_client, counters.to_client),
    ];
    let since = |pick: fn(&Traffic) -> u64| {
        let moved = moved.iter();
        moved
            .map(|(before, now)| pick(now).saturating_sub(pick(before)))
            .sum::<u64>()
    };
    let received = since(|it| it.received_bytes);
    Effect {
        victims: victims.count(),
        received,
        withheld: received.saturating_sub(since(|it| it.sent_bytes)),
    }
}

impl Effect {
    /// Whether it shows that the fault had an effect. A fault that passes nothing must have withheld bytes.
    pub(super) const fn is_visible(self, fault: &LinkFault) -> bool {
        let has_victims = self.victims > 0;
        match fault {
            LinkFault::Block(block) if matches!(block.mode, BlockMode::Drop) => self.withheld > 0,
            LinkFault::Freeze { .. } => self.withheld > 0,
            // A victim ends as soon as bytes arrive, and is then no connection any more.
            LinkFault::Block(_) => self.withheld > 0 || has_victims,
            LinkFault::Latency { .. } | LinkFault::Bandwidth { .. } | LinkFault::Toxic(_) => {
                has_victims && self.received > 0
            }
            LinkFault::Down | LinkFault::Reset => false,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.victims += other.victims;
        self.received += other.received;
        self.withheld += other.withheld;
    }

    pub(super) fn describe(self, fault: &LinkFault) -> String {
        let victims = counted_len(self.victims, "connection", "connections");
        match fault {
            LinkFault::Block(block) if matches!(block.mode, BlockMode::Reject) => {
                format!("discarded {}", counted(self.withheld, "byte", "bytes"))
            }
            LinkFault::Block(_) | LinkFault::Freeze { .. } => {
                format!("held {}", counted(self.withheld, "byte", "bytes"))
            }
            LinkFault::Latency { .. }
            | LinkFault::Bandwidth { .. }
            | LinkFault::Toxic(_)
            | LinkFault::Down
            | LinkFault::Reset => {
                let bytes = grouped(self.received);
                format!("affected {victims} with {bytes} bytes")
            }
        }
    }
}
