//! A log on a test disk: sends requests, executes the log's operations, and records its outputs.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use steadfast_engine::{
    Append, ChannelEpoch, Committed, Page, Publisher, Read, ReadFrom, ReadResponse, Record,
    Rejection, Request, RequestId, Response, RetentionClass,
};
use steadfast_log::Log;
use steadfast_log::clock::{BootId, BootTime, Clocks};
use steadfast_log::event::Event;
use steadfast_log::identity::{DirectoryId, SegmentSecret, StartValues};
use steadfast_log::io::{FailedOperation, Input, Output, Place, SegmentNumber, StorageError};
use steadfast_log::open::{Corruption, OpenReport};
use steadfast_log::policy::{Fsync, LogPolicy, LogSettings};
use steadfast_machine::{ByteSize, Generator, Instant, Machine, Seed, Timestamp};
use steadfast_protocol::message::PayloadKind;

use crate::disk::Disk;

/// The operations of the disk that fail from now on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    pub(crate) write: Option<StorageError>,
    pub(crate) sync: Option<StorageError>,
    pub(crate) reserve: Option<StorageError>,
    pub(crate) remove: Option<StorageError>,
    /// Reports syncs as successful without syncing.
    pub(crate) is_sync_ignored: bool,
    /// Whether reservations are held instead of executed.
    pub(crate) is_reserve_held: bool,
    pub(crate) read: Option<StorageError>,
    /// Whether the disk is where the log was opened last.
    pub(crate) place: Place,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            write: None,
            sync: None,
            reserve: None,
            remove: None,
            is_sync_ignored: false,
            is_reserve_held: false,
            read: None,
            place: Place::Known,
        }
    }
}

/// Outputs to the shards, in the order of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Commit(Committed),
    Response(u64, Response),
}

pub(crate) struct Harness {
    pub(crate) log: Log,
    pub(crate) disk: Disk,
    pub(crate) now: Instant,
    /// The right time of day, in milliseconds.
    pub(crate) wall: u64,
    /// How far the wall clock is ahead of the right time, in milliseconds.
    pub(crate) wall_error: i64,
    pub(crate) boot: Boot,
    pub(crate) faults: Faults,
    /// True when writes and syncs are held until `release`.
    pub(crate) is_holding: bool,
    /// True when reads are held until `release`.
    pub(crate) is_holding_reads: bool,
    pub(crate) held: VecDeque<Output>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) events: Vec<Event>,
    pub(crate) opened: Option<OpenReport>,
    /// How often the log has claimed the directory.
    pub(crate) claims: usize,
    pub(crate) corruption: Option<Corruption>,
    pub(crate) is_closed: bool,
    pub(crate) writes: usize,
    pub(crate) syncs: usize,
    pub(crate) reads: usize,
    /// The maximum size of all segments so far.
    pub(crate) bytes_peak: u64,
    /// The operations that the disk executed, in order.
    pub(crate) operations: Vec<Operation>,
    request_ids: u64,
    secrets: Secrets,
}

/// A boot of the machine; `None` if the operating system does not identify its boots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Boot {
    pub(crate) id: Option<u8>,
    /// The right time at which it began.
    pub(crate) began: u64,
}

/// The boot in which tests run that are not about boots.
const BOOT: Boot = Boot {
    id: Some(1),
    began: 0,
};

/// What happened between the end of one process and the start of the next one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Restart {
    /// The real time between both.
    pub(crate) down: Duration,
    /// How far the wall clock is ahead at the start of the next process.
    pub(crate) wall_error: i64,
    /// Whether the machine was started too.
    pub(crate) boot: NextBoot,
}

/// The boot of the machine in which the next process starts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum NextBoot {
    /// The same as that of the process before.
    #[default]
    Same,
    /// A new one with this identity, or without an identity.
    New(Option<u8>),
}

/// An operation that the disk executed.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Reserve { segment: u64, bytes: u64 },
    Write { segment: u64, at: u64, bytes: Bytes },
    Sync { segment: u64 },
}

/// Where the secrets of the segments come from.
#[derive(Clone, Debug)]
pub(crate) enum Secrets {
    Random(Generator),
    /// Every segment has the same secret: a publisher who knows the format can build such records.
    Known,
}

/// The circumstances of a start.
#[derive(Clone, Copy, Debug)]
struct Start {
    wall: u64,
    wall_error: i64,
    boot: Boot,
    incarnation: u64,
}

impl Start {
    /// In the same boot as all starts of a test, with the right time of day.
    const fn at(wall: u64, incarnation: u64) -> Self {
        Self {
            wall,
            wall_error: 0,
            boot: BOOT,
            incarnation,
        }
    }
}

