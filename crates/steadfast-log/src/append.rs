//! From requested appends to a batch: admission, offsets, idempotency keys, and where a batch ends.
//!
//! A batch ends when the queue is empty, when the batch or the segment is full, or before an append to a channel that
//! expires with this batch. This module changes assigned offsets, never committed offsets.

use steadfast_engine::{Append, Rejection, RequestId, Response};
use steadfast_machine::convert;

use crate::Log;
use crate::batch::{Batch, BatchEffect, BatchItem};
use crate::channels::{Channel, IndexEntry};
use crate::dedup::{FirstResult, KeyScope, KnownKey};
use crate::event::LogLimit;
use crate::log::LogPhase;
use crate::record::{self, Stored, TEXT_BYTES_MAX};
use crate::retention::EXPIRED_RECORD_BYTES;

/// Bytes of a segment that only control records may use, so that a full segment can still be closed cleanly.
pub(crate) const CONTROL_BYTES: u64 = 256;
/// Approximate cost of a queued append in addition to its bytes.
const PENDING_OVERHEAD_BYTES: usize = 256;

/// Why a batch accepts no more appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// The queue is empty.
    Drained,
    /// The remaining appends wait for the next batch.
    BatchFull,
    /// The segment has no space for the next append.
    SegmentFull,
}

enum AppendOutcome {
    Added,
    Stopped(StopReason, Append),
}

impl Log {
    /// Queues an append, or rejects it.
    pub(crate) fn accept_append(&mut self, append: Append) {
        let cost = pending_cost(&append);
        match self.phase {
            LogPhase::Waiting | LogPhase::Opening(_) => {
                return self.reject(append.request_id, Rejection::Limit);
            }
            LogPhase::Closed => return self.reject(append.request_id, Rejection::Closing),
            LogPhase::Running => {}
        }
        if self.writer.is_closing {
            self.reject(append.request_id, Rejection::Closing);
        } else if let Some(reason) = self.writer.storage_state.rejection() {
            self.reject_unless_duplicate(&append, reason);
        } else if self.is_too_large(&append) {
            self.reject(append.request_id, Rejection::TooLarge);
        } else if self.writer.queue.bytes() + cost > self.policy.pending_bytes_max().as_len() {
            self.reject_for_limit(append.request_id, LogLimit::PendingBytes);
        } else {
            self.writer.queue.push(cost, append);
        }
    }

    /// Fills the batch from the queue, in turns of the clients.
    pub(crate) fn add_appends(&mut self, batch: &mut Batch) -> StopReason {
        while let Some((cost, append)) = self.writer.queue.pop() {
            if let AppendOutcome::Stopped(stop, append) = self.add_append(batch, append) {
                self.writer.queue.put_back(cost, append);
                return stop;
            }
        }
        StopReason::Drained
    }

    /// Rejects all queued appends; a repeat of a durable idempotency key is still acknowledged.
    pub(crate) fn reject_queue(&mut self, reason: Rejection) {
        let mut queue = std::mem::take(&mut self.writer.queue);
        while let Some((_, append)) = queue.pop() {
            self.reject_unless_duplicate(&append, reason);
        }
    }

    fn reject_unless_duplicate(&mut self, append: &Append, reason: Rejection) {
        let channel = self.state.channels.find(&append.channel);
        match self.find_first(channel, append) {
            Some((id, first)) if first.is_durable => self.respond_repeat(append, id, first),
            Some(_) | None => self.reject(append.request_id, reason),
        }
    }

    /// The channel and the first result of the append's idempotency key, if it is in the window.
    fn find_first(&self, channel: Option<u32>, append: &Append) -> Option<(u32, KnownKey)> {
        let scope = scope(channel?, append)?;
        let first = self.state.dedup_window.find(self.time(), &scope)?;
        Some((scope.channel, first))
    }

