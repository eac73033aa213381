//! Copies the valid records of a corrupt log to new segments.
//!
//! A repair keeps every publication whose record is valid, in order, and counts what it could not keep. All channel
//! epochs change, because acknowledged publications may be lost; offsets begin at 1 again, without gaps. Idempotency
//! keys of checkpoints are not kept: their publications were removed from the log, and the window ends before an
//! operator repairs the log. This module does no I/O: `steadfast log repair` reads the old segments, writes and syncs
//! the new segments elsewhere, and only then replaces the old segments, so that an interrupted repair loses nothing.

use std::collections::BTreeMap;

use bytes::Bytes;
use steadfast_engine::ChannelEpoch;
use steadfast_machine::Timestamp;

use crate::io::SegmentNumber;
use crate::policy::LogPolicy;
use crate::record::{
    self, FORMAT_VERSION, HEAD_BYTES, Header, Publication, RecordHead, SEGMENT_END_BYTES, Stamp,
    Stored,
};

/// What a repair kept and dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Number of publications that were kept.
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
    /// The size of the file; it is filled with zeros after `bytes`.
    pub size: u64,
    /// The content at the beginning of the segment.
    pub bytes: Bytes,
}

/// Accepts old segments in order of their numbers and returns new ones.
#[derive(Debug)]
pub struct Repair {
    policy: LogPolicy,
    epoch: ChannelEpoch,
    at: Timestamp,
    first: SegmentNumber,
    number: SegmentNumber,
    write_generation: u32,
    /// By the id that the old records use.
    old_channels: BTreeMap<u32, OldChannel>,
    unnamed: BTreeMap<u32, Vec<UnnamedPublication>>,
    channels: BTreeMap<String, NewChannel>,
    names: Vec<String>,
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
    data: Vec<u8>,
}

impl Repair {
    /// Begins a repair; `first` is the number of the first new segment, higher than any old number. `incarnation` comes
    /// from the operating system's randomness.
    pub fn new(policy: LogPolicy, incarnation: u64, at: Timestamp, first: SegmentNumber) -> Self {
        let mut repair = Self {
            policy,
            epoch: ChannelEpoch::new(incarnation, 0),
            at,
            first,
            number: first,
            write_generation: 0,
            old_channels: BTreeMap::new(),
            unnamed: BTreeMap::new(),
            channels: BTreeMap::new(),
            names: Vec::new(),
            buffer: Vec::new(),
            finished: Vec::new(),
            report: RepairReport::default(),
        };
        repair.begin_segment();
        repair
    }

    /// Accepts the content of a complete old segment.
    pub fn add_segment(&mut self, number: SegmentNumber, bytes: &[u8]) {
        let mut at = 0;
        let mut corrupt_len = 0;
        while let Some(rest) = bytes.get(at..)
            && rest.len() >= HEAD_BYTES
        {
            let Some((head, stored)) = self.valid(number, rest) else {
                at += 1;
                corrupt_len += 1;
                continue;
            };
            if corrupt_len > 0 {
                self.report.corrupt_ranges += 1;
                self.report.corrupt_bytes += corrupt_len;
                corrupt_len = 0;
            }
            at += head.len;
            self.write_generation = head.stamp.write_generation;
            if matches!(stored, Stored::SegmentEnd { .. }) {
                break;
            }
            self.keep_record(&stored);
        }
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
        self.report.unnamed = self
            .unnamed
            .values()
            .map(|publications| wide(publications.len()))
            .sum();
        self.report.channels = wide(self.channels.len());
        self.encode(&Stored::CleanShutdown { at: self.at });
        self.end_segment();
        (self.finished, self.report)
    }

