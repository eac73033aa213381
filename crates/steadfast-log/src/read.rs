//! Reads of the history: what is requested, which bytes it needs, and the response in the order of the log.
//!
//! Only committed publications are visible. Recent publications come from memory, older publications from the storage;
//! adjacent publications share one read. A response describes the moment at which it leaves: it ends exactly where the
//! commits after it begin. Corrupt bytes are never returned; the reader receives `Unrecoverable` instead.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use steadfast_engine::{
    ChannelEpoch, Page, Publisher, Read, ReadFrom, ReadResponse, Record, Rejection, RequestId,
    Response, RetentionClass, StorageOperation,
};
use steadfast_machine::convert;
use steadfast_protocol::message::ChannelName;

use crate::Log;
use crate::channels::{Channel, IndexEntry};
use crate::event::{Event, LogLimit};
use crate::identity::SegmentSecret;
use crate::io::{Output, SegmentNumber};
use crate::log::LogPhase;
use crate::record::{self, RecordHead, Stored};

/// Reads that the storage serves concurrently.
const IN_FLIGHT_MAX: usize = 64;
/// Records that are at most this many bytes apart share a read: a longer read costs less than another read.
const READ_GAP_MAX: u64 = 4_096;

/// Reads without a response yet.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    queued: VecDeque<Read>,
    in_flight: BTreeMap<u64, PageRead>,
    /// From the number of a storage operation to its page read.
    operations: BTreeMap<u64, u64>,
    last: u64,
}

impl Reads {
    /// Returns an unused number.
    pub(crate) const fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

/// A read whose publications and bytes are known.
#[derive(Debug)]
struct PageRead {
    read: Read,
    id: u32,
    epoch: ChannelEpoch,
    direction: Direction,
    /// In order of offsets.
    selected: Vec<Selected>,
    parts: Vec<ReadPart>,
    missing_parts: usize,
    /// The segments of the publications, with the secrets that check them.
    secrets: Vec<(u32, SegmentSecret)>,
}

/// The direction of a page, and the offset that precedes its first publication in this direction.
#[derive(Clone, Copy, Debug)]
enum Direction {
    Forward { after: u64 },
    Backward { before: u64 },
}

#[derive(Debug)]
struct Selected {
    offset: u64,
    entry: IndexEntry,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Memory(Bytes),
    Part(usize),
}

/// Bytes to be read from the storage.
#[derive(Debug)]
struct ReadPart {
    operation: u64,
    segment: u32,
    from: u64,
    to: u64,
    bytes: Option<Bytes>,
}

enum ReadPlan {
    Unrecoverable,
    Page(PageRead),
}

impl Log {
    /// Responds to a read from memory, or queues it for the storage.
    pub(crate) fn accept_read(&mut self, read: Read) {
        match self.phase {
            LogPhase::Waiting | LogPhase::Opening(_) => {
                return self.reject(read.request_id, Rejection::Limit);
            }
            LogPhase::Closed => return self.reject(read.request_id, Rejection::Closing),
            LogPhase::Running => {}
        }
        if self.writer.is_opening() {
            return self.reject(read.request_id, Rejection::Limit);
        }
        match self.plan(&read) {
            ReadPlan::Unrecoverable => self.respond_unrecoverable(read.request_id, &read.channel),
            ReadPlan::Page(page_read) if page_read.parts.is_empty() => self.finish(&page_read),
            ReadPlan::Page(page_read) if self.reads.in_flight.len() < IN_FLIGHT_MAX => {
                self.start(page_read);
            }
            ReadPlan::Page(_) if self.reads.queued.len() < self.policy.pending_reads_max() => {
                self.reads.queued.push_back(read);
            }
            ReadPlan::Page(_) => self.reject_for_limit(read.request_id, LogLimit::PendingReads),
        }
    }