impl Secrets {
    fn draw(&mut self) -> SegmentSecret {
        match self {
            Self::Random(generator) => secret(generator),
            Self::Known => SegmentSecret::new(known_secret()),
        }
    }
}

/// The identity that a directory has when it is new at this incarnation.
pub(crate) fn directory(incarnation: u64) -> DirectoryId {
    DirectoryId(u128::from(incarnation).to_le_bytes())
}

/// The secret that a publisher knows, from [`Secrets::Known`].
pub(crate) fn known_secret() -> [u8; SegmentSecret::BYTES] {
    let mut byte = 1_u8;
    std::array::from_fn(|_| {
        byte = byte.wrapping_mul(37).wrapping_add(11);
        byte
    })
}

/// The secrets of the segments that a start reserves.
fn random_secrets(incarnation: u64) -> Secrets {
    Secrets::Random(Seed::new(incarnation).generator())
}

/// The next secret of a generator.
pub(crate) fn secret(random: &mut Generator) -> SegmentSecret {
    let mut bytes = [0; SegmentSecret::BYTES];
    for word in bytes.chunks_exact_mut(8) {
        word.copy_from_slice(&random.next_u64().to_le_bytes());
    }
    SegmentSecret::new(bytes)
}

pub(crate) const WALL: u64 = 1_700_000_000_000;

pub(crate) fn settings() -> LogSettings {
    LogSettings {
        segment_bytes: ByteSize::from_kib(16),
        log_bytes: ByteSize::from_kib(16 * 16),
        cache_bytes: ByteSize::from_bytes(0),
        read_bytes: ByteSize::from_kib(4),
        ..LogSettings::for_tests()
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
        request_id: RequestId {
            shard: 0,
            number: 0,
        },
        channel: channel.into(),
        data: Bytes::copy_from_slice(data.as_bytes()),
        kind: PayloadKind::Json,
        retention: RetentionClass::Kept,
        publisher: Publisher::default(),
        idempotency_key: None,
        may_create_channel: true,
    }
}

pub(crate) fn idempotent(channel: &str, data: &str, user: &str, key: &str) -> Append {
    let publisher = Publisher {
        user: Bytes::copy_from_slice(user.as_bytes()),
        client: Bytes::new(),
    };
    Append {
        publisher,
        idempotency_key: Some(Bytes::copy_from_slice(key.as_bytes())),
        ..append(channel, data)
    }
}

pub(crate) fn read(channel: &str, from: ReadFrom, limit: usize) -> Read {
    Read {
        request_id: RequestId {
            shard: 0,
            number: 0,
        },
        channel: channel.into(),
        from,
        limit,
        bytes_max: 1 << 20,
    }
}

impl Harness {
    /// Starts a log on a disk, without waiting for it to open.
    pub(crate) fn start(settings: LogSettings, disk: Disk, wall: u64, incarnation: u64) -> Self {
        Self::begin(
            settings,
            disk,
            Start::at(wall, incarnation),
            Faults::default(),
            false,
            random_secrets(incarnation),
        )
    }

    /// Opens a new log on an empty disk, whose segments have these secrets.
    pub(crate) fn with_secrets(settings: LogSettings, incarnation: u64, secrets: Secrets) -> Self {
        let start = Start::at(WALL, incarnation);
        Self::begin(
            settings,
            Disk::default(),
            start,
            Faults::default(),
            false,
            secrets,
        )
    }

    /// Starts a log on a disk, with writes and syncs held until `release`.
    pub(crate) fn start_held(
        settings: LogSettings,
        disk: Disk,
        wall: u64,
        incarnation: u64,
    ) -> Self {
        let secrets = random_secrets(incarnation);
        Self::begin(
            settings,
            disk,
            Start::at(wall, incarnation),
            Faults::default(),
            true,
            secrets,
        )
    }

    /// As `start_held`, with faults from the beginning.
    pub(crate) fn start_held_with(
        settings: LogSettings,
        disk: Disk,
        set: impl FnOnce(&mut Faults),
    ) -> Self {
        Self::start_failing(settings, disk, set, true)
    }

    /// Starts this log on a disk.
    pub(crate) fn start_log(log: Log, disk: Disk, incarnation: u64) -> Self {
        let secrets = random_secrets(incarnation);
        Self::begin_log(
            log,
            disk,
            Start::at(WALL, incarnation),
            Faults::default(),
            false,
            secrets,
        )
    }

