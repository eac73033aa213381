//! Verifies a log without changing anything: reports what an opening would find, and every corruption, not only the
//! first.
//!
//! The verifier requests bytes in the same order as an opening; `steadfast log verify` executes the reads.

use steadfast_machine::Instant;
use steadfast_protocol::message::ChannelName;

use crate::clock::Clocks;
use crate::identity::{DirectoryId, SegmentSecret, StartValues};
use crate::io::{Place, SegmentFound, SegmentNumber};
use crate::open::{Corruption, OpenReport};
use crate::opening::Opening;
use crate::policy::LogPolicy;

/// Reads a log and reports its corruptions.
///
/// ```
/// use steadfast_log::verify::Verifier;
/// use steadfast_log::policy::{LogPolicy, LogSettings};
///
/// let policy = LogPolicy::new(LogSettings::for_tests()).unwrap();
/// let mut verifier = Verifier::new(policy, Vec::new());
/// while let Some(request) = verifier.next_read() {
///     unreachable!("an empty directory has nothing to read: {request:?}");
/// }
/// assert!(verifier.finish().corruptions.is_empty());
/// ```
#[derive(Debug)]
pub struct Verifier {
    opening: Opening,
}

/// The bytes to read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct ReadRequest {
    pub segment: SegmentNumber,
    /// The first byte position to read.
    pub at: u64,
    /// The number of bytes.
    pub len: usize,
}

/// The result of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// What an opening would report; for a corrupt log, as much as is known.
    pub report: OpenReport,
    /// Every corruption, in order of location; empty when the log can be opened.
    pub corruptions: Vec<Corruption>,
    /// The identity of the data directory; `None` when no segment has a valid header.
    pub directory: Option<DirectoryId>,
}

/// A verification starts no log, so its random values are never used.
const NO_VALUES: StartValues = StartValues {
    incarnation: 0,
    directory: DirectoryId([0; DirectoryId::BYTES]),
    secret: SegmentSecret::new([0; SegmentSecret::BYTES]),
};

impl Verifier {
    /// Begins with the segments that were listed.
    ///
    /// Ages count up to the time of the last record, since nothing says how long ago that was.
    pub fn new(policy: LogPolicy, segments: Vec<SegmentFound>) -> Self {
        Self {
            opening: Opening::new(
                policy,
                Instant::START,
                segments,
                Place::Known,
                NO_VALUES,
                Clocks::default(),
            ),
        }
    }

    /// What to read next; `None` when everything was read.
    pub fn next_read(&self) -> Option<ReadRequest> {
        self.opening.next_read()
    }

    /// Accepts the bytes of the next read; fewer bytes than requested mean that the segment ends there.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.opening.feed(bytes);
    }

    /// Returns those of these channels that the log does not have; complete once everything was read.
    pub fn unknown_channels(&self, channels: &[ChannelName]) -> Vec<ChannelName> {
        let is_unknown = |name: &&ChannelName| !self.opening.has_channel(name);
        channels.iter().filter(is_unknown).cloned().collect()
    }

    /// Returns the result; complete once everything was read.
    pub fn finish(self) -> Verification {
        Verification {
            report: self.opening.report(),
            corruptions: self.opening.corruptions(),
            directory: self.opening.directory(),
        }
    }
}
