//! Responses with a result as most peers write them, recognized without looking for each member.
//!
//! Everything else is `None`, and is read by the parser of all members, with the same outcome.

use std::str;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{Incoming, ResponseId};

/// The response in this message, if it has exactly the members `jsonrpc`, `id` and `result`, in this order or with the id
/// at the end, with at most one space between two tokens, and a number as its id.
pub(super) fn response(message: &Bytes) -> Option<Incoming> {
    let text = str::from_utf8(message).ok()?;
    let members = text.strip_prefix('{')?.strip_suffix('}')?;
    let members = after_comma(value_of(members, r#""jsonrpc""#)?.strip_prefix(r#""2.0""#)?)?;
    let (id, result) = if let Some(rest) = value_of(members, r#""id""#) {
        let after_id = rest.trim_start_matches(is_digit);
        let (id, _) = rest.split_at_checked(rest.len() - after_id.len())?;
        (id, value_of(after_comma(after_id)?, r#""result""#)?)
    } else {
        let rest = value_of(members, r#""result""#)?;
        let before_id = rest.trim_end_matches(is_digit);
        let (_, id) = rest.split_at_checked(before_id.len())?;
        let result = without_space_at_end(before_id).strip_suffix(r#""id":"#)?;
        (id, without_space_at_end(result).strip_suffix(',')?)
    };
    let is_number = id == "0" || !id.starts_with('0');
    let id = id.parse().ok().filter(|_| is_number)?;
    // One whole value: so there is no other member.
    let result: &RawValue = serde_json::from_str(result).ok()?;
    Some(Incoming::Response {
        id: ResponseId::Number(id),
        outcome: Ok(message.slice_ref(result.get().as_bytes())),
    })
}

const fn is_digit(letter: char) -> bool {
    letter.is_ascii_digit()
}

/// What follows the name of a member and its colon.
fn value_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let value = text.strip_prefix(name)?.strip_prefix(':')?;
    Some(value.strip_prefix(' ').unwrap_or(value))
}

fn after_comma(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(',')?;
    Some(rest.strip_prefix(' ').unwrap_or(rest))
}

fn without_space_at_end(text: &str) -> &str {
    text.strip_suffix(' ').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::incoming::decode_any;
    use super::*;

    fn recognized(text: &str) -> Option<Incoming> {
        response(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn responses_are_recognized_with_the_id_before_and_after_the_result_and_with_spaces() {
        for result in [
            "[1,{\"id\":8}]",
            "null",
            "\"a,\\\"id\\\":5\"",
            "{}",
            "-1.5e3",
        ] {
            for text in [
                format!(r#"{{"jsonrpc":"2.0","id":7,"result":{result}}}"#),
                format!(r#"{{"jsonrpc": "2.0", "result": {result}, "id": 7}}"#),
            ] {
                let expected = Incoming::Response {
                    id: ResponseId::Number(7),
                    outcome: Ok(Bytes::copy_from_slice(result.as_bytes())),
                };
                assert_eq!(recognized(&text), Some(expected), "{text}");
            }
        }
    }

    #[test]
    fn whatever_else_is_left_to_the_parser() {
        for text in [
            r#"{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":""}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":1,"error":null}"#,
            r#"{"jsonrpc":"2.0","result":1,"method":"m","id":7}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":1,"id":8}"#,
            r#"{"jsonrpc":"2.0","id":"7","result":1}"#,
            r#"{"jsonrpc":"2.0","id":07,"result":1}"#,
            r#"{"jsonrpc":"2.0","id":4294967296,"result":1}"#,
            r#"{"jsonrpc":"2.0","id":,"result":1}"#,
            r#"{"jsonrpc":"2.0","result":1,"id":7.0}"#,
            r#"{"jsonrpc":"2.0","result":,"id":7}"#,
            r#"{"jsonrpc":"1.0","result":1,"id":7}"#,
            r#"[{"jsonrpc":"2.0","result":1,"id":7}]"#,
            r#"{"jsonrpc":"2.0","id":7,"result":[1}"#,
            "",
        ] {
            assert_eq!(recognized(text), None, "{text}");
        }
        assert_eq!(response(&Bytes::from_static(b"{\xff}")), None);
    }

    /// Texts near to a response.
    fn text() -> impl Strategy<Value = String> {
        let token = proptest::sample::select(vec![
            "{",
            "}",
            ",",
            ":",
            " ",
            "7",
            "0",
            "\"id\"",
            "\"result\"",
            "\"jsonrpc\"",
            "\"2.0\"",
            "\"id\":7",
            "\"result\":[1]",
            "\"error\":null",
            "null",
            "[",
            "]",
            "\"jsonrpc\":\"2.0\"",
        ]);
        let tokens = proptest::collection::vec(token, 0..8);
        (tokens, any::<bool>()).prop_map(|(tokens, has_begin)| {
            let begin = if has_begin {
                r#"{"jsonrpc":"2.0","#
            } else {
                "{"
            };
            format!("{begin}{}}}", tokens.concat())
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 2_000,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn a_recognized_response_is_that_which_the_parser_finds(text in text()) {
            let bytes = Bytes::copy_from_slice(text.as_bytes());
            if let Some(found) = response(&bytes) {
                prop_assert_eq!(decode_any(&bytes), Ok(found));
            }
        }
    }
}
