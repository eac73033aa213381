//! From what cores ask to a group: admission, offsets, keys, and where a group ends.
//!
//! A group ends when nothing waits, when it is large enough, when the segment is full, or before an append to a
//! channel that this very group forgets. It changes what is assigned, never what is committed.

use crate::log::channels::{Channel, Entry};
use crate::log::dedupe::Scope;
use crate::log::event::Limit;
use crate::log::group::{Effect, Group, Item};
use crate::log::io::{Answer, Append, Refusal, Ticket};
use crate::log::record::{self, Stored, TEXT_BYTES_MAX};
use crate::log::{Log, Phase};

/// Bytes of a segment that only control records may use, so that a full one can still be closed cleanly.
const CONTROL_BYTES: u64 = 256;
/// What a waiting append costs beside its bytes, roughly.
const WAITING_BYTES: usize = 256;

/// Why a group takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Nothing waits.
    Drained,
    /// What waits must wait for the next group.
    Full,
    /// The segment has no room for what waits.
    NoRoom,
}

enum Placing {
    Done,
    Stopped(Stop, Append),
}

impl Log {
    /// Takes an append into the queue, or refuses it.
    pub(super) fn accept_append(&mut self, append: Append) {
        let cost = waiting_cost(&append);
        match self.phase {
            Phase::Waiting | Phase::Opening(_) => {
                return self.refuse(append.ticket, Refusal::Limit);
            }
            Phase::Ended => return self.refuse(append.ticket, Refusal::Closing),
            Phase::Running => {}
        }
        if self.writer.closing {
            self.refuse(append.ticket, Refusal::Closing);
        } else if let Some(why) = self.writer.obstacle.refusal() {
            self.refuse_unless_known(&append, why);
        } else if self.is_too_large(&append) {
            self.refuse(append.ticket, Refusal::TooLarge);
        } else if self.writer.queue_bytes + cost > self.policy.pending_bytes_max().as_len() {
            self.refuse_for(append.ticket, Limit::Pending);
        } else {
            self.writer.queue_bytes += cost;
            self.writer.queue.push_back(append);
        }
    }

    /// Fills the group from the queue.
    pub(super) fn place_appends(&mut self, group: &mut Group) -> Stop {
        while let Some(append) = self.writer.queue.pop_front() {
            let cost = waiting_cost(&append);
            match self.place_append(group, append) {
                Placing::Done => self.writer.queue_bytes -= cost,
                Placing::Stopped(stop, append) => {
                    self.writer.queue.push_front(append);
                    return stop;
                }
            }
        }
        Stop::Drained
    }

    /// Refuses everything that waits; a repeat of a durable key still gets its answer.
    pub(super) fn refuse_queue(&mut self, why: Refusal) {
        self.writer.queue_bytes = 0;
        for append in std::mem::take(&mut self.writer.queue) {
            self.refuse_unless_known(&append, why);
        }
    }

    fn refuse_unless_known(&mut self, append: &Append, why: Refusal) {
        let channel = self.state.channels.find(&append.channel);
        let known = channel.and_then(|id| Some((id, scope(id, append)?)));
        let found =
            known.and_then(|(id, scope)| Some((id, self.state.window.find(self.now, &scope)?)));
        match found {
            Some((id, known)) if known.durable => {
                self.answer_repeat(append.ticket, id, known.offset);
            }
            Some(_) | None => self.refuse(append.ticket, why),
        }
    }

    fn place_append(&mut self, group: &mut Group, append: Append) -> Placing {
        let known = self.state.channels.find(&append.channel);
        let leaving = known
            .and_then(|id| self.state.channels.by_id(id))
            .is_some_and(|channel| channel.leaving);
        if leaving {
            return Placing::Stopped(Stop::Full, append);
        }
        let id = known.unwrap_or_else(|| self.state.channels.free_id());
        let scope = scope(id, &append);
        if let Some(scope) = &scope {
            if let Some(first) = self.state.window.find(self.now, scope) {
                let (ticket, channel, offset) = (append.ticket, id, first.offset);
                if first.durable {
                    self.answer_repeat(ticket, channel, offset);
                } else {
                    group.items.push(Item::Repeat {
                        ticket,
                        channel,
                        offset,
                    });
                }
                return Placing::Done;
            }
            if self.state.window.len() >= self.policy.keys_max() {
                self.refuse_for(append.ticket, Limit::Keys);
                return Placing::Done;
            }
        }
        if known.is_none() && !self.has_room_for_channel(&append) {
            self.refuse_for(append.ticket, Limit::Channels);
            return Placing::Done;
        }
        let created = if known.is_none() {
            record::channel_len(append.channel.as_str().len())
        } else {
            0
        };
        let len = wide(publication_len(&append) + created);
        if !group.fits(len, CONTROL_BYTES) {
            return Placing::Stopped(Stop::NoRoom, append);
        }
        let group_bytes_max = self.policy.group_bytes_max().as_bytes();
        if !group.items.is_empty() && group.end() - group.at + len > group_bytes_max {
            return Placing::Stopped(Stop::Full, append);
        }
        if known.is_none() {
            self.create_channel(group, id, &append);
        }
        self.encode_append(group, id, scope.as_ref(), append);
        Placing::Done
    }

