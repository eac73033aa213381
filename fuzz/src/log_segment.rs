//! Fuzzes opening, verifying and repairing a log whose segments contain any bytes: no operation may panic, opening and
//! verifying must agree on what is corrupt, and a log that opens or was repaired must handle a publication and survive
//! a restart.
//!
//! The first byte chooses the number of segments, whether checks are corrected (so that valid records with unusual
//! content are reached), the policy, and whether the content of the segments is their records, between a valid header
//! and its copy, or all of their bytes; the rest is the content. The fuzz target of the same name runs this check; the
//! tests of `steadfast-log` run it over the committed corpus.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use steadfast_engine::{
    Append, Page, Publisher, Read, ReadFrom, Request, RequestId, Response, RetentionClass,
};
use steadfast_log::Log;
use steadfast_log::clock::Clocks;
use steadfast_log::identity::{DirectoryId, SegmentSecret, StartValues};
use steadfast_log::io::{Input, Output, Place, SegmentFound, SegmentNumber};
use steadfast_log::policy::{Fsync, LogPolicy, LogSettings};
use steadfast_log::repair::{Repair, RepairStart};
use steadfast_log::verify::Verifier;
use steadfast_machine::{ByteSize, Instant, Machine, Timestamp, convert};
use steadfast_protocol::message::PayloadKind;
use twox_hash::XxHash3_64;

/// The smallest segment that a policy allows.
const SEGMENT_BYTES: usize = 4096;
/// Length of the header of a segment.
const HEADER_BYTES: usize = 256;
/// Bytes at the end of a segment: the copy of the header, and the end of a clean shutdown in the second half.
const TRAILER_BYTES: usize = 1024;
/// Length of the head of a record.
const HEAD_BYTES: usize = 29;
/// The secret of every segment.
const SECRET: [u8; SegmentSecret::BYTES] = secret();
/// The wall clock of every run.
const AT: Timestamp = Timestamp::from_millis(1_700_000_000_000);

type Segments = BTreeMap<u64, Vec<u8>>;

/// What the first byte chooses.
struct Choice(u8);

impl Choice {
    fn segments(&self) -> usize {
        usize::from(self.0 & 0b11) + 1
    }

    fn corrects_records(&self) -> bool {
        self.0 & 0b100 != 0
    }

    fn fsync(&self) -> Fsync {
        match self.0 >> 3 & 0b11 {
            0 | 1 => Fsync::Always,
            2 => Fsync::Never,
            _ => Fsync::Interval(Duration::from_millis(1)),
        }
    }

    /// Whether the content is all of the segments, with their headers.
    fn is_raw(&self) -> bool {
        self.0 & 0b10_0000 != 0
    }

    /// Whether each segment says that it was closed cleanly, somewhere.
    fn has_clean_end(&self) -> bool {
        self.0 & 0b100_0000 != 0
    }
}

/// Checks one input; panics when the log violates an invariant.
pub fn check(data: &[u8]) {
    let Some((choice, content)) = data.split_first() else {
        return;
    };
    let choice = Choice(*choice);
    let mut segments = Segments::new();
    let len = content.len().div_ceil(choice.segments()).max(1);
    for (number, part) in (1..).zip(content.chunks(len)) {
        let bytes = if choice.is_raw() {
            part.to_vec()
        } else {
            complete_segment(number, part, &choice)
        };
        segments.insert(number, bytes);
    }
    let policy = LogPolicy::new(LogSettings {
        fsync: choice.fsync(),
        segment_bytes: ByteSize::from_kib(4),
        log_bytes: ByteSize::from_kib(64),
        read_bytes: ByteSize::from_kib(4),
        ..LogSettings::for_tests()
    })
    .expect("the settings are in their ranges");

    let is_intact = verify(policy, &segments);
    assert_eq!(
        use_log(policy, segments.clone(), 2),
        is_intact,
        "opening and verifying agree"
    );
    let repaired = repair(policy, &segments);
    assert!(verify(policy, &repaired), "a repaired log is intact");
    assert!(use_log(policy, repaired, 3), "a repaired log opens");
}

/// A segment with a valid header and these records.
fn complete_segment(number: u64, records: &[u8], choice: &Choice) -> Vec<u8> {
    let size = (records.len() + HEADER_BYTES + TRAILER_BYTES).max(SEGMENT_BYTES);
    let header = header(number, size);
    let mut bytes = header.clone();
    bytes.extend_from_slice(records);
    bytes.resize(size, 0);
    if choice.corrects_records() {
        correct_records(&mut bytes);
    }
    let copy_at = size - TRAILER_BYTES;
    bytes[copy_at..][..header.len()].copy_from_slice(&header);
    if choice.has_clean_end() {
        let end = records.len() + HEADER_BYTES;
        let end = convert::to_u64(end).to_le_bytes();
        let check = keyed(&end).to_le_bytes();
        bytes[size - TRAILER_BYTES / 2..][..16].copy_from_slice(&[end, check].concat());
    }
    bytes
}

