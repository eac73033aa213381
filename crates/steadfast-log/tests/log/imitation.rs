//! Logs whose payloads imitate records: what a publisher can store who knows the format, but not the secrets.
//!
//! The payloads are cut from other logs at the byte positions at which they will be stored: from a log with a known
//! secret, from another directory, and from an earlier segment of the same directory. Each holds complete records with
//! the right byte position and write generation, and with high claims of what was synced. Some payloads are copies of
//! what their own segment holds before them: real records at other byte positions.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use steadfast_engine::Append;
use steadfast_log::policy::{LogPolicy, LogSettings};
use steadfast_log::verify::{Verification, Verifier};
use steadfast_machine::{ByteSize, Generator, Seed};
use steadfast_protocol::message::PayloadKind;

use crate::disk::{Disk, RECORDS_AT, TRAILER};
use crate::harness::{Harness, Operation, Secrets, append, settings};
use crate::oracle::History;

/// Bytes of each payload: several records of the source.
const PAYLOAD: usize = 360;
/// Bytes of the record of a publication before its payload.
const PUBLICATION_HEAD: usize = 57;

pub(crate) fn small() -> LogSettings {
    LogSettings {
        segment_bytes: ByteSize::from_kib(4),
        log_bytes: ByteSize::from_kib(64),
        ..settings()
    }
}

/// Verifies a log with the settings of [`small`].
pub(crate) fn verify(disk: &Disk) -> Verification {
    let policy = LogPolicy::new(small()).unwrap();
    let mut verifier = Verifier::new(policy, disk.list());
    while let Some(request) = verifier.next_read() {
        let (number, at) = (request.segment.0, request.at);
        verifier.feed(&disk.read(number, at, request.len).unwrap());
    }
    verifier.finish()
}

/// A log of many small batches: a whole segment of them.
fn source(incarnation: u64, secrets: Secrets) -> Bytes {
    let mut harness = Harness::with_secrets(small(), incarnation, secrets);
    while harness.disk.numbers().len() < 3 {
        harness.publish_ok(append("a", "7"));
    }
    Bytes::copy_from_slice(harness.disk.bytes(1))
}

fn binary(channel: &str, data: Bytes) -> Append {
    Append {
        data,
        kind: PayloadKind::Binary,
        ..append(channel, "")
    }
}

/// A log with imitations, and what was written to it.
pub(crate) struct Victim {
    pub(crate) harness: Harness,
    pub(crate) history: History,
    /// The payloads of channel `a`, in order, whether they were acknowledged or not.
    pub(crate) published: Vec<Bytes>,
    sources: VecDeque<Bytes>,
    /// True when the last payload was a copy from its own segment.
    copies: bool,
    starts: u64,
}

impl Victim {
    /// A killed log with imitations in two sealed segments and in its tail.
    pub(crate) fn new() -> Self {
        let known = source(1, Secrets::Known);
        let other = source(2, Secrets::Random(Seed::new(2).generator()));
        let mut victim = Self {
            harness: Harness::new(small()),
            history: History::default(),
            published: Vec::new(),
            sources: VecDeque::from([known, other]),
            copies: false,
            starts: 1,
        };
        while victim.tail() < 3 {
            victim.publish_imitation();
        }
        for _ in 0..3 {
            victim.publish_imitation();
        }
        victim
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.harness.disk
    }

    /// The segment that was written to last, and the bytes of the last batch in it.
    pub(crate) fn last_batch(&self) -> (u64, Range<usize>) {
        let records_end = |segment: u64| self.disk().bytes(segment).len() - TRAILER;
        let written = |operation: &Operation| match operation {
            Operation::Write { segment, at, bytes } => {
                let at = usize::try_from(*at).unwrap();
                (at < records_end(*segment)).then_some((*segment, at..at + bytes.len()))
            }
            Operation::Reserve { .. } | Operation::Sync { .. } => None,
        };
        let mut operations = self.harness.operations.iter().rev();
        operations.find_map(written).expect("something was written")
    }

    pub(crate) fn tail(&self) -> u64 {
        self.last_batch().0
    }

    fn next_payload(&mut self) -> Bytes {
        let (tail, Range { end, .. }) = self.last_batch();
        if tail > 1 && self.sources.len() == 2 {
            // From the second segment on, an earlier segment of this directory is a source too.
            let earlier = Bytes::copy_from_slice(self.disk().bytes(1));
            self.sources.push_back(earlier);
        }
        self.copies = !self.copies;
        if self.copies && end > RECORDS_AT + PAYLOAD {
            let own = self.disk().bytes(tail);
            return Bytes::copy_from_slice(&own[end - PAYLOAD..end]);
        }
        self.sources.rotate_left(1);
        let source = &self.sources[0];
        let from = (end + PUBLICATION_HEAD).min(source.len() - PAYLOAD);
        source.slice(from..from + PAYLOAD)
    }

    /// Publishes an imitation and a short publication in one batch.
    pub(crate) fn publish_imitation(&mut self) {
        let payload = self.next_payload();
        self.published.push(payload.clone());
        let batch = vec![binary("a", payload), append("b", "x")];
        self.harness.publish_all(batch);
        self.record_operations();
    }

    fn record_operations(&mut self) {
        self.history = History::of(&self.harness.operations, &self.harness.disk);
    }

    pub(crate) fn close(&mut self) {
        self.harness.close();
        self.record_operations();
    }

    /// Starts a log on the disk, after a clean shutdown or a kill.
    pub(crate) fn restart(&mut self) {
        self.starts += 1;
        let harness = std::mem::replace(&mut self.harness, Harness::new(small()));
        let before = harness.operations.clone();
        self.harness = harness.reopen(small(), self.starts);
        let after = std::mem::replace(&mut self.harness.operations, before);
        self.harness.operations.extend(after);
        self.record_operations();
    }

    /// Closes the log one disk operation at a time, and returns the disk after each, with what was written until then.
    pub(crate) fn close_held(&mut self) -> Vec<(Disk, History)> {
        self.harness.is_holding = true;
        let mut steps = vec![(self.disk().clone(), self.history.clone())];
        self.harness.close_requested();
        while !self.harness.is_closed {
            self.harness.release();
            self.record_operations();
            steps.push((self.disk().clone(), self.history.clone()));
        }
        steps
    }

    /// Publishes some imitations, of which the last ones are in flight when the power fails; returns the disk.
    pub(crate) fn lose_power(&mut self, count: u64, random: &mut Generator) -> Disk {
        for _ in 0..count {
            self.publish_imitation();
        }
        self.harness.is_holding = true;
        for _ in 0..2 {
            self.publish_imitation();
        }
        if random.below(2) == 0 {
            self.harness.release();
        }
        self.harness.write_unreported();
        self.record_operations();
        let mut disk = self.disk().clone();
        disk.lose_power(random);
        disk
    }
}