    fn has_room_for_channel(&self, append: &Append) -> bool {
        let len = wide(record::channel_len(append.channel.as_str().len()));
        let bytes_max = self.policy.segment_bytes().as_bytes() / 8 * 3;
        self.state.channels.len() < self.policy.channels_max()
            && self.state.channels.checkpoint_bytes() + len <= bytes_max
    }

    fn create_channel(&mut self, group: &mut Group, id: u32, append: &Append) {
        let epoch = self.state.generation;
        let channel = Channel::new(append.channel.clone(), epoch, 0, self.wall);
        group.encode(&Stored::Channel(record::Channel {
            id,
            epoch,
            top: 0,
            start: 1,
            last_at: self.wall,
            name: append.channel.as_str(),
        }));
        let inserted = self.state.channels.insert(id, channel);
        assert!(inserted, "a free id takes a new channel");
        group.created.push(id);
    }

    fn encode_append(&mut self, group: &mut Group, id: u32, scope: Option<&Scope>, append: Append) {
        let Some(channel) = self.state.channels.by_id_mut(id) else {
            return;
        };
        channel.assigned += 1;
        let offset = channel.assigned;
        let position = group.end();
        let len = group.encode(&Stored::Publication(record::Publication {
            channel: id,
            offset,
            at: self.wall,
            user: &append.author.user,
            client: &append.author.client,
            key: append.key.as_deref(),
            data: &append.data,
        }));
        if let Some(scope) = scope {
            self.state.window.assign(self.now, scope, offset, self.wall);
        }
        let entry = Entry {
            segment: group.ordinal,
            position: u32::try_from(position).expect("a segment is smaller than 4 GiB"),
            len: u32::try_from(len).expect("a record is smaller than a segment"),
            at: self.wall,
        };
        group.items.push(Item::Publication {
            channel: id,
            offset,
            entry,
            append,
        });
    }

    /// Answers a repeat with what the first one got.
    pub(super) fn answer_repeat(&mut self, ticket: Ticket, channel: u32, offset: u64) {
        let Some(channel) = self.state.channels.by_id(channel) else {
            return self.refuse(ticket, Refusal::Limit);
        };
        let epoch = channel.epoch;
        self.counters.duplicates += 1;
        self.answer(
            ticket,
            Answer::Appended {
                epoch,
                offset,
                duplicate: true,
            },
        );
    }

    /// A record may take a quarter of a segment: what is left of a fresh one behind the largest checkpoint holds it.
    fn is_too_large(&self, append: &Append) -> bool {
        let author = &append.author;
        let key = append.key.as_ref().map_or(0, bytes::Bytes::len);
        let text = author.user.len().max(author.client.len()).max(key);
        let name = append.channel.as_str().len();
        let len = wide(publication_len(append) + record::channel_len(name));
        text > TEXT_BYTES_MAX || len > self.policy.segment_bytes().as_bytes() / 4
    }

    /// Seals a segment that has no room for what waits, if the next one is at hand.
    pub(super) fn place_seal(&mut self, group: &mut Group) {
        if let Some(next) = self.writer.next.ready() {
            group.encode(&Stored::End { next: next.number });
            group.effect = Effect::Seal;
        } else if group.bytes.is_empty() {
            self.miss_segment();
        }
    }
}

/// What the append's key is scoped to, if it has one.
pub(super) fn scope(channel: u32, append: &Append) -> Option<Scope> {
    let key = append.key.clone()?;
    Some(Scope {
        channel,
        user: append.author.user.clone(),
        key,
    })
}

fn publication_len(append: &Append) -> usize {
    let key = append.key.as_ref().map_or(0, bytes::Bytes::len);
    record::publication_len(
        append.author.user.len(),
        append.author.client.len(),
        key,
        append.data.len(),
    )
}

fn waiting_cost(append: &Append) -> usize {
    WAITING_BYTES + append.channel.as_str().len() + publication_len(append)
}

fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
