//! The format of one record, byte for byte.
//!
//! Little endian: `crc u32 | len u32 | segment u64 | life u32 | synced u32 | kind u8 | body`. The checksum (CRC-32)
//! covers everything after itself; `len` counts the body. It decides nothing: what a bad record means is judged by the
//! scan, what a record does to the state by the replay.

use steadfast_machine::Timestamp;

use crate::epoch::ChannelEpoch;
use crate::log::io::SegmentNumber;
use crate::policy::log::Fsync;

mod decode;
mod encode;

pub(crate) use decode::{Head, decode};
pub(crate) use encode::encode;

/// Bytes before the body.
pub(crate) const HEAD_BYTES: usize = 25;
/// The version of the format, which stands in each segment's header.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// User, client and key may each have so many bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 65_534;
/// Bytes of an `End` record; each segment keeps them free until it is sealed.
pub(crate) const END_BYTES: u64 = 33;

/// The length that stands for "no key".
const NO_KEY: u16 = u16::MAX;
/// Bytes of the checksum.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_record_is_read_back_and_no_flipped_bit_passes() {
        for stored in all_kinds() {
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

    fn all_kinds() -> [Stored<'static>; 9] {
        let epoch = ChannelEpoch {
            incarnation: 7,
            counter: 9,
        };
        let at = Timestamp::from_millis(1_700_000_000_000);
        [
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
        ]
    }
}
