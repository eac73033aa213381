//! The format of one record, byte for byte.
//!
//! Little endian: `check u64 | body_check u64 | len u32 | write_generation u32 | synced u32 | kind u8 | body`, where `len`
//! counts the body. Both checks are keyed with the secret of the segment. The first covers the byte position of the
//! record and the rest of the head, so a head counts only where it was written; the second covers the body. So a head
//! counts although its body is torn, and a payload cannot contain a record: a publisher does not know the secret, and a
//! copy of a record is at another byte position.
//!
//! The module decides nothing: the scan decides what an invalid record means, the replay what a record does to the
//! state.

use steadfast_engine::{ChannelEpoch, RetentionClass};
use steadfast_machine::Timestamp;
use steadfast_protocol::message::PayloadKind;

use crate::check;
use crate::clock::ClockState;
use crate::identity::SegmentSecret;
use crate::io::SegmentNumber;
use crate::policy::Fsync;

mod decode;
mod encode;

pub(crate) use decode::{BodyError, RecordHead, decode};
pub(crate) use encode::encode;

/// Length of a record's head in bytes.
pub(crate) const HEAD_BYTES: usize = 29;
/// The maximum number of bytes of each user, client and idempotency key.
pub(crate) const TEXT_BYTES_MAX: usize = 65_534;
/// Bytes of a `SegmentEnd` record; each segment keeps them free until it is sealed.
pub(crate) const SEGMENT_END_BYTES: u64 = 37;
/// Bytes of a `CleanShutdown` record.
pub(crate) const CLEAN_SHUTDOWN_BYTES: u64 = 37;
/// Bytes of a `Clock` record.
pub(crate) const CLOCK_BYTES: u64 = 239;

/// The length that represents "no key".
const NO_KEY: u16 = u16::MAX;
/// Length of the check of a head in bytes.
const CHECK_BYTES: usize = 8;
/// Length of the part of a head that its check covers in addition to the byte position.
const CHECKED_BYTES: usize = HEAD_BYTES - CHECK_BYTES;

/// The circumstances under which a record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The write generation grows with each start, and whenever a batch is rolled back. It never decreases in a
    /// segment, so records that an earlier generation left after a truncation never count.
    pub(crate) write_generation: u32,
    /// The segment was known to be durable up to this byte. An invalid record below it is corruption, not a torn write.
    pub(crate) synced: u32,
}

/// The content of a record; slices borrow from the bytes from which it was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored<'a> {
    /// Begins the records of each segment; the content of the checkpoint follows.
    Checkpoint(CheckpointStart),
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
    /// The clock of the log: how its times relate to the boot of the machine and to the wall clock.
    Clock(ClockState),
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

/// The start of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CheckpointStart {
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
    /// The hash of the publication's data, from [`data_hash`].
    pub(crate) data_hash: u64,
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
    pub(crate) kind: PayloadKind,
    pub(crate) retention: RetentionClass,
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

/// The check of a head that is at this byte position.
fn head_check(secret: &SegmentSecret, at: u64, checked: &[u8; CHECKED_BYTES]) -> u64 {
    const AT_BYTES: usize = 8;
    let mut covered = [0; AT_BYTES + CHECKED_BYTES];
    if let Some((first, rest)) = covered.split_first_chunk_mut::<AT_BYTES>() {
        *first = at.to_le_bytes();
        rest.copy_from_slice(checked);
    }
    check::keyed(secret, &covered)
}

/// The hash of a publication's data, with which a repeated idempotency key with other data can be detected.
///
/// The same data has the same hash in every segment, so no secret is part of it: a publisher who looks for two payloads
/// with one hash gains only that a repeat of the publisher's own key is not noticed.
pub(crate) fn data_hash(kind: PayloadKind, data: &[u8]) -> u64 {
    check::seeded(u64::from(payload_kind_code(kind)), data)
}

const fn payload_kind_code(kind: PayloadKind) -> u8 {
    match kind {
        PayloadKind::Json => 0,
        PayloadKind::Binary => 1,
    }
}

/// The length of a publication's record.
pub(crate) const fn publication_len(retention: RetentionClass, texts: usize, data: usize) -> usize {
    let until = match retention {
        RetentionClass::Kept => 0,
        RetentionClass::KeptUntil(_) => 8,
        RetentionClass::NotStored => 0,
    };
    HEAD_BYTES + 28 + until + texts + data
}

