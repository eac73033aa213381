//! The format of one record, byte for byte.
//!
//! Little endian: `crc u32 | len u32 | segment u64 | write_generation u32 | synced u32 | kind u8 | body`. The checksum
//! (CRC-32) covers everything after itself; `len` counts the body. The module decides nothing: the scan decides what an
//! invalid record means, the replay what a record does to the state.

use steadfast_engine::ChannelEpoch;
use steadfast_machine::Timestamp;

use crate::io::SegmentNumber;
use crate::policy::Fsync;

mod decode;
mod encode;

pub(crate) use decode::{RecordHead, decode};
pub(crate) use encode::encode;

/// Length of a record's head in bytes.
pub(crate) const HEAD_BYTES: usize = 25;
/// The version of the format, stored in each segment's header.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// The maximum number of bytes of each user, client and idempotency key.
pub(crate) const TEXT_BYTES_MAX: usize = 65_534;
/// Bytes of a `SegmentEnd` record; each segment keeps them free until it is sealed.
pub(crate) const SEGMENT_END_BYTES: u64 = 33;

/// The length that represents "no key".
const NO_KEY: u16 = u16::MAX;
/// Length of the checksum in bytes.
const CRC_BYTES: usize = 4;

/// The circumstances under which a record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The segment to which the record was written, so that bytes of a reused file never count.
    pub(crate) segment: SegmentNumber,
    /// The write generation grows with each start, and whenever a batch is rolled back. It never decreases in a
    /// segment, so records that an earlier generation left after a truncation never count.
    pub(crate) write_generation: u32,
    /// The segment was known to be durable up to this byte. An invalid record below it is corruption, not a torn write.
    pub(crate) synced: u32,
}

/// The content of a record; slices borrow from the bytes from which it was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored<'a> {
    /// Begins each segment; the checkpoint follows.
    Header(Header),
    /// A channel of the checkpoint, or a channel that this record creates.
    Channel(Channel<'a>),
    /// An idempotency key in the window, copied from a segment that is to be removed.
    Key(Key<'a>),
    Publication(Publication<'a>),
    /// The log was opened.
    Opened(Opened),
    /// A channel expired; channels that are created later have the given epoch.
    ChannelExpired {
        /// Its id, which may be reused.
        channel: u32,
        new_channel_epoch: ChannelEpoch,
    },
    /// No operation: written to test whether the disk has space again.
    NoOp,
    /// The log was closed cleanly; counts only if no record follows.
    CleanShutdown {
        at: Timestamp,
    },
    /// The segment is sealed; the log continues in the next one.
    SegmentEnd {
        next: SegmentNumber,
    },
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) version: u32,
    /// The oldest segment that still belongs to the log once this checkpoint is durable.
    pub(crate) oldest: SegmentNumber,
    /// The epoch of new channels.
    pub(crate) new_channel_epoch: ChannelEpoch,
    /// The policy under which the log runs.
    pub(crate) durability: Durability,
    /// Number of `Channel` records that follow immediately.
    pub(crate) channels: u32,
    /// Number of `Key` records that follow the `Channel` records.
    pub(crate) keys: u32,
}

/// A channel's identity and position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Channel<'a> {
    /// Represents the name in the records of this segment.
    pub(crate) id: u32,
    pub(crate) epoch: ChannelEpoch,
    /// Its newest offset; 0 when it was just created.
    pub(crate) high_watermark: u64,
    /// Its oldest visible offset.
    pub(crate) start: u64,
    /// When its newest publication was accepted.
    pub(crate) last_at: Timestamp,
    pub(crate) name: &'a str,
}

/// An idempotency key and its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key<'a> {
    pub(crate) channel: u32,
    /// The offset of its publication.
    pub(crate) offset: u64,
    /// When the publication was accepted.
    pub(crate) at: Timestamp,
    pub(crate) user: &'a [u8],
    pub(crate) text: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Publication<'a> {
    pub(crate) channel: u32,
    pub(crate) offset: u64,
    /// When the log accepted the publication.
    pub(crate) at: Timestamp,
    pub(crate) user: &'a [u8],
    pub(crate) client: &'a [u8],
    /// The idempotency key.
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) data: &'a [u8],
}

