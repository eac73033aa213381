//! The beginning of a segment: what must outlive the segments that are about to be removed.
//!
//! Every channel's position stands in it, and the keys of the window whose records leave the log with it. Removal is
//! ordered only after all of this is durable.

use crate::log::Log;
use crate::log::event::Event;
use crate::log::group::{Group, SegmentHead};
use crate::log::io::{Output, SegmentNumber};
use crate::log::record::{self, FORMAT_VERSION, Header, Stored};

impl Log {
    /// Adds header and checkpoint.
    pub(super) fn place_head(&self, group: &mut Group) {
        let first_kept = self.first_kept();
        let carried = self.state.window.before_segment(first_kept);
        let oldest = self.state.segments.by_ordinal(first_kept);
        group.encode(&Stored::Header(Header {
            version: FORMAT_VERSION,
            oldest: oldest.map_or(group.segment, |segment| segment.number),
            generation: self.state.generation,
            durability: self.policy.fsync().into(),
            channels: narrow(self.state.channels.len()),
            keys: narrow(carried.len()),
        }));
        for (id, channel) in self.state.channels.iter() {
            group.encode(&Stored::Channel(record::Channel {
                id,
                epoch: channel.epoch,
                top: channel.top,
                start: channel.start(),
                last_at: channel.last_at,
                name: channel.name.as_str(),
            }));
        }
        for (scope, known) in &carried {
            group.encode(&Stored::Key(record::Key {
                channel: scope.channel,
                offset: known.offset,
                at: known.at,
                user: &scope.user,
                text: &scope.key,
            }));
        }
        group.head = Some(SegmentHead {
            first_kept,
            channels: u64::from(narrow(self.state.channels.len())),
            keys: carried.into_iter().map(|(scope, _)| scope).collect(),
        });
    }

    /// The checkpoint is durable: what it replaces may go, and the next segment is ordered.
    pub(super) fn commit_head(&mut self, ordinal: u32, segment: SegmentNumber, head: SegmentHead) {
        let keys = u64::from(narrow(head.keys.len()));
        for scope in head.keys {
            self.state.window.confirm(&scope, ordinal);
        }
        self.notify(Event::SegmentBegun {
            segment,
            channels: head.channels,
            keys,
        });
        self.remove_before(head.first_kept);
        self.order_next();
    }

    fn remove_before(&mut self, first_kept: u32) {
        if self.state.segments.first() >= first_kept {
            return;
        }
        while self.state.segments.first() < first_kept
            && let Some(oldest) = self.state.segments.pop_oldest()
        {
            self.notify(Event::SegmentRemoved {
                segment: oldest.number,
            });
            self.outputs.push_back(Output::Remove {
                segment: oldest.number,
            });
        }
        for channel in self.state.channels.iter_mut() {
            channel.hide_segments_before(first_kept);
        }
    }
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).expect("the policy bounds channels and keys")
}