    /// Acknowledges a repeat of a durable key, or rejects it if its data differs.
    fn respond_repeat(&mut self, append: &Append, id: u32, first: KnownKey) {
        if first.data_hash == record::data_hash(append.kind, &append.data) {
            self.respond_duplicate(append.request_id, id, first.offset);
        } else {
            self.reject(append.request_id, Rejection::KeyWithOtherData);
        }
    }

    fn add_append(&mut self, batch: &mut Batch, append: Append) -> AppendOutcome {
        let known = self.state.channels.find(&append.channel);
        let is_expiring = known
            .and_then(|id| self.state.channels.by_id(id))
            .is_some_and(|channel| channel.is_expiring);
        if is_expiring {
            return AppendOutcome::Stopped(StopReason::BatchFull, append);
        }
        if known.is_none() && !append.may_create_channel {
            self.reject(append.request_id, Rejection::NewChannel);
            return AppendOutcome::Added;
        }
        if let Some((id, first)) = self.find_first(known, &append) {
            self.add_repeat(batch, &append, id, first);
            return AppendOutcome::Added;
        }
        let replaced = match self.check_limits(batch, known, &append) {
            Ok(replaced) => replaced,
            Err(limit) => {
                self.reject_for_limit(append.request_id, limit);
                return AppendOutcome::Added;
            }
        };
        let removals = convert::to_u64(replaced.len()) * EXPIRED_RECORD_BYTES;
        let len = record_len(known, &append) + removals;
        if !batch.fits(len, CONTROL_BYTES) {
            return AppendOutcome::Stopped(StopReason::SegmentFull, append);
        }
        let batch_bytes_max = self.policy.batch_bytes_max().as_bytes();
        if !batch.items.is_empty() && batch.end() - batch.at + len > batch_bytes_max {
            return AppendOutcome::Stopped(StopReason::BatchFull, append);
        }
        for channel in replaced {
            self.add_removal(batch, channel);
        }
        let id = known.unwrap_or_else(|| self.create_channel(batch, &append));
        self.encode_append(batch, id, append);
        AppendOutcome::Added
    }

    /// Adds a repeat of a key whose first publication is durable or in this batch.
    fn add_repeat(&mut self, batch: &mut Batch, append: &Append, id: u32, first: KnownKey) {
        let is_same = first.data_hash == record::data_hash(append.kind, &append.data);
        if first.is_durable || !is_same {
            return self.respond_repeat(append, id, first);
        }
        batch.items.push(BatchItem::Duplicate {
            request_id: append.request_id,
            channel: id,
            offset: first.offset,
        });
    }

    /// The channels whose place the append's channel takes, usually none; or the limit that does not allow the append.
    fn check_limits(
        &mut self,
        batch: &Batch,
        known: Option<u32>,
        append: &Append,
    ) -> Result<Vec<u32>, LogLimit> {
        if let Some(key_bytes) = key_bytes(append) {
            let window = &self.state.dedup_window;
            if window.len() >= self.policy.idempotency_keys_max() {
                return Err(LogLimit::IdempotencyKeys);
            }
            if window.bytes() + key_bytes > self.policy.key_bytes_max() {
                return Err(LogLimit::IdempotencyKeyBytes);
            }
        }
        match known {
            Some(id) if self.exceeds_channel_bytes(id, record_len(known, append)) => {
                Err(LogLimit::ChannelBytes)
            }
            Some(_) => Ok(Vec::new()),
            None => self.replaced_channels(batch, append),
        }
    }

    fn create_channel(&mut self, batch: &mut Batch, append: &Append) -> u32 {
        let id = self.state.channels.free_id();
        let epoch = self.state.new_channel_epoch;
        let at = self.time();
        let channel = Channel::new(append.channel.clone(), epoch, 0, at);
        batch.encode(&Stored::Channel(record::Channel {
            id,
            epoch,
            high_watermark: 0,
            start: 1,
            last_at: at,
            name: append.channel.as_str(),
        }));
        let inserted = self.state.channels.insert(id, channel);
        assert!(inserted, "a free id accepts a new channel");
        batch.created_channels.push(id);
        id
    }

