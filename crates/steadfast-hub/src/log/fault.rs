//! What becomes of the log when the storage refuses.
//!
//! No room is temporary: the group is taken back, publications are refused, and it is tried again. Anything else
//! means that nobody knows what is on the disk: the log is poisoned until a restart reads it anew. Readers go on.
//!
//! Until the record of the opening is durable there is nothing to go on with, so a log that cannot write it refuses to
//! start, whatever the reason: whoever starts it is there to do something about it.

use crate::log::Log;
use crate::log::append;
use crate::log::commit::{Obstacle, Work};
use crate::log::event::Event;
use crate::log::group::{Effect, Group, Item};
use crate::log::io::{Output, Refusal, SegmentNumber, StorageFault};
use crate::log::open::{Damage, DamageKind};
use crate::log::segment::Next;

impl Log {
    /// The write under way failed.
    pub(super) fn on_write_failed(&mut self, fault: StorageFault) {
        let Work::Writing(group) = std::mem::replace(&mut self.writer.work, Work::Idle) else {
            return;
        };
        match fault {
            StorageFault::NoSpace => self.take_back_for_space(*group),
            StorageFault::Broken => self.poison(Some(*group), fault),
        }
    }

    /// The sync under way failed. What was written may be on the disk or not, even if the reason was a full disk.
    pub(super) fn on_sync_failed(&mut self, fault: StorageFault) {
        let Work::Syncing(group) = std::mem::replace(&mut self.writer.work, Work::Idle) else {
            return;
        };
        self.poison(group.map(|group| *group), fault);
    }

    /// The next segment could not be had.
    pub(super) fn on_reserve_failed(&mut self, number: SegmentNumber, fault: StorageFault) {
        let Next::Ordered(segment) = self.writer.next else {
            return;
        };
        if segment.number != number {
            return;
        }
        self.writer.next = Next::Failed(segment, fault);
        self.tell_full(number, fault);
        self.plan_retry();
        self.advance();
    }

    /// The next segment is needed now; if it was ordered in vain, nothing more can be written.
    pub(super) fn miss_segment(&mut self) {
        let Next::Failed(segment, fault) = self.writer.next else {
            return;
        };
        if self.writer.opened.is_some() {
            return self.refuse_to_start(segment.number, 0, fault);
        }
        self.writer.obstacle = Obstacle::NoSegment;
        self.refuse_queue(Refusal::NoSpace);
    }

    /// The next segment exists.
    pub(super) fn on_reserved(&mut self, number: SegmentNumber) {
        let Next::Ordered(segment) = self.writer.next else {
            return;
        };
        if segment.number != number {
            return;
        }
        self.writer.next = Next::Ready(segment);
        if self.writer.obstacle == Obstacle::NoSegment {
            self.writer.obstacle = Obstacle::Clear;
        }
        self.tell_healed();
        self.advance();
    }

    /// A segment could not be removed.
    pub(super) fn on_remove_failed(&mut self, segment: SegmentNumber) {
        self.notify(Event::RemoveFailed { segment });
        self.writer.remove_again.push(segment);
        self.plan_retry();
    }

    /// Tries again what the storage refused.
    pub(super) fn retry(&mut self) {
        for segment in std::mem::take(&mut self.writer.remove_again) {
            self.outputs.push_back(Output::Remove { segment });
        }
        if let Next::Failed(segment, _) = self.writer.next {
            self.order_segment(segment);
        }
        if self.writer.obstacle == (Obstacle::NoRoom { probing: false }) {
            self.writer.obstacle = Obstacle::NoRoom { probing: true };
        }
    }

    /// There is room again.
    pub(super) fn heal(&mut self) {
        self.writer.obstacle = Obstacle::Clear;
        self.tell_healed();
    }

    /// Takes a group back as if it had never been: half of it may stand on the disk, so a new life begins, behind
    /// which those bytes never count.
    fn take_back_for_space(&mut self, group: Group) {
        let (segment, effect) = (group.segment, group.effect);
        if group.opened.is_some() || self.writer.opened.is_some() {
            return self.refuse_to_start(segment, group.at, StorageFault::NoSpace);
        }
        self.writer.cursor.life = self.writer.cursor.life.saturating_add(1);
        self.writer.obstacle = Obstacle::NoRoom { probing: false };
        self.take_back(group, Refusal::NoSpace);
        self.refuse_queue(Refusal::NoSpace);
        self.tell_full(segment, StorageFault::NoSpace);
        self.plan_retry();
        if effect == Effect::Clean {
            self.end_unclean();
        } else {
            self.give_up_closing();
        }
    }

    fn poison(&mut self, group: Option<Group>, fault: StorageFault) {
        let current = self.state.segments.current();
        let segment = current.map_or(SegmentNumber(0), |segment| segment.number);
        let written = group.as_ref().and_then(|group| group.opened.as_ref());
        if written.is_some() || self.writer.opened.is_some() {
            return self.refuse_to_start(segment, self.writer.cursor.end, fault);
        }
        self.writer.obstacle = Obstacle::Poisoned;
        if let Some(group) = group {
            self.take_back(group, Refusal::Poisoned);
        }
        self.refuse_queue(Refusal::Poisoned);
        self.notify(Event::Poisoned { segment, fault });
        self.give_up_closing();
    }

    /// The record of the opening cannot be written.
    fn refuse_to_start(&mut self, segment: SegmentNumber, at: u64, fault: StorageFault) {
        self.refuse_to_open(Damage {
            segment,
            at,
            why: DamageKind::Unusable { fault },
            proof: None,
        });
    }

    /// Gives back offsets, keys and new channels of a group, newest first, and refuses its publications.
    fn take_back(&mut self, group: Group, why: Refusal) {
        self.cache.drop_newest(group.ordinal, group.at);
        if let Some((channels, _)) = group.forgotten {
            for id in channels {
                if let Some(channel) = self.state.channels.by_id_mut(id) {
                    channel.leaving = false;
                }
            }
        }
        for item in group.items {
            match item {
                Item::Publication {
                    channel: id,
                    offset: _,
                    entry: _,
                    append,
                } => {
                    if let Some(scope) = append::scope(id, &append) {
                        self.state.window.give_back(&scope);
                    }
                    if let Some(channel) = self.state.channels.by_id_mut(id) {
                        channel.assigned = channel.top;
                    }
                    self.refuse(append.ticket, why);
                }
                Item::Repeat {
                    ticket,
                    channel: _,
                    offset: _,
                } => self.refuse(ticket, why),
            }
        }
        for id in group.created {
            self.state.channels.remove(id);
        }
    }

    fn plan_retry(&mut self) {
        let at = self.now + self.policy.retry_pause();
        self.timers.retry.get_or_insert(at);
    }

    fn tell_full(&mut self, segment: SegmentNumber, fault: StorageFault) {
        if !self.told_full {
            self.told_full = true;
            self.notify(Event::DiskFull { segment, fault });
        }
    }

    fn tell_healed(&mut self) {
        let blocked =
            self.writer.obstacle != Obstacle::Clear || matches!(self.writer.next, Next::Failed(..));
        if self.told_full && !blocked {
            self.told_full = false;
            self.notify(Event::DiskHealed);
        }
    }
}
