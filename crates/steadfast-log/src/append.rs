//! From requested appends to a batch: admission, offsets, idempotency keys, and where a batch ends.
//!
//! A batch ends when the queue is empty, when the batch or the segment is full, or before an append to a channel that
//! expires with this batch. This module changes assigned offsets, never committed offsets.

use steadfast_engine::{Append, Rejection, RequestId, Response};
use steadfast_machine::convert;

use crate::Log;
use crate::batch::{Batch, BatchEffect, BatchItem};
use crate::channels::{Channel, IndexEntry};
use crate::dedup::{FirstResult, KeyScope};
use crate::event::LogLimit;
use crate::log::LogPhase;
use crate::record::{self, Stored, TEXT_BYTES_MAX};
use crate::segment::header::records_len;

/// Bytes of a segment that only control records may use, so that a full segment can still be closed cleanly.
const CONTROL_BYTES: u64 = 256;
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
        let known = channel.and_then(|id| Some((id, scope(id, append)?)));
        let found = known
            .and_then(|(id, scope)| Some((id, self.state.dedup_window.find(self.time(), &scope)?)));
        match found {
            Some((id, known)) if known.is_durable => {
                self.respond_duplicate(append.request_id, id, known.offset);
            }
            Some(_) | None => self.reject(append.request_id, reason),
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
        let id = known.unwrap_or_else(|| self.state.channels.free_id());
        let scope = scope(id, &append);
        if let Some(scope) = &scope {
            if let Some(first) = self.state.dedup_window.find(self.time(), scope) {
                let (request_id, channel, offset) = (append.request_id, id, first.offset);
                if first.is_durable {
                    self.respond_duplicate(request_id, channel, offset);
                } else {
                    batch.items.push(BatchItem::Duplicate {
                        request_id,
                        channel,
                        offset,
                    });
                }
                return AppendOutcome::Added;
            }
            if self.state.dedup_window.len() >= self.policy.idempotency_keys_max() {
                self.reject_for_limit(append.request_id, LogLimit::IdempotencyKeys);
                return AppendOutcome::Added;
            }
        }
        if known.is_none()
            && let Some(limit) = self.limit_for_channel(&append)
        {
            self.reject_for_limit(append.request_id, limit);
            return AppendOutcome::Added;
        }
        let created = if known.is_none() {
            record::channel_len(append.channel.as_str().len())
        } else {
            0
        };
        let len = convert::to_u64(publication_len(&append) + created);
        if !batch.fits(len, CONTROL_BYTES) {
            return AppendOutcome::Stopped(StopReason::SegmentFull, append);
        }
        let batch_bytes_max = self.policy.batch_bytes_max().as_bytes();
        if !batch.items.is_empty() && batch.end() - batch.at + len > batch_bytes_max {
            return AppendOutcome::Stopped(StopReason::BatchFull, append);
        }
        if known.is_none() {
            self.create_channel(batch, id, &append);
        }
        self.encode_append(batch, id, scope.as_ref(), append);
        AppendOutcome::Added
    }

    /// The limit that does not allow one more channel.
    fn limit_for_channel(&self, append: &Append) -> Option<LogLimit> {
        let len = convert::to_u64(record::channel_len(append.channel.as_str().len()));
        let bytes_max = records_len(self.policy.segment_bytes().as_bytes()) / 8 * 3;
        if self.state.channels.len() >= self.policy.channels_max() {
            Some(LogLimit::Channels)
        } else if self.state.channels.checkpoint_bytes() + len > bytes_max {
            Some(LogLimit::CheckpointBytes)
        } else {
            None
        }
    }

    fn create_channel(&mut self, batch: &mut Batch, id: u32, append: &Append) {
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
    }

    fn encode_append(
        &mut self,
        batch: &mut Batch,
        id: u32,
        scope: Option<&KeyScope>,
        append: Append,
    ) {
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
        if let Some(scope) = scope {
            let first = FirstResult {
                offset,
                at,
                data_hash: record::data_hash(append.kind, &append.data),
            };
            self.state.dedup_window.assign(scope, first);
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

    /// A record may take a quarter of a segment: a new segment has that much space after its header, the largest
    /// checkpoint, which takes half of the rest, and the control records.
    fn is_too_large(&self, append: &Append) -> bool {
        let publisher = &append.publisher;
        let key = append.idempotency_key.as_ref().map_or(0, bytes::Bytes::len);
        let text = publisher.user.len().max(publisher.client.len()).max(key);
        let name = append.channel.as_str().len();
        let len = convert::to_u64(publication_len(append) + record::channel_len(name));
        text > TEXT_BYTES_MAX || len > self.policy.segment_bytes().as_bytes() / 4
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

fn publication_len(append: &Append) -> usize {
    let key = append.idempotency_key.as_ref().map_or(0, bytes::Bytes::len);
    let publisher = &append.publisher;
    let texts = publisher.user.len() + publisher.client.len() + key;
    record::publication_len(append.retention, texts, append.data.len())
}

fn pending_cost(append: &Append) -> usize {
    PENDING_OVERHEAD_BYTES + append.channel.as_str().len() + publication_len(append)
}
