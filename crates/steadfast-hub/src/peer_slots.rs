//! The slots of a shard's connections, from which a shell takes the ids of peers.
//!
//! Slots are reused, so that the tables of shell and hub stay dense. The generation of a slot distinguishes its
//! successive connections: what is still addressed to a former peer does not reach the new one. Shells and the
//! simulation use this table; the hub itself keeps its peers by the same ids.

use steadfast_machine::convert;

use crate::io::PeerId;

/// All connections of one shard, by slot.
#[derive(Debug)]
pub struct PeerSlots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    connection: Option<T>,
}

impl<T> Default for PeerSlots<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> PeerSlots<T> {
    /// Returns the number of connections.
    pub const fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether there are no connections.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Stores a connection in a free slot, and returns the id of its peer.
    ///
    /// # Panics
    ///
    /// If there are more connections than 32 bits can count.
    pub fn insert(&mut self, connection: T) -> PeerId {
        if let Some(index) = self.free.pop()
            && let Some(slot) = slot_mut(&mut self.slots, index)
        {
            slot.generation = slot.generation.wrapping_add(1);
            slot.connection = Some(connection);
            return PeerId {
                index,
                generation: slot.generation,
            };
        }
        let index = u32::try_from(self.slots.len())
            .expect("a system has fewer sockets than 32 bits can count");
        self.slots.push(Slot {
            generation: 0,
            connection: Some(connection),
        });
        PeerId {
            index,
            generation: 0,
        }
    }

    /// Returns the connection of a peer, unless it was removed.
    pub fn get(&self, peer: PeerId) -> Option<&T> {
        let slot = self.slots.get(convert::to_usize(peer.index))?;
        let is_current = slot.generation == peer.generation;
        slot.connection.as_ref().filter(|_| is_current)
    }

    /// Returns the connection of a peer, unless it was removed.
    pub fn get_mut(&mut self, peer: PeerId) -> Option<&mut T> {
        let slot = slot_mut(&mut self.slots, peer.index)?;
        if slot.generation == peer.generation {
            slot.connection.as_mut()
        } else {
            None
        }
    }

    /// Returns the connection that uses this slot now.
    pub fn at_index_mut(&mut self, index: u32) -> Option<(PeerId, &mut T)> {
        let slot = slot_mut(&mut self.slots, index)?;
        let peer = PeerId {
            index,
            generation: slot.generation,
        };
        Some((peer, slot.connection.as_mut()?))
    }

    /// Removes the connection of a peer; its slot is free from now on.
    pub fn remove(&mut self, peer: PeerId) -> Option<T> {
        let slot = slot_mut(&mut self.slots, peer.index)?;
        if slot.generation != peer.generation {
            return None;
        }
        let connection = slot.connection.take()?;
        self.free.push(peer.index);
        Some(connection)
    }
}

fn slot_mut<T>(slots: &mut [Slot<T>], index: u32) -> Option<&mut Slot<T>> {
    slots.get_mut(convert::to_usize(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_slot_has_another_generation_and_the_former_peer_has_no_connection() {
        let mut slots = PeerSlots::default();
        let first = slots.insert("first");
        assert_eq!(slots.remove(first), Some("first"));

        let second = slots.insert("second");

        assert_eq!(second.index, first.index);
        assert_ne!(second.generation, first.generation);
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get(second), Some(&"second"));
        assert_eq!(
            slots.at_index_mut(second.index),
            Some((second, &mut "second"))
        );
    }

    #[test]
    fn slots_stay_dense() {
        let mut slots = PeerSlots::default();
        let peers = [slots.insert(0), slots.insert(1), slots.insert(2)];
        slots.remove(peers[1]);

        assert_eq!(slots.len(), 2);
        assert_eq!(slots.insert(3).index, 1);
        assert_eq!(slots.insert(4).index, 3);
        assert!(!slots.is_empty());
    }
}
