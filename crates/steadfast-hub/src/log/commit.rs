//! The writer's side: builds a group, has it written and synced, and makes it true.
//!
//! ```text
//! Idle --group built--> Writing --Written--> Syncing --Synced--> committed, Idle
//!                          `--Written, if the policy needs no sync--> committed, Idle
//! ```
//!
//! At most one write or sync is under way. Failures are dealt with in `fault`, the beginning of a segment in
//! `checkpoint`, what goes into a group in `append`.

use std::collections::VecDeque;

use crate::log::append::{self, Stop};
use crate::log::event::{Event, Health};
use crate::log::group::{Effect, Group, Item};
use crate::log::io::{Answer, Append, Committed, Output, Record, Refusal, SegmentNumber};
use crate::log::open::OpenReport;
use crate::log::opening::Resumption;
use crate::log::record::{END_BYTES, Opened, Stored};
use crate::log::segment::{Cursor, Next, Segment};
use crate::log::{Log, Phase};
use crate::policy::log::Fsync;

/// The writer's state.
#[derive(Debug)]
pub(super) struct Writer {
    /// What is under way.
    pub(super) work: Work,
    /// Appends that wait for a group.
    pub(super) queue: VecDeque<Append>,
    /// What they cost.
    pub(super) queue_bytes: usize,
    /// Where the next record goes.
    pub(super) cursor: Cursor,
    /// True when the current segment takes no more records, or there is none.
    pub(super) sealed: bool,
    /// The segment after the current one.
    pub(super) next: Next,
    /// What stands in the way of publications.
    pub(super) obstacle: Obstacle,
    /// The record that says that the log was opened, until it is written.
    pub(super) opened: Option<(Opened, OpenReport)>,
    /// Channels to forget with the next group.
    pub(super) forget: Vec<u32>,
    /// True once the process wants to end.
    pub(super) closing: bool,
    /// True when the interval is over.
    pub(super) sync_due: bool,
    /// Segments that a run before left behind.
    pub(super) leftovers: Vec<SegmentNumber>,
    /// Segments that could not be removed yet.
    pub(super) remove_again: Vec<SegmentNumber>,
}

/// What is under way.
#[derive(Debug)]
pub(super) enum Work {
    /// Nothing.
    Idle,
    /// A write.
    Writing(Box<Group>),
    /// A sync, and the group that waits for it.
    Syncing(Option<Box<Group>>),
}

/// What stands in the way of publications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// Nothing.
    Clear,
    /// The segment is full and the next one cannot be had.
    NoSegment,
    /// A write found no room.
    NoRoom {
        /// True when it is to be tried again now.
        probing: bool,
    },
    /// A write or a sync failed.
    Poisoned,
}

impl Obstacle {
    /// Why an append is refused because of it.
    pub(super) const fn refusal(self) -> Option<Refusal> {
        match self {
            Self::Clear => None,
            Self::NoSegment => Some(Refusal::NoSpace),
            Self::NoRoom { .. } => Some(Refusal::NoSpace),
            Self::Poisoned => Some(Refusal::Poisoned),
        }
    }
}

impl Default for Writer {
    fn default() -> Self {
        Self {
            work: Work::Idle,
            queue: VecDeque::new(),
            queue_bytes: 0,
            cursor: Cursor::default(),
            sealed: true,
            next: Next::Absent(SegmentNumber(1)),
            obstacle: Obstacle::Clear,
            opened: None,
            forget: Vec::new(),
            closing: false,
            sync_due: false,
            leftovers: Vec::new(),
            remove_again: Vec::new(),
        }
    }
}

impl Writer {
    /// What the log can do, as far as the writer knows.
    pub(super) const fn health(&self) -> Health {
        match self.obstacle {
            Obstacle::Poisoned => Health::Poisoned,
            Obstacle::Clear if self.closing => Health::Closing,
            Obstacle::Clear if self.is_opening() => Health::Opening,
            Obstacle::Clear => Health::Serving,
            Obstacle::NoSegment => Health::Full,
            Obstacle::NoRoom { .. } => Health::Full,
        }
    }

    /// True until the record that says that the log was opened is durable.
    pub(super) const fn is_opening(&self) -> bool {
        let written = match &self.work {
            Work::Idle => None,
            Work::Writing(group) => group.opened.as_ref(),
            Work::Syncing(None) => None,
            Work::Syncing(Some(group)) => group.opened.as_ref(),
        };
        self.opened.is_some() || written.is_some()
    }
}

