//! A log on a test disk: asks, carries out its orders, and keeps what it said.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use steadfast_hub::epoch::ChannelEpoch;
use steadfast_hub::log::Log;
use steadfast_hub::log::event::Event;
use steadfast_hub::log::io::{
    Answer, Append, Author, Committed, FailedOrder, Input, Output, Page, Read, ReadAnswer,
    ReadFrom, Record, Refusal, Request, StorageFault, Ticket,
};
use steadfast_hub::log::open::{Damage, OpenReport};
use steadfast_hub::policy::log::{Fsync, LogPolicy, LogSettings};
use steadfast_machine::{ByteSize, Instant, Machine, Timestamp};

use crate::disk::Disk;

/// What the disk refuses from now on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) write: Option<StorageFault>,
    pub(crate) sync: Option<StorageFault>,
    pub(crate) reserve: Option<StorageFault>,
    pub(crate) remove: Option<StorageFault>,
    /// Says that it synced and does not.
    pub(crate) lies: bool,
    pub(crate) read: Option<StorageFault>,
}

/// What was seen in the order of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Commit(Committed),
    Answer(u64, Answer),
}

pub(crate) struct Bench {
    pub(crate) log: Log,
    pub(crate) disk: Disk,
    pub(crate) now: Instant,
    pub(crate) wall: u64,
    pub(crate) faults: Faults,
    /// True when writes are kept waiting until `release`.
    pub(crate) hold: bool,
    /// The same for reads.
    pub(crate) hold_reads: bool,
    pub(crate) held: VecDeque<Output>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) events: Vec<Event>,
    pub(crate) opened: Option<OpenReport>,
    pub(crate) damaged: Option<Damage>,
    pub(crate) closed: bool,
    pub(crate) writes: usize,
    pub(crate) syncs: usize,
    pub(crate) reads: usize,
    tickets: u64,
}

pub(crate) const WALL: u64 = 1_700_000_000_000;

pub(crate) fn settings() -> LogSettings {
    LogSettings {
        segment_bytes: ByteSize::from_kib(16),
        log_bytes: ByteSize::from_kib(16 * 16),
        cache_bytes: ByteSize::from_bytes(0),
        read_bytes: ByteSize::from_kib(4),
        ..LogSettings::typical()
    }
}

pub(crate) fn with_fsync(fsync: Fsync) -> LogSettings {
    LogSettings {
        fsync,
        ..settings()
    }
}

pub(crate) fn append(channel: &str, data: &str) -> Append {
    Append {
        ticket: Ticket { core: 0, number: 0 },
        channel: channel.into(),
        data: Bytes::copy_from_slice(data.as_bytes()),
        author: Author::default(),
        key: None,
    }
}

pub(crate) fn keyed(channel: &str, data: &str, user: &str, key: &str) -> Append {
    let author = Author {
        user: Bytes::copy_from_slice(user.as_bytes()),
        client: Bytes::new(),
    };
    Append {
        author,
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        ..append(channel, data)
    }
}

pub(crate) fn read(channel: &str, from: ReadFrom, limit: usize) -> Read {
    Read {
        ticket: Ticket { core: 0, number: 0 },
        channel: channel.into(),
        from,
        limit,
        bytes_max: 1 << 20,
    }
}

impl Bench {
    /// Starts a log on a disk, without waiting for anything.
    pub(crate) fn start(settings: LogSettings, disk: Disk, wall: u64, incarnation: u64) -> Self {
        Self::begin(
            settings,
            disk,
            (wall, incarnation),
            Faults::default(),
            false,
        )
    }

    /// The same, with writes and syncs kept waiting until `release`.
    pub(crate) fn start_held(
        settings: LogSettings,
        disk: Disk,
        wall: u64,
        incarnation: u64,
    ) -> Self {
        Self::begin(settings, disk, (wall, incarnation), Faults::default(), true)
    }

    /// The same, on a disk that fails from the beginning.
    pub(crate) fn start_with(
        settings: LogSettings,
        disk: Disk,
        set: impl FnOnce(&mut Faults),
    ) -> Self {
        let mut faults = Faults::default();
        set(&mut faults);
        Self::begin(settings, disk, (WALL, 9), faults, false)
    }

