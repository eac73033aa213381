//! Copies the valid records of a corrupt log to new segments.
//!
//! A repair keeps every publication whose record is valid, in order, and counts what it could not keep. All channel
//! epochs change, because acknowledged publications may be lost; offsets begin at 1 again, without gaps. Idempotency
//! keys of checkpoints are not kept: their publications were removed from the log, and the window ends before an
//! operator repairs the log. This module does no I/O: `steadfast log repair` reads the old segments, writes and syncs
//! the new segments elsewhere, and only then replaces the old segments, so that an interrupted repair loses nothing.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use steadfast_engine::{ChannelEpoch, RetentionClass};
use steadfast_machine::{Timestamp, convert};
use steadfast_protocol::message::PayloadKind;

use crate::clock::RecordedTime;
use crate::identity::{DirectoryId, SegmentSecret};
use crate::io::SegmentNumber;
use crate::policy::LogPolicy;
use crate::record::{
    self, CheckpointStart, HEAD_BYTES, Publication, RecordHead, SEGMENT_END_BYTES, Stamp, Stored,
};
use crate::segment::clean_end;
use crate::segment::header::{
    HEADER_BYTES, OVERHEAD_BYTES, RECORDS_AT, SegmentHeader, clean_end_at, copy_at, records_end,
};

/// What a repair kept and dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Number of publications that were kept: those of channels that have not expired.
    pub kept: u64,
    /// Number of publications that were dropped because the name of their channel is lost.
    pub unnamed: u64,
    /// Number of corrupt ranges before the last valid record of their segment.
    pub corrupt_ranges: u64,
    /// Total size of the corrupt ranges in bytes.
    pub corrupt_bytes: u64,
    /// Number of channels with a publication.
    pub channels: u64,
    /// Number of new segments.
    pub segments: u64,
}

/// A new segment of a repaired log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names describe the fields")]
pub struct RepairedSegment {
    pub number: SegmentNumber,
    /// The size of the file; it is filled with zeros between `first` and `last`.
    pub size: u64,
    /// The content at the beginning of the segment.
    pub first: Bytes,
    /// The content at the end of the segment.
    pub last: Bytes,
}

/// What a repair starts with.
#[derive(Clone, Copy, Debug)]
pub struct RepairStart {
    /// The identity of the data directory; a new one, if the old segments have none.
    pub directory: DirectoryId,
    /// Random, from the operating system: distinguishes the new epochs from all others.
    pub incarnation: u64,
    /// The number of the first new segment, higher than any old number.
    pub first: SegmentNumber,
}

/// Accepts old segments in order of their numbers and returns new ones.
#[derive(Debug)]
pub struct Repair {
    policy: LogPolicy,
    start: RepairStart,
    /// What the old records say about time. The new records have the same times.
    time: RecordedTime,
    epoch: ChannelEpoch,
    number: SegmentNumber,
    secret: SegmentSecret,
    write_generation: u32,
    /// By the id that the old records use.
    old_channels: BTreeMap<u32, OldChannel>,
    unnamed: BTreeMap<u32, Vec<UnnamedPublication>>,
    channels: BTreeMap<String, NewChannel>,
    /// By the new id. Ids are used again when their channels expire, because a log limits them.
    names: BTreeMap<u32, String>,
    free_ids: BTreeSet<u32>,
    buffer: Vec<u8>,
    finished: Vec<RepairedSegment>,
    report: RepairReport,
}

/// A channel in the old records.
#[derive(Debug)]
struct OldChannel {
    name: String,
    /// A later publication is kept only if its offset, in the old numbering, is above this offset.
    last: u64,
}

/// A channel in the new records.
#[derive(Debug)]
struct NewChannel {
    id: u32,
    high_watermark: u64,
    last_at: Timestamp,
}

/// A publication whose channel's name is not known yet.
#[derive(Debug)]
struct UnnamedPublication {
    offset: u64,
    at: Timestamp,
    user: Vec<u8>,
    client: Vec<u8>,
    key: Option<Vec<u8>>,
    kind: PayloadKind,
    retention: RetentionClass,
    data: Vec<u8>,
}

impl From<&Publication<'_>> for UnnamedPublication {
    fn from(publication: &Publication<'_>) -> Self {
        Self {
            offset: publication.offset,
            at: publication.at,
            user: publication.user.to_vec(),
            client: publication.client.to_vec(),
            key: publication.key.map(<[u8]>::to_vec),
            kind: publication.kind,
            retention: publication.retention,
            data: publication.data.to_vec(),
        }
    }
}