    /// Starts a log on a disk that fails from the beginning.
    pub(crate) fn start_with(
        settings: LogSettings,
        disk: Disk,
        set: impl FnOnce(&mut Faults),
    ) -> Self {
        Self::start_failing(settings, disk, set, false)
    }

    fn start_failing(
        settings: LogSettings,
        disk: Disk,
        set: impl FnOnce(&mut Faults),
        is_holding: bool,
    ) -> Self {
        let mut faults = Faults::default();
        set(&mut faults);
        let start = Start::at(WALL, 9);
        Self::begin(settings, disk, start, faults, is_holding, random_secrets(9))
    }

    fn begin(
        settings: LogSettings,
        disk: Disk,
        start: Start,
        faults: Faults,
        is_holding: bool,
        secrets: Secrets,
    ) -> Self {
        let policy = LogPolicy::new(settings).unwrap();
        let log = Log::new(policy, Instant::START);
        Self::begin_log(log, disk, start, faults, is_holding, secrets)
    }

    fn begin_log(
        log: Log,
        disk: Disk,
        start: Start,
        faults: Faults,
        is_holding: bool,
        secrets: Secrets,
    ) -> Self {
        let mut harness = Self {
            log,
            disk,
            now: Instant::START,
            wall: start.wall,
            wall_error: start.wall_error,
            boot: start.boot,
            faults,
            is_holding,
            is_holding_reads: false,
            held: VecDeque::new(),
            seen: Vec::new(),
            events: Vec::new(),
            opened: None,
            claims: 0,
            corruption: None,
            is_closed: false,
            writes: 0,
            syncs: 0,
            reads: 0,
            bytes_peak: 0,
            operations: Vec::new(),
            request_ids: 0,
            secrets,
        };
        let clocks = harness.clocks();
        let segments = harness.disk.list();
        let values = StartValues {
            incarnation: start.incarnation,
            directory: directory(start.incarnation),
            secret: harness.secrets.draw(),
        };
        harness.handle(Input::Found {
            segments,
            place: faults.place,
            values,
            clocks,
        });
        harness
    }

    /// Starts a log that must open.
    pub(crate) fn open(settings: LogSettings, disk: Disk, wall: u64, incarnation: u64) -> Self {
        let harness = Self::start(settings, disk, wall, incarnation);
        assert!(
            harness.opened.is_some(),
            "not open: {:?}, {:?}",
            harness.corruption,
            harness.events
        );
        harness
    }

    /// Opens a new log on an empty disk.
    pub(crate) fn new(settings: LogSettings) -> Self {
        Self::open(settings, Disk::default(), WALL, 1)
    }

    /// Opens the log on the same disk again; unless `close` was called, the shutdown was unclean.
    pub(crate) fn reopen(self, settings: LogSettings, incarnation: u64) -> Self {
        Self::open(settings, self.disk, self.wall, incarnation)
    }

    /// Opens a new log on a machine whose wall clock is wrong.
    pub(crate) fn with_wall_error(settings: LogSettings, wall_error: i64) -> Self {
        let start = Start {
            wall_error,
            ..Start::at(WALL, 1)
        };
        let (disk, secrets) = (Disk::default(), random_secrets(1));
        Self::begin(settings, disk, start, Faults::default(), false, secrets)
    }

    /// Ends the process without a clean shutdown, and starts the next one, which must open.
    pub(crate) fn restart(self, settings: LogSettings, incarnation: u64, restart: Restart) -> Self {
        let wall = self.wall + u64::try_from(restart.down.as_millis()).unwrap();
        let boot = match restart.boot {
            NextBoot::Same => self.boot,
            NextBoot::New(id) => Boot {
                id,
                began: wall - 20_000,
            },
        };
        let start = Start {
            wall,
            wall_error: restart.wall_error,
            boot,
            incarnation,
        };
        let secrets = random_secrets(incarnation);
        let harness = Self::begin(
            settings,
            self.disk,
            start,
            Faults::default(),
            false,
            secrets,
        );
        assert!(harness.opened.is_some(), "{:?}", harness.corruption);
        harness
    }

