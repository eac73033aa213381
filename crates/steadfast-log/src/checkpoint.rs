//! The beginning of a segment: the state that must survive the removal of older segments.
//!
//! A checkpoint holds the position of every channel, and copies of the idempotency keys in the window whose records are
//! in the segments to be removed, now or soon. Segments are removed only after the complete checkpoint is durable.

use crate::Log;
use crate::batch::{Batch, SegmentCheckpoint};
use crate::event::Event;
use crate::io::{Output, SegmentNumber};
use crate::record::{self, CheckpointStart, Stored};
use crate::retention::CheckpointPlan;

impl Log {
    /// Adds the checkpoint.
    pub(crate) fn add_checkpoint(&self, batch: &mut Batch) {
        let CheckpointPlan {
            first_kept,
            key_bytes,
        } = self.plan_checkpoint();
        let copied = self.state.dedup_window.in_oldest_segments(key_bytes);
        let oldest = self.state.segments.by_ordinal(first_kept);
        batch.encode(&Stored::Checkpoint(CheckpointStart {
            oldest: oldest.map_or(batch.segment, |segment| segment.number),
            new_channel_epoch: self.state.new_channel_epoch,
            durability: self.policy.fsync().into(),
            channels: narrow(self.state.channels.len()),
            keys: narrow(copied.len()),
        }));
        for (id, channel) in self.state.channels.iter() {
            batch.encode(&Stored::Channel(record::Channel {
                id,
                epoch: channel.epoch,
                high_watermark: channel.high_watermark,
                start: channel.start(),
                last_at: channel.last_at,
                name: channel.name.as_str(),
            }));
        }
        for (scope, known) in &copied {
            batch.encode(&Stored::Key(record::Key {
                channel: scope.channel,
                offset: known.offset,
                at: known.at,
                data_hash: known.data_hash,
                user: &scope.user,
                text: &scope.key,
            }));
        }
        batch.checkpoint = Some(SegmentCheckpoint {
            first_kept,
            channels: u64::from(narrow(self.state.channels.len())),
            keys: copied.into_iter().map(|(scope, _)| scope).collect(),
        });
    }

    /// Handles a durable checkpoint: removes the segments that it replaces, and reserves the next segment.
    pub(crate) fn commit_checkpoint(
        &mut self,
        ordinal: u32,
        segment: SegmentNumber,
        checkpoint: SegmentCheckpoint,
    ) {
        let keys = u64::from(narrow(checkpoint.keys.len()));
        for scope in checkpoint.keys {
            self.state.dedup_window.confirm(&scope, ordinal);
        }
        self.notify(Event::SegmentCreated {
            segment,
            channels: checkpoint.channels,
            idempotency_keys: keys,
        });
        self.remove_before(checkpoint.first_kept);
        self.reserve_next();
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
