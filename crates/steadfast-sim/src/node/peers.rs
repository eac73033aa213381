//! The ids of a shard's peers, from the slots that the gateway's shell uses.

use steadfast_hub::io::PeerId;
use steadfast_hub::peer_slots::PeerSlots;

use crate::ids::ConnectionId;
use crate::planted_bug::PlantedBug;

/// The peers of a shard, each with its connection.
#[derive(Debug)]
pub(super) struct Peers {
    slots: PeerSlots<ConnectionId>,
    /// The planted bug: every peer of a slot has the same id.
    has_no_generations: bool,
}

impl Peers {
    pub(super) fn new(planted_bug: Option<PlantedBug>) -> Self {
        Self {
            slots: PeerSlots::default(),
            has_no_generations: planted_bug == Some(PlantedBug::NoGenerations),
        }
    }

    /// Adds a peer. Returns its id, and whether its slot belonged to another peer before.
    pub(super) fn insert(&mut self, connection: ConnectionId) -> (PeerId, bool) {
        let peer = self.slots.insert(connection);
        let is_reused = peer.generation > 0;
        let generation = if self.has_no_generations {
            0
        } else {
            peer.generation
        };
        (PeerId { generation, ..peer }, is_reused)
    }

    /// Returns the connection of a peer, unless it was removed.
    pub(super) fn connection(&mut self, peer: PeerId) -> Option<ConnectionId> {
        let peer = self.resolve(peer)?;
        self.slots.get(peer).copied()
    }

    pub(super) fn remove(&mut self, peer: PeerId) {
        if let Some(peer) = self.resolve(peer) {
            self.slots.remove(peer);
        }
    }

    fn resolve(&mut self, peer: PeerId) -> Option<PeerId> {
        if self.has_no_generations {
            self.slots.at_index_mut(peer.index).map(|(peer, _)| peer)
        } else {
            Some(peer)
        }
    }
}