    /// Handles a part that was read, or that could not be read.
    pub(crate) fn on_part_read(&mut self, operation: u64, bytes: Option<Bytes>) {
        let Some(number) = self.reads.operations.remove(&operation) else {
            return;
        };
        let Some(page_read) = self.reads.in_flight.get_mut(&number) else {
            return;
        };
        page_read.missing_parts -= 1;
        if let Some(part) = page_read
            .parts
            .iter_mut()
            .find(|part| part.operation == operation)
        {
            part.bytes = bytes;
        }
        if page_read.missing_parts == 0
            && let Some(page_read) = self.reads.in_flight.remove(&number)
        {
            if self.is_overtaken(&page_read) {
                self.serve(&page_read.read);
            } else {
                self.finish(&page_read);
            }
            self.start_queued();
        }
    }

    /// Rejects every read without a response.
    pub(crate) fn reject_reads(&mut self, reason: Rejection) {
        let reads = std::mem::take(&mut self.reads);
        self.reads.last = reads.last;
        let in_flight = reads
            .in_flight
            .into_values()
            .map(|page_read| page_read.read.request_id);
        let request_ids: Vec<RequestId> = in_flight
            .chain(reads.queued.into_iter().map(|read| read.request_id))
            .collect();
        for request_id in request_ids {
            self.reject(request_id, reason);
        }
    }

    fn start_queued(&mut self) {
        while self.reads.in_flight.len() < IN_FLIGHT_MAX
            && let Some(read) = self.reads.queued.pop_front()
        {
            self.serve(&read);
        }
    }

    /// Responds to a read from memory, or starts to read from the storage.
    fn serve(&mut self, read: &Read) {
        match self.plan(read) {
            ReadPlan::Unrecoverable => self.respond_unrecoverable(read.request_id, &read.channel),
            ReadPlan::Page(page_read) if page_read.parts.is_empty() => self.finish(&page_read),
            ReadPlan::Page(page_read) => self.start(page_read),
        }
    }

    /// Whether publications were committed that belong to the page of the newest publications. Such a page is read
    /// again, because it begins at the high watermark of its response.
    fn is_overtaken(&self, page_read: &PageRead) -> bool {
        let Direction::Backward { before } = page_read.direction else {
            return false;
        };
        let (epoch, high_watermark, _) = self.position(&page_read.read.channel);
        page_read.read.from == ReadFrom::Newest
            && epoch == page_read.epoch
            && high_watermark >= before
    }

    fn start(&mut self, mut page_read: PageRead) {
        let number = self.reads.next_number();
        for part in &mut page_read.parts {
            part.operation = self.reads.next_number();
            self.reads.operations.insert(part.operation, number);
            let segment = self.state.segments.by_ordinal(part.segment);
            self.begin_operation(StorageOperation::Read);
            self.outputs.push_back(Output::Read {
                read: part.operation,
                segment: segment.map_or(SegmentNumber(0), |segment| segment.number),
                at: part.from,
                len: usize::try_from(part.to - part.from)
                    .expect("a part is smaller than a segment"),
            });
        }
        page_read.missing_parts = page_read.parts.len();
        self.reads.in_flight.insert(number, page_read);
    }

