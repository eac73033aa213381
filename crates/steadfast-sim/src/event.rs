//! The events of a run.

pub(crate) mod clients;
pub(crate) mod network;
pub(crate) mod node;

use self::clients::ClientEvent;
use self::network::NetworkEvent;
use self::node::NodeEvent;
use crate::ids::NodeIndex;

/// An event, with the system to which the world routes it.
#[derive(Debug)]
pub(crate) enum WorldEvent {
    Network(NetworkEvent),
    Node {
        node: NodeIndex,
        event: NodeEvent,
    },
    Client(ClientEvent),
    /// From now on a process ends at the next moment at which that loses data.
    ArmCrash,
    /// The wall clock is set wrong, or right if it was wrong.
    SetWallClock,
    /// The wall clock was set at the start of a machine.
    ObserveWallClock,
    CheckSettled,
}
