//! The newest groups in memory, so that reads of fresh publications need no storage.
//!
//! It holds the very buffers that were written, whole groups, oldest out first. Absence means nothing: the reader
//! then asks the storage.

use std::collections::VecDeque;

use bytes::Bytes;

/// Groups that were just written.
#[derive(Debug)]
pub(crate) struct Cache {
    bytes_max: usize,
    bytes: usize,
    groups: VecDeque<Group>,
}

#[derive(Debug)]
struct Group {
    place: (u32, u64),
    bytes: Bytes,
}

impl Cache {
    /// An empty cache of at most so many bytes.
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            groups: VecDeque::new(),
        }
    }

    /// Keeps a group that was written at this place; places only grow.
    pub(crate) fn push(&mut self, segment: u32, at: u64, bytes: Bytes) {
        self.bytes += bytes.len();
        self.groups.push_back(Group {
            place: (segment, at),
            bytes,
        });
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.groups.pop_front()
        {
            self.bytes -= oldest.bytes.len();
        }
    }

    /// Drops the newest group, which was written in vain at this place.
    pub(crate) fn drop_newest(&mut self, segment: u32, at: u64) {
        if self
            .groups
            .back()
            .is_some_and(|group| group.place == (segment, at))
            && let Some(group) = self.groups.pop_back()
        {
            self.bytes -= group.bytes.len();
        }
    }

    /// The bytes at this place, if their group is still here.
    pub(crate) fn find(&self, segment: u32, at: u64, len: usize) -> Option<Bytes> {
        let behind = self
            .groups
            .partition_point(|group| group.place <= (segment, at));
        let group = self.groups.get(behind.checked_sub(1)?)?;
        if group.place.0 != segment {
            return None;
        }
        let from = usize::try_from(at - group.place.1).ok()?;
        let to = from.checked_add(len)?;
        (to <= group.bytes.len()).then(|| group.bytes.slice(from..to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_what_it_still_holds_and_nothing_else() {
        let mut cache = Cache::new(8);

        cache.push(0, 0, Bytes::from_static(b"aaaa"));
        cache.push(0, 4, Bytes::from_static(b"bbbb"));
        cache.push(1, 0, Bytes::from_static(b"cccc"));

        assert_eq!(cache.find(0, 0, 2), None, "the oldest went first");
        assert_eq!(cache.find(0, 5, 3), Some(Bytes::from_static(b"bbb")));
        assert_eq!(cache.find(0, 5, 4), None, "beyond the group");
        assert_eq!(cache.find(1, 0, 4), Some(Bytes::from_static(b"cccc")));
        assert_eq!(cache.find(2, 0, 1), None);
    }
}