impl UnnamedPublication {
    /// The publication in the records of a channel with this id.
    fn of(&self, channel: u32) -> Publication<'_> {
        Publication {
            channel,
            offset: self.offset,
            at: self.at,
            user: &self.user,
            client: &self.client,
            key: self.key.as_deref(),
            kind: self.kind,
            retention: self.retention,
            data: &self.data,
        }
    }
}

impl Repair {
    /// Begins a repair; `secret` is the secret of the first new segment.
    pub fn new(policy: LogPolicy, start: RepairStart, secret: SegmentSecret) -> Self {
        let mut repair = Self {
            policy,
            start,
            time: RecordedTime::default(),
            epoch: ChannelEpoch::new(start.incarnation, 0),
            number: start.first,
            secret,
            write_generation: 0,
            old_channels: BTreeMap::new(),
            unnamed: BTreeMap::new(),
            channels: BTreeMap::new(),
            names: BTreeMap::new(),
            free_ids: BTreeSet::new(),
            buffer: Vec::new(),
            finished: Vec::new(),
            report: RepairReport::default(),
        };
        repair.begin_segment();
        repair
    }

    /// Accepts the content of a complete old segment. `draw` returns the secret of a new segment, from the operating
    /// system's randomness.
    ///
    /// Without a valid header, and without a valid copy of it, no record of the segment can be checked: all of it counts
    /// as one corrupt range.
    ///
    /// # Errors
    ///
    /// Returns the error of `draw`; the repair cannot be continued then.
    pub fn add_segment<E>(
        &mut self,
        number: SegmentNumber,
        bytes: &[u8],
        draw: &mut impl FnMut() -> Result<SegmentSecret, E>,
    ) -> Result<(), E> {
        let Some(header) = SegmentHeader::find(number, bytes) else {
            self.count_corrupt(convert::to_u64(bytes.len()));
            return Ok(());
        };
        let end: usize = convert::saturating(records_end(header.size));
        let records = bytes.get(..end).unwrap_or(bytes);
        let mut at = RECORDS_AT;
        let mut corrupt_len = 0;
        while let Some(rest) = usize::try_from(at).ok().and_then(|at| records.get(at..)) {
            let Some((head, stored)) = self.valid(&header.secret, at, rest) else {
                at += 1;
                corrupt_len += 1;
                continue;
            };
            if corrupt_len > 0 {
                self.count_corrupt(corrupt_len);
                corrupt_len = 0;
            }
            at += convert::to_u64(head.len);
            self.write_generation = head.stamp.write_generation;
            if matches!(stored, Stored::SegmentEnd { .. }) {
                break;
            }
            self.keep_record(&stored, draw)?;
        }
        Ok(())
    }

    const fn count_corrupt(&mut self, bytes: u64) {
        self.report.corrupt_ranges += 1;
        self.report.corrupt_bytes += bytes;
    }

    /// Returns the next complete new segment.
    pub fn poll_segment(&mut self) -> Option<RepairedSegment> {
        if self.finished.is_empty() {
            None
        } else {
            Some(self.finished.remove(0))
        }
    }

    /// Ends the repair with the record of a clean shutdown; returns the last segments and the report.
    pub fn finish(mut self) -> (Vec<RepairedSegment>, RepairReport) {
        for publications in std::mem::take(&mut self.unnamed).into_values() {
            self.drop_unnamed(&publications);
        }
        self.report.channels = convert::to_u64(self.channels.len());
        let at = self.time.last.unwrap_or_default();
        if let Some(state) = self.time.state {
            self.encode(&Stored::Clock(state));
        }
        self.encode(&Stored::CleanShutdown { at });
        let end = convert::to_u64(self.buffer.len());
        self.end_segment(Some(end));
        (self.finished, self.report)
    }

