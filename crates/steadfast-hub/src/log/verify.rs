//! Looks at a log without changing anything: what opening it would find, and every damage instead of the first.
//!
//! It wants bytes in the same order as an opening; `steadfast log verify` carries that out.

use steadfast_machine::{Instant, Timestamp};

use crate::log::io::{SegmentFound, SegmentNumber};
use crate::log::open::{Damage, OpenReport};
use crate::log::opening::Opening;
use crate::policy::log::LogPolicy;

/// Reads a log and judges it.
///
/// ```
/// use steadfast_hub::log::verify::Verifier;
/// use steadfast_hub::policy::log::{LogPolicy, LogSettings};
/// use steadfast_machine::Timestamp;
///
/// let policy = LogPolicy::new(LogSettings::typical()).unwrap();
/// let mut verifier = Verifier::new(policy, Vec::new(), Timestamp::from_millis(1_700_000_000_000));
/// while let Some(wanted) = verifier.wanted() {
///     unreachable!("an empty directory has nothing to read: {wanted:?}");
/// }
/// assert!(verifier.finish().damages.is_empty());
/// ```
#[derive(Debug)]
pub struct Verifier {
    opening: Opening,
}

/// Bytes that are wanted next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Of which segment.
    pub segment: SegmentNumber,
    /// From this byte on.
    pub at: u64,
    /// So many.
    pub len: usize,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// What an opening would report; of a damaged log, what is known all the same.
    pub report: OpenReport,
    /// Every damage, in order of place; empty when the log can be opened.
    pub damages: Vec<Damage>,
}

impl Verifier {
    /// Begins with the segments that were listed.
    pub fn new(policy: LogPolicy, segments: Vec<SegmentFound>, at: Timestamp) -> Self {
        Self {
            opening: Opening::new(policy, Instant::START, segments, 0, at),
        }
    }

    /// What to read next; `None` when everything was read.
    pub fn wanted(&self) -> Option<Wanted> {
        self.opening.wanted()
    }

    /// Takes what was wanted; fewer bytes mean that the segment ends there.
    pub fn take(&mut self, bytes: &[u8]) {
        self.opening.take(bytes);
    }

    /// Says what was found.
    pub fn finish(self) -> Verification {
        Verification {
            report: self.opening.report(),
            damages: self.opening.damages(),
        }
    }
}
