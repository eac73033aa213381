//! The newest batches in memory, so that reads of recent publications need no storage.
//!
//! The cache shares the buffers that were written and evicts complete batches, oldest first. A miss is not an error:
//! the caller then reads from the storage.

use std::collections::VecDeque;

use bytes::Bytes;

/// Batches that were recently written.
#[derive(Debug)]
pub(crate) struct Cache {
    bytes_max: usize,
    bytes: usize,
    batches: VecDeque<CachedBatch>,
}

#[derive(Debug)]
struct CachedBatch {
    location: (u32, u64),
    bytes: Bytes,
}

impl Cache {
    /// An empty cache of at most `bytes_max` bytes.
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            batches: VecDeque::new(),
        }
    }

    /// Adds a batch that was written at this location; locations only increase.
    pub(crate) fn push(&mut self, segment: u32, at: u64, bytes: Bytes) {
        self.bytes += bytes.len();
        self.batches.push_back(CachedBatch {
            location: (segment, at),
            bytes,
        });
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.batches.pop_front()
        {
            self.bytes -= oldest.bytes.len();
        }
    }

    /// Removes the newest batch, whose write at this location failed.
    pub(crate) fn remove_newest(&mut self, segment: u32, at: u64) {
        if self
            .batches
            .back()
            .is_some_and(|batch| batch.location == (segment, at))
            && let Some(batch) = self.batches.pop_back()
        {
            self.bytes -= batch.bytes.len();
        }
    }

    /// The bytes at this location, if their batch is still cached.
    pub(crate) fn find(&self, segment: u32, at: u64, len: usize) -> Option<Bytes> {
        let after = self
            .batches
            .partition_point(|batch| batch.location <= (segment, at));
        let batch = self.batches.get(after.checked_sub(1)?)?;
        if batch.location.0 != segment {
            return None;
        }
        let from = usize::try_from(at - batch.location.1).ok()?;
        let to = from.checked_add(len)?;
        (to <= batch.bytes.len()).then(|| batch.bytes.slice(from..to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cached_bytes_are_found() {
        let mut cache = Cache::new(8);

        cache.push(0, 0, Bytes::from_static(b"aaaa"));
        cache.push(0, 4, Bytes::from_static(b"bbbb"));
        cache.push(1, 0, Bytes::from_static(b"cccc"));

        assert_eq!(cache.find(0, 0, 2), None, "the oldest is evicted first");
        assert_eq!(cache.find(0, 5, 3), Some(Bytes::from_static(b"bbb")));
        assert_eq!(cache.find(0, 5, 4), None, "beyond the batch");
        assert_eq!(cache.find(1, 0, 4), Some(Bytes::from_static(b"cccc")));
        assert_eq!(cache.find(2, 0, 1), None);
    }

    #[test]
    fn a_batch_whose_write_failed_is_not_found_and_takes_no_space() {
        let mut cache = Cache::new(8);
        cache.push(0, 0, Bytes::from_static(b"aaaa"));

        for _ in 0..3 {
            cache.push(0, 4, Bytes::from_static(b"bbbb"));
            cache.remove_newest(0, 4);
        }

        assert_eq!(cache.find(0, 4, 4), None);
        cache.push(0, 4, Bytes::from_static(b"cccc"));
        assert_eq!(cache.find(0, 0, 4), Some(Bytes::from_static(b"aaaa")));
        assert_eq!(cache.find(0, 4, 4), Some(Bytes::from_static(b"cccc")));
    }

    #[test]
    fn a_failed_batch_that_was_evicted_removes_no_other_batch() {
        let mut cache = Cache::new(4);
        cache.push(0, 0, Bytes::from_static(b"aaaa"));

        cache.remove_newest(0, 4);

        assert_eq!(cache.find(0, 0, 4), Some(Bytes::from_static(b"aaaa")));
    }
}