impl Log {
    /// Goes on with what was found while opening.
    pub(super) fn resume(&mut self, resumption: Resumption) {
        self.state = resumption.state;
        self.writer.cursor = resumption.cursor;
        self.writer.sealed = resumption.sealed;
        self.writer.next = resumption.next;
        self.writer.opened = Some((resumption.opened, resumption.report));
        self.writer.leftovers = resumption.remove;
        self.order_next();
        self.watch_ages();
        let Some(current) = self.state.segments.current() else {
            self.remove_leftovers();
            return self.advance();
        };
        // A process that was killed may have written what no sync covers: it was read, but can still be lost. Nothing
        // is built on it before.
        self.order_sync(current.number);
    }

    fn remove_leftovers(&mut self) {
        for segment in std::mem::take(&mut self.writer.leftovers) {
            self.outputs.push_back(Output::Remove { segment });
        }
    }

    /// Does the next thing, if nothing is under way.
    pub(super) fn advance(&mut self) {
        if !matches!(self.phase, Phase::Running) || !matches!(self.writer.work, Work::Idle) {
            return;
        }
        // What was acknowledged becomes durable in time, also when no more can be written.
        if self.writer.sync_due && self.writer.obstacle != Obstacle::Poisoned {
            self.writer.sync_due = false;
            if self.order_sync_of_rest() {
                return;
            }
        }
        match self.writer.obstacle {
            Obstacle::Clear | Obstacle::NoRoom { probing: true } => {}
            Obstacle::NoSegment | Obstacle::NoRoom { probing: false } | Obstacle::Poisoned => {
                return self.give_up_closing();
            }
        }
        if self.writer.sealed && !self.enter_next() {
            return self.give_up_closing();
        }
        if let Some(group) = self.build_group() {
            self.write(group);
        }
    }

    fn build_group(&mut self) -> Option<Group> {
        let current = self.state.segments.current()?;
        let stamp = self.writer.cursor.stamp(current.number);
        let mut group = Group::new(
            stamp,
            self.state.segments.last(),
            self.writer.cursor.end,
            current.size,
        );
        if self.writer.cursor.end == 0 {
            self.place_head(&mut group);
        }
        let mut stop = self.place_controls(&mut group);
        if stop == Stop::Drained {
            stop = self.place_appends(&mut group);
        }
        if stop == Stop::NoRoom {
            self.place_seal(&mut group);
            self.give_up_closing();
        } else if self.writer.closing && group.bytes.is_empty() && stop == Stop::Drained {
            self.place_clean_end(&mut group);
        }
        (!group.bytes.is_empty()).then_some(group)
    }

    /// Adds what the log itself has to say.
    fn place_controls(&mut self, group: &mut Group) -> Stop {
        if let Some((opened, report)) = self.writer.opened {
            if !group.fits(u64::from(u8::MAX), END_BYTES) {
                return Stop::NoRoom;
            }
            group.encode(&Stored::Opened(opened));
            group.opened = Some((opened, report));
            self.writer.opened = None;
        }
        if matches!(self.writer.obstacle, Obstacle::NoRoom { .. }) {
            if !group.fits(u64::from(u8::MAX), END_BYTES) {
                return Stop::NoRoom;
            }
            group.encode(&Stored::Void);
            group.effect = Effect::Probe;
            return Stop::Full;
        }
        self.place_forgotten(group);
        Stop::Drained
    }

    fn place_clean_end(&mut self, group: &mut Group) {
        if self.order_sync_of_rest() {
            return;
        }
        if group.fits(2 * END_BYTES, END_BYTES) {
            group.encode(&Stored::Clean { at: self.wall });
            group.effect = Effect::Clean;
        } else {
            self.end_unclean();
        }
    }

    fn write(&mut self, mut group: Group) {
        let bytes = group.take_bytes();
        self.cache.push(group.ordinal, group.at, bytes.clone());
        self.outputs.push_back(Output::Write {
            segment: group.segment,
            at: group.at,
            bytes,
        });
        self.writer.work = Work::Writing(Box::new(group));
    }

    /// Orders a sync if something was written since the last one.
    fn order_sync_of_rest(&mut self) -> bool {
        let current = self.state.segments.current();
        let rest = self.writer.cursor.end > self.writer.cursor.synced;
        let Some(current) = current.filter(|_| rest && !self.writer.sealed) else {
            return false;
        };
        self.order_sync(current.number);
        true
    }

    /// Orders a sync that no group waits for.
    fn order_sync(&mut self, segment: SegmentNumber) {
        self.outputs.push_back(Output::Sync { segment });
        self.writer.work = Work::Syncing(None);
    }

    /// A write succeeded.
    pub(super) fn on_written(&mut self) {
        let Work::Writing(group) = std::mem::replace(&mut self.writer.work, Work::Idle) else {
            return;
        };
        self.writer.cursor.end = group.written_end;
        if self.needs_sync(&group) {
            self.outputs.push_back(Output::Sync {
                segment: group.segment,
            });
            self.writer.work = Work::Syncing(Some(group));
            return;
        }
        self.commit(*group);
        if let Fsync::Interval(interval) = self.policy.fsync() {
            let at = self.now + interval;
            self.timers.sync.get_or_insert(at);
        }
        self.advance();
    }