    fn begin(
        settings: LogSettings,
        disk: Disk,
        (wall, incarnation): (u64, u64),
        faults: Faults,
        hold: bool,
    ) -> Self {
        let policy = LogPolicy::new(settings).unwrap();
        let mut bench = Self {
            log: Log::new(policy, Instant::START),
            disk,
            now: Instant::START,
            wall,
            faults,
            hold,
            hold_reads: false,
            held: VecDeque::new(),
            seen: Vec::new(),
            events: Vec::new(),
            opened: None,
            damaged: None,
            closed: false,
            writes: 0,
            syncs: 0,
            reads: 0,
            tickets: 0,
        };
        let at = bench.at();
        let segments = bench.disk.list();
        bench.handle(Input::Found {
            segments,
            incarnation,
            at,
        });
        bench
    }

    /// A log that is open.
    pub(crate) fn open(settings: LogSettings, disk: Disk, wall: u64, incarnation: u64) -> Self {
        let bench = Self::start(settings, disk, wall, incarnation);
        assert!(
            bench.opened.is_some(),
            "not open: {:?}, {:?}",
            bench.damaged,
            bench.events
        );
        bench
    }

    /// A new log.
    pub(crate) fn new(settings: LogSettings) -> Self {
        Self::open(settings, Disk::default(), WALL, 1)
    }

    /// The same disk after a clean end, or as it is now.
    pub(crate) fn reopen(self, settings: LogSettings, incarnation: u64) -> Self {
        Self::open(settings, self.disk, self.wall, incarnation)
    }