    fn valid<'a>(&self, number: SegmentNumber, rest: &'a [u8]) -> Option<(RecordHead, Stored<'a>)> {
        let head = RecordHead::read(rest)?;
        // Records that an earlier write generation left after a truncation were never acknowledged, or were rejected.
        if head.stamp.segment != number || head.stamp.write_generation < self.write_generation {
            return None;
        }
        let stored = record::decode(&head, rest)?;
        Some((head, stored))
    }

    fn keep_record(&mut self, stored: &Stored<'_>) {
        match stored {
            Stored::Channel(channel) => self.add_channel_name(channel),
            Stored::Publication(publication) => self.keep_publication(publication),
            Stored::ChannelExpired { channel, .. } => {
                self.old_channels.remove(channel);
            }
            Stored::Header(_) => {}
            Stored::Key(_) => {}
            Stored::Opened(_) => {}
            Stored::NoOp => {}
            Stored::CleanShutdown { .. } => {}
            Stored::SegmentEnd { .. } => {}
        }
    }

    /// Handles the name of a channel, for which publications may be waiting.
    fn add_channel_name(&mut self, channel: &record::Channel<'_>) {
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
        for publication in self.unnamed.remove(&channel.id).unwrap_or_default() {
            self.keep_publication(&Publication {
                channel: channel.id,
                offset: publication.offset,
                at: publication.at,
                user: &publication.user,
                client: &publication.client,
                key: publication.key.as_deref(),
                data: &publication.data,
            });
        }
        if let Some(known) = self.old_channels.get_mut(&channel.id) {
            known.last = known.last.max(channel.high_watermark);
        }
    }

    fn keep_publication(&mut self, publication: &Publication<'_>) {
        let Some(source) = self.old_channels.get_mut(&publication.channel) else {
            self.unnamed
                .entry(publication.channel)
                .or_default()
                .push(UnnamedPublication {
                    offset: publication.offset,
                    at: publication.at,
                    user: publication.user.to_vec(),
                    client: publication.client.to_vec(),
                    key: publication.key.map(<[u8]>::to_vec),
                    data: publication.data.to_vec(),
                });
            return;
        };
        if publication.offset <= source.last {
            return;
        }
        source.last = publication.offset;
        let name = source.name.clone();
        let key = publication.key.map_or(0, <[u8]>::len);
        let texts = (publication.user.len(), publication.client.len());
        let len = record::publication_len(texts.0, texts.1, key, publication.data.len());
        self.ensure_space(len + record::channel_len(name.len()));
        let id = self.target(&name);
        let Some(target) = self.channels.get_mut(&name) else {
            return;
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
    }

    /// Returns the new id of a name; writes the channel's record when it is new.
    fn target(&mut self, name: &str) -> u32 {
        if let Some(target) = self.channels.get(name) {
            return target.id;
        }
        let id = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.to_owned());
        self.channels.insert(
            name.to_owned(),
            NewChannel {
                id,
                high_watermark: 0,
                last_at: self.at,
            },
        );
        self.encode(&Stored::Channel(record::Channel {
            id,
            epoch: self.epoch,
            high_watermark: 0,
            start: 1,
            last_at: self.at,
            name,
        }));
        id
    }

    /// Seals the segment when a record does not fit, and begins the next. A new segment has space for any record.
    fn ensure_space(&mut self, len: usize) {
        const FREE: usize = 256;
        let size = self.policy.segment_bytes().as_len();
        if self.buffer.len() + len + FREE <= size {
            return;
        }
        let next = SegmentNumber(self.number.0 + 1);
        self.encode(&Stored::SegmentEnd { next });
        self.end_segment();
        self.number = next;
        self.begin_segment();
    }

    fn begin_segment(&mut self) {
        self.encode(&Stored::Header(Header {
            version: FORMAT_VERSION,
            oldest: self.first,
            new_channel_epoch: self.epoch,
            durability: self.policy.fsync().into(),
            channels: u32::try_from(self.names.len()).unwrap_or(u32::MAX),
            keys: 0,
        }));
        for name in std::mem::take(&mut self.names) {
            if let Some(target) = self.channels.get(&name) {
                let channel = record::Channel {
                    id: target.id,
                    epoch: self.epoch,
                    high_watermark: target.high_watermark,
                    start: 1,
                    last_at: target.last_at,
                    name: &name,
                };
                self.encode(&Stored::Channel(channel));
            }
            self.names.push(name);
        }
    }

    fn end_segment(&mut self) {
        let bytes = Bytes::from(std::mem::take(&mut self.buffer));
        let size = self
            .policy
            .segment_bytes()
            .as_bytes()
            .max(wide(bytes.len()) + SEGMENT_END_BYTES);
        self.report.segments += 1;
        self.finished.push(RepairedSegment {
            number: self.number,
            size,
            bytes,
        });
    }

    /// Adds a record. The new segments are synced completely before they count, so each byte is durable by then.
    fn encode(&mut self, stored: &Stored<'_>) {
        let synced = u32::try_from(self.buffer.len()).unwrap_or(u32::MAX);
        let stamp = Stamp {
            segment: self.number,
            write_generation: 1,
            synced,
        };
        record::encode(&mut self.buffer, stamp, stored);
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