    /// What the wall clock shows.
    pub(crate) fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.wall).shifted(self.wall_error)
    }

    fn clocks(&self) -> Clocks {
        let Boot { id, began } = self.boot;
        let boot = id.map(|id| BootTime {
            id: BootId([id; BootId::BYTES]),
            millis: self.wall - began,
        });
        Clocks {
            wall: self.at(),
            boot,
        }
    }

    pub(crate) fn handle(&mut self, input: Input) {
        self.log.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.log.poll_output() {
            let is_write = matches!(output, Output::Write { .. } | Output::Sync { .. });
            let is_read = matches!(output, Output::Read { .. });
            let is_reserve = matches!(output, Output::Reserve { .. });
            let is_held = self.is_holding && is_write
                || self.is_holding_reads && is_read
                || self.faults.is_reserve_held && is_reserve;
            if is_held {
                self.held.push_back(output);
            } else {
                self.execute(output);
            }
        }
    }

    /// The held writes reach the disk, but the log receives no result.
    pub(crate) fn write_unreported(&mut self) {
        for output in std::mem::take(&mut self.held) {
            if let Output::Write {
                segment, at, bytes, ..
            } = output
            {
                self.write(segment, at, &bytes);
            }
        }
    }

    fn write(&mut self, segment: SegmentNumber, at: u64, bytes: &Bytes) {
        self.disk.write(segment.0, at, bytes);
        self.operations.push(Operation::Write {
            segment: segment.0,
            at,
            bytes: bytes.clone(),
        });
    }

    /// Executes the oldest operation that is held.
    pub(crate) fn release(&mut self) {
        let output = self.held.pop_front().expect("an operation is held");
        self.execute(output);
        self.drain();
    }

    fn execute(&mut self, output: Output) {
        match output {
            Output::Reserve {
                segment,
                bytes,
                first,
                last,
            } => self.execute_reserve(segment, bytes, &first, &last),
            Output::Write {
                segment,
                at,
                bytes,
                sync,
            } => self.execute_write(segment, at, &bytes, sync),
            Output::Sync { segment } => self.execute_sync(segment),
            Output::Read {
                read,
                segment,
                at,
                len,
            } => self.execute_read(read, segment, at, len),
            Output::Remove { segment } => match self.faults.remove {
                Some(error) => self.fail(FailedOperation::Remove(segment), error),
                None => self.disk.remove(segment.0),
            },
            Output::Claim => self.claims += 1,
            Output::Opened(report) => self.opened = Some(report),
            Output::Corrupt(corruption) => self.corruption = Some(corruption),
            Output::Commit(committed) => self.seen.push(Seen::Commit(committed)),
            Output::Respond {
                request_id,
                response,
            } => {
                self.seen.push(Seen::Response(request_id.number, response));
            }
            Output::Notify(event) => self.events.push(event),
            Output::Closed => self.is_closed = true,
        }
    }

    fn execute_reserve(&mut self, segment: SegmentNumber, bytes: u64, first: &[u8], last: &[u8]) {
        if let Some(error) = self.faults.reserve {
            return self.fail(FailedOperation::Reserve(segment), error);
        }
        self.disk.reserve(segment.0, bytes, first, last);
        let sizes = self.disk.list().into_iter().map(|segment| segment.bytes);
        self.bytes_peak = self.bytes_peak.max(sizes.sum());
        self.operations.push(Operation::Reserve {
            segment: segment.0,
            bytes,
        });
        let next_secret = self.secrets.draw();
        let input = Input::Reserved {
            segment,
            next_secret,
        };
        self.log.handle(self.now, input);
    }

    fn execute_write(&mut self, segment: SegmentNumber, at: u64, bytes: &Bytes, sync: bool) {
        self.writes += 1;
        if let Some(error) = self.faults.write {
            // Half of the bytes reach the disk nevertheless.
            let half = bytes.slice(..bytes.len().div_ceil(2));
            self.write(segment, at, &half);
            return self.fail(FailedOperation::Write, error);
        }
        self.write(segment, at, bytes);
        match (sync, self.is_holding) {
            (false, _) => self.log.handle(self.now, Input::Written),
            (true, false) => self.execute_sync(segment),
            // The sync is held as a step of its own.
            (true, true) => self.held.push_front(Output::Sync { segment }),
        }
    }

    fn execute_sync(&mut self, segment: SegmentNumber) {
        self.syncs += 1;
        if let Some(error) = self.faults.sync {
            return self.fail(FailedOperation::Sync, error);
        }
        if !self.faults.is_sync_ignored {
            self.disk.sync(segment.0);
            let segment = segment.0;
            self.operations.push(Operation::Sync { segment });
        }
        self.log.handle(self.now, Input::Synced);
    }

    fn execute_read(&mut self, read: u64, segment: SegmentNumber, at: u64, len: usize) {
        self.reads += 1;
        match (self.faults.read, self.disk.read(segment.0, at, len)) {
            (None, Some(bytes)) => {
                let bytes = bytes.into();
                self.log.handle(self.now, Input::ReadDone { read, bytes });
            }
            (error, _) => self.fail(
                FailedOperation::Read(read),
                error.unwrap_or(StorageError::Io),
            ),
        }
    }

    fn fail(&mut self, operation: FailedOperation, error: StorageError) {
        self.log
            .handle(self.now, Input::Failed { operation, error });
    }

    /// Sends all requests at once and returns their numbers.
    pub(crate) fn request(&mut self, requests: Vec<Request>) -> Vec<u64> {
        let first = self.request_ids + 1;
        let mut numbered = requests;
        for request in &mut numbered {
            self.request_ids += 1;
            match request {
                Request::Append(append) => append.request_id.number = self.request_ids,
                Request::Read(read) => read.request_id.number = self.request_ids,
            }
        }
        let at = self.at();
        self.handle(Input::Requested {
            requests: numbered,
            at,
        });
        (first..=self.request_ids).collect()
    }

    pub(crate) fn publish_all(&mut self, appends: Vec<Append>) -> Vec<u64> {
        self.request(appends.into_iter().map(Request::Append).collect())
    }

    /// Publishes one publication and returns the response.
    pub(crate) fn publish(&mut self, append: Append) -> Response {
        let number = self.publish_all(vec![append])[0];
        self.response(number).expect("responded immediately")
    }

    pub(crate) fn publish_unacknowledged(&mut self, append: Append) -> u64 {
        self.publish_all(vec![append])[0]
    }

    /// Publishes one publication, which must be acknowledged.
    pub(crate) fn publish_ok(&mut self, append: Append) -> (ChannelEpoch, u64, bool) {
        let response = self.publish(append);
        let Response::Appended {
            epoch,
            offset,
            is_duplicate,
            ..
        } = response
        else {
            panic!("{response:?}")
        };
        (epoch, offset, is_duplicate)
    }

    pub(crate) fn rejected(&mut self, append: Append) -> Rejection {
        let response = self.publish(append);
        let Response::Rejected(reason) = response else {
            panic!("{response:?}")
        };
        reason
    }

    pub(crate) fn response(&self, number: u64) -> Option<Response> {
        self.responses().remove(&number)
    }

    pub(crate) fn responses(&self) -> BTreeMap<u64, Response> {
        let responses = self.seen.iter().filter_map(|seen| match seen {
            Seen::Response(number, response) => Some((*number, response.clone())),
            Seen::Commit(_) => None,
        });
        responses.collect()
    }

    pub(crate) fn read(&mut self, read: Read) -> ReadResponse {
        let number = self.request(vec![Request::Read(read)])[0];
        match self.response(number) {
            Some(Response::Read(response)) => response,
            other => panic!("{other:?}"),
        }
    }

    /// The publications of a page that must be recoverable.
    pub(crate) fn records(&mut self, request: Read) -> (Vec<Record>, bool) {
        match self.read(request).page {
            Page::Records {
                records, has_more, ..
            } => (records, has_more),
            Page::Unrecoverable => panic!("unrecoverable"),
        }
    }

    /// The epoch of channels that do not exist yet.
    pub(crate) fn log_epoch(&self) -> ChannelEpoch {
        let name = "a channel without publications";
        let mut again = Self::open(settings(), self.disk.clone(), self.wall, 99);
        again.read(read(name, ReadFrom::Oldest, 0)).epoch
    }

    /// Offsets and payloads of all visible publications of a channel.
    pub(crate) fn all(&mut self, channel: &str) -> Vec<(u64, String)> {
        let (records, _) = self.records(read(channel, ReadFrom::Oldest, usize::MAX));
        let text = |record: Record| {
            (
                record.offset,
                String::from_utf8(record.data.to_vec()).unwrap(),
            )
        };
        records.into_iter().map(text).collect()
    }

    /// The payloads of all visible publications of a channel.
    pub(crate) fn payloads(&mut self, channel: &str) -> Vec<Bytes> {
        let (records, _) = self.records(read(channel, ReadFrom::Oldest, usize::MAX));
        records.into_iter().map(|record| record.data).collect()
    }

    /// Advances both clocks and wakes the log.
    pub(crate) fn advance(&mut self, time: Duration) {
        self.now = self.now + time;
        self.wall += u64::try_from(time.as_millis()).unwrap();
        let at = self.at();
        self.handle(Input::Tick { at });
    }

    pub(crate) fn close_requested(&mut self) {
        self.handle(Input::CloseRequested);
    }

    pub(crate) fn close(&mut self) {
        self.close_requested();
        assert!(self.is_closed, "not closed");
    }
}
