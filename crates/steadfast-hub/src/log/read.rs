//! Reads of the past: what is asked, which bytes it needs, and the answer in the order of the log.
//!
//! Only committed publications are seen. Fresh ones come from memory, older ones from the storage, neighbours in one
//! read. An answer is as of the moment it leaves: it ends exactly where the commits after it begin. Bytes that are not
//! what was written are never handed out; whoever asked is told that the position cannot be continued.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use steadfast_protocol::message::ChannelName;

use crate::epoch::ChannelEpoch;
use crate::log::channels::{Channel, Entry};
use crate::log::event::{Event, Limit};
use crate::log::io::{
    Answer, Author, Output, Page, Read, ReadAnswer, ReadFrom, Record, Refusal, SegmentNumber,
    Ticket,
};
use crate::log::record::{self, Head, Stored};
use crate::log::{Log, Phase};

/// Reads that the storage is asked to serve at the same time.
const UNDER_WAY_MAX: usize = 64;
/// Records so many bytes apart still share a read: a longer one costs less than another one.
const GAP_MAX: u64 = 4_096;

/// The reads that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Reads {
    waiting: VecDeque<Read>,
    under_way: BTreeMap<u64, Job>,
    /// From the number of an order to its job.
    orders: BTreeMap<u64, u64>,
    last: u64,
}

impl Reads {
    /// A number that was not used before.
    pub(super) const fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

/// A read that knows what it needs.
#[derive(Debug)]
struct Job {
    ticket: Ticket,
    channel: ChannelName,
    id: u32,
    epoch: ChannelEpoch,
    direction: Direction,
    /// In order of offsets.
    wanted: Vec<Wanted>,
    parts: Vec<Part>,
    missing: usize,
    failed: bool,
}

/// Which way a page goes, and the last offset that is behind it before it begins.
#[derive(Clone, Copy, Debug)]
enum Direction {
    Forward { after: u64 },
    Backward { before: u64 },
}

#[derive(Debug)]
struct Wanted {
    offset: u64,
    entry: Entry,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Memory(Bytes),
    Part(usize),
}

/// Bytes to be read from the storage.
#[derive(Debug)]
struct Part {
    order: u64,
    segment: u32,
    from: u64,
    to: u64,
    bytes: Option<Bytes>,
}

enum Planned {
    Unrecoverable,
    Page(Job),
}

impl Log {
    /// Answers a read from memory, or lets it wait for the storage.
    pub(super) fn accept_read(&mut self, read: Read) {
        match self.phase {
            Phase::Waiting | Phase::Opening(_) => return self.refuse(read.ticket, Refusal::Limit),
            Phase::Ended => return self.refuse(read.ticket, Refusal::Closing),
            Phase::Running => {}
        }
        if self.writer.is_opening() {
            return self.refuse(read.ticket, Refusal::Limit);
        }
        match self.plan(&read) {
            Planned::Unrecoverable => self.answer_unrecoverable(read.ticket, &read.channel),
            Planned::Page(job) if job.parts.is_empty() => {
                self.counters.reads_from_memory += 1;
                self.finish(&job);
            }
            Planned::Page(job) if self.reads.under_way.len() < UNDER_WAY_MAX => self.start(job),
            Planned::Page(_) if self.reads.waiting.len() < self.policy.reads_max() => {
                self.reads.waiting.push_back(read);
            }
            Planned::Page(_) => self.refuse_for(read.ticket, Limit::Reads),
        }
    }

    /// A part was read, or could not be.
    pub(super) fn on_part_read(&mut self, order: u64, bytes: Option<Bytes>) {
        let Some(number) = self.reads.orders.remove(&order) else {
            return;
        };
        let Some(job) = self.reads.under_way.get_mut(&number) else {
            return;
        };
        job.missing -= 1;
        job.failed |= bytes.is_none();
        if let Some(part) = job.parts.iter_mut().find(|part| part.order == order) {
            part.bytes = bytes;
        }
        if job.missing == 0
            && let Some(job) = self.reads.under_way.remove(&number)
        {
            self.finish(&job);
            self.start_waiting();
        }
    }

    /// Refuses every read that is not answered yet.
    pub(super) fn refuse_reads(&mut self, why: Refusal) {
        let reads = std::mem::take(&mut self.reads);
        self.reads.last = reads.last;
        let under_way = reads.under_way.into_values().map(|job| job.ticket);
        let tickets: Vec<Ticket> = under_way
            .chain(reads.waiting.into_iter().map(|read| read.ticket))
            .collect();
        for ticket in tickets {
            self.refuse(ticket, why);
        }
    }

