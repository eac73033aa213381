//! Rescues what is valid from a damaged log into new segments.
//!
//! It keeps every publication whose record is whole, in order, and counts what it could not keep. All channel epochs
//! change, because something that was acknowledged may be gone; offsets begin at 1 again, dense. Carried keys are not
//! kept: their publications left the log, and the window is over before a person repairs. It does no IO:
//! `steadfast log repair` reads the old segments and writes the new ones elsewhere, syncs them, and only then puts
//! them in place, so that an interrupted repair loses nothing.

use std::collections::BTreeMap;

use bytes::Bytes;
use steadfast_machine::Timestamp;

use crate::epoch::ChannelEpoch;
use crate::log::io::SegmentNumber;
use crate::log::record::{
    self, END_BYTES, FORMAT_VERSION, HEAD_BYTES, Head, Header, Publication, Stamp, Stored,
};
use crate::policy::log::LogPolicy;

/// What a repair kept, and what not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Publications that were kept.
    pub kept: u64,
    /// Publications whose channel's name is lost.
    pub nameless: u64,
    /// Places where something else stood than a valid record, before the last valid one of their segment.
    pub gaps: u64,
    /// Bytes of these places.
    pub gap_bytes: u64,
    /// Channels that have a publication.
    pub channels: u64,
    /// New segments.
    pub segments: u64,
}

/// A new segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairedSegment {
    /// Its number.
    pub number: SegmentNumber,
    /// How large the file must be; zeros behind the bytes.
    pub size: u64,
    /// What it begins with.
    pub bytes: Bytes,
}

/// Takes old segments in order of their numbers and gives new ones.
#[derive(Debug)]
pub struct Repair {
    policy: LogPolicy,
    epoch: ChannelEpoch,
    at: Timestamp,
    first: SegmentNumber,
    number: SegmentNumber,
    life: u32,
    /// By the id that the old records use.
    known: BTreeMap<u32, Source>,
    nameless: BTreeMap<u32, Vec<Rescued>>,
    channels: BTreeMap<String, Target>,
    names: Vec<String>,
    buffer: Vec<u8>,
    done: Vec<RepairedSegment>,
    report: RepairReport,
}

/// A channel as the old records know it.
#[derive(Debug)]
struct Source {
    name: String,
    /// The newest offset that was kept, in the old count.
    last: u64,
}

/// A channel as the new records know it.
#[derive(Debug)]
struct Target {
    id: u32,
    top: u64,
    last_at: Timestamp,
}

/// A publication that waits for its channel's name.
#[derive(Debug)]
struct Rescued {
    offset: u64,
    at: Timestamp,
    user: Vec<u8>,
    client: Vec<u8>,
    key: Option<Vec<u8>>,
    data: Vec<u8>,
}

impl Repair {
    /// Begins; `first` is the number of the first new segment, higher than any old one. `incarnation` comes from the
    /// operating system's randomness.
    pub fn new(policy: LogPolicy, incarnation: u64, at: Timestamp, first: SegmentNumber) -> Self {
        let mut repair = Self {
            policy,
            epoch: ChannelEpoch {
                incarnation,
                counter: 0,
            },
            at,
            first,
            number: first,
            life: 0,
            known: BTreeMap::new(),
            nameless: BTreeMap::new(),
            channels: BTreeMap::new(),
            names: Vec::new(),
            buffer: Vec::new(),
            done: Vec::new(),
            report: RepairReport::default(),
        };
        repair.begin_segment();
        repair
    }

    /// Takes the content of a whole old segment.
    pub fn take(&mut self, number: SegmentNumber, bytes: &[u8]) {
        let mut at = 0;
        let mut gap = 0;
        while let Some(rest) = bytes.get(at..)
            && rest.len() >= HEAD_BYTES
        {
            let Some((head, stored)) = self.valid(number, rest) else {
                at += 1;
                gap += 1;
                continue;
            };
            if gap > 0 {
                self.report.gaps += 1;
                self.report.gap_bytes += gap;
                gap = 0;
            }
            at += head.len;
            self.life = head.stamp.life;
            if matches!(stored, Stored::End { .. }) {
                break;
            }
            self.keep(&stored);
        }
    }

    /// New segments that are complete.
    pub fn poll_segment(&mut self) -> Option<RepairedSegment> {
        if self.done.is_empty() {
            None
        } else {
            Some(self.done.remove(0))
        }
    }

    /// Ends with a clean end: returns the last segments and what was done.
    pub fn finish(mut self) -> (Vec<RepairedSegment>, RepairReport) {
        self.report.nameless = self
            .nameless
            .values()
            .map(|rescued| wide(rescued.len()))
            .sum();
        self.report.channels = wide(self.channels.len());
        self.encode(&Stored::Clean { at: self.at });
        self.end_segment();
        (self.done, self.report)
    }

