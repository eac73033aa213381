//! Reads of the history: where a page begins, and where a limit ends it.

use std::collections::VecDeque;

use crate::memory::MemoryEngine;
use crate::memory::channels::{Channel, Stored};
use crate::request::{Read, ReadFrom};
use crate::response::{Page, ReadResponse, Response};

/// The publications that a page may contain, as a range of a channel's history.
#[derive(Clone, Copy, Debug)]
enum Selection {
    /// From this index on, oldest first.
    Forward(usize),
    /// Before this index, newest first.
    Backward(usize),
}

impl MemoryEngine {
    pub(super) fn read(&mut self, read: &Read) {
        let slot = self.channels.find(&read.channel);
        if let Some(slot) = slot {
            self.channels.prune(slot, &self.policy, self.time);
        }
        let response = match slot.and_then(|slot| self.channels.get(slot)) {
            Some(channel) => ReadResponse {
                epoch: channel.epoch,
                high_watermark: channel.high_watermark,
                page: self.page(read, channel),
            },
            None => ReadResponse {
                epoch: self.new_channel_epoch,
                high_watermark: 0,
                page: self.page_of_unknown_channel(read),
            },
        };
        self.respond(read.request_id, Response::Read(response));
    }

    fn page(&self, read: &Read, channel: &Channel) -> Page {
        let history = &channel.history;
        match selection(&read.from, channel) {
            None => Page::Unrecoverable,
            Some(Selection::Forward(from)) => {
                let count = count_within(read, history.range(from..));
                let selected = history.range(from..from + count);
                Page::Records {
                    previous: offset_before(channel, from),
                    records: selected.map(|it| self.displayed(it.record())).collect(),
                    has_more: from + count < history.len(),
                }
            }
            Some(Selection::Backward(to)) => {
                let from = to - count_within(read, history.range(..to).rev());
                let selected = history.range(from..to).rev();
                Page::Records {
                    previous: offset_before(channel, from),
                    records: selected.map(|it| self.displayed(it.record())).collect(),
                    has_more: from > 0,
                }
            }
        }
    }

    /// A channel without a publication has only positions at its beginning.
    fn page_of_unknown_channel(&self, read: &Read) -> Page {
        let is_known = match read.from {
            ReadFrom::Oldest | ReadFrom::Newest => true,
            ReadFrom::After { epoch, offset } => epoch == self.new_channel_epoch && offset == 0,
            ReadFrom::Before { epoch, offset } => epoch == self.new_channel_epoch && offset <= 1,
        };
        if is_known {
            Page::Records {
                previous: 0,
                records: Vec::new(),
                has_more: false,
            }
        } else {
            Page::Unrecoverable
        }
    }
}

/// Where a page begins; `None` when the position is not in this history, or a publication after it was removed.
fn selection(from: &ReadFrom, channel: &Channel) -> Option<Selection> {
    let history = &channel.history;
    match from {
        ReadFrom::Oldest => Some(Selection::Forward(0)),
        ReadFrom::After { epoch, offset } => {
            let is_recoverable = *epoch == channel.epoch
                && (channel.removed_to..=channel.high_watermark).contains(offset);
            is_recoverable.then(|| Selection::Forward(index_after(history, *offset)))
        }
        ReadFrom::Newest => Some(Selection::Backward(history.len())),
        ReadFrom::Before { epoch, offset } => {
            let last = channel.high_watermark.saturating_add(1);
            let is_known = *epoch == channel.epoch && *offset <= last;
            is_known.then(|| Selection::Backward(index_after(history, offset.saturating_sub(1))))
        }
    }
}

/// The index of the first publication after this offset.
fn index_after(history: &VecDeque<Stored>, offset: u64) -> usize {
    history.partition_point(|stored| stored.offset <= offset)
}

/// The offset that the publication at this index follows.
fn offset_before(channel: &Channel, index: usize) -> u64 {
    index
        .checked_sub(1)
        .and_then(|before| channel.history.get(before))
        .map_or(channel.removed_to, |stored| stored.offset)
}

/// The number of publications that fit into the limits of a read.
fn count_within<'a>(read: &Read, publications: impl Iterator<Item = &'a Stored>) -> usize {
    let mut bytes = 0_usize;
    publications
        .take(read.limit)
        .enumerate()
        .take_while(|(index, stored)| {
            bytes = bytes.saturating_add(stored.payload_len());
            *index == 0 || bytes <= read.bytes_max
        })
        .count()
}