    /// Checks the position, and determines the publications of the page and their locations.
    fn plan(&mut self, read: &Read) -> ReadPlan {
        let (policy, ages, at) = (self.policy, self.ages(), self.time());
        let id = self.state.channels.find(&read.channel);
        let new_channel = Channel::new(read.channel.clone(), self.state.new_channel_epoch, 0, at);
        let channel = match id.and_then(|id| self.state.channels.by_id_mut(id)) {
            Some(channel) => {
                channel.prune(&policy, &ages);
                &*channel
            }
            // An unknown channel has the epoch that its first publication will have.
            None => &new_channel,
        };
        // A channel that the batch in flight creates has no commit yet: the response is the same.
        let start = channel.visible_start(&policy, &ages);
        let Some(direction) = direction(&read.from, channel, start) else {
            return ReadPlan::Unrecoverable;
        };
        let mut page_read = PageRead {
            read: read.clone(),
            id: id.unwrap_or(u32::MAX),
            epoch: channel.epoch,
            direction,
            selected: select(read, channel, direction, start),
            parts: Vec::new(),
            missing_parts: 0,
            secrets: Vec::new(),
        };
        for selected in &mut page_read.selected {
            let entry = selected.entry;
            if page_read.secrets.last().map(|(segment, _)| *segment) != Some(entry.segment)
                && let Some(segment) = self.state.segments.by_ordinal(entry.segment)
            {
                page_read.secrets.push((entry.segment, segment.secret));
            }
            let len = convert::to_usize(entry.len);
            selected.source =
                match self
                    .cache
                    .find(entry.segment, u64::from(entry.byte_position), len)
                {
                    Some(bytes) => Source::Memory(bytes),
                    None => Source::Part(cover(
                        &mut page_read.parts,
                        entry,
                        policy.read_bytes().as_bytes(),
                    )),
                };
        }
        ReadPlan::Page(page_read)
    }

    /// Emits the response of a page whose reads are all complete.
    fn finish(&mut self, page_read: &PageRead) {
        let (epoch, high_watermark, start) = self.position(&page_read.read.channel);
        let mut records = Vec::with_capacity(page_read.selected.len());
        for selected in &page_read.selected {
            let Some(record) = decode(page_read, selected) else {
                self.report_unreadable(Some((
                    selected.entry.segment,
                    u64::from(selected.entry.byte_position),
                )));
                return self
                    .respond_unrecoverable(page_read.read.request_id, &page_read.read.channel);
            };
            records.push(Record {
                at: self.clock.display(record.at),
                ..record
            });
        }
        if epoch != page_read.epoch {
            return self.respond_unrecoverable(page_read.read.request_id, &page_read.read.channel);
        }
        let (first, last) = (page_read.selected.first(), page_read.selected.last());
        let (previous, has_more) = match page_read.direction {
            Direction::Forward { after } => (
                after,
                last.map_or(after, |last| last.offset) < high_watermark,
            ),
            Direction::Backward { before } => {
                let end = before.max(start);
                let oldest = first.map_or(end, |first| first.offset);
                (oldest.saturating_sub(1), oldest > start)
            }
        };
        if matches!(page_read.direction, Direction::Backward { .. }) {
            records.reverse();
        }
        let page = Page::Records {
            previous,
            records,
            has_more,
        };
        self.respond(
            page_read.read.request_id,
            Response::Read(ReadResponse {
                epoch,
                high_watermark,
                page,
            }),
        );
    }

    fn respond_unrecoverable(&mut self, request_id: RequestId, channel: &ChannelName) {
        let (epoch, high_watermark, _) = self.position(channel);
        self.respond(
            request_id,
            Response::Read(ReadResponse {
                epoch,
                high_watermark,
                page: Page::Unrecoverable,
            }),
        );
    }

    fn position(&self, name: &ChannelName) -> (ChannelEpoch, u64, u64) {
        let channel = self.state.channels.by_name(name);
        channel.map_or((self.state.new_channel_epoch, 0, 1), |channel| {
            let start = channel.visible_start(&self.policy, &self.ages());
            (channel.epoch, channel.high_watermark, start)
        })
    }

