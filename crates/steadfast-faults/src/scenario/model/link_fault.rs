//! Faults of links: `net.*`, `conn.*` and `proxy.toxic`.

use std::time::Duration;

use crate::scenario::model::link::Via;
use crate::toxic::{Directions, Toxic};

/// A fault of a link. Directions are those of the bytes: `out` is from the load to the service.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkFault {
    /// `net.block`: packets do not arrive.
    Block(Block),
    /// `net.down`: the link has no carrier; no packet arrives, and neither end gets an error.
    Down,
    /// `net.latency`: every byte arrives later.
    Latency {
        /// The added delay of each blocked direction.
        delay: Duration,
        /// The greatest deviation from the delay.
        jitter: Duration,
        /// The delayed directions.
        directions: Directions,
    },
    /// `net.bandwidth`: bytes pass at most at this rate.
    Bandwidth {
        /// In bytes per second, for each direction of the link.
        bytes_per_second: u64,
        /// The limited directions.
        directions: Directions,
    },
    /// `conn.reset`: the open connections end with a reset, once.
    Reset,
    /// `conn.freeze`: bytes are kept until the heal; then they arrive in order.
    Freeze {
        /// The frozen directions.
        directions: Directions,
    },
    /// `proxy.toxic`: any toxic of the proxy.
    Toxic(Toxic),
}

/// `net.block`: which packets do not arrive, and what their sender notices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What the sender of a packet notices.
    pub mode: BlockMode,
    /// The blocked directions.
    pub directions: Directions,
    /// The connections whose packets are blocked.
    pub state: BlockState,
    /// The TCP ports of the service to which the block is limited; empty for all packets of the link.
    pub ports: Vec<u16>,
}

/// What the sender of a blocked packet notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockMode {
    /// Nothing: a black hole.
    Drop,
    /// A reset of its connection.
    Reject,
}

/// The connections whose packets are blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockState {
    /// Packets of new and of open connections.
    All,
    /// Only the first packet of a new connection: open connections work, and no new one is established.
    New,
    /// Only packets of open connections, as after the expiry of a NAT entry: a new connection works at once.
    Established,
}

impl LinkFault {
    /// The name in scenarios and reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Block(_) => "net.block",
            Self::Down => "net.down",
            Self::Latency { .. } => "net.latency",
            Self::Bandwidth { .. } => "net.bandwidth",
            Self::Reset => "conn.reset",
            Self::Freeze { .. } => "conn.freeze",
            Self::Toxic(_) => "proxy.toxic",
        }
    }

    /// Whether the fault is over as soon as it took effect, so that there is nothing to heal.
    pub const fn is_instantaneous(&self) -> bool {
        matches!(self, Self::Reset)
    }

    /// Why this way cannot inject the fault; `None` if it can.
    pub const fn unsupported_by(&self, via: Via) -> Option<&'static str> {
        match (via, self) {
            (Via::Direct, _) => Some("a direct link has no faults"),
            (Via::Namespace, Self::Latency { .. }) => {
                Some("the kernel delays packets only with netem, which many kernels lack")
            }
            (Via::Namespace, Self::Freeze { .. }) => Some("a network loses packets, it keeps none"),
            (Via::Namespace, Self::Toxic(_)) => Some("only a proxy has toxics"),
            (
                Via::Namespace,
                Self::Block(_) | Self::Down | Self::Bandwidth { .. } | Self::Reset,
            ) => None,
            (Via::Proxy, Self::Down) => Some("a proxy has no carrier"),
            (Via::Proxy, Self::Block(block)) => match block.state {
                BlockState::All if block.ports.is_empty() => None,
                BlockState::All => Some("a proxy has one port"),
                BlockState::New | BlockState::Established => {
                    Some("a proxy cannot drop the packets of a handshake")
                }
            },
            (
                Via::Proxy,
                Self::Latency { .. }
                | Self::Bandwidth { .. }
                | Self::Reset
                | Self::Freeze { .. }
                | Self::Toxic(_),
            ) => None,
        }
    }
}