    fn encode_append(&mut self, batch: &mut Batch, id: u32, append: Append) {
        let at = self.time();
        let Some(channel) = self.state.channels.by_id_mut(id) else {
            return;
        };
        channel.assigned += 1;
        let offset = channel.assigned;
        let byte_position = batch.end();
        let len = batch.encode(&Stored::Publication(record::Publication {
            channel: id,
            offset,
            at,
            user: &append.publisher.user,
            client: &append.publisher.client,
            key: append.idempotency_key.as_deref(),
            kind: append.kind,
            retention: append.retention,
            data: &append.data,
        }));
        if let Some(scope) = scope(id, &append) {
            let first = FirstResult {
                offset,
                at,
                data_hash: record::data_hash(append.kind, &append.data),
            };
            self.state.dedup_window.assign(&scope, first);
        }
        let entry = IndexEntry {
            segment: batch.ordinal,
            byte_position: u32::try_from(byte_position).expect("a segment is smaller than 4 GiB"),
            len: u32::try_from(len).expect("a record is smaller than a segment"),
            at,
        };
        batch.items.push(BatchItem::Publication {
            channel: id,
            offset,
            entry,
            append,
        });
    }

    /// Acknowledges a repeat with the result of the first append.
    pub(crate) fn respond_duplicate(&mut self, request_id: RequestId, channel: u32, offset: u64) {
        let Some(channel) = self.state.channels.by_id(channel) else {
            return self.reject(request_id, Rejection::Limit);
        };
        let epoch = channel.epoch;
        self.respond(
            request_id,
            Response::Appended {
                epoch,
                offset,
                is_duplicate: true,
                creates_channel: false,
            },
        );
    }

    /// A new segment has space for every record that is not too large, and a checkpoint for every key.
    fn is_too_large(&self, append: &Append) -> bool {
        let publisher = &append.publisher;
        let key = append.idempotency_key.as_ref().map_or(0, bytes::Bytes::len);
        let text = publisher.user.len().max(publisher.client.len()).max(key);
        let shares = self.policy.shares();
        text > TEXT_BYTES_MAX
            || record_len(None, append) > shares.record
            || key_bytes(append).is_some_and(|bytes| bytes > shares.key)
    }

    /// Seals a segment that has no space for the next append, if the next segment is ready.
    pub(crate) fn add_seal(&mut self, batch: &mut Batch) {
        if let Some(next) = self.writer.next.ready() {
            batch.encode(&Stored::SegmentEnd { next: next.number });
            batch.effect = BatchEffect::Seal;
        } else if batch.bytes.is_empty() {
            self.on_next_segment_missing();
        }
    }
}

/// The scope of the append's idempotency key, if it has one.
pub(crate) fn scope(channel: u32, append: &Append) -> Option<KeyScope> {
    let key = append.idempotency_key.clone()?;
    Some(KeyScope {
        channel,
        user: append.publisher.user.clone(),
        key,
    })
}

/// The size of the append's idempotency key as a copy in a checkpoint, if it has one.
fn key_bytes(append: &Append) -> Option<u64> {
    let key = append.idempotency_key.as_ref()?;
    let len = record::key_len(append.publisher.user.len(), key.len());
    Some(convert::to_u64(len))
}

/// The length of the append's records: with that of its channel, if it is new.
fn record_len(known: Option<u32>, append: &Append) -> u64 {
    let channel = match known {
        Some(_) => 0,
        None => record::channel_len(append.channel.as_str().len()),
    };
    convert::to_u64(publication_len(append) + channel)
}

fn publication_len(append: &Append) -> usize {
    let key = append.idempotency_key.as_ref().map_or(0, bytes::Bytes::len);
    let publisher = &append.publisher;
    let texts = publisher.user.len() + publisher.client.len() + key;
    record::publication_len(append.retention, texts, append.data.len())
}

fn pending_cost(append: &Append) -> usize {
    PENDING_OVERHEAD_BYTES + append.channel.as_str().len() + publication_len(append)
}