    pub(crate) fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.wall)
    }

    pub(crate) fn handle(&mut self, input: Input) {
        self.log.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.log.poll_output() {
            let is_write = matches!(output, Output::Write { .. } | Output::Sync { .. });
            let is_read = matches!(output, Output::Read { .. });
            if self.hold && is_write || self.hold_reads && is_read {
                self.held.push_back(output);
            } else {
                self.carry_out(output);
            }
        }
    }

    /// What is held reaches the disk, but the log never hears of it.
    pub(crate) fn write_unheard(&mut self) {
        for output in std::mem::take(&mut self.held) {
            if let Output::Write { segment, at, bytes } = output {
                self.disk.write(segment.0, at, &bytes);
            }
        }
    }

    /// Carries out the oldest write or sync that is held.
    pub(crate) fn release(&mut self) {
        let output = self.held.pop_front().expect("something is held");
        self.carry_out(output);
        self.drain();
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Reserve { segment, bytes } => {
                if let Some(fault) = self.faults.reserve {
                    self.fail(FailedOrder::Reserve(segment), fault);
                } else {
                    self.disk.reserve(segment.0, bytes);
                    self.log.handle(self.now, Input::Reserved { segment });
                }
            }
            Output::Write { segment, at, bytes } => {
                self.writes += 1;
                if let Some(fault) = self.faults.write {
                    // Half of it may be there all the same.
                    let half = &bytes[..bytes.len().div_ceil(2)];
                    self.disk.write(segment.0, at, half);
                    self.fail(FailedOrder::Write, fault);
                } else {
                    self.disk.write(segment.0, at, &bytes);
                    self.log.handle(self.now, Input::Written);
                }
            }
            Output::Sync { segment } => {
                self.syncs += 1;
                if let Some(fault) = self.faults.sync {
                    self.fail(FailedOrder::Sync, fault);
                } else {
                    if !self.faults.lies {
                        self.disk.sync(segment.0);
                    }
                    self.log.handle(self.now, Input::Synced);
                }
            }
            Output::Read {
                read,
                segment,
                at,
                len,
            } => {
                self.reads += 1;
                match (self.faults.read, self.disk.read(segment.0, at, len)) {
                    (None, Some(bytes)) => {
                        self.log.handle(
                            self.now,
                            Input::ReadDone {
                                read,
                                bytes: bytes.into(),
                            },
                        );
                    }
                    (fault, _) => self.fail(
                        FailedOrder::Read(read),
                        fault.unwrap_or(StorageFault::Broken),
                    ),
                }
            }
            Output::Remove { segment } => match self.faults.remove {
                Some(fault) => self.fail(FailedOrder::Remove(segment), fault),
                None => self.disk.remove(segment.0),
            },
            Output::Opened(report) => self.opened = Some(report),
            Output::Damaged(damage) => self.damaged = Some(damage),
            Output::Commit(committed) => self.seen.push(Seen::Commit(committed)),
            Output::Answer { ticket, answer } => {
                self.seen.push(Seen::Answer(ticket.number, answer));
            }
            Output::Notify(event) => self.events.push(event),
            Output::Closed => self.closed = true,
        }
    }

    fn fail(&mut self, order: FailedOrder, fault: StorageFault) {
        self.log.handle(self.now, Input::Failed { order, fault });
    }

    /// Asks for all of these at once and returns their numbers.
    pub(crate) fn request(&mut self, requests: Vec<Request>) -> Vec<u64> {
        let first = self.tickets + 1;
        let mut batch = requests;
        for request in &mut batch {
            self.tickets += 1;
            match request {
                Request::Append(append) => append.ticket.number = self.tickets,
                Request::Read(read) => read.ticket.number = self.tickets,
            }
        }
        let at = self.at();
        self.handle(Input::Requested { batch, at });
        (first..=self.tickets).collect()
    }

    pub(crate) fn publish_all(&mut self, appends: Vec<Append>) -> Vec<u64> {
        self.request(appends.into_iter().map(Request::Append).collect())
    }

    /// Publishes one and returns the answer.
    pub(crate) fn publish(&mut self, append: Append) -> Answer {
        let number = self.publish_all(vec![append])[0];
        self.answer(number).expect("answered at once")
    }

    pub(crate) fn publish_fast(&mut self, append: Append) -> u64 {
        self.publish_all(vec![append])[0]
    }

    /// Publishes one, which must succeed.
    pub(crate) fn published(&mut self, append: Append) -> (ChannelEpoch, u64, bool) {
        let answer = self.publish(append);
        let Answer::Appended {
            epoch,
            offset,
            duplicate,
        } = answer
        else {
            panic!("{answer:?}")
        };
        (epoch, offset, duplicate)
    }

    pub(crate) fn refused(&mut self, append: Append) -> Refusal {
        let answer = self.publish(append);
        let Answer::Refused(why) = answer else {
            panic!("{answer:?}")
        };
        why
    }

    pub(crate) fn answer(&self, number: u64) -> Option<Answer> {
        self.answers().remove(&number)
    }

    pub(crate) fn answers(&self) -> BTreeMap<u64, Answer> {
        let answers = self.seen.iter().filter_map(|seen| match seen {
            Seen::Answer(number, answer) => Some((*number, answer.clone())),
            Seen::Commit(_) => None,
        });
        answers.collect()
    }

    pub(crate) fn read(&mut self, read: Read) -> ReadAnswer {
        let number = self.request(vec![Request::Read(read)])[0];
        match self.answer(number) {
            Some(Answer::Read(answer)) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// The publications of a page that must be whole.
    pub(crate) fn records(&mut self, request: Read) -> (Vec<Record>, bool) {
        match self.read(request).page {
            Page::Records { records, more } => (records, more),
            Page::Unrecoverable => panic!("unrecoverable"),
        }
    }

    /// The epoch that channels get which do not exist yet.
    pub(crate) fn log_epoch(&self) -> ChannelEpoch {
        let name = "a channel that nobody publishes to";
        let mut again = Self::open(settings(), self.disk.clone(), self.wall, 99);
        again.read(read(name, ReadFrom::Start, 0)).epoch
    }

    /// Offsets and payloads of everything that is visible in a channel.
    pub(crate) fn all(&mut self, channel: &str) -> Vec<(u64, String)> {
        let (records, _) = self.records(read(channel, ReadFrom::Start, usize::MAX));
        let text = |record: Record| {
            (
                record.offset,
                String::from_utf8(record.data.to_vec()).unwrap(),
            )
        };
        records.into_iter().map(text).collect()
    }

    /// Lets time pass on both clocks and wakes the log.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.wall += u64::try_from(time.as_millis()).unwrap();
        let at = self.at();
        self.handle(Input::Tick { at });
    }

    pub(crate) fn close(&mut self) {
        let at = self.at();
        self.handle(Input::CloseRequested { at });
        assert!(self.closed, "not closed");
    }
}
