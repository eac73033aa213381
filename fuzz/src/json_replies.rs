//! Fuzzes the JSON decoder of replies: it must not panic, and a decoded reply must be the same when it is encoded and
//! decoded again.
//!
//! The fuzz target of the same name runs this check; the tests of `steadfast-protocol` run it over the committed
//! corpus.

use bytes::Bytes;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::error::DecodeError;
use steadfast_protocol::idempotent;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{Reply, ReplyResult};

/// Limits for replies that were accepted once and may be longer because of escapes or the text of an error.
const WIDE: Limits = Limits {
    message_bytes: usize::MAX,
    ..Limits::DEFAULT
};

/// Checks one input; panics when the decoder violates an invariant.
pub fn check(data: &[u8]) {
    let message = Bytes::copy_from_slice(data);
    let mut replies = Encoding::Json.decode_replies(&message, &Limits::DEFAULT);
    let mut count = 0;
    while let Some(reply) = replies.next() {
        count += 1;
        match reply {
            Ok(reply) => check_reply(&reply),
            Err(_) => assert_eq!(replies.next(), None, "a reply after an error"),
        }
    }
    assert!(
        count + replies.unknown_pushes() > 0,
        "a message has neither a reply nor an error"
    );
}

fn check_reply(reply: &Reply) {
    if let Reply::Response {
        outcome: Ok(ReplyResult::Rpc(result)),
        ..
    } = reply
        && let Ok(ack) = idempotent::decode_ack(result, &Limits::DEFAULT)
    {
        let mut out = Vec::new();
        idempotent::append_ack(&mut out, &ack);
        assert_eq!(idempotent::decode_ack(&out.into(), &WIDE), Ok(ack));
    }
    let first = encoded(reply);
    let message = Bytes::from(first.clone());
    let read: Result<Vec<Reply>, DecodeError> =
        Encoding::Json.decode_replies(&message, &WIDE).collect();
    match read.as_deref() {
        Ok([again]) => assert_eq!(encoded(again), first),
        other => panic!("{other:?}"),
    }
}

fn encoded(reply: &Reply) -> Vec<u8> {
    let mut out = Vec::new();
    Encoding::Json.append_reply(&mut out, reply);
    out
}
