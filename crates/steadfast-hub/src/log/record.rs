//! The format of one record, byte for byte.
//!
//! Little endian: `crc u32 | len u32 | segment u64 | life u32 | synced u32 | kind u8 | body`. The checksum (CRC-32)
//! covers everything after itself; `len` counts the body. It decides nothing: what a bad record means is judged by the
//! scan, what a record does to the state by the replay.

use steadfast_machine::Timestamp;

use crate::epoch::ChannelEpoch;
use crate::log::io::SegmentNumber;
use crate::policy::log::Fsync;

/// Bytes before the body.
pub(crate) const HEAD_BYTES: usize = 25;
/// The version of the format, which stands in each segment's header.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// User, client and key may each have so many bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 65_534;
/// Bytes of an `End` record; each segment keeps them free until it is sealed.
pub(crate) const END_BYTES: u64 = 33;

const NO_KEY: u16 = u16::MAX;
const CRC_BYTES: usize = 4;

/// What every record tells about its surroundings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The segment it was written to, so that bytes of a recycled one never count.
    pub(crate) segment: SegmentNumber,
    /// Grows with each start, and whenever a failed write is repeated at the same place. In a segment it never falls,
    /// so what an earlier life left behind a cut never counts.
    pub(crate) life: u32,
    /// The segment was known to be durable up to this byte. A bad record below it is damage, not a torn tail.
    pub(crate) synced: u32,
}

/// A record's content; slices borrow from the bytes it was decoded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored<'a> {
    /// Begins each segment; the checkpoint follows.
    Header(Header),
    /// A channel: in the checkpoint, or created here.
    Channel(Channel<'a>),
    /// A key that is still in the window, carried over from a segment that is to be removed.
    Key(Key<'a>),
    /// A publication.
    Publication(Publication<'a>),
    /// The log was opened.
    Opened(Opened),
    /// A channel was forgotten; channels that are created later belong to this generation.
    Forgotten {
        /// Its id, which may be used again.
        channel: u32,
        /// The generation from here on.
        generation: ChannelEpoch,
    },
    /// Nothing: written to see whether there is room again.
    Void,
    /// The log ended cleanly; counts only if nothing follows.
    Clean {
        /// When.
        at: Timestamp,
    },
    /// The segment is sealed; the log goes on in the next.
    End {
        /// Where.
        next: SegmentNumber,
    },
}

/// The head of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The format's version.
    pub(crate) version: u32,
    /// The oldest segment that still belongs to the log once this checkpoint is durable.
    pub(crate) oldest: SegmentNumber,
    /// The generation that new channels belong to.
    pub(crate) generation: ChannelEpoch,
    /// The policy under which the log runs.
    pub(crate) durability: Durability,
    /// How many `Channel` records follow at once.
    pub(crate) channels: u32,
    /// How many `Key` records follow these.
    pub(crate) keys: u32,
}

/// A channel's identity and position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Channel<'a> {
    /// Stands for the name in the records of this segment.
    pub(crate) id: u32,
    /// Its epoch.
    pub(crate) epoch: ChannelEpoch,
    /// Its newest offset; 0 when it is just created.
    pub(crate) top: u64,
    /// Its oldest visible offset.
    pub(crate) start: u64,
    /// When its newest publication was accepted.
    pub(crate) last_at: Timestamp,
    /// Its name.
    pub(crate) name: &'a str,
}

/// A key and the answer it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key<'a> {
    /// Its channel.
    pub(crate) channel: u32,
    /// The offset of its publication.
    pub(crate) offset: u64,
    /// When that was accepted.
    pub(crate) at: Timestamp,
    /// Whose key.
    pub(crate) user: &'a [u8],
    /// The key.
    pub(crate) text: &'a [u8],
}

/// A publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Publication<'a> {
    /// Its channel.
    pub(crate) channel: u32,
    /// Its place in the channel.
    pub(crate) offset: u64,
    /// When it was accepted.
    pub(crate) at: Timestamp,
    /// Who published.
    pub(crate) user: &'a [u8],
    /// Through which client.
    pub(crate) client: &'a [u8],
    /// Makes a repeat recognisable.
    pub(crate) key: Option<&'a [u8]>,
    /// The payload.
    pub(crate) data: &'a [u8],
}

/// A start of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// The generation from here on.
    pub(crate) generation: ChannelEpoch,
    /// The policy from here on.
    pub(crate) durability: Durability,
    /// True when every channel moves to the generation.
    pub(crate) moved: bool,
    /// When.
    pub(crate) at: Timestamp,
}

