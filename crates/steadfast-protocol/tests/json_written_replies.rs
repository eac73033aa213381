//! Replies to calls as a server writes them are decoded without the general parser. All limits and rules apply to them.

use bytes::Bytes;
use proptest::prelude::*;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::error::{DecodeError, JsonErrorKind};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::Reply;

const TIGHT: Limits = Limits {
    nesting_max: 2,
    number_bytes: 3,
    ..Limits::DEFAULT
};

fn decode(message: &[u8], limits: &Limits) -> Vec<Result<Reply, DecodeError>> {
    let message = Bytes::copy_from_slice(message);
    Encoding::Json.decode_replies(&message, limits).collect()
}

/// The general parser reads a line that ends with a space, and reports the same errors for it.
fn decode_generally(line: &[u8], limits: &Limits) -> Vec<Result<Reply, DecodeError>> {
    decode(&[line, b" \n"].concat(), limits)
}

#[test]
fn the_limits_of_payloads_apply_to_a_reply_as_it_is_written() {
    let levels_max = TIGHT.nesting_max;
    let bytes_max = TIGHT.number_bytes;
    let too_deep = DecodeError::TooDeep { id: 7, levels_max };
    let too_long = DecodeError::NumberTooLong { id: 7, bytes_max };
    for (payload, expected) in [
        ("[[1]]", None),
        ("[[[1]]]", Some(&too_deep)),
        (r#"{"a":{"b":{}}}"#, Some(&too_deep)),
        ("123", None),
        ("1234", Some(&too_long)),
        (r#"{"a":[-123]}"#, Some(&too_long)),
    ] {
        let line = format!(r#"{{"id":7,"rpc":{{"data":{payload}}}}}"#);

        let replies = decode(line.as_bytes(), &TIGHT);

        assert_eq!(replies.len(), 1, "{line}");
        assert_eq!(replies[0].as_ref().err(), expected, "{line}");
        assert_eq!(replies, decode_generally(line.as_bytes(), &TIGHT));
    }
    let exponent = decode(br#"{"id":7,"rpc":{"data":1e1000}}"#, &Limits::DEFAULT);
    assert!(
        matches!(
            exponent[..],
            [Err(DecodeError::NumberTooLong { id: 7, .. })]
        ),
        "{exponent:?}"
    );
}

/// Whether only the column of an error differs: the added space may be where the text ends.
fn is_same(one: &Result<Reply, DecodeError>, other: &Result<Reply, DecodeError>) -> bool {
    match (one, other) {
        (
            Err(DecodeError::Malformed { line, kind, .. }),
            Err(DecodeError::Malformed {
                line: other_line,
                kind: other_kind,
                ..
            }),
        ) => line == other_line && (kind == other_kind || is_truncated(one)),
        _ => one == other,
    }
}

/// A space after a truncated text is an error of its own.
fn is_truncated(outcome: &Result<Reply, DecodeError>) -> bool {
    let kind = JsonErrorKind::Truncated;
    matches!(outcome, Err(DecodeError::Malformed { kind: it, .. }) if *it == kind)
}

fn payload() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("1".to_owned()),
        Just("-0.5e1".to_owned()),
        Just("1e9999".to_owned()),
        Just("1234".to_owned()),
        Just("null".to_owned()),
        Just("\"a\u{fc}[{1234\\\"\\ud800\"".to_owned()),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|it| format!("[{}]", it.join(","))),
            prop::collection::vec(inner, 0..3).prop_map(|it| {
                let fields: Vec<String> = it.iter().map(|it| format!("\"a\":{it}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 4_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_reply_is_decoded_as_by_the_general_parser_also_when_it_is_damaged(
        id in prop_oneof![Just("0"), Just("7"), Just("07"), Just("4294967295"), Just("4294967296")],
        payload in payload(),
        damage in prop::option::of((any::<prop::sample::Index>(), prop_oneof![
            prop::sample::select(&b"\0 \t\r{}[]\",:\\0-e7\xff"[..]),
            any::<u8>(),
        ], 0..3_u8)),
        is_tight in any::<bool>(),
    ) {
        let limits = if is_tight { TIGHT } else { Limits::DEFAULT };
        let mut line = format!(r#"{{"id":{id},"rpc":{{"data":{payload}}}}}"#).into_bytes();
        if let Some((at, byte, kind)) = damage {
            let at = at.index(line.len());
            match kind {
                0 => line[at] = byte,
                1 => line.insert(at, byte),
                _ => { line.remove(at); }
            }
        }
        prop_assume!(!line.contains(&b'\n'));

        let ended = [line.as_slice(), b"\n"].concat();
        let (read, generally) = (decode(&ended, &limits), decode_generally(&line, &limits));

        prop_assert_eq!(read.len(), 1);
        prop_assert_eq!(generally.len(), 1);
        prop_assert!(is_same(&read[0], &generally[0]), "{:?} {:?}", read, generally);
    }
}
