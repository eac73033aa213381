//! Decodes one record from untrusted bytes.
//!
//! Nothing is copied: decoded records borrow from the bytes.

use steadfast_engine::{ChannelEpoch, RetentionClass};
use steadfast_machine::{Timestamp, convert};
use steadfast_protocol::message::PayloadKind;

use crate::check;
use crate::clock::{BootId, BootTime, ClockState, Downtime, Downtimes, Pending};
use crate::identity::SegmentSecret;
use crate::io::SegmentNumber;
use crate::record::{
    CHECK_BYTES, CHECKED_BYTES, Channel, CheckpointStart, Durability, HEAD_BYTES, Key, NO_KEY,
    Opened, Publication, Stamp, Stored, head_check,
};

/// The head of a record; its check is verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordHead {
    body_check: u64,
    kind: u8,
    pub(crate) stamp: Stamp,
    /// The length of the complete record.
    pub(crate) len: usize,
}

/// Why a record with a valid head has no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// The body is incomplete or its check is wrong.
    Invalid,
    /// The body is as it was written, but has content that this version does not know.
    Unsupported,
}

impl RecordHead {
    /// Reads the head of a record at byte position `at`; `None` when it is incomplete or its check is wrong.
    pub(crate) fn read(secret: &SegmentSecret, at: u64, bytes: &[u8]) -> Option<Self> {
        let (check, rest) = bytes.split_first_chunk::<CHECK_BYTES>()?;
        let checked = rest.first_chunk::<CHECKED_BYTES>()?;
        if head_check(secret, at, checked) != u64::from_le_bytes(*check) {
            return None;
        }
        let mut fields = Fields { rest: checked };
        let body_check = fields.u64()?;
        let body_len = convert::to_usize(fields.u32()?);
        let stamp = Stamp {
            write_generation: fields.u32()?,
            synced: fields.u32()?,
        };
        Some(Self {
            body_check,
            kind: fields.u8()?,
            stamp,
            len: HEAD_BYTES.checked_add(body_len)?,
        })
    }

    /// Whether a head may begin with these bytes, without computing its check: no kind is zero.
    pub(crate) const fn is_kind(byte: u8) -> bool {
        byte != 0
    }
}

/// Decodes the record at the beginning of the bytes, whose head is `head`.
///
/// # Errors
///
/// The body is invalid, or has content that this version does not know.
pub(crate) fn decode<'a>(
    secret: &SegmentSecret,
    head: &RecordHead,
    bytes: &'a [u8],
) -> Result<Stored<'a>, BodyError> {
    let body = bytes.get(HEAD_BYTES..head.len).ok_or(BodyError::Invalid)?;
    if check::keyed(secret, body) != head.body_check {
        return Err(BodyError::Invalid);
    }
    decode_checked(head.kind, body).ok_or(BodyError::Unsupported)
}

/// Decodes a body whose check is verified.
fn decode_checked(kind: u8, body: &[u8]) -> Option<Stored<'_>> {
    let mut fields = Fields { rest: body };
    let stored = match kind {
        1 => Stored::Checkpoint(CheckpointStart {
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
        10 => Stored::Clock(fields.clock()?),
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

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// Whether the value that follows is present; it takes its bytes in both cases.
    fn is_present(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn clock(&mut self) -> Option<ClockState> {
        let at = self.at()?;
        let is_present = self.is_present()?;
        let boot = {
            let id = BootId(self.array()?);
            let millis = self.u64()?;
            is_present.then_some(BootTime { id, millis })
        };
        let (offset, trusted, highest) = (self.i64()?, self.i64()?, self.i64()?);
        let is_present = self.is_present()?;
        let pending = {
            let until = self.at()?;
            let reference = self.i64()?;
            let millis = self.u64()?;
            is_present.then_some(Pending {
                until,
                reference,
                millis,
            })
        };
        let mut counted = Downtimes::default();
        for downtime in &mut counted.0 {
            let (until, millis) = (self.at()?, self.u64()?);
            *downtime = Downtime { until, millis };
        }
        Some(ClockState {
            at,
            boot,
            offset,
            trusted,
            highest,
            pending,
            counted,
        })
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

    fn payload_kind(&mut self) -> Option<PayloadKind> {
        match self.u8()? {
            0 => Some(PayloadKind::Json),
            1 => Some(PayloadKind::Binary),
            _ => None,
        }
    }

    fn retention(&mut self) -> Option<RetentionClass> {
        match self.u8()? {
            0 => Some(RetentionClass::Kept),
            1 => Some(RetentionClass::KeptUntil(self.at()?)),
            2 => Some(RetentionClass::NotStored),
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
        let data_hash = self.u64()?;
        let user_len = self.u16()?;
        let user = self.text(user_len)?;
        Some(Key {
            channel,
            offset,
            at,
            data_hash,
            user,
            text: self.take_rest(),
        })
    }

    fn publication(&mut self) -> Option<Publication<'a>> {
        let channel = self.u32()?;
        let offset = self.u64()?;
        let at = self.at()?;
        let kind = self.payload_kind()?;
        let retention = self.retention()?;
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
            kind,
            retention,
            data: self.take_rest(),
        })
    }
}