fn header(number: u64, size: usize) -> Vec<u8> {
    let mut bytes = b"\x89SFLOG\r\n\x03\0\0\0".to_vec();
    let prologue = XxHash3_64::oneshot(&bytes).to_le_bytes();
    bytes.extend_from_slice(&prologue[..4]);
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&convert::to_u64(size).to_le_bytes());
    bytes.extend_from_slice(&DIRECTORY.0);
    bytes.extend_from_slice(&1_u64.to_le_bytes());
    bytes.extend_from_slice(&SECRET);
    let check = XxHash3_64::oneshot(&bytes);
    bytes.extend_from_slice(&check.to_le_bytes());
    assert_eq!(bytes.len(), HEADER_BYTES, "the header has its length");
    bytes
}

/// Corrects the length, the synced length and the checks of each record.
fn correct_records(segment: &mut [u8]) {
    let mut at = HEADER_BYTES;
    let end = segment.len() - TRAILER_BYTES;
    while at + HEAD_BYTES <= end {
        let (position, rest) = (at.to_le_bytes(), &mut segment[at..end]);
        rest[18] = 0;
        rest[19] = 0;
        rest[17] &= 0b11;
        let len = HEAD_BYTES + usize::from(u16::from_le_bytes([rest[16], rest[17]]));
        let Some(record) = rest.get_mut(..len) else {
            return;
        };
        let body_check = keyed(&record[HEAD_BYTES..]);
        record[8..16].copy_from_slice(&body_check.to_le_bytes());
        let synced = u32::from_le_bytes([record[24], record[25], record[26], record[27]]);
        let known = u32::try_from(at).map_or(0, |at| synced.min(at));
        record[24..28].copy_from_slice(&known.to_le_bytes());
        let check = keyed(&[&position, &record[8..HEAD_BYTES]].concat());
        record[..8].copy_from_slice(&check.to_le_bytes());
        at += len;
    }
}

fn keyed(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_secret(&SECRET, bytes).expect("the secret is long enough")
}

const fn secret() -> [u8; SegmentSecret::BYTES] {
    let mut secret = [0; SegmentSecret::BYTES];
    let (mut at, mut byte) = (0, 1_u8);
    while at < secret.len() {
        byte = byte.wrapping_mul(37).wrapping_add(11);
        secret[at] = byte;
        at += 1;
    }
    secret
}

/// The identity of every directory.
const DIRECTORY: DirectoryId = DirectoryId([7; DirectoryId::BYTES]);

fn found(segments: &Segments) -> Vec<SegmentFound> {
    let found = |(number, bytes): (&u64, &Vec<u8>)| SegmentFound {
        number: SegmentNumber(*number),
        bytes: convert::to_u64(bytes.len()),
    };
    segments.iter().map(found).collect()
}

fn part(segments: &Segments, segment: SegmentNumber, at: u64, len: usize) -> &[u8] {
    let bytes = &segments[&segment.0];
    let from = usize::try_from(at).map_or(bytes.len(), |at| at.min(bytes.len()));
    &bytes[from..from.saturating_add(len).min(bytes.len())]
}

/// Returns `true` when the log is not corrupt.
fn verify(policy: LogPolicy, segments: &Segments) -> bool {
    let mut verifier = Verifier::new(policy, found(segments));
    while let Some(request) = verifier.next_read() {
        verifier.feed(part(segments, request.segment, request.at, request.len));
    }
    verifier.finish().corruptions.is_empty()
}

fn repair(policy: LogPolicy, segments: &Segments) -> Segments {
    let first = segments.keys().next_back().map_or(1, |last| last + 1);
    let start = RepairStart {
        directory: DIRECTORY,
        incarnation: 7,
        first: SegmentNumber(first),
    };
    let mut draw = || Ok::<_, Infallible>(SegmentSecret::new(SECRET));
    let mut repair = Repair::new(policy, start, SegmentSecret::new(SECRET));
    for (number, bytes) in segments {
        let added = repair.add_segment(SegmentNumber(*number), bytes, &mut draw);
        added.expect("a secret is always drawn");
    }
    let (repaired, _) = repair.finish();
    let mut segments = Segments::new();
    for segment in repaired {
        let bytes = content(segment.size, &segment.first, &segment.last);
        segments.insert(segment.number.0, bytes);
    }
    segments
}

/// The content of a segment that has zeros between its ends.
fn content(size: u64, first: &[u8], last: &[u8]) -> Vec<u8> {
    let size = usize::try_from(size).expect("small");
    let mut bytes = first.to_vec();
    bytes.resize(size - last.len(), 0);
    bytes.extend_from_slice(last);
    bytes
}

