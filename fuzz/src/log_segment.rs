//! Fuzzes opening, verifying and repairing a log whose segments contain any bytes: no operation may panic, opening and
//! verifying must agree on what is corrupt, and a log that opens or was repaired must handle a publication and survive
//! a restart.
//!
//! The first byte chooses the number of segments, whether checksums are corrected (so that valid records with unusual
//! content are reached), and the policy; the rest is the content of the segments. The fuzz target of the same name
//! runs this check; the tests of `steadfast-hub` run it over the committed corpus.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use steadfast_engine::{
    Append, Page, PayloadKind, Publisher, Read, ReadFrom, Request, RequestId, Response,
    RetentionClass,
};
use steadfast_log::Log;
use steadfast_log::io::{Input, Output, SegmentFound, SegmentNumber};
use steadfast_log::policy::{Fsync, LogPolicy, LogSettings};
use steadfast_log::repair::Repair;
use steadfast_log::verify::Verifier;
use steadfast_machine::{ByteSize, Instant, Machine, Timestamp};

/// The smallest segment that a policy allows.
const SEGMENT_BYTES: usize = 4096;
/// Length of the header of a record.
const HEADER_BYTES: usize = 25;
/// The wall clock of every run.
const AT: Timestamp = Timestamp::from_millis(1_700_000_000_000);

type Segments = BTreeMap<u64, Vec<u8>>;

/// Checks one input; panics when the log violates an invariant.
pub fn check(data: &[u8]) {
    let Some((choice, content)) = data.split_first() else {
        return;
    };
    let count = usize::from(choice & 0b11) + 1;
    let mut segments = Segments::new();
    for (number, part) in (1..).zip(content.chunks(content.len().div_ceil(count).max(1))) {
        let mut bytes = part.to_vec();
        bytes.resize(part.len().max(SEGMENT_BYTES), 0);
        if choice & 0b100 != 0 {
            correct_records(number, &mut bytes);
        }
        segments.insert(number, bytes);
    }
    let fsync = match choice >> 3 & 0b11 {
        0 | 1 => Fsync::Always,
        2 => Fsync::Never,
        _ => Fsync::Interval(Duration::from_millis(1)),
    };
    let policy = LogPolicy::new(LogSettings {
        fsync,
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

/// Corrects the length, the segment number, the synced length and the checksum of each record.
fn correct_records(number: u64, segment: &mut [u8]) {
    let mut at = 0;
    while let Some(rest) = segment.get_mut(at..)
        && rest.len() >= HEADER_BYTES
    {
        rest[6] = 0;
        rest[7] = 0;
        rest[5] &= 0b11;
        let body = usize::from(u16::from_le_bytes([rest[4], rest[5]]));
        let Some(record) = rest.get_mut(..HEADER_BYTES + body) else {
            return;
        };
        record[8..16].copy_from_slice(&number.to_le_bytes());
        let synced = u32::from_le_bytes([record[20], record[21], record[22], record[23]]);
        let known = u32::try_from(at).map_or(0, |at| synced.min(at));
        record[20..24].copy_from_slice(&known.to_le_bytes());
        let crc = crc32fast::hash(&record[4..]);
        record[..4].copy_from_slice(&crc.to_le_bytes());
        at += HEADER_BYTES + body;
    }
}

fn found(segments: &Segments) -> Vec<SegmentFound> {
    let found = |(number, bytes): (&u64, &Vec<u8>)| SegmentFound {
        number: SegmentNumber(*number),
        bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
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
    let mut verifier = Verifier::new(policy, found(segments), AT);
    while let Some(request) = verifier.next_read() {
        verifier.feed(part(segments, request.segment, request.at, request.len));
    }
    verifier.finish().corruptions.is_empty()
}

fn repair(policy: LogPolicy, segments: &Segments) -> Segments {
    let first = segments.keys().next_back().map_or(1, |last| last + 1);
    let mut repair = Repair::new(policy, 7, AT, SegmentNumber(first));
    for (number, bytes) in segments {
        repair.add_segment(SegmentNumber(*number), bytes);
    }
    let (repaired, _) = repair.finish();
    let mut segments = Segments::new();
    for segment in repaired {
        let mut bytes = segment.bytes.to_vec();
        bytes.resize(usize::try_from(segment.size).expect("small"), 0);
        segments.insert(segment.number.0, bytes);
    }
    segments
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
    first.handle(Input::CloseRequested { at: AT });
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
            incarnation,
            at: AT,
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
            Output::Reserve { segment, bytes } => {
                let size = usize::try_from(bytes).expect("small");
                self.segments.insert(segment.0, vec![0; size]);
                Input::Reserved { segment }
            }
            Output::Write { segment, at, bytes } => {
                let file = self
                    .segments
                    .get_mut(&segment.0)
                    .expect("the segment exists");
                let at = usize::try_from(at).expect("small");
                file[at..at + bytes.len()].copy_from_slice(&bytes);
                Input::Written
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
