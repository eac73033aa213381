//! The publications that were committed in a random run, which determine what a client may receive.

use std::collections::BTreeMap;

use bytes::Bytes;
use steadfast_engine::{ChannelEpoch, Committed};

pub(super) type Position = (ChannelEpoch, u64);

#[derive(Default)]
pub(super) struct Publications {
    /// Offset and payload of the publications of each history, in order.
    histories: BTreeMap<(usize, ChannelEpoch), Vec<(u64, Bytes)>>,
    /// The position of each channel's newest publication.
    newest: BTreeMap<usize, Position>,
}

impl Publications {
    /// Adds a publication. Returns whether it begins a history.
    pub(super) fn add(&mut self, channel: usize, committed: &Committed) -> bool {
        let (epoch, record) = (committed.epoch, &committed.record);
        let history = self.histories.entry((channel, epoch)).or_default();
        history.push((record.offset, record.data.clone()));
        self.newest.insert(channel, (epoch, record.offset));
        history.len() == 1
    }

    /// Offset and payload of the publication that follows a position, which need not be that of a publication.
    pub(super) fn next(&self, channel: usize, (epoch, offset): Position) -> Option<&(u64, Bytes)> {
        let history = self.histories.get(&(channel, epoch))?;
        history.get(history.partition_point(|(known, _)| *known <= offset))
    }

    pub(super) fn newest(&self, channel: usize) -> Option<Position> {
        self.newest.get(&channel).copied()
    }
}
