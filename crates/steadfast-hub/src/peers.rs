//! The connections of a hub, in the slots that the shell chose.

use steadfast_machine::convert;

use crate::ids::PeerId;
use crate::peer::Peer;

/// The connections of a hub.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    slots: Vec<Option<Box<Peer>>>,
    len: usize,
    /// How often a peer was looked up.
    #[cfg(test)]
    pub(crate) lookups: std::cell::Cell<usize>,
}

impl Peers {
    pub(crate) fn get(&self, id: PeerId) -> Option<&Peer> {
        self.count_lookup();
        self.slots
            .get(convert::to_usize(id.index))?
            .as_deref()
            .filter(|peer| peer.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        self.count_lookup();
        self.slots
            .get_mut(convert::to_usize(id.index))?
            .as_deref_mut()
            .filter(|peer| peer.id == id)
    }

    /// Adds a peer.
    ///
    /// # Panics
    ///
    /// If its slot is occupied: the shell reuses a slot only after the hub has removed its peer.
    pub(crate) fn insert(&mut self, peer: Peer) {
        self.count_lookup();
        let (id, index) = (peer.id, convert::to_usize(peer.id.index));
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, || None);
        }
        let slot = self.slots.get_mut(index).expect("the slots were extended");
        assert!(slot.is_none(), "the slot of a peer is occupied: {id:?}");
        self.len += 1;
        *slot = Some(Box::new(peer));
    }

    pub(crate) fn remove(&mut self, id: PeerId) -> Option<Box<Peer>> {
        self.count_lookup();
        let slot = self.slots.get_mut(convert::to_usize(id.index))?;
        let peer = slot.take_if(|peer| peer.id == id)?;
        self.len -= 1;
        Some(peer)
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The ids of all peers, in the order of their slots.
    pub(crate) fn ids(&self) -> Vec<PeerId> {
        self.slots.iter().flatten().map(|peer| peer.id).collect()
    }

    /// All peers, in the order of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.slots.iter().flatten().map(AsRef::as_ref)
    }

    /// Counts in tests only: the tests limit how often a command looks its peer up.
    #[cfg(test)]
    fn count_lookup(&self) {
        self.lookups.set(self.lookups.get() + 1);
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the tests count on it")]
    const fn count_lookup(&self) {}
}