    fn valid<'a>(&self, number: SegmentNumber, rest: &'a [u8]) -> Option<(Head, Stored<'a>)> {
        let head = Head::read(rest)?;
        // What an earlier life left behind a cut was never acknowledged, or refused.
        if head.stamp.segment != number || head.stamp.life < self.life {
            return None;
        }
        let stored = record::decode(&head, rest)?;
        Some((head, stored))
    }

    fn keep(&mut self, stored: &Stored<'_>) {
        match stored {
            Stored::Channel(channel) => self.learn(channel),
            Stored::Publication(publication) => self.rescue(publication),
            Stored::Forgotten { channel, .. } => {
                self.known.remove(channel);
            }
            Stored::Header(_) => {}
            Stored::Key(_) => {}
            Stored::Opened(_) => {}
            Stored::Void => {}
            Stored::Clean { .. } => {}
            Stored::End { .. } => {}
        }
    }

    /// A channel's name became known, perhaps of publications that waited for it.
    fn learn(&mut self, channel: &record::Channel<'_>) {
        let before = self
            .known
            .get(&channel.id)
            .filter(|known| known.name == channel.name);
        // A record with top 0 creates the channel: offsets begin anew.
        let last = before
            .filter(|_| channel.top > 0)
            .map_or(0, |known| known.last);
        let source = Source {
            name: channel.name.to_owned(),
            last,
        };
        self.known.insert(channel.id, source);
        for rescued in self.nameless.remove(&channel.id).unwrap_or_default() {
            self.rescue(&Publication {
                channel: channel.id,
                offset: rescued.offset,
                at: rescued.at,
                user: &rescued.user,
                client: &rescued.client,
                key: rescued.key.as_deref(),
                data: &rescued.data,
            });
        }
        if let Some(known) = self.known.get_mut(&channel.id) {
            known.last = known.last.max(channel.top);
        }
    }

    fn rescue(&mut self, publication: &Publication<'_>) {
        let Some(source) = self.known.get_mut(&publication.channel) else {
            self.nameless
                .entry(publication.channel)
                .or_default()
                .push(Rescued {
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
        self.make_room(len + record::channel_len(name.len()));
        let id = self.target(&name);
        let Some(target) = self.channels.get_mut(&name) else {
            return;
        };
        target.top += 1;
        target.last_at = publication.at;
        let offset = target.top;
        self.encode(&Stored::Publication(Publication {
            channel: id,
            offset,
            ..*publication
        }));
        self.report.kept += 1;
    }

    /// The new id of a name; its record is written when it is new.
    fn target(&mut self, name: &str) -> u32 {
        if let Some(target) = self.channels.get(name) {
            return target.id;
        }
        let id = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.to_owned());
        self.channels.insert(
            name.to_owned(),
            Target {
                id,
                top: 0,
                last_at: self.at,
            },
        );
        self.encode(&Stored::Channel(record::Channel {
            id,
            epoch: self.epoch,
            top: 0,
            start: 1,
            last_at: self.at,
            name,
        }));
        id
    }

    /// Seals the segment when a record does not fit and begins the next. A fresh one takes any record.
    fn make_room(&mut self, len: usize) {
        const FREE: usize = 256;
        let size = self.policy.segment_bytes().as_len();
        if self.buffer.len() + len + FREE <= size {
            return;
        }
        let next = SegmentNumber(self.number.0 + 1);
        self.encode(&Stored::End { next });
        self.end_segment();
        self.number = next;
        self.begin_segment();
    }

    fn begin_segment(&mut self) {
        self.encode(&Stored::Header(Header {
            version: FORMAT_VERSION,
            oldest: self.first,
            generation: self.epoch,
            durability: self.policy.fsync().into(),
            channels: u32::try_from(self.names.len()).unwrap_or(u32::MAX),
            keys: 0,
        }));
        for name in std::mem::take(&mut self.names) {
            if let Some(target) = self.channels.get(&name) {
                let channel = record::Channel {
                    id: target.id,
                    epoch: self.epoch,
                    top: target.top,
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
            .max(wide(bytes.len()) + END_BYTES);
        self.report.segments += 1;
        self.done.push(RepairedSegment {
            number: self.number,
            size,
            bytes,
        });
    }

    /// Adds a record. The new segments are synced as a whole before they count, so each byte is durable by then.
    fn encode(&mut self, stored: &Stored<'_>) {
        let synced = u32::try_from(self.buffer.len()).unwrap_or(u32::MAX);
        let stamp = Stamp {
            segment: self.number,
            life: 1,
            synced,
        };
        record::encode(&mut self.buffer, stamp, stored);
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
