//! Whether the publications of a channel that uses too much of the log would remove young publications of others.
//!
//! A new segment replaces the oldest one once the log has its full size. A channel above its quota of bytes is rejected
//! while the next segment would remove a publication of another channel that is younger than [`PROTECTED_AGE`].
//! The channel's own publications and old ones may be removed, so a channel that harms no other is never rejected.

use std::time::Duration;

use steadfast_engine::PROTECTED_AGE;
use steadfast_machine::{Instant, Timestamp};

use crate::Log;
use crate::channels::Channel;

/// All channels are searched again at most once in this time, if the publications that were found are gone.
const SEARCH_PERIOD: Duration = Duration::from_secs(1);

/// The channels that lose their newest publications with the next segment; two of them, because one of them may be the
/// one that publishes.
#[derive(Debug, Default)]
pub(crate) struct Protection {
    newest: [Option<Lost>; 2],
    /// The segment that was written to, and when, at the last search.
    searched: Option<(u32, Instant)>,
    /// Segments before this ordinal are removed when the next segment begins.
    first_kept: u32,
}

/// A publication that is removed when the next segment begins.
#[derive(Clone, Copy, Debug)]
struct Lost {
    channel: u32,
    /// The log time at which it was accepted.
    at: Timestamp,
}

impl Log {
    /// Whether a channel has so many bytes that its publications are rejected for now.
    pub(crate) fn exceeds_channel_bytes(&mut self, id: u32, len: u64) -> bool {
        let bytes = self
            .state
            .channels
            .by_id(id)
            .map_or(0, |it| it.stored.bytes());
        bytes + len > self.policy.channel_bytes_max().as_bytes() && self.would_remove_young(id)
    }

    /// Whether the next segment removes a young publication of another channel than this one.
    fn would_remove_young(&mut self, id: u32) -> bool {
        let current = self.state.segments.last();
        match self.protection.searched {
            Some((segment, _)) if segment == current => {}
            Some(_) | None => self.search_lost(),
        }
        let mut lost = self.lost_by_other(id);
        let is_gone = lost.is_some_and(|lost| !self.is_still_stored(lost));
        let is_due = |(_, at): (u32, Instant)| self.now.saturating_since(at) >= SEARCH_PERIOD;
        if is_gone && self.protection.searched.is_some_and(is_due) {
            self.search_lost();
            lost = self.lost_by_other(id);
        }
        lost.is_some_and(|lost| self.ages().proven(lost.at) < PROTECTED_AGE)
    }

    fn lost_by_other(&self, id: u32) -> Option<Lost> {
        let mut lost = self.protection.newest.iter().flatten();
        lost.find(|lost| lost.channel != id).copied()
    }

    fn is_still_stored(&self, lost: Lost) -> bool {
        let channel = self.state.channels.by_id(lost.channel);
        channel.and_then(|channel| newest_before(channel, self.protection.first_kept))
            == Some(lost.at)
    }

    fn search_lost(&mut self) {
        let first_kept = self.first_kept_by_next_segment();
        let mut newest = [None, None];
        for (id, channel) in self.state.channels.iter() {
            let Some(at) = newest_before(channel, first_kept) else {
                continue;
            };
            let lost = Some(Lost { channel: id, at });
            let is_newer = |than: Option<Lost>| than.is_none_or(|than| at > than.at);
            if is_newer(newest[0]) {
                newest = [lost, newest[0]];
            } else if is_newer(newest[1]) {
                newest[1] = lost;
            }
        }
        self.protection = Protection {
            newest,
            searched: Some((self.state.segments.last(), self.now)),
            first_kept,
        };
    }

    /// The ordinal of the oldest segment that is kept when the next segment begins.
    fn first_kept_by_next_segment(&self) -> u32 {
        let size = crate::opening::segment_size(&self.policy, &self.state);
        // The next segment, which is reserved, and the one after it.
        let mut bytes = self.state.segments.bytes() + 2 * size;
        let mut first_kept = self.state.segments.first();
        for (ordinal, segment) in self.state.segments.iter() {
            if bytes <= self.policy.log_bytes().as_bytes() {
                break;
            }
            bytes -= segment.size;
            first_kept = ordinal + 1;
        }
        first_kept
    }
}

/// When the newest visible publication of a channel in segments before this one was accepted.
fn newest_before(channel: &Channel, segment: u32) -> Option<Timestamp> {
    let count = channel
        .entries
        .partition_point(|entry| entry.segment < segment);
    let newest = channel.entries.get(count.checked_sub(1)?)?;
    Some(newest.at)
}
