//! The events of the network.

use steadfast_faults::link::{Direction, LinkFault};

use crate::ids::ConnectionId;

/// An event of the network.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NetworkEvent {
    /// A stream has bytes to read, or space for more.
    StreamReady {
        connection: ConnectionId,
        direction: Direction,
    },
    /// A random connection is closed or reset.
    DropConnection,
    /// A fault hits a random healthy connection.
    InjectFault { fault: LinkFault },
    /// The time of a fault has passed.
    HealConnection { connection: ConnectionId },
}