    /// Whatever the policy says: the beginning and the end of segments and runs are synced, so that one segment
    /// vouches for the one before, and a clean end for everything.
    fn needs_sync(&self, group: &Group) -> bool {
        let milestone =
            group.head.is_some() || group.opened.is_some() || group.effect != Effect::Plain;
        milestone || self.policy.fsync() == Fsync::Always
    }

    /// A sync succeeded.
    pub(super) fn on_synced(&mut self) {
        let Work::Syncing(group) = std::mem::replace(&mut self.writer.work, Work::Idle) else {
            return;
        };
        self.counters.syncs += 1;
        self.writer.cursor.synced = self.writer.cursor.end;
        self.timers.sync = None;
        self.remove_leftovers();
        if let Some(group) = group {
            self.commit(*group);
        }
        self.advance();
    }

    /// Makes a group true: shows it, answers for it, and does what else it stands for.
    fn commit(&mut self, group: Group) {
        self.counters.groups += 1;
        if let Some(head) = group.head {
            self.commit_head(group.ordinal, group.segment, head);
        }
        if let Some((_, report)) = group.opened {
            self.outputs.push_back(Output::Opened(report));
        }
        if let Some((channels, generation)) = group.forgotten {
            self.commit_forgotten(&channels, generation);
        }
        for item in group.items {
            self.commit_item(item);
        }
        self.watch_ages();
        match group.effect {
            Effect::Plain => {}
            Effect::Probe => self.heal(),
            Effect::Seal => self.writer.sealed = true,
            Effect::Clean => self.end(),
        }
    }

    fn commit_item(&mut self, item: Item) {
        match item {
            Item::Publication {
                channel: id,
                offset,
                entry,
                append,
            } => {
                let scope = append::scope(id, &append);
                let Some(channel) = self.state.channels.by_id_mut(id) else {
                    return;
                };
                channel.top = offset;
                channel.last_at = entry.at;
                channel.entries.push_back(entry);
                channel.prune(&self.policy, self.wall);
                let epoch = channel.epoch;
                if let Some(scope) = scope {
                    self.state.window.confirm(&scope, entry.segment);
                }
                self.counters.committed += 1;
                let record = Record {
                    offset,
                    data: append.data,
                    author: append.author,
                    at: entry.at,
                };
                self.outputs.push_back(Output::Commit(Committed {
                    channel: append.channel,
                    epoch,
                    record,
                }));
                self.answer(
                    append.ticket,
                    Answer::Appended {
                        epoch,
                        offset,
                        duplicate: false,
                    },
                );
            }
            Item::Repeat {
                ticket,
                channel,
                offset,
            } => self.answer_repeat(ticket, channel, offset),
        }
    }

    /// The process wants to end.
    pub(super) fn on_close_requested(&mut self) {
        match self.phase {
            Phase::Waiting | Phase::Opening(_) => self.end(),
            Phase::Running => {
                self.writer.closing = true;
                self.advance();
            }
            Phase::Ended => self.end(),
        }
    }

    /// Ends without the mark of a clean end when it cannot be written.
    pub(super) fn give_up_closing(&mut self) {
        let blocked = self.writer.obstacle != Obstacle::Clear;
        if self.writer.closing && blocked && matches!(self.writer.work, Work::Idle) {
            self.end_unclean();
        }
    }

    pub(super) fn end_unclean(&mut self) {
        self.notify(Event::EndedUnclean);
        self.end();
    }

    fn end(&mut self) {
        self.phase = Phase::Ended;
        self.refuse_queue(Refusal::Closing);
        self.refuse_reads(Refusal::Closing);
        self.outputs.push_back(Output::Closed);
    }

    /// Begins to write to the next segment, if it is at hand.
    fn enter_next(&mut self) -> bool {
        if let Some(next) = self.writer.next.ready() {
            self.state.segments.push(next);
            self.writer.cursor = Cursor {
                end: 0,
                synced: 0,
                life: self.writer.cursor.life,
            };
            self.writer.sealed = false;
            self.writer.next = Next::Absent(SegmentNumber(next.number.0.saturating_add(1)));
            return true;
        }
        self.order_next();
        self.miss_segment();
        false
    }

    /// Orders the next segment ahead of its need.
    pub(super) fn order_next(&mut self) {
        if let Next::Absent(number) = self.writer.next {
            let size = crate::log::opening::segment_size(&self.policy, &self.state);
            self.order_segment(Segment { number, size });
        }
    }

    pub(super) fn order_segment(&mut self, segment: Segment) {
        self.writer.next = Next::Ordered(segment);
        self.outputs.push_back(Output::Reserve {
            segment: segment.number,
            bytes: segment.size,
        });
    }
}
