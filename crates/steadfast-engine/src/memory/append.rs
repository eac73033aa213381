//! Appends: which are rejected, which repeat an idempotency key, and which become publications.

use crate::event::Committed;
use crate::io::{Limit, Output};
use crate::memory::MemoryEngine;
use crate::memory::channels::{self, ChannelSlot};
use crate::memory::dedup::{self, FirstResult, KeyScope};
use crate::memory::policy::Offsets;
use crate::request::Append;
use crate::response::{Rejection, Response};

impl MemoryEngine {
    pub(super) fn append(&mut self, append: Append) {
        if is_too_large(&append, self.policy.publication_bytes_max().as_len()) {
            return self.reject(append.request_id, Rejection::TooLarge);
        }
        let known = self.channels.find(&append.channel);
        if let Some(slot) = known
            && let Some(response) = self.find_repeat(slot, &append)
        {
            return self.respond(append.request_id, response);
        }
        if known.is_none() && !append.may_create_channel {
            return self.reject(append.request_id, Rejection::NewChannel);
        }
        if let Some(limit) = self.limit_for_key(&append) {
            return self.reject_for_limit(append.request_id, limit);
        }
        // The epoch of a channel without publications is that of its first one, also if another channel is removed now.
        let epoch = self.new_channel_epoch;
        if known.is_none()
            && let Some(limit) = self.replace_channels(&append)
        {
            return self.reject_for_limit(append.request_id, limit);
        }
        let slot = known.unwrap_or_else(|| {
            let name = append.channel.clone();
            self.channels.create(name, epoch, self.time)
        });
        self.commit(slot, append);
    }

    /// The result of the first append with the same idempotency key, or a rejection if its data differs.
    fn find_repeat(&self, slot: ChannelSlot, append: &Append) -> Option<Response> {
        let channel = self.channels.get(slot)?;
        let first = self.keys.find(&scope(channel.number, append)?)?;
        if first.data_hash != dedup::data_hash(append) {
            return Some(Response::Rejected(Rejection::KeyWithOtherData));
        }
        Some(Response::Appended {
            epoch: channel.epoch,
            offset: first.offset,
            is_duplicate: true,
            creates_channel: false,
        })
    }

    /// The limit that does not allow the append's idempotency key, if it has one.
    fn limit_for_key(&self, append: &Append) -> Option<Limit> {
        if let Some(scope) = scope(0, append) {
            if self.keys.len() >= self.policy.idempotency_keys_max() {
                return Some(Limit::Keys);
            }
            if self.keys.bytes() + scope.memory_bytes() > self.policy.share_bytes_max() {
                return Some(Limit::KeyMemory);
            }
        }
        None
    }

    /// Removes the oldest channels without visible publications until one more channel is allowed. Returns the limit if
    /// there are not enough of them.
    fn replace_channels(&mut self, append: &Append) -> Option<Limit> {
        while let Some(limit) = self.limit_for_channel(append) {
            let Some(slot) = self.channels.vacant(&self.policy, self.time) else {
                return Some(limit);
            };
            if !self.remove_channel(slot) {
                return Some(limit);
            }
            self.report_replacement(limit);
        }
        None
    }

    fn limit_for_channel(&self, append: &Append) -> Option<Limit> {
        let bytes = self.channels.channel_bytes() + channels::memory_bytes(&append.channel);
        if self.channels.len() >= self.policy.channels_max() {
            Some(Limit::Channels)
        } else if bytes > self.policy.share_bytes_max() {
            Some(Limit::ChannelMemory)
        } else {
            None
        }
    }

    fn commit(&mut self, slot: ChannelSlot, append: Append) {
        let Some(channel) = self.channels.get(slot) else {
            return;
        };
        let (number, epoch) = (channel.number, channel.epoch);
        let offset = match self.policy.offsets() {
            Offsets::Dense => channel.high_watermark.saturating_add(1),
            Offsets::Increasing { step } => self.last_offset.saturating_add(step),
        };
        self.last_offset = offset;
        let added = self.channels.add(slot, offset, self.time, &append);
        let Some((previous, record)) = added else {
            return;
        };
        if let Some(scope) = scope(number, &append) {
            let data_hash = dedup::data_hash(&append);
            self.keys
                .add(self.now, &scope, FirstResult { offset, data_hash });
        }
        self.channels.prune(slot, &self.policy, self.time);
        self.channels.shrink_to(self.history_bytes_max(), self.time);
        self.outputs.push_back(Output::Commit(Committed {
            channel: append.channel,
            epoch,
            previous,
            record: self.displayed(record),
        }));
        self.respond(
            append.request_id,
            Response::Appended {
                epoch,
                offset,
                is_duplicate: false,
                creates_channel: previous == 0,
            },
        );
    }
}

/// The scope of the append's idempotency key, if it has one.
fn scope(channel: u64, append: &Append) -> Option<KeyScope> {
    Some(KeyScope {
        channel,
        user: append.publisher.user.clone(),
        key: append.idempotency_key.clone()?,
    })
}

fn is_too_large(append: &Append, bytes_max: usize) -> bool {
    let key = append.idempotency_key.as_ref().map_or(0, bytes::Bytes::len);
    let publisher = &append.publisher;
    let texts = append.channel.as_str().len() + publisher.user.len() + publisher.client.len() + key;
    texts + append.data.len() > bytes_max
}