    fn valid<'a>(
        &self,
        secret: &SegmentSecret,
        at: u64,
        rest: &'a [u8],
    ) -> Option<(RecordHead, Stored<'a>)> {
        let kind = rest.get(HEAD_BYTES - 1)?;
        let head = RecordHead::is_kind(*kind).then(|| RecordHead::read(secret, at, rest))??;
        // Records that an earlier write generation left after a truncation were never acknowledged, or were rejected.
        if head.stamp.write_generation < self.write_generation {
            return None;
        }
        let stored = record::decode(secret, &head, rest).ok()?;
        Some((head, stored))
    }

    fn keep_record<E>(
        &mut self,
        stored: &Stored<'_>,
        draw: &mut impl FnMut() -> Result<SegmentSecret, E>,
    ) -> Result<(), E> {
        match stored {
            Stored::Channel(channel) => self.add_channel_name(channel, draw)?,
            Stored::Publication(publication) => self.keep_publication(publication, draw)?,
            Stored::ChannelExpired { channel, .. } => self.expire_channel(*channel, draw)?,
            Stored::Checkpoint(_) => {}
            Stored::Key(_) => {}
            Stored::Opened(_) => {}
            Stored::Clock(state) => {
                self.time.pass(state.at);
                self.time.state = Some(*state);
            }
            Stored::NoOp => {}
            Stored::CleanShutdown { at } => self.time.pass(*at),
            Stored::SegmentEnd { .. } => {}
        }
        Ok(())
    }

    /// Handles the name of a channel, for which publications may be waiting.
    fn add_channel_name<E>(
        &mut self,
        channel: &record::Channel<'_>,
        draw: &mut impl FnMut() -> Result<SegmentSecret, E>,
    ) -> Result<(), E> {
        let before = self
            .old_channels
            .get(&channel.id)
            .filter(|known| known.name == channel.name);
        // A record with high watermark 0 creates the channel: offsets begin again.
        let last = before
            .filter(|_| channel.high_watermark > 0)
            .map_or(0, |known| known.last);
        let source = OldChannel {
            name: channel.name.to_owned(),
            last,
        };
        self.old_channels.insert(channel.id, source);
        let unnamed = self.unnamed.remove(&channel.id).unwrap_or_default();
        if channel.high_watermark == 0 {
            // They precede the channel: its id had belonged to another one.
            self.drop_unnamed(&unnamed);
        } else {
            for publication in unnamed {
                self.keep_publication(&publication.of(channel.id), draw)?;
            }
        }
        if let Some(known) = self.old_channels.get_mut(&channel.id) {
            known.last = known.last.max(channel.high_watermark);
        }
        Ok(())
    }

    /// Handles the expiry of a channel. Its id may belong to another channel next.
    fn expire_channel<E>(
        &mut self,
        channel: u32,
        draw: &mut impl FnMut() -> Result<SegmentSecret, E>,
    ) -> Result<(), E> {
        let unnamed = self.unnamed.remove(&channel).unwrap_or_default();
        self.drop_unnamed(&unnamed);
        let Some(old) = self.old_channels.remove(&channel) else {
            return Ok(());
        };
        if self.channels.contains_key(&old.name) {
            self.ensure_space(0, draw)?;
        }
        if let Some(new) = self.channels.remove(&old.name) {
            self.encode(&Stored::ChannelExpired {
                channel: new.id,
                new_channel_epoch: self.epoch,
            });
            self.names.remove(&new.id);
            self.free_ids.insert(new.id);
            self.report.kept -= new.high_watermark;
        }
        Ok(())
    }

    fn drop_unnamed(&mut self, publications: &[UnnamedPublication]) {
        self.report.unnamed += convert::to_u64(publications.len());
    }

    fn keep_publication<E>(
        &mut self,
        publication: &Publication<'_>,
        draw: &mut impl FnMut() -> Result<SegmentSecret, E>,
    ) -> Result<(), E> {
        let Some(source) = self.old_channels.get_mut(&publication.channel) else {
            self.unnamed
                .entry(publication.channel)
                .or_default()
                .push(UnnamedPublication::from(publication));
            return Ok(());
        };
        if publication.offset <= source.last {
            return Ok(());
        }
        source.last = publication.offset;
        let name = source.name.clone();
        let key = publication.key.map_or(0, <[u8]>::len);
        let texts = publication.user.len() + publication.client.len() + key;
        let len = record::publication_len(publication.retention, texts, publication.data.len());
        self.ensure_space(len + record::channel_len(name.len()), draw)?;
        self.time.pass(publication.at);
        let id = self.target(&name, publication.at);
        let Some(target) = self.channels.get_mut(&name) else {
            return Ok(());
        };
        target.high_watermark += 1;
        target.last_at = publication.at;
        let offset = target.high_watermark;
        self.encode(&Stored::Publication(Publication {
            channel: id,
            offset,
            ..*publication
        }));
        self.report.kept += 1;
        Ok(())
    }

    /// Returns the new id of a name; writes the channel's record when it is new.
    fn target(&mut self, name: &str, at: Timestamp) -> u32 {
        if let Some(target) = self.channels.get(name) {
            return target.id;
        }
        let next = count(&self.names);
        let id = self.free_ids.pop_first().unwrap_or(next);
        self.names.insert(id, name.to_owned());
        self.channels.insert(
            name.to_owned(),
            NewChannel {
                id,
                high_watermark: 0,
                last_at: at,
            },
        );
        self.encode(&Stored::Channel(record::Channel {
            id,
            epoch: self.epoch,
            high_watermark: 0,
            start: 1,
            last_at: at,
            name,
        }));
        id
    }

    /// Seals the segment when a record does not fit, and begins the next. A new segment has space for any record.
    fn ensure_space<E>(
        &mut self,
        len: usize,
        draw: &mut impl FnMut() -> Result<SegmentSecret, E>,
    ) -> Result<(), E> {
        // For the end of the segment, or for the last two records of the log.
        const FREE: usize = 512;
        let end = records_end(self.policy.segment_bytes().as_bytes());
        if convert::to_u64(self.buffer.len() + len + FREE) <= end {
            return Ok(());
        }
        let secret = draw()?;
        let next = SegmentNumber(self.number.0 + 1);
        self.encode(&Stored::SegmentEnd { next });
        self.end_segment(None);
        self.number = next;
        self.secret = secret;
        self.begin_segment();
        Ok(())
    }

    fn begin_segment(&mut self) {
        // The header follows from the size, which is known at the end.
        self.buffer = vec![0; HEADER_BYTES];
        self.encode(&Stored::Checkpoint(CheckpointStart {
            oldest: self.start.first,
            new_channel_epoch: self.epoch,
            durability: self.policy.fsync().into(),
            channels: count(&self.names),
            keys: 0,
        }));
        let names = std::mem::take(&mut self.names);
        for name in names.values() {
            if let Some(target) = self.channels.get(name) {
                let channel = record::Channel {
                    id: target.id,
                    epoch: self.epoch,
                    high_watermark: target.high_watermark,
                    start: 1,
                    last_at: target.last_at,
                    name,
                };
                self.encode(&Stored::Channel(channel));
            }
        }
        self.names = names;
    }

    /// Completes a segment; `clean_end` is where its records end after a clean shutdown.
    fn end_segment(&mut self, clean_end: Option<u64>) {
        let mut content = std::mem::take(&mut self.buffer);
        let needed = convert::to_u64(content.len()) + SEGMENT_END_BYTES + OVERHEAD_BYTES;
        let size = self.policy.segment_bytes().as_bytes().max(needed);
        let header = SegmentHeader {
            number: self.number,
            size,
            directory: self.start.directory,
            incarnation: self.start.incarnation,
            secret: self.secret,
        };
        let (first, mut last) = header.encode();
        content.splice(..first.len(), first);
        if let Some(end) = clean_end {
            let bytes = clean_end::encode(&self.secret, end);
            let at =
                usize::try_from(clean_end_at(size) - copy_at(size)).expect("inside the trailer");
            last.splice(at..at + bytes.len(), bytes);
        }
        self.report.segments += 1;
        self.finished.push(RepairedSegment {
            number: self.number,
            size,
            first: content.into(),
            last: last.into(),
        });
    }

    /// Adds a record. The new segments are synced completely before they count, so each byte is durable by then.
    fn encode(&mut self, stored: &Stored<'_>) {
        let synced = u32::try_from(self.buffer.len()).expect("a segment is smaller than 4 GiB");
        let stamp = Stamp {
            write_generation: 1,
            synced,
        };
        let at = convert::to_u64(self.buffer.len());
        record::encode(&mut self.buffer, &self.secret, at, stamp, stored);
    }
}

