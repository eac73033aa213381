//! Decodes one record from untrusted bytes.
//!
//! Nothing is copied: decoded records borrow from the bytes.

use steadfast_engine::ChannelEpoch;
use steadfast_machine::Timestamp;

use crate::io::SegmentNumber;
use crate::record::{
    CRC_BYTES, Channel, Durability, HEAD_BYTES, Header, Key, NO_KEY, Opened, Publication, Stamp,
    Stored,
};

/// The head of a record, before its checksum is verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordHead {
    crc: u32,
    kind: u8,
    pub(crate) stamp: Stamp,
    /// The length of the complete record.
    pub(crate) len: usize,
}

impl RecordHead {
    /// Reads a head; `None` when there are too few bytes.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let head = bytes.first_chunk::<HEAD_BYTES>()?;
        let mut fields = Fields { rest: head };
        let crc = fields.u32()?;
        let body_len = usize::try_from(fields.u32()?).ok()?;
        let stamp = Stamp {
            segment: SegmentNumber(fields.u64()?),
            write_generation: fields.u32()?,
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

/// Decodes the record at the beginning of the bytes; `None` when it is incomplete or its checksum is wrong.
pub(crate) fn decode<'a>(head: &RecordHead, bytes: &'a [u8]) -> Option<Stored<'a>> {
    let covered = bytes.get(CRC_BYTES..head.len)?;
    if crc32fast::hash(covered) == head.crc {
        decode_checked(head, bytes)
    } else {
        None
    }
}

/// Decodes a record whose checksum is verified.
fn decode_checked<'a>(head: &RecordHead, bytes: &'a [u8]) -> Option<Stored<'a>> {
    let mut fields = Fields {
        rest: bytes.get(HEAD_BYTES..head.len)?,
    };
    let stored = match head.kind {
        1 => Stored::Header(Header {
            version: fields.u32()?,
            oldest: SegmentNumber(fields.u64()?),
            new_channel_epoch: fields.epoch()?,
            durability: fields.durability()?,
            channels: fields.u32()?,
            keys: fields.u32()?,
        }),
        2 => Stored::Channel(Channel {
            id: fields.u32()?,
            epoch: fields.epoch()?,
            high_watermark: fields.u64()?,
            start: fields.u64()?,
            last_at: fields.at()?,
            name: std::str::from_utf8(fields.take_rest()).ok()?,
        }),
        3 => Stored::Key(fields.key()?),
        4 => Stored::Publication(fields.publication()?),
        5 => Stored::Opened(Opened {
            new_channel_epoch: fields.epoch()?,
            durability: fields.durability()?,
            has_new_epochs: fields.u8()? != 0,
            at: fields.at()?,
        }),
        6 => Stored::ChannelExpired {
            channel: fields.u32()?,
            new_channel_epoch: fields.epoch()?,
        },
        7 => Stored::NoOp,
        8 => Stored::CleanShutdown { at: fields.at()? },
        9 => Stored::SegmentEnd {
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
        Some(ChannelEpoch::new(self.u64()?, self.u32()?))
    }

    fn durability(&mut self) -> Option<Durability> {
        match self.u8()? {
            0 => Some(Durability::Synced),
            1 => Some(Durability::Written),
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
