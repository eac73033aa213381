//! The page about `gw.publish` has every field and the limits of this crate.

use bytes::Bytes;
use serde_json::Value;
use steadfast_protocol::idempotent::{self, IdempotentAck, IdempotentPublish};
use steadfast_protocol::limits::Limits;

const PAGE: &str = include_str!("../../../docs/reference/gw-publish.md");

#[test]
fn the_page_has_each_field_in_its_table() {
    let (mut argument, mut result) = (Vec::new(), Vec::new());
    let publish = IdempotentPublish {
        channel: "a".to_owned(),
        data: Bytes::from_static(b"1"),
        idempotency_key: "k".to_owned(),
    };
    idempotent::append_publish(&mut argument, &publish);
    idempotent::append_ack(&mut result, &IdempotentAck::default());

    for object in [argument, result] {
        let object: Value = serde_json::from_slice(&object).unwrap();
        for field in object.as_object().unwrap().keys() {
            assert!(PAGE.contains(&format!("\n| `{field}` | ")), "{field}");
        }
    }
}

#[test]
fn the_page_has_the_limits() {
    for (field, limit) in [
        ("channel", format!("1 to {} bytes", Limits::CHANNEL_BYTES)),
        (
            "idempotency_key",
            format!("1 to {} bytes", Limits::IDEMPOTENCY_KEY_BYTES),
        ),
        ("data", format!("{} KiB", Limits::MESSAGE_BYTES >> 10)),
        ("data", format!("{} nested levels", Limits::NESTING_MAX)),
        ("data", "1,000 characters".to_owned()),
    ] {
        let mut lines = PAGE.lines();
        let row = lines
            .find(|line| line.starts_with(&format!("| `{field}` | ")))
            .unwrap();
        assert!(row.contains(&limit), "{row}");
    }
    assert_eq!(Limits::NUMBER_BYTES, 1_000);
}
