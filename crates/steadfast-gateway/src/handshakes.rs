//! The connections of one shard that have not finished their first request, and which of them is dropped when there are
//! too many.
//!
//! An attacker can open connections faster than they time out. If new connections had to wait for old ones, one address
//! could lock out all others; so the oldest connection of the source that has most is dropped in favour of a new one.
//! Pure: the caller closes what is dropped.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

/// The number of a handshake of this shard; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HandshakeId(u64);

/// Unfinished first requests, each with a handle of the caller.
#[derive(Debug)]
pub(crate) struct Handshakes<H> {
    next: u64,
    handles: BTreeMap<HandshakeId, (IpAddr, H)>,
    /// The handshakes of each source, oldest first.
    sources: BTreeMap<IpAddr, BTreeSet<HandshakeId>>,
    /// The sources by their number of handshakes, and then by the age of their oldest one.
    ranking: BTreeSet<(usize, Reverse<HandshakeId>, IpAddr)>,
}

impl<H> Default for Handshakes<H> {
    fn default() -> Self {
        Self {
            next: 0,
            handles: BTreeMap::new(),
            sources: BTreeMap::new(),
            ranking: BTreeSet::new(),
        }
    }
}

impl<H> Handshakes<H> {
    /// Returns the number of handshakes.
    pub(crate) fn len(&self) -> usize {
        self.handles.len()
    }

    /// Returns the id of the next handshake.
    pub(crate) const fn next_id(&mut self) -> HandshakeId {
        let id = HandshakeId(self.next);
        self.next += 1;
        id
    }

    /// Adds a handshake with an id of [`Self::next_id`].
    pub(crate) fn insert(&mut self, id: HandshakeId, from: IpAddr, handle: H) {
        let source = source(from);
        self.handles.insert(id, (source, handle));
        self.update(source, |ids| {
            ids.insert(id);
        });
    }

    /// Removes a handshake that has finished. Does nothing if it was dropped before.
    pub(crate) fn remove(&mut self, id: HandshakeId) {
        if let Some((source, _)) = self.handles.remove(&id) {
            self.update(source, |ids| {
                ids.remove(&id);
            });
        }
    }

    /// Removes the handshake to drop in favour of a new one, and returns its handle; `None` if there is none.
    pub(crate) fn drop_one(&mut self) -> Option<H> {
        let (_, Reverse(oldest), source) = *self.ranking.last()?;
        let (_, handle) = self.handles.remove(&oldest)?;
        self.update(source, |ids| {
            ids.remove(&oldest);
        });
        Some(handle)
    }

    /// Changes the handshakes of a source, and its place in the ranking.
    fn update(&mut self, source: IpAddr, change: impl FnOnce(&mut BTreeSet<HandshakeId>)) {
        let ids = self.sources.entry(source).or_default();
        if let Some(oldest) = ids.first() {
            self.ranking.remove(&(ids.len(), Reverse(*oldest), source));
        }
        change(ids);
        match ids.first() {
            Some(oldest) => {
                self.ranking.insert((ids.len(), Reverse(*oldest), source));
            }
            None => {
                self.sources.remove(&source);
            }
        }
    }
}

/// Returns whom a connection is counted for: an address, or a network of IPv6, which one customer of a provider has
/// for itself.
fn source(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            Ipv6Addr::from_bits(network).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_handshake_of_the_source_with_most_is_dropped() {
        let mut handshakes = handshakes(&[
            "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.2", "10.0.0.2", "10.0.0.3",
        ]);

        let dropped: Vec<usize> = std::iter::from_fn(|| handshakes.drop_one()).collect();

        // First down to two of each source, oldest source first, then to one.
        assert_eq!(dropped, [1, 2, 3, 0, 4, 5]);
        assert_eq!(handshakes.len(), 0);
        assert!(handshakes.sources.is_empty() && handshakes.ranking.is_empty());
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_are_one_source_and_mapped_addresses_are_those_of_ipv4() {
        let mut handshakes = handshakes(&[
            "2001:db8::1",
            "2001:db8:0:1::1",
            "2001:db8:0:1::2",
            "10.0.0.1",
            "::ffff:10.0.0.1",
            "10.0.0.1",
        ]);

        assert_eq!(handshakes.drop_one(), Some(3));
        assert_eq!(handshakes.drop_one(), Some(1));
    }

    #[test]
    fn a_finished_handshake_is_not_dropped_and_a_dropped_one_can_finish() {
        let mut handshakes = Handshakes::default();
        let ids: Vec<HandshakeId> = (0..3).map(|_| handshakes.next_id()).collect();
        for (index, id) in ids.iter().enumerate() {
            handshakes.insert(*id, "10.0.0.1".parse().unwrap(), index);
        }

        handshakes.remove(ids[0]);
        assert_eq!(handshakes.drop_one(), Some(1));
        handshakes.remove(ids[1]);

        assert_eq!(handshakes.len(), 1);
        assert_eq!(handshakes.drop_one(), Some(2));
    }

    /// One handshake from each address; the handles are 0, 1, 2 and so on.
    fn handshakes(from: &[&str]) -> Handshakes<usize> {
        let mut handshakes = Handshakes::default();
        for (index, address) in from.iter().enumerate() {
            let id = handshakes.next_id();
            handshakes.insert(id, address.parse().unwrap(), index);
        }
        handshakes
    }
}