/// What the fsync policy promises about records that were acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// They were synced.
    Synced,
    /// They were handed to the operating system.
    Handed,
}

impl From<Fsync> for Durability {
    fn from(fsync: Fsync) -> Self {
        match fsync {
            Fsync::Always => Self::Synced,
            Fsync::Interval(_) => Self::Handed,
            Fsync::Never => Self::Handed,
        }
    }
}

/// The length of a publication's record.
pub(crate) const fn publication_len(user: usize, client: usize, key: usize, data: usize) -> usize {
    HEAD_BYTES + 26 + user + client + key + data
}

/// The length of a channel's record.
pub(crate) const fn channel_len(name: usize) -> usize {
    HEAD_BYTES + 40 + name
}

/// The length of a carried key's record.
pub(crate) const fn key_len(user: usize, key: usize) -> usize {
    HEAD_BYTES + 22 + user + key
}

/// Appends a record to the buffer and returns its length.
pub(crate) fn encode(buffer: &mut Vec<u8>, stamp: Stamp, stored: &Stored<'_>) -> usize {
    let from = buffer.len();
    buffer.extend_from_slice(&[0; 8]);
    buffer.extend_from_slice(&stamp.segment.0.to_le_bytes());
    buffer.extend_from_slice(&stamp.life.to_le_bytes());
    buffer.extend_from_slice(&stamp.synced.to_le_bytes());
    buffer.push(kind(stored));
    encode_body(buffer, stored);
    let len = buffer.len() - from;
    let body_len = u32::try_from(len - HEAD_BYTES).expect("a record is smaller than a segment");
    if let Some(record) = buffer.get_mut(from..)
        && let Some((crc, covered)) = record.split_first_chunk_mut::<CRC_BYTES>()
    {
        if let Some(field) = covered.first_chunk_mut::<4>() {
            *field = body_len.to_le_bytes();
        }
        *crc = crc32fast::hash(covered).to_le_bytes();
    }
    len
}

const fn kind(stored: &Stored<'_>) -> u8 {
    match stored {
        Stored::Header(_) => 1,
        Stored::Channel(_) => 2,
        Stored::Key(_) => 3,
        Stored::Publication(_) => 4,
        Stored::Opened(_) => 5,
        Stored::Forgotten { .. } => 6,
        Stored::Void => 7,
        Stored::Clean { .. } => 8,
        Stored::End { .. } => 9,
    }
}

fn encode_body(buffer: &mut Vec<u8>, stored: &Stored<'_>) {
    match stored {
        Stored::Header(header) => {
            buffer.extend_from_slice(&header.version.to_le_bytes());
            buffer.extend_from_slice(&header.oldest.0.to_le_bytes());
            encode_epoch(buffer, header.generation);
            buffer.push(durability_code(header.durability));
            buffer.extend_from_slice(&header.channels.to_le_bytes());
            buffer.extend_from_slice(&header.keys.to_le_bytes());
        }
        Stored::Channel(channel) => {
            buffer.extend_from_slice(&channel.id.to_le_bytes());
            encode_epoch(buffer, channel.epoch);
            buffer.extend_from_slice(&channel.top.to_le_bytes());
            buffer.extend_from_slice(&channel.start.to_le_bytes());
            encode_at(buffer, channel.last_at);
            buffer.extend_from_slice(channel.name.as_bytes());
        }
        Stored::Key(key) => {
            buffer.extend_from_slice(&key.channel.to_le_bytes());
            buffer.extend_from_slice(&key.offset.to_le_bytes());
            encode_at(buffer, key.at);
            encode_text_len(buffer, key.user);
            buffer.extend_from_slice(key.user);
            buffer.extend_from_slice(key.text);
        }
        Stored::Publication(publication) => encode_publication(buffer, publication),
        Stored::Opened(opened) => {
            encode_epoch(buffer, opened.generation);
            buffer.push(durability_code(opened.durability));
            buffer.push(u8::from(opened.moved));
            encode_at(buffer, opened.at);
        }
        Stored::Forgotten {
            channel,
            generation,
        } => {
            buffer.extend_from_slice(&channel.to_le_bytes());
            encode_epoch(buffer, *generation);
        }
        Stored::Void => {}
        Stored::Clean { at } => encode_at(buffer, *at),
        Stored::End { next } => buffer.extend_from_slice(&next.0.to_le_bytes()),
    }
}

