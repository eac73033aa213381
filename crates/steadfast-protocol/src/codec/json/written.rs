//! Recognizes JSON exactly as our encoder writes it, without a general parser: much of what a busy client receives.
//!
//! What differs in anything, also in spaces or the order of fields, is not recognized, and the general parser reads it.
//! Nothing is accepted that the general parser rejects, and the values are the same.

use std::str::FromStr;

use serde_json::value::RawValue;

/// The id and the payload of the reply to a call: `{"id":7,"rpc":{"data":PAYLOAD}}`.
pub(super) fn rpc_reply(line: &str) -> Option<(u32, &RawValue)> {
    let (id, rest) = number(line.strip_prefix(r#"{"id":"#)?)?;
    let data = rest
        .strip_prefix(r#","rpc":{"data":"#)?
        .strip_suffix("}}")?;
    Some((id, serde_json::from_str(data).ok()?))
}

/// The positive number at the start of a text, and the rest.
pub(crate) fn number<T: FromStr>(text: &str) -> Option<(T, &str)> {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    // Zero is not recognized, and no number of JSON begins with it.
    if text.starts_with('0') {
        return None;
    }
    let end = text.as_bytes().iter().position(|byte| !is_digit(byte))?;
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

/// The text without escapes up to a quotation mark, and the rest after it.
pub(crate) fn unescaped(text: &str) -> Option<(&str, &str)> {
    let ends = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < b' ';
    let end = text.as_bytes().iter().position(ends)?;
    let (value, rest) = text.split_at_checked(end)?;
    Some((value, rest.strip_prefix('"')?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::json::replies::general_rpc_reply;

    /// Parts of such a line and of others that resemble it.
    const PARTS: [&str; 24] = [
        r#"{"id":"#,
        r#","rpc":{"data":"#,
        "}}",
        "}",
        "{",
        "0",
        "7",
        "4294967295",
        "4294967296",
        "-1",
        "+1",
        " ",
        "null",
        r#""a""#,
        r#""\u0041""#,
        r#"{"x":[1,2]}"#,
        r#"{"data":1}"#,
        r#","data":1"#,
        r#","id":1"#,
        r#","error":{"code":1}"#,
        "1e999",
        "[",
        "]",
        ",",
    ];

    fn check(line: &str) -> Result<(), TestCaseError> {
        if let Some((id, data)) = rpc_reply(line) {
            prop_assert_eq!(general_rpc_reply(line), Some((id, data.get())), "{}", line);
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn what_is_recognized_is_what_the_general_parser_reads(
            payload in proptest::collection::vec(proptest::sample::select(&PARTS), 0..5),
            id in proptest::sample::select(&PARTS),
            replaced in proptest::option::of((0..4_usize, proptest::sample::select(&PARTS))),
        ) {
            let payload = payload.concat();
            let mut parts = [r#"{"id":"#, id, r#","rpc":{"data":"#, payload.as_str(), "}}"];
            if let Some((at, part)) = replaced {
                parts[at] = part;
            }
            check(&parts.concat())?;
        }
    }

    #[test]
    fn the_reply_to_a_call_is_recognized_as_it_is_written() {
        let (id, data) = rpc_reply(r#"{"id":42,"rpc":{"data":{"offset":1}}}"#).unwrap();

        assert_eq!((id, data.get()), (42, r#"{"offset":1}"#));
        for other in [
            r#"{"id":0,"rpc":{"data":1}}"#,
            r#"{"id":042,"rpc":{"data":1}}"#,
            r#"{"id":4294967296,"rpc":{"data":1}}"#,
            r#"{"id":1,"rpc":{"data":1,"data":2}}"#,
            r#"{"id":1,"rpc":{"data":}}"#,
            r#"{"id":1,"rpc":{}}"#,
        ] {
            assert!(rpc_reply(other).is_none(), "{other}");
        }
    }
}
