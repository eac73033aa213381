//! What the log stores with a publication: any bytes, the kind of the payload, the retention class, the hash of keyed
//! data.

use bytes::Bytes;
use steadfast_engine::{Append, ReadFrom, Record, Rejection, RetentionClass};
use steadfast_log::policy::LogSettings;
use steadfast_machine::{ByteSize, Timestamp};
use steadfast_protocol::message::PayloadKind;
use twox_hash::XxHash3_64;

use crate::harness::{Harness, Seen, WALL, append, idempotent, read, settings};

#[test]
fn kind_retention_class_and_any_bytes_are_committed_and_read_back_also_after_a_restart() {
    let every_byte: Bytes = (0..=255).collect::<Vec<u8>>().into();
    let until = Timestamp::from_millis(WALL + 1);
    let expected = [
        (
            PayloadKind::Json,
            RetentionClass::Kept,
            Bytes::from_static(b"{}"),
        ),
        (PayloadKind::Binary, RetentionClass::Kept, every_byte),
        (
            PayloadKind::Binary,
            RetentionClass::KeptUntil(until),
            Bytes::new(),
        ),
        (
            PayloadKind::Json,
            RetentionClass::NotStored,
            Bytes::from_static(b"1"),
        ),
    ];
    let mut harness = Harness::new(settings());
    for (kind, retention, data) in expected.clone() {
        harness.publish_ok(Append {
            kind,
            retention,
            data,
            ..append("a", "")
        });
    }
    let fields = |record: Record| (record.kind, record.retention, record.data);
    let committed = harness.seen.iter().filter_map(|seen| match seen {
        Seen::Commit(committed) => Some(fields(committed.record.clone())),
        Seen::Response(..) => None,
    });
    assert_eq!(committed.collect::<Vec<_>>(), expected);

    let mut again = harness.reopen(settings(), 2);

    let (records, _) = again.records(read("a", ReadFrom::Oldest, 10));
    assert_eq!(
        records.into_iter().map(fields).collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn channels_and_keys_may_contain_any_character() {
    let mut harness = Harness::new(settings());
    let zeros = idempotent("a\0b\0", "\0", "\0", "\0\0");
    assert!(!harness.publish_ok(zeros.clone()).2);

    let mut again = harness.reopen(settings(), 2);

    assert!(again.publish_ok(zeros).2);
    assert_eq!(again.all("a\0b\0"), [(1, "\0".into())]);
}

#[test]
fn the_hash_of_keyed_data_is_kept_with_the_key_in_checkpoints_also_after_a_restart() {
    let settings = LogSettings {
        log_bytes: ByteSize::from_kib(64),
        ..settings()
    };
    let data = "{\"paid\":1}";
    let hash = XxHash3_64::oneshot(data.as_bytes()).to_le_bytes();
    for restarts in [false, true] {
        let mut harness = Harness::new(settings);
        harness.publish_ok(idempotent("a", data, "ann", "k"));
        if restarts {
            harness = harness.reopen(settings, 2);
        }
        while harness.disk.numbers().contains(&1) {
            harness.publish_ok(append("a", &"x".repeat(1000)));
        }

        let copied = harness.disk.numbers().into_iter().any(|number| {
            let bytes = harness.disk.bytes(number);
            bytes.windows(8).any(|bytes| bytes == hash)
        });
        assert!(copied, "after a restart: {restarts}");
        assert!(harness.publish_ok(idempotent("a", data, "ann", "k")).2);
        let other = harness.rejected(idempotent("a", "other data", "ann", "k"));
        assert_eq!(other, Rejection::KeyWithOtherData);
    }
}