fn encode_publication(buffer: &mut Vec<u8>, publication: &Publication<'_>) {
    buffer.extend_from_slice(&publication.channel.to_le_bytes());
    buffer.extend_from_slice(&publication.offset.to_le_bytes());
    encode_at(buffer, publication.at);
    encode_text_len(buffer, publication.user);
    encode_text_len(buffer, publication.client);
    match publication.key {
        Some(key) => encode_text_len(buffer, key),
        None => buffer.extend_from_slice(&NO_KEY.to_le_bytes()),
    }
    buffer.extend_from_slice(publication.user);
    buffer.extend_from_slice(publication.client);
    buffer.extend_from_slice(publication.key.unwrap_or_default());
    buffer.extend_from_slice(publication.data);
}

fn encode_epoch(buffer: &mut Vec<u8>, epoch: ChannelEpoch) {
    buffer.extend_from_slice(&epoch.incarnation.to_le_bytes());
    buffer.extend_from_slice(&epoch.counter.to_le_bytes());
}

fn encode_at(buffer: &mut Vec<u8>, at: Timestamp) {
    buffer.extend_from_slice(&at.as_millis().to_le_bytes());
}

fn encode_text_len(buffer: &mut Vec<u8>, text: &[u8]) {
    let len = u16::try_from(text.len()).expect("texts are checked before they are stored");
    buffer.extend_from_slice(&len.to_le_bytes());
}

const fn durability_code(durability: Durability) -> u8 {
    match durability {
        Durability::Synced => 0,
        Durability::Handed => 1,
    }
}

/// What stands at the beginning of a record, before its checksum is known to be right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    crc: u32,
    kind: u8,
    /// The stamp.
    pub(crate) stamp: Stamp,
    /// The length of the whole record.
    pub(crate) len: usize,
}

impl Head {
    /// Reads a head; `None` when there are too few bytes.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields { rest: bytes };
        let crc = fields.u32()?;
        let body_len = usize::try_from(fields.u32()?).ok()?;
        let stamp = Stamp {
            segment: SegmentNumber(fields.u64()?),
            life: fields.u32()?,
            synced: fields.u32()?,
        };
        let kind = fields.u8()?;
        Some(Self {
            crc,
            kind,
            stamp,
            len: HEAD_BYTES.checked_add(body_len)?,
        })
    }
}

/// Decodes the record at the beginning of the bytes; `None` when it is not whole or its checksum is wrong.
pub(crate) fn decode<'a>(head: &Head, bytes: &'a [u8]) -> Option<Stored<'a>> {
    let covered = bytes.get(CRC_BYTES..head.len)?;
    if crc32fast::hash(covered) == head.crc {
        decode_checked(head, bytes)
    } else {
        None
    }
}

/// Decodes a record whose checksum is known to be right.
pub(crate) fn decode_checked<'a>(head: &Head, bytes: &'a [u8]) -> Option<Stored<'a>> {
    let mut fields = Fields {
        rest: bytes.get(HEAD_BYTES..head.len)?,
    };
    let stored = match head.kind {
        1 => Stored::Header(Header {
            version: fields.u32()?,
            oldest: SegmentNumber(fields.u64()?),
            generation: fields.epoch()?,
            durability: fields.durability()?,
            channels: fields.u32()?,
            keys: fields.u32()?,
        }),
        2 => Stored::Channel(Channel {
            id: fields.u32()?,
            epoch: fields.epoch()?,
            top: fields.u64()?,
            start: fields.u64()?,
            last_at: fields.at()?,
            name: std::str::from_utf8(fields.take_rest()).ok()?,
        }),
        3 => Stored::Key(fields.key()?),
        4 => Stored::Publication(fields.publication()?),
        5 => Stored::Opened(Opened {
            generation: fields.epoch()?,
            durability: fields.durability()?,
            moved: fields.u8()? != 0,
            at: fields.at()?,
        }),
        6 => Stored::Forgotten {
            channel: fields.u32()?,
            generation: fields.epoch()?,
        },
        7 => Stored::Void,
        8 => Stored::Clean { at: fields.at()? },
        9 => Stored::End {
            next: SegmentNumber(fields.u64()?),
        },
        _ => return None,
    };
    fields.rest.is_empty().then_some(stored)
}

struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*first)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn at(&mut self) -> Option<Timestamp> {
        self.u64().map(Timestamp::from_millis)
    }

    fn epoch(&mut self) -> Option<ChannelEpoch> {
        Some(ChannelEpoch {
            incarnation: self.u64()?,
            counter: self.u32()?,
        })
    }

    fn durability(&mut self) -> Option<Durability> {
        match self.u8()? {
            0 => Some(Durability::Synced),
            1 => Some(Durability::Handed),
            _ => None,
        }
    }

    fn text(&mut self, len: u16) -> Option<&'a [u8]> {
        let (text, rest) = self.rest.split_at_checked(usize::from(len))?;
        self.rest = rest;
        Some(text)
    }

    const fn take_rest(&mut self) -> &'a [u8] {
        let rest = self.rest;
        self.rest = &[];
        rest
    }

    fn key(&mut self) -> Option<Key<'a>> {
        let channel = self.u32()?;
        let offset = self.u64()?;
        let at = self.at()?;
        let user_len = self.u16()?;
        let user = self.text(user_len)?;
        Some(Key {
            channel,
            offset,
            at,
            user,
            text: self.take_rest(),
        })
    }

    fn publication(&mut self) -> Option<Publication<'a>> {
        let channel = self.u32()?;
        let offset = self.u64()?;
        let at = self.at()?;
        let (user_len, client_len, key_len) = (self.u16()?, self.u16()?, self.u16()?);
        let user = self.text(user_len)?;
        let client = self.text(client_len)?;
        let key = if key_len == NO_KEY {
            None
        } else {
            Some(self.text(key_len)?)
        };
        Some(Publication {
            channel,
            offset,
            at,
            user,
            client,
            key,
            data: self.take_rest(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_record_is_read_back_and_no_flipped_bit_passes() {
        let epoch = ChannelEpoch {
            incarnation: 7,
            counter: 9,
        };
        let at = Timestamp::from_millis(1_700_000_000_000);
        let all = [
            Stored::Header(Header {
                version: FORMAT_VERSION,
                oldest: SegmentNumber(1),
                generation: epoch,
                durability: Durability::Handed,
                channels: 1,
                keys: 2,
            }),
            Stored::Channel(Channel {
                id: 3,
                epoch,
                top: 5,
                start: 2,
                last_at: at,
                name: "news",
            }),
            Stored::Key(Key {
                channel: 3,
                offset: 5,
                at,
                user: b"ann",
                text: b"k1",
            }),
            Stored::Publication(Publication {
                channel: 3,
                offset: 5,
                at,
                user: b"ann",
                client: b"c",
                key: Some(b""),
                data: b"{}",
            }),
            Stored::Opened(Opened {
                generation: epoch,
                durability: Durability::Synced,
                moved: true,
                at,
            }),
            Stored::Forgotten {
                channel: 3,
                generation: epoch,
            },
            Stored::Void,
            Stored::Clean { at },
            Stored::End {
                next: SegmentNumber(4),
            },
        ];

        for stored in all {
            let mut bytes = Vec::new();
            let stamp = Stamp {
                segment: SegmentNumber(3),
                life: 1,
                synced: 25,
            };
            let len = encode(&mut bytes, stamp, &stored);
            let head = Head::read(&bytes).unwrap();

            assert_eq!(
                (head.stamp, head.len, bytes.len()),
                (stamp, len, len),
                "{stored:?}"
            );
            assert_eq!(decode(&head, &bytes), Some(stored));
            for bit in 0..len * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let head = Head::read(&flipped).unwrap();
                assert_eq!(decode(&head, &flipped), None, "{stored:?}, bit {bit}");
            }
        }
    }

    #[test]
    fn the_lengths_that_plans_use_are_the_encoded_ones() {
        let at = Timestamp::default();
        let stamp = Stamp {
            segment: SegmentNumber(1),
            life: 0,
            synced: 0,
        };
        let epoch = ChannelEpoch {
            incarnation: 0,
            counter: 0,
        };
        let (user, client, key, data) = (&b"u"[..], &b"cc"[..], &b"kkk"[..], &b"dddd"[..]);
        let publication = Publication {
            channel: 0,
            offset: 1,
            at,
            user,
            client,
            key: Some(key),
            data,
        };
        let channel = Channel {
            id: 0,
            epoch,
            top: 0,
            start: 1,
            last_at: at,
            name: "name",
        };
        let carried = Key {
            channel: 0,
            offset: 1,
            at,
            user,
            text: key,
        };
        let end = Stored::End {
            next: SegmentNumber(2),
        };
        let len = |stored: Stored<'_>| encode(&mut Vec::new(), stamp, &stored);

        assert_eq!(
            len(Stored::Publication(publication)),
            publication_len(1, 2, 3, 4)
        );
        assert_eq!(len(Stored::Channel(channel)), channel_len(4));
        assert_eq!(len(Stored::Key(carried)), key_len(1, 3));
        assert_eq!(u64::try_from(len(end)), Ok(END_BYTES));
    }
}