/// The length of a channel's record.
pub(crate) const fn channel_len(name: usize) -> usize {
    HEAD_BYTES + 40 + name
}

/// The length of the record of a copied key.
pub(crate) const fn key_len(user: usize, key: usize) -> usize {
    HEAD_BYTES + 30 + user + key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{BootId, BootTime, DOWNTIMES_MAX, Downtime, Downtimes, Pending};

    const AT: u64 = 256;
    const STAMP: Stamp = Stamp {
        write_generation: 1,
        synced: 25,
    };

    /// A secret without repetitions.
    fn secret() -> SegmentSecret {
        let byte = |at: usize| u8::try_from(at * at % 251).unwrap();
        SegmentSecret::new(std::array::from_fn(byte))
    }

    #[test]
    fn each_kind_of_record_is_read_back_and_no_flipped_bit_passes() {
        for stored in all_kinds() {
            let mut bytes = Vec::new();
            let len = encode(&mut bytes, &secret(), AT, STAMP, &stored);
            let head = RecordHead::read(&secret(), AT, &bytes).unwrap();

            assert_eq!(
                (head.stamp, head.len, bytes.len()),
                (STAMP, len, len),
                "{stored:?}"
            );
            assert_eq!(decode(&secret(), &head, &bytes), Ok(stored));
            for bit in 0..len * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let head = RecordHead::read(&secret(), AT, &flipped);
                // A head counts although its body is torn; a body never counts without its head.
                assert_eq!(
                    head.is_some(),
                    bit / 8 >= HEAD_BYTES,
                    "{stored:?}, bit {bit}"
                );
                if let Some(head) = head {
                    let decoded = decode(&secret(), &head, &flipped);
                    assert_eq!(decoded, Err(BodyError::Invalid), "{stored:?}, bit {bit}");
                }
            }
        }
    }

    #[test]
    fn a_record_counts_only_with_its_secret_and_at_its_byte_position() {
        let mut bytes = Vec::new();
        encode(&mut bytes, &secret(), AT, STAMP, &all_kinds()[3]);
        let mut other = *secret().as_bytes();
        other[0] ^= 1;

        assert!(RecordHead::read(&secret(), AT, &bytes).is_some());
        for at in [0, AT - 1, AT + 1, AT + 4096] {
            assert!(RecordHead::read(&secret(), at, &bytes).is_none(), "at {at}");
        }
        assert!(RecordHead::read(&SegmentSecret::new(other), AT, &bytes).is_none());
    }

    #[test]
    fn each_part_of_the_secret_is_part_of_the_checks() {
        let stored = |data: &'static [u8]| Stored::Publication(publication(data));
        for data in [&[1_u8; 5][..], &[1; 100], &[1; 240], &[1; 5000]] {
            let mut checks = Vec::new();
            for at in 0..SegmentSecret::BYTES {
                let mut secret = *secret().as_bytes();
                secret[at] ^= 0x10;
                let mut bytes = Vec::new();
                encode(
                    &mut bytes,
                    &SegmentSecret::new(secret),
                    AT,
                    STAMP,
                    &stored(data),
                );
                checks.push(bytes[..16].to_vec());
            }
            checks.sort();
            checks.dedup();
            // Short inputs use a part of the key only.
            let min = if data.len() > 1000 { 190 } else { 30 };
            assert!(checks.len() > min, "{}: {}", data.len(), checks.len());
        }
    }

    #[test]
    fn valid_checks_over_unknown_content_are_no_torn_write() {
        let mut bytes = Vec::new();
        encode(&mut bytes, &secret(), AT, STAMP, &Stored::NoOp);
        for kind in [0, 11, 255] {
            let mut checked: [u8; CHECKED_BYTES] = bytes[CHECK_BYTES..].try_into().unwrap();
            checked[CHECKED_BYTES - 1] = kind;
            let mut later = head_check(&secret(), AT, &checked).to_le_bytes().to_vec();
            later.extend_from_slice(&checked);
            let head = RecordHead::read(&secret(), AT, &later).unwrap();

            assert_eq!(
                decode(&secret(), &head, &later),
                Err(BodyError::Unsupported),
                "kind {kind}"
            );
        }
    }

    #[test]
    fn the_computed_record_lengths_are_the_encoded_ones() {
        let at = Timestamp::default();
        let epoch = ChannelEpoch::new(0, 0);
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
            data_hash: 7,
            user: b"u",
            text: b"kkk",
        };
        let end = Stored::SegmentEnd {
            next: SegmentNumber(2),
        };
        let len = |stored: Stored<'_>| encode(&mut Vec::new(), &secret(), AT, STAMP, &stored);

        for retention in RETENTIONS {
            let publication = Publication {
                retention,
                ..publication(b"dddd")
            };
            assert_eq!(
                len(Stored::Publication(publication)),
                publication_len(retention, 6, 4)
            );
        }
        assert_eq!(len(Stored::Channel(channel)), channel_len(4));
        assert_eq!(len(Stored::Key(copied)), key_len(1, 3));
        assert_eq!(u64::try_from(len(end)), Ok(SEGMENT_END_BYTES));
        let shutdown = Stored::CleanShutdown { at };
        assert_eq!(u64::try_from(len(shutdown)), Ok(CLEAN_SHUTDOWN_BYTES));
        for is_complete in [false, true] {
            let clock = Stored::Clock(clock(is_complete));
            assert_eq!(u64::try_from(len(clock)), Ok(CLOCK_BYTES));
        }
    }

    #[test]
    fn the_hash_of_data_depends_on_each_byte_and_on_the_kind() {
        let json = data_hash(PayloadKind::Json, b"{}");

        assert_eq!(json, data_hash(PayloadKind::Json, b"{}"));
        assert_ne!(json, data_hash(PayloadKind::Binary, b"{}"));
        assert_ne!(json, data_hash(PayloadKind::Json, b"{ }"));
        // The value is stored, so it must never change: this is the reference value of XXH3.
        assert_eq!(data_hash(PayloadKind::Json, b""), 0x2d06_8005_38d3_94c2);
    }

    const RETENTIONS: [RetentionClass; 3] = [
        RetentionClass::Kept,
        RetentionClass::KeptUntil(Timestamp::from_millis(5)),
        RetentionClass::NotStored,
    ];

    /// A publication with 6 bytes of texts.
    fn publication(data: &[u8]) -> Publication<'_> {
        Publication {
            channel: 0,
            offset: 1,
            at: Timestamp::default(),
            user: b"u",
            client: b"cc",
            key: Some(b"kkk"),
            kind: PayloadKind::Json,
            retention: RetentionClass::Kept,
            data,
        }
    }

    fn clock(is_complete: bool) -> ClockState {
        let at = Timestamp::from_millis(1_700_000_000_000);
        let boot = BootTime {
            id: BootId([9; BootId::BYTES]),
            millis: 77,
        };
        let pending = Pending {
            until: at,
            reference: -5,
            millis: 8,
        };
        ClockState {
            at,
            boot: is_complete.then_some(boot),
            offset: -3,
            trusted: i64::MIN,
            highest: i64::MAX,
            pending: is_complete.then_some(pending),
            counted: Downtimes(
                [Downtime {
                    until: at,
                    millis: 4,
                }; DOWNTIMES_MAX],
            ),
        }
    }

    fn all_kinds() -> [Stored<'static>; 14] {
        let epoch = ChannelEpoch::new(7, 9);
        let at = Timestamp::from_millis(1_700_000_000_000);
        let [kept, kept_until, not_stored] = RETENTIONS.map(|retention| {
            Stored::Publication(Publication {
                retention,
                ..publication(b"{}")
            })
        });
        [
            Stored::Checkpoint(CheckpointStart {
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
                data_hash: 11,
                user: b"ann",
                text: b"k1",
            }),
            kept,
            kept_until,
            not_stored,
            Stored::Publication(Publication {
                kind: PayloadKind::Binary,
                key: Some(b""),
                ..publication(&[0; 40])
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
            Stored::Clock(clock(false)),
            Stored::Clock(clock(true)),
            Stored::NoOp,
            Stored::CleanShutdown { at },
            Stored::SegmentEnd {
                next: SegmentNumber(4),
            },
        ]
    }
}
