//! What is no longer shown, no longer kept, and no longer known.
//!
//! Count and age hide publications of a channel, bytes remove whole segments, and a channel whose last publication is
//! too old is forgotten. The wall clock decides about ages and may jump: what is hidden stays hidden until a restart.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::epoch::ChannelEpoch;
use crate::log::Log;
use crate::log::event::Event;
use crate::log::group::Group;
use crate::log::record::{HEAD_BYTES, Stored};

/// How often ages are looked at; hidden publications do not depend on it, only the memory they hold.
const AGE_PERIOD: Duration = Duration::from_mins(1);
/// Channels that one group forgets at most.
const FORGOTTEN_MAX: usize = 1_000;
/// What the record of a forgotten channel takes, with what a segment keeps free behind it.
const FORGOTTEN_ROOM: u64 = 16 + 256;

impl Log {
    /// The ordinal of the oldest segment that stays when a new one begins.
    ///
    /// The next segment counts already, since it is ordered at once. A segment with more live keys than a checkpoint
    /// may carry stays until they are old enough.
    pub(super) fn first_kept(&self) -> u32 {
        let size = crate::log::opening::segment_size(&self.policy, &self.state);
        let mut bytes = self.state.segments.bytes() + size;
        let mut carried = 0;
        let mut kept = self.state.segments.first();
        for (ordinal, segment) in self.state.segments.iter() {
            carried += self.state.window.bytes_of_segment(ordinal);
            let is_last = ordinal == self.state.segments.last();
            if is_last || bytes <= self.policy.log_bytes().as_bytes() || carried > size / 8 {
                break;
            }
            bytes -= segment.size;
            kept = ordinal + 1;
        }
        kept
    }

    /// Sets the next look at ages if there is anything that ages.
    pub(super) fn watch_ages(&mut self) {
        if self.timers.age.is_none()
            && (self.state.channels.len() > 0 || self.state.window.len() > 0)
        {
            self.timers.age = Some(self.now + AGE_PERIOD);
        }
    }

    /// Looks at every age.
    pub(super) fn look_at_ages(&mut self) {
        self.told.clear();
        self.state.window.expire(self.now);
        for channel in self.state.channels.iter_mut() {
            channel.prune(&self.policy, self.wall);
        }
        let kept = self.policy.channel_kept();
        let forgettable = self.state.channels.iter().filter(|(_, channel)| {
            let idle = channel.assigned == channel.top && !channel.leaving;
            idle && self.wall.saturating_since(channel.last_at) > kept
        });
        self.writer.forget = forgettable.map(|(id, _)| id).take(FORGOTTEN_MAX).collect();
        self.watch_ages();
    }

    /// Adds the channels to forget. Another generation begins with them, so that a later channel of the same name has
    /// another epoch.
    pub(super) fn place_forgotten(&mut self, group: &mut Group) {
        let candidates = std::mem::take(&mut self.writer.forget);
        let before = self.state.generation;
        let Some(counter) = before.counter.checked_add(1) else {
            return;
        };
        let generation = ChannelEpoch { counter, ..before };
        let mut forgotten = BTreeSet::new();
        for id in candidates {
            let room = u64::try_from(HEAD_BYTES).unwrap_or(u64::MAX);
            if !group.fits(room, FORGOTTEN_ROOM) {
                break;
            }
            let kept = self.policy.channel_kept();
            let wall = self.wall;
            if let Some(channel) = self.state.channels.by_id_mut(id)
                && channel.assigned == channel.top
                && wall.saturating_since(channel.last_at) > kept
            {
                channel.leaving = true;
                group.encode(&Stored::Forgotten {
                    channel: id,
                    generation,
                });
                forgotten.insert(id);
            }
        }
        if !forgotten.is_empty() {
            group.forgotten = Some((forgotten, generation));
        }
    }

    /// The channels are forgotten for good.
    pub(super) fn commit_forgotten(&mut self, channels: &BTreeSet<u32>, generation: ChannelEpoch) {
        for id in channels {
            self.state.channels.remove(*id);
        }
        self.state.window.forget(channels);
        self.state.generation = generation;
        let forgotten = u64::try_from(channels.len()).unwrap_or(u64::MAX);
        self.notify(Event::ChannelsForgotten {
            channels: forgotten,
        });
    }
}
