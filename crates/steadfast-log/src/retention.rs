//! Which publications are no longer visible, which segments are removed, and which channels expire.
//!
//! Limits of count and age hide publications of a channel, a limit of bytes removes complete segments, and a channel
//! whose last publication is too old expires. Ages are those of `clock`: what is removed was certainly too old, and what an
//! estimate hides may be visible again.

use std::collections::BTreeSet;
use std::time::Duration;

use steadfast_engine::ChannelEpoch;
use steadfast_machine::convert;
use steadfast_protocol::message::ChannelName;

use crate::Log;
use crate::append::{CONTROL_BYTES, StopReason};
use crate::batch::Batch;
use crate::channels::Channel;
use crate::event::Event;
use crate::record::{HEAD_BYTES, Stored};

/// How often ages are checked. A read hides old publications too, so only their memory depends on this period.
const AGE_PERIOD: Duration = Duration::from_mins(1);
/// The maximum number of channels that one batch removes.
const EXPIRED_MAX: usize = 1_000;
/// Bytes of the record of a channel that is removed.
pub(crate) const EXPIRED_RECORD_BYTES: u64 = convert::to_u64(HEAD_BYTES) + 16;

/// What a checkpoint copies, and what is removed once it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CheckpointPlan {
    /// Segments before this ordinal are removed.
    pub(crate) first_kept: u32,
    /// The least number of bytes of keys to copy, from the oldest segments.
    pub(crate) key_bytes: u64,
}

impl Log {
    /// Plans the checkpoint of a segment that begins now. The next segment counts already, since it is reserved at once.
    ///
    /// A checkpoint copies a limited number of bytes of keys. So those of a segment with more keys are copied in several
    /// checkpoints, the last of them before the segment is removed. The limit of all keys, [`LogPolicy::key_bytes_max`],
    /// ensures that this is always possible; only after settings were lowered, segments may be removed later.
    ///
    /// [`LogPolicy::key_bytes_max`]: crate::policy::LogPolicy::key_bytes_max
    pub(crate) fn plan_checkpoint(&self) -> CheckpointPlan {
        let size = crate::opening::segment_size(&self.policy, &self.state);
        let bytes_max = self.policy.log_bytes().as_bytes();
        let copied_max = self.policy.shares().copied_keys;
        let (mut bytes, mut keys) = (self.state.segments.bytes() + size, 0_u64);
        let mut plan = CheckpointPlan {
            first_kept: self.state.segments.first(),
            key_bytes: 0,
        };
        for (ordinal, segment) in self.state.segments.iter() {
            if ordinal == self.state.segments.last() {
                break;
            }
            keys += self.state.dedup_window.bytes_of_segment(ordinal);
            if bytes > bytes_max && keys <= copied_max {
                plan.first_kept = ordinal + 1;
                plan.key_bytes = keys;
            } else {
                // The later checkpoints before the segment is removed copy the rest.
                let later = bytes_max.saturating_sub(bytes) / size + 1;
                let now = keys.saturating_sub(copied_max.saturating_mul(later));
                plan.key_bytes = plan.key_bytes.max(now).min(copied_max);
            }
            bytes -= segment.size;
        }
        plan
    }

    /// Schedules the next check of ages if there is a channel. An idempotency key has a channel that outlives it.
    pub(crate) fn schedule_age_timer(&mut self) {
        if self.timers.age.is_none() && self.state.channels.len() > 0 {
            self.timers.age = Some(self.now + AGE_PERIOD);
        }
    }

    /// Checks all ages.
    pub(crate) fn on_age_timer(&mut self) {
        self.reported_limits.clear();
        self.reported_replacements.clear();
        let ages = self.ages();
        self.state.dedup_window.expire(self.time());
        for channel in self.state.channels.iter_mut() {
            channel.prune(&self.policy, &ages);
        }
        let channels = self.state.channels.iter();
        let expired = channels.filter(|(_, it)| it.has_expired(&self.policy, &ages));
        self.writer.expired_channels = expired.map(|(id, _)| id).take(EXPIRED_MAX).collect();
        self.schedule_age_timer();
    }

