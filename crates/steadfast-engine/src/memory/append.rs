//! Appends: which are rejected, which repeat an idempotency key, and which become publications.

use crate::event::Committed;
use crate::io::{Limit, Output};
use crate::memory::MemoryEngine;
use crate::memory::channels::ChannelSlot;
use crate::memory::dedup::KeyScope;
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
            && let Some(first) = self.find_repeat(slot, &append)
        {
            return self.respond(append.request_id, first);
        }
        if known.is_none() && !append.may_create_channel {
            return self.reject(append.request_id, Rejection::NewChannel);
        }
        if append.idempotency_key.is_some() && self.keys.len() >= self.policy.idempotency_keys_max()
        {
            return self.reject_for_limit(append.request_id, Limit::Keys);
        }
        if known.is_none() && self.channels.len() >= self.policy.channels_max() {
            return self.reject_for_limit(append.request_id, Limit::Channels);
        }
        let slot = known.unwrap_or_else(|| {
            let name = append.channel.clone();
            self.channels
                .create(name, self.new_channel_epoch, self.time)
        });
        self.commit(slot, append);
    }

    /// The result of the first append with the same idempotency key.
    fn find_repeat(&self, slot: ChannelSlot, append: &Append) -> Option<Response> {
        let channel = self.channels.get(slot)?;
        let offset = self.keys.find(&scope(channel.number, append)?)?;
        Some(Response::Appended {
            epoch: channel.epoch,
            offset,
            is_duplicate: true,
            creates_channel: false,
        })
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
        self.channels.prune(slot, &self.policy, self.time);
        self.channels
            .shrink_to(self.policy.history_bytes().as_len());
        if let Some(scope) = scope(number, &append) {
            self.keys.add(self.now, &scope, offset);
        }
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