    fn start_waiting(&mut self) {
        while self.reads.under_way.len() < UNDER_WAY_MAX
            && let Some(read) = self.reads.waiting.pop_front()
        {
            match self.plan(&read) {
                Planned::Unrecoverable => self.answer_unrecoverable(read.ticket, &read.channel),
                Planned::Page(job) if job.parts.is_empty() => self.finish(&job),
                Planned::Page(job) => self.start(job),
            }
        }
    }

    fn start(&mut self, mut job: Job) {
        let number = self.reads.next_number();
        for part in &mut job.parts {
            part.order = self.reads.next_number();
            self.reads.orders.insert(part.order, number);
            let segment = self.state.segments.by_ordinal(part.segment);
            self.outputs.push_back(Output::Read {
                read: part.order,
                segment: segment.map_or(SegmentNumber(0), |segment| segment.number),
                at: part.from,
                len: usize::try_from(part.to - part.from).unwrap_or(usize::MAX),
            });
        }
        job.missing = job.parts.len();
        self.reads.under_way.insert(number, job);
    }

    /// Checks the position and finds out what the page holds and where it stands.
    fn plan(&mut self, read: &Read) -> Planned {
        let (policy, wall) = (self.policy, self.wall);
        let id = self.state.channels.find(&read.channel);
        let unborn = Channel::new(read.channel.clone(), self.state.generation, 0, wall);
        let channel = match id.and_then(|id| self.state.channels.by_id_mut(id)) {
            Some(channel) => {
                channel.prune(&policy, wall);
                &*channel
            }
            // It answers with the epoch that its first publication will give it.
            None => &unborn,
        };
        // A channel that the group under way creates has no commit yet, and answers alike.
        let Some(direction) = direction(&read.from, channel) else {
            return Planned::Unrecoverable;
        };
        let mut job = Job {
            ticket: read.ticket,
            channel: read.channel.clone(),
            id: id.unwrap_or(u32::MAX),
            epoch: channel.epoch,
            direction,
            wanted: select(read, channel, direction),
            parts: Vec::new(),
            missing: 0,
            failed: false,
        };
        for wanted in &mut job.wanted {
            let entry = wanted.entry;
            let len = usize::try_from(entry.len).unwrap_or(usize::MAX);
            wanted.source = match self
                .cache
                .find(entry.segment, u64::from(entry.position), len)
            {
                Some(bytes) => Source::Memory(bytes),
                None => Source::Part(cover(&mut job.parts, entry, policy.read_bytes().as_bytes())),
            };
        }
        Planned::Page(job)
    }

    /// Emits the answer of a page whose bytes are all here.
    fn finish(&mut self, job: &Job) {
        let (epoch, top, start) = self.position(&job.channel);
        if job.failed || epoch != job.epoch {
            if job.failed {
                self.tell_unreadable(
                    job.parts
                        .iter()
                        .find(|part| part.bytes.is_none())
                        .map(|part| (part.segment, part.from)),
                );
            }
            return self.answer_unrecoverable(job.ticket, &job.channel);
        }
        let mut records = Vec::with_capacity(job.wanted.len());
        for wanted in &job.wanted {
            let Some(record) = decode(job, wanted) else {
                self.tell_unreadable(Some((
                    wanted.entry.segment,
                    u64::from(wanted.entry.position),
                )));
                return self.answer_unrecoverable(job.ticket, &job.channel);
            };
            records.push(record);
        }
        let more = match job.direction {
            Direction::Forward { after } => {
                job.wanted.last().map_or(after, |last| last.offset) < top
            }
            Direction::Backward { before } => {
                job.wanted.first().map_or(before, |first| first.offset) > start
            }
        };
        if matches!(job.direction, Direction::Backward { .. }) {
            records.reverse();
        }
        self.counters.reads += 1;
        let page = Page::Records { records, more };
        self.answer(job.ticket, Answer::Read(ReadAnswer { epoch, top, page }));
    }

    fn answer_unrecoverable(&mut self, ticket: Ticket, channel: &ChannelName) {
        let (epoch, top, _) = self.position(channel);
        self.counters.reads += 1;
        self.answer(
            ticket,
            Answer::Read(ReadAnswer {
                epoch,
                top,
                page: Page::Unrecoverable,
            }),
        );
    }

