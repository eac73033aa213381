//! A list of peers in which each member has a stable key.
//!
//! The peers are dense and in no order, so that outputs can share the list as it is. Removing a member moves the last
//! one into its place, at the same cost in a long list as in a short one. The list follows the moved member itself: who
//! leaves needs no other peer.

use std::num::NonZeroU32;
use std::rc::Rc;

use steadfast_machine::convert;

use crate::ids::PeerId;

/// A member of a list. Stays the same until the member is removed, and may be reused after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemberKey(NonZeroU32);

impl MemberKey {
    const FIRST: Self = Self(NonZeroU32::MIN);

    fn at(slot: usize) -> Self {
        let number = u32::try_from(slot)
            .ok()
            .and_then(|slot| slot.checked_add(1));
        let number = number.and_then(NonZeroU32::new);
        Self(number.expect("a shard has fewer peers than 32 bits can count"))
    }

    fn slot(self) -> usize {
        convert::to_usize(self.0.get() - 1)
    }
}

/// One entry of the table: about the member at this index, and about the key of this number.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The key of the member at this index of the list; without a meaning beyond the end of the list.
    key: MemberKey,
    /// For a key in use: the index of its member. For an unused key: the next unused one, or the end of the table.
    index: u32,
}

/// The peers of one list.
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// `None` until the first member is added: most lists of most channels stay empty.
    peers: Option<Rc<Vec<PeerId>>>,
    slots: Vec<Slot>,
    /// The number of the first unused key; the length of the table if all are in use.
    unused: u32,
}

impl Members {
    /// All members, in no order.
    pub(crate) fn as_slice(&self) -> &[PeerId] {
        self.peers.as_ref().map_or(&[], |peers| peers)
    }

    /// All members for an output, which keeps them as they are now; `None` if there are none.
    pub(crate) fn share(&self) -> Option<Rc<Vec<PeerId>>> {
        self.peers.clone().filter(|peers| !peers.is_empty())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// Adds a member. Copies the list if an output that is still queued shares it.
    pub(crate) fn add(&mut self, peer: PeerId) -> MemberKey {
        let peers = self.peers_mut();
        let index = peers.len();
        peers.push(peer);
        let key = MemberKey::at(convert::to_usize(self.unused));
        if key.slot() == self.slots.len() {
            self.slots.push(Slot {
                key: MemberKey::FIRST,
                index: self.unused + 1,
            });
        }
        let next_unused = std::mem::replace(&mut self.slot_mut(key.slot()).index, index_of(index));
        self.unused = next_unused;
        self.slot_mut(index).key = key;
        key
    }

    /// Removes a member. Copies the list if an output that is still queued shares it.
    ///
    /// # Panics
    ///
    /// May panic if the key is not that of a member.
    pub(crate) fn remove(&mut self, key: MemberKey) {
        let unused = self.unused;
        let index = std::mem::replace(&mut self.slot_mut(key.slot()).index, unused);
        self.unused = index_of(key.slot());
        let peers = self.peers_mut();
        let index = convert::to_usize(index);
        peers.swap_remove(index);
        let last = peers.len();
        if index != last {
            let moved = self.slot_mut(last).key;
            self.slot_mut(index).key = moved;
            self.slot_mut(moved.slot()).index = index_of(index);
        }
    }

    fn peers_mut(&mut self) -> &mut Vec<PeerId> {
        let peers = self.peers.get_or_insert_default();
        #[cfg(test)]
        crate::work::count(match Rc::get_mut(peers) {
            Some(_) => 1,
            None => peers.len(),
        });
        Rc::make_mut(peers)
    }

    fn slot_mut(&mut self, number: usize) -> &mut Slot {
        self.slots
            .get_mut(number)
            .expect("the table has a slot for each member and each key")
    }
}

fn index_of(index: usize) -> u32 {
    u32::try_from(index).expect("a shard has fewer peers than 32 bits can count")
}

#[cfg(test)]
mod tests {
    use steadfast_machine::Seed;

    use super::*;

    #[test]
    fn a_queued_output_keeps_its_list_of_receivers() {
        let mut members = Members::default();
        members.add(peer(1));

        let queued = members.share().unwrap();
        members.add(peer(2));

        assert_eq!(*queued, vec![peer(1)]);
        assert_eq!(members.as_slice(), [peer(1), peer(2)]);
    }

    #[test]
    fn removing_a_member_moves_the_last_one_into_its_place() {
        let mut members = Members::default();
        let [first, _, last] = [1, 2, 3].map(|index| members.add(peer(index)));

        members.remove(first);
        assert_eq!(members.as_slice(), [peer(3), peer(2)]);
        members.remove(last);
        assert_eq!(members.as_slice(), [peer(2)]);
    }

    #[test]
    fn a_list_without_members_is_not_shared() {
        let mut members = Members::default();
        assert_eq!(members.share(), None);

        let only = members.add(peer(1));
        members.remove(only);

        assert!(members.is_empty());
        assert_eq!(members.share(), None);
    }

    #[test]
    fn a_key_removes_its_own_member_whatever_the_others_do() {
        for seed in 0..100 {
            let mut generator = Seed::new(seed).generator();
            let mut members = Members::default();
            let mut expected: Vec<(MemberKey, PeerId)> = Vec::new();
            for index in 0..300 {
                if expected.is_empty() || generator.chance(1 + seed % 3, 4) {
                    expected.push((members.add(peer(index)), peer(index)));
                } else {
                    let chosen = generator.below_len(expected.len());
                    members.remove(expected.swap_remove(chosen).0);
                }

                let mut listed = members.as_slice().to_vec();
                listed.sort_unstable();
                let mut peers: Vec<_> = expected.iter().map(|(_, peer)| *peer).collect();
                peers.sort_unstable();
                assert_eq!(listed, peers, "seed {seed}");
            }
            assert!(members.slots.len() <= 300, "seed {seed}");
        }
    }

    fn peer(index: u32) -> PeerId {
        PeerId {
            index,
            generation: 0,
        }
    }
}
