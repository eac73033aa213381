//! The place of a new channel when a limit of channels is reached: the oldest channels without visible publications are
//! forgotten in favour of new ones.
//!
//! Such a channel has nothing to read, and after [`dedup_window`](crate::policy::LogPolicy::dedup_window) without a
//! publication no idempotency key: only its epoch and its high watermark are lost. `retention` writes the record of its
//! removal, in the batch that creates the new channel.

use std::collections::VecDeque;
use std::time::Duration;

use steadfast_engine::Append;
use steadfast_machine::{Instant, Timestamp, convert};

use crate::Log;
use crate::batch::Batch;
use crate::channels::Channel;
use crate::event::{Event, LogLimit};
use crate::record;

/// The maximum number of channels that one search finds.
const FOUND_MAX: usize = 1_000;
/// The maximum number of channels that one append replaces, so that the records of their removal fit into a new segment.
/// A long name may need the place of several short ones. More are necessary only after a limit was lowered; then each new
/// channel takes the place of so many, until the limit holds.
const REPLACED_MAX: usize = 8;
/// All channels are searched at most once in this time: a search reads each of up to a million channels.
const SEARCH_PERIOD: Duration = Duration::from_secs(1);

/// The oldest channels without visible publications, as of the last search.
#[derive(Debug, Default)]
pub(crate) struct Vacancies {
    /// With the time of the newest publication, oldest first.
    found: VecDeque<(u32, Timestamp)>,
    searched_at: Option<Instant>,
}

impl Log {
    /// The channels whose place a new channel takes, usually none; or the limit, if there are not enough of them.
    pub(crate) fn replaced_channels(
        &mut self,
        batch: &Batch,
        append: &Append,
    ) -> Result<Vec<u32>, LogLimit> {
        let mut replaced = Vec::new();
        let before = batch.removed_channels();
        let mut removed = before;
        while let Some(limit) = self.limit_for_channel(append, removed) {
            if replaced.len() == REPLACED_MAX {
                let needs_less = channel_bytes(append) <= removed.1 - before.1;
                return if needs_less { Ok(replaced) } else { Err(limit) };
            }
            let Some(id) = self.vacant(&replaced) else {
                return Err(limit);
            };
            removed.0 += 1;
            removed.1 += self.state.channels.checkpoint_bytes_of(id);
            replaced.push(id);
            if self.reported_replacements.insert(limit) {
                self.notify(Event::ChannelReplaced { limit });
            }
        }
        Ok(replaced)
    }

    /// The limit that does not allow one more channel, once so many channels and bytes of them are removed.
    fn limit_for_channel(&self, append: &Append, removed: (usize, u64)) -> Option<LogLimit> {
        let len = channel_bytes(append);
        let channels = &self.state.channels;
        if channels.len() - removed.0 >= self.policy.channels_max() {
            Some(LogLimit::Channels)
        } else if channels.checkpoint_bytes() - removed.1 + len > self.policy.shares().channels {
            Some(LogLimit::CheckpointBytes)
        } else {
            None
        }
    }

    /// The oldest vacant channel that is not taken yet. A search may find channels that are older than the taken ones, whose
    /// removal was rolled back since the last search.
    fn vacant(&mut self, taken: &[u32]) -> Option<u32> {
        // Without another epoch for later channels, none can be removed.
        if self.state.new_channel_epoch.counter() == u32::MAX {
            return None;
        }
        loop {
            let mut index = 0;
            while let Some((id, at)) = self.vacancies.found.get(index).copied() {
                if taken.contains(&id) {
                    index += 1;
                    continue;
                }
                let channel = self.state.channels.by_id(id);
                if channel.is_some_and(|channel| channel.last_at == at && self.is_vacant(channel)) {
                    return Some(id);
                }
                self.vacancies.found.remove(index);
            }
            let searched_at = self.vacancies.searched_at;
            if searched_at.is_some_and(|at| self.now.saturating_since(at) < SEARCH_PERIOD) {
                return None;
            }
            self.search_vacant();
        }
    }

    /// Whether nothing but the position of a channel is lost with it. The window of its newest key has passed, because no
    /// key is newer than the newest publication.
    fn is_vacant(&self, channel: &Channel) -> bool {
        let age = self.time().saturating_since(channel.last_at);
        channel.is_idle() && channel.entries.is_empty() && age > self.policy.dedup_window()
    }

    fn search_vacant(&mut self) {
        let ages = self.ages();
        for channel in self.state.channels.iter_mut() {
            channel.prune(&self.policy, &ages);
        }
        let channels = self.state.channels.iter();
        let mut found: Vec<(Timestamp, u32)> = channels
            .filter(|(_, channel)| self.is_vacant(channel))
            .map(|(id, channel)| (channel.last_at, id))
            .collect();
        found.sort_unstable();
        found.truncate(FOUND_MAX);
        self.vacancies = Vacancies {
            found: found.into_iter().map(|(at, id)| (id, at)).collect(),
            searched_at: Some(self.now),
        };
    }
}

/// The size of the append's channel in a checkpoint, in bytes.
fn channel_bytes(append: &Append) -> u64 {
    convert::to_u64(record::channel_len(append.channel.as_str().len()))
}
