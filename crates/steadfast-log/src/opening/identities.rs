//! The identities in the headers of the segments: which data directory they belong to, and which segments do not.

use std::collections::BTreeMap;

use crate::identity::DirectoryId;
use crate::io::SegmentNumber;
use crate::open::{Corruption, CorruptionKind};

/// The identities of the segments that were read, in order of their numbers.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    segments: Vec<(SegmentNumber, DirectoryId)>,
}

impl Identities {
    /// Adds a segment; returns whether it belongs to the same directory as the first one.
    pub(crate) fn add(&mut self, number: SegmentNumber, directory: DirectoryId) -> bool {
        self.segments.push((number, directory));
        self.segments
            .first()
            .is_some_and(|(_, first)| *first == directory)
    }

    /// The identity of most segments; of the identities with the same number of segments, that of the first segment.
    pub(crate) fn directory(&self) -> Option<DirectoryId> {
        let mut counts = BTreeMap::<DirectoryId, usize>::new();
        for (_, directory) in &self.segments {
            *counts.entry(*directory).or_default() += 1;
        }
        let most = counts.values().max()?;
        let mut directories = self.segments.iter().map(|(_, directory)| *directory);
        directories.find(|directory| counts.get(directory) == Some(most))
    }

    /// The segments that belong to another directory than most.
    pub(crate) fn corruptions(&self) -> Vec<Corruption> {
        let Some(expected) = self.directory() else {
            return Vec::new();
        };
        let others = self.segments.iter().filter(|(_, found)| *found != expected);
        let corruption = |(segment, found): &(SegmentNumber, DirectoryId)| Corruption {
            segment: *segment,
            at: 0,
            kind: CorruptionKind::OtherDirectory {
                found: *found,
                expected,
            },
            evidence: None,
        };
        others.map(corruption).collect()
    }
}