    /// Adds the records of channels that expire.
    pub(crate) fn add_expired_channels(&mut self, batch: &mut Batch) {
        let candidates = std::mem::take(&mut self.writer.expired_channels);
        let (policy, ages) = (self.policy, self.ages());
        let expires = |channel: &Channel| channel.has_expired(&policy, &ages);
        self.add_removals(batch, candidates, expires);
    }

    /// Handles a request to forget channels.
    pub(crate) fn on_forget_requested(&mut self, channels: Vec<ChannelName>) {
        self.writer.forgotten.extend(channels);
        self.advance();
    }

    /// Adds the records of channels that an operator has the log forget. A channel with publications in flight is removed
    /// after them.
    pub(crate) fn add_forgotten_channels(&mut self, batch: &mut Batch) -> StopReason {
        // One batch has one change of epochs.
        if self.writer.forgotten.is_empty() || batch.expired_channels.is_some() {
            return StopReason::Drained;
        }
        let known = |name: &ChannelName| self.state.channels.find(name);
        // A set, because a name may be requested twice, and a channel is removed once.
        let candidates: BTreeSet<u32> = self.writer.forgotten.iter().filter_map(known).collect();
        let is_idle = |channel: &Channel| channel.assigned == channel.high_watermark;
        let count = candidates.len();
        self.add_removals(batch, candidates, is_idle);
        let added = batch
            .expired_channels
            .as_ref()
            .map_or(0, |(channels, _)| channels.len());
        if added == count {
            self.writer.forgotten.clear();
            StopReason::Drained
        } else if batch.bytes.is_empty() {
            StopReason::SegmentFull
        } else {
            StopReason::BatchFull
        }
    }

    /// Adds the records of channels that are removed, as many as fit, if the condition is true for them. The epoch of new
    /// channels changes with these records, so that a later channel of the same name has another epoch.
    fn add_removals(
        &mut self,
        batch: &mut Batch,
        candidates: impl IntoIterator<Item = u32>,
        is_removable: impl Fn(&Channel) -> bool,
    ) {
        for id in candidates {
            if !batch.fits(EXPIRED_RECORD_BYTES, CONTROL_BYTES) {
                break;
            }
            if self.state.channels.by_id(id).is_some_and(&is_removable) {
                self.add_removal(batch, id);
            }
        }
    }

    /// Adds the record of a channel that is removed. All removals of a batch share one epoch of later channels.
    pub(crate) fn add_removal(&mut self, batch: &mut Batch, id: u32) {
        let before = self.state.new_channel_epoch;
        let Some(counter) = before.counter().checked_add(1) else {
            return;
        };
        let new_channel_epoch = ChannelEpoch::new(before.incarnation(), counter);
        let bytes = self.state.channels.checkpoint_bytes_of(id);
        let Some(channel) = self.state.channels.by_id_mut(id) else {
            return;
        };
        channel.is_expiring = true;
        batch.encode(&Stored::ChannelExpired {
            channel: id,
            new_channel_epoch,
        });
        batch.expired_bytes += bytes;
        let expired = &mut batch.expired_channels;
        let (channels, _) = expired.get_or_insert((BTreeSet::new(), new_channel_epoch));
        channels.insert(id);
    }

    /// Removes the expired channels: their records are durable.
    pub(crate) fn commit_expired_channels(
        &mut self,
        channels: &BTreeSet<u32>,
        new_channel_epoch: ChannelEpoch,
    ) {
        for id in channels {
            self.state.channels.remove(*id);
        }
        self.state.dedup_window.remove_channels(channels);
        self.state.new_channel_epoch = new_channel_epoch;
        let expired = convert::to_u64(channels.len());
        self.notify(Event::ChannelsExpired { channels: expired });
    }
}