fn count(names: &BTreeMap<u32, String>) -> u32 {
    u32::try_from(names.len()).expect("a data directory has fewer channels than 32 bits can count")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::policy::LogSettings;

    const AT: Timestamp = Timestamp::from_millis(5);

    #[test]
    fn the_id_of_an_expired_channel_is_used_again() {
        let start = RepairStart {
            directory: DirectoryId([1; DirectoryId::BYTES]),
            incarnation: 7,
            first: SegmentNumber(1),
        };
        let secret = SegmentSecret::new([3; SegmentSecret::BYTES]);
        let mut draw = || Ok::<_, Infallible>(secret);
        let policy = LogPolicy::new(LogSettings::for_tests()).unwrap();
        let mut repair = Repair::new(policy, start, secret);

        for name in ["a", "b", "c"] {
            let channel = record::Channel {
                id: 9,
                epoch: ChannelEpoch::new(1, 0),
                high_watermark: 0,
                start: 1,
                last_at: AT,
                name,
            };
            repair.add_channel_name(&channel, &mut draw).unwrap();
            assert_eq!(repair.target(name, AT), 0);
            repair.expire_channel(9, &mut draw).unwrap();
        }

        assert_eq!(repair.target("d", AT), 0);
        assert_eq!(repair.target("e", AT), 1);
    }
}