/// Opens a log, publishes, reads the publication back, and restarts. Returns `false` when the log is corrupt.
fn use_log(policy: LogPolicy, segments: Segments, incarnation: u64) -> bool {
    let mut first = Driver::open(policy, segments, incarnation);
    if !first.is_open {
        return false;
    }
    let published = first.publish();
    if let Some(data) = &published {
        assert_eq!(
            first.newest().as_ref(),
            Some(data),
            "a publication is read back"
        );
    }
    first.handle(Input::CloseRequested);
    let mut second = Driver::open(policy, first.segments, incarnation + 10);
    assert!(second.is_open, "a closed log opens again");
    if published.is_some() {
        assert_eq!(
            second.newest(),
            published,
            "an acknowledged publication survives a restart"
        );
    }
    true
}

/// Executes the outputs of a log in memory.
struct Driver {
    log: Log,
    segments: Segments,
    is_open: bool,
    response: Option<Response>,
}

impl Driver {
    fn open(policy: LogPolicy, segments: Segments, incarnation: u64) -> Self {
        let log = Log::new(policy, Instant::START);
        let found = found(&segments);
        let mut driver = Self {
            log,
            segments,
            is_open: false,
            response: None,
        };
        driver.handle(Input::Found {
            segments: found,
            place: Place::Known,
            values: StartValues {
                incarnation,
                directory: DIRECTORY,
                secret: SegmentSecret::new(SECRET),
            },
            clocks: Clocks {
                wall: AT,
                boot: None,
            },
        });
        driver
    }

    fn handle(&mut self, input: Input) {
        self.log.handle(Instant::START, input);
        while let Some(output) = self.log.poll_output() {
            self.execute(output);
        }
    }

    fn execute(&mut self, output: Output) {
        let input = match output {
            Output::Reserve {
                segment,
                bytes,
                first,
                last,
            } => {
                let bytes = content(bytes, &first, &last);
                self.segments.insert(segment.0, bytes);
                Input::Reserved {
                    segment,
                    next_secret: SegmentSecret::new(SECRET),
                }
            }
            Output::Write {
                segment,
                at,
                bytes,
                sync,
            } => {
                let file = self
                    .segments
                    .get_mut(&segment.0)
                    .expect("the segment exists");
                let at = usize::try_from(at).expect("small");
                file[at..at + bytes.len()].copy_from_slice(&bytes);
                if sync { Input::Synced } else { Input::Written }
            }
            Output::Sync { .. } => Input::Synced,
            Output::Read {
                read,
                segment,
                at,
                len,
            } => {
                let bytes = Bytes::copy_from_slice(part(&self.segments, segment, at, len));
                Input::ReadDone { read, bytes }
            }
            Output::Remove { segment } => {
                self.segments.remove(&segment.0);
                return;
            }
            Output::Claim => return,
            Output::Opened(_) => {
                self.is_open = true;
                return;
            }
            Output::Respond { response, .. } => {
                self.response = Some(response);
                return;
            }
            Output::Corrupt(_) | Output::Commit(_) | Output::Notify(_) | Output::Closed => return,
        };
        self.log.handle(Instant::START, input);
    }

    /// Publishes and returns the payload; `None` when the log rejects the publication.
    fn publish(&mut self) -> Option<Bytes> {
        let data = Bytes::from_static(b"\"published by the check\"");
        let append = Append {
            request_id: RequestId {
                shard: 0,
                number: 1,
            },
            channel: "a".into(),
            data: data.clone(),
            kind: PayloadKind::Json,
            retention: RetentionClass::Kept,
            publisher: Publisher::default(),
            idempotency_key: Some(Bytes::from_static(b"a key that nothing else uses")),
            may_create_channel: true,
        };
        let batch = vec![Request::Append(append)];
        self.handle(Input::Requested {
            requests: batch,
            at: AT,
        });
        match self.take_response() {
            Response::Appended { .. } => Some(data),
            Response::Rejected(_) => None,
            Response::Read(_) => unreachable!("nothing was read"),
        }
    }

    fn take_response(&mut self) -> Response {
        self.response.take().expect("every request has a response")
    }

    fn newest(&mut self) -> Option<Bytes> {
        let read = Read {
            request_id: RequestId {
                shard: 0,
                number: 2,
            },
            channel: "a".into(),
            from: ReadFrom::Newest,
            limit: 1,
            bytes_max: 1,
        };
        let batch = vec![Request::Read(read)];
        self.handle(Input::Requested {
            requests: batch,
            at: AT,
        });
        let Some(Response::Read(read)) = self.response.take() else {
            return None;
        };
        match read.page {
            Page::Records { records, .. } => records.first().map(|record| record.data.clone()),
            Page::Unrecoverable => None,
        }
    }
}
