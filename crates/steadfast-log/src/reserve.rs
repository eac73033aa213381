//! The next segment: it is reserved before it is needed, with its header, and becomes the current one.
//!
//! `segment::header` knows the format, and `failure` handles a reservation that fails.

use bytes::Bytes;

use crate::Log;
use crate::identity::DirectoryId;
use crate::io::{Output, SegmentNumber};
use crate::segment::header::SegmentHeader;
use crate::segment::{Cursor, NextSegment, Segment};

/// The data directory and the start that a new segment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) directory: DirectoryId,
    /// The incarnation of the start.
    pub(crate) incarnation: u64,
}

impl Log {
    /// Switches to the next segment, if it is ready.
    pub(crate) fn start_next_segment(&mut self) -> bool {
        if let Some(next) = self.writer.next.ready() {
            self.state.segments.push(next);
            self.writer.cursor = Cursor::at_start(self.writer.cursor.write_generation);
            self.writer.is_sealed = false;
            self.writer.next = NextSegment::Absent(SegmentNumber(next.number.0.saturating_add(1)));
            return true;
        }
        self.reserve_next();
        self.on_next_segment_missing();
        false
    }

    /// Reserves the next segment before it is needed.
    pub(crate) fn reserve_next(&mut self) {
        if let NextSegment::Absent(number) = self.writer.next {
            let size = crate::opening::segment_size(&self.policy, &self.state);
            let secret = self.writer.next_secret.take();
            let secret = secret.expect("a start and each reservation bring the next secret");
            self.reserve_segment(Segment {
                number,
                size,
                secret,
            });
        }
    }

    pub(crate) fn reserve_segment(&mut self, segment: Segment) {
        let origin = self.writer.origin.expect("an opened log has an origin");
        let header = SegmentHeader {
            number: segment.number,
            size: segment.size,
            directory: origin.directory,
            incarnation: origin.incarnation,
            secret: segment.secret,
        };
        let (first, last) = header.encode();
        self.writer.next = NextSegment::Requested(segment);
        self.outputs.push_back(Output::Reserve {
            segment: segment.number,
            bytes: segment.size,
            first: Bytes::copy_from_slice(&first),
            last: last.into(),
        });
    }
}