    /// Emits an event, unless the segment was removed while the read was in flight: such a removal is not a failure.
    fn report_unreadable(&mut self, location: Option<(u32, u64)>) {
        let Some((ordinal, at)) = location else {
            return;
        };
        let Some(segment) = self.state.segments.by_ordinal(ordinal) else {
            return;
        };
        self.notify(Event::RecordUnreadable {
            segment: segment.number,
            at,
        });
    }
}

/// Where a page begins; `None` when the position is not in this history, or a publication after it was removed.
fn direction(from: &ReadFrom, channel: &Channel, start: u64) -> Option<Direction> {
    match from {
        ReadFrom::Oldest => Some(Direction::Forward { after: start - 1 }),
        ReadFrom::After { epoch, offset } => {
            let is_recoverable = *epoch == channel.epoch
                && *offset <= channel.high_watermark
                && *offset >= start - 1;
            is_recoverable.then_some(Direction::Forward { after: *offset })
        }
        ReadFrom::Newest => Some(Direction::Backward {
            before: channel.high_watermark + 1,
        }),
        ReadFrom::Before { epoch, offset } => {
            let known =
                *epoch == channel.epoch && *offset <= channel.high_watermark.saturating_add(1);
            known.then_some(Direction::Backward { before: *offset })
        }
    }
}

/// The publications of a page, in order of offsets.
fn select(read: &Read, channel: &Channel, direction: Direction, start: u64) -> Vec<Selected> {
    let mut selected = Vec::new();
    let mut bytes = 0usize;
    let mut add = |offset: u64| {
        let Some(entry) = channel.entry(offset).filter(|_| offset >= start) else {
            return false;
        };
        // At most this much of the record is payload.
        let len = convert::to_usize(entry.len);
        bytes = bytes.saturating_add(len.saturating_sub(record::publication_len(
            RetentionClass::Kept,
            0,
            0,
        )));
        if selected.len() >= read.limit || (!selected.is_empty() && bytes > read.bytes_max) {
            return false;
        }
        selected.push(Selected {
            offset,
            entry,
            source: Source::Part(0),
        });
        true
    };
    match direction {
        Direction::Forward { after } => {
            let mut offset = after.saturating_add(1);
            while add(offset) {
                offset += 1;
            }
        }
        Direction::Backward { before } => {
            let mut offset = before;
            while let Some(previous) = offset.checked_sub(1)
                && add(previous)
            {
                offset = previous;
            }
            selected.reverse();
        }
    }
    selected
}

/// The part that covers an entry: the last part, which is extended, or a new part.
fn cover(parts: &mut Vec<ReadPart>, entry: IndexEntry, bytes_max: u64) -> usize {
    let (from, len) = (u64::from(entry.byte_position), u64::from(entry.len));
    let to = from + len;
    if let Some(last) = parts.last_mut()
        && last.segment == entry.segment
        && from >= last.to
        && from - last.to <= READ_GAP_MAX
        && to - last.from <= bytes_max
    {
        last.to = to;
    } else {
        parts.push(ReadPart {
            operation: 0,
            segment: entry.segment,
            from,
            to,
            bytes: None,
        });
    }
    parts.len() - 1
}

fn decode(page_read: &PageRead, selected: &Selected) -> Option<Record> {
    let bytes = match &selected.source {
        Source::Memory(bytes) => bytes.clone(),
        Source::Part(index) => {
            let part = page_read.parts.get(*index)?;
            let from = usize::try_from(u64::from(selected.entry.byte_position) - part.from).ok()?;
            let to = from + convert::to_usize(selected.entry.len);
            let bytes = part.bytes.as_ref()?;
            if to > bytes.len() {
                return None;
            }
            bytes.slice(from..to)
        }
    };
    let (_, secret) = page_read
        .secrets
        .iter()
        .find(|(segment, _)| *segment == selected.entry.segment)?;
    let at = u64::from(selected.entry.byte_position);
    let head = RecordHead::read(secret, at, &bytes)?;
    let Ok(Stored::Publication(publication)) = record::decode(secret, &head, &bytes) else {
        return None;
    };
    if publication.channel != page_read.id || publication.offset != selected.offset {
        return None;
    }
    Some(Record {
        offset: selected.offset,
        kind: publication.kind,
        retention: publication.retention,
        data: bytes.slice_ref(publication.data),
        publisher: Publisher {
            user: bytes.slice_ref(publication.user),
            client: bytes.slice_ref(publication.client),
        },
        at: publication.at,
    })
}