    fn position(&self, name: &ChannelName) -> (ChannelEpoch, u64, u64) {
        let channel = self.state.channels.by_name(name);
        channel.map_or((self.state.generation, 0, 1), |channel| {
            (channel.epoch, channel.top, channel.start())
        })
    }

    /// Tells people, unless the segment was removed while the read was under way: that is no fault.
    fn tell_unreadable(&mut self, place: Option<(u32, u64)>) {
        let Some((ordinal, at)) = place else { return };
        let Some(segment) = self.state.segments.by_ordinal(ordinal) else {
            return;
        };
        self.counters.unreadable += 1;
        self.notify(Event::RecordUnreadable {
            segment: segment.number,
            at,
        });
    }
}

/// Where a page begins; `None` when the position is not one of this history, or something behind it is gone.
fn direction(from: &ReadFrom, channel: &Channel) -> Option<Direction> {
    match from {
        ReadFrom::Start => Some(Direction::Forward {
            after: channel.start() - 1,
        }),
        ReadFrom::After { epoch, offset } => {
            let whole =
                *epoch == channel.epoch && *offset <= channel.top && *offset >= channel.start() - 1;
            whole.then_some(Direction::Forward { after: *offset })
        }
        ReadFrom::Top => Some(Direction::Backward {
            before: channel.top + 1,
        }),
        ReadFrom::Before { epoch, offset } => {
            let known = *epoch == channel.epoch && *offset <= channel.top.saturating_add(1);
            known.then_some(Direction::Backward { before: *offset })
        }
    }
}

/// The publications of a page, in order of offsets.
fn select(read: &Read, channel: &Channel, direction: Direction) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    let mut bytes = 0usize;
    let mut take = |offset: u64| {
        let Some(entry) = channel.entry(offset) else {
            return false;
        };
        // At most so much of the record is payload.
        let len = usize::try_from(entry.len).unwrap_or(usize::MAX);
        bytes = bytes.saturating_add(len.saturating_sub(record::publication_len(0, 0, 0, 0)));
        if wanted.len() >= read.limit || (!wanted.is_empty() && bytes > read.bytes_max) {
            return false;
        }
        wanted.push(Wanted {
            offset,
            entry,
            source: Source::Part(0),
        });
        true
    };
    match direction {
        Direction::Forward { after } => {
            let mut offset = after.saturating_add(1);
            while take(offset) {
                offset += 1;
            }
        }
        Direction::Backward { before } => {
            let mut offset = before;
            while offset > 1 && take(offset - 1) {
                offset -= 1;
            }
            wanted.reverse();
        }
    }
    wanted
}

/// The part that covers an entry: the last one, longer, or a new one.
fn cover(parts: &mut Vec<Part>, entry: Entry, bytes_max: u64) -> usize {
    let (from, len) = (u64::from(entry.position), u64::from(entry.len));
    let to = from + len;
    if let Some(last) = parts.last_mut()
        && last.segment == entry.segment
        && from >= last.to
        && from - last.to <= GAP_MAX
        && to - last.from <= bytes_max
    {
        last.to = to;
    } else {
        parts.push(Part {
            order: 0,
            segment: entry.segment,
            from,
            to,
            bytes: None,
        });
    }
    parts.len() - 1
}

fn decode(job: &Job, wanted: &Wanted) -> Option<Record> {
    let bytes = match &wanted.source {
        Source::Memory(bytes) => bytes.clone(),
        Source::Part(index) => {
            let part = job.parts.get(*index)?;
            let from = usize::try_from(u64::from(wanted.entry.position) - part.from).ok()?;
            let to = from + usize::try_from(wanted.entry.len).ok()?;
            let bytes = part.bytes.as_ref()?;
            if to > bytes.len() {
                return None;
            }
            bytes.slice(from..to)
        }
    };
    let head = Head::read(&bytes)?;
    let Stored::Publication(publication) = record::decode(&head, &bytes)? else {
        return None;
    };
    if publication.channel != job.id || publication.offset != wanted.offset {
        return None;
    }
    Some(Record {
        offset: wanted.offset,
        data: bytes.slice_ref(publication.data),
        author: Author {
            user: bytes.slice_ref(publication.user),
            client: bytes.slice_ref(publication.client),
        },
        at: publication.at,
    })
}