/// A start of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// The epoch of new channels from here on.
    pub(crate) new_channel_epoch: ChannelEpoch,
    /// The policy from here on.
    pub(crate) durability: Durability,
    /// True when every channel changes to `new_channel_epoch`.
    pub(crate) has_new_epochs: bool,
    pub(crate) at: Timestamp,
}

/// What the fsync policy guarantees for acknowledged records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Acknowledged records were synced.
    Synced,
    /// Acknowledged records were written to the operating system, and perhaps not synced.
    Written,
}

impl From<Fsync> for Durability {
    fn from(fsync: Fsync) -> Self {
        match fsync {
            Fsync::Always => Self::Synced,
            Fsync::Interval(_) => Self::Written,
            Fsync::Never => Self::Written,
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

/// The length of the record of a copied key.
pub(crate) const fn key_len(user: usize, key: usize) -> usize {
    HEAD_BYTES + 22 + user + key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_record_is_read_back_and_no_flipped_bit_passes() {
        for stored in all_kinds() {
            let mut bytes = Vec::new();
            let stamp = Stamp {
                segment: SegmentNumber(3),
                write_generation: 1,
                synced: 25,
            };
            let len = encode(&mut bytes, stamp, &stored);
            let head = RecordHead::read(&bytes).unwrap();

            assert_eq!(
                (head.stamp, head.len, bytes.len()),
                (stamp, len, len),
                "{stored:?}"
            );
            assert_eq!(decode(&head, &bytes), Some(stored));
            for bit in 0..len * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let head = RecordHead::read(&flipped).unwrap();
                assert_eq!(decode(&head, &flipped), None, "{stored:?}, bit {bit}");
            }
        }
    }

    #[test]
    fn the_computed_record_lengths_are_the_encoded_ones() {
        let at = Timestamp::default();
        let stamp = Stamp {
            segment: SegmentNumber(1),
            write_generation: 0,
            synced: 0,
        };
        let epoch = ChannelEpoch::new(0, 0);
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
            high_watermark: 0,
            start: 1,
            last_at: at,
            name: "name",
        };
        let copied = Key {
            channel: 0,
            offset: 1,
            at,
            user,
            text: key,
        };
        let end = Stored::SegmentEnd {
            next: SegmentNumber(2),
        };
        let len = |stored: Stored<'_>| encode(&mut Vec::new(), stamp, &stored);

        assert_eq!(
            len(Stored::Publication(publication)),
            publication_len(1, 2, 3, 4)
        );
        assert_eq!(len(Stored::Channel(channel)), channel_len(4));
        assert_eq!(len(Stored::Key(copied)), key_len(1, 3));
        assert_eq!(u64::try_from(len(end)), Ok(SEGMENT_END_BYTES));
    }

    fn all_kinds() -> [Stored<'static>; 9] {
        let epoch = ChannelEpoch::new(7, 9);
        let at = Timestamp::from_millis(1_700_000_000_000);
        [
            Stored::Header(Header {
                version: FORMAT_VERSION,
                oldest: SegmentNumber(1),
                new_channel_epoch: epoch,
                durability: Durability::Written,
                channels: 1,
                keys: 2,
            }),
            Stored::Channel(Channel {
                id: 3,
                epoch,
                high_watermark: 5,
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
                new_channel_epoch: epoch,
                durability: Durability::Synced,
                has_new_epochs: true,
                at,
            }),
            Stored::ChannelExpired {
                channel: 3,
                new_channel_epoch: epoch,
            },
            Stored::NoOp,
            Stored::CleanShutdown { at },
            Stored::SegmentEnd {
                next: SegmentNumber(4),
            },
        ]
    }
}
