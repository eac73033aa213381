//! Fuzzes the JSON decoder of commands: it must not panic, must respect its limits, must return payloads as slices of
//! the message, and a decoded command must be the same when it is encoded and decoded again.
//!
//! The fuzz target of the same name runs this check; the tests of `steadfast-protocol` run it over the committed
//! corpus.

use bytes::Bytes;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::error::DecodeError;
use steadfast_protocol::idempotent;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{Command, Request};

/// Limits far below the defaults, so that small inputs reach every limit.
const NARROW: Limits = Limits {
    message_bytes: 512,
    replies_max: 3,
    channel_bytes: 8,
    text_bytes: 12,
    name_bytes: 6,
    entries_max: 2,
    nesting_max: 2,
    number_bytes: 4,
};

/// Limits for commands that were accepted once and may be longer because of escapes.
const WIDE: Limits = Limits {
    message_bytes: usize::MAX,
    ..Limits::DEFAULT
};

/// Checks one input; panics when the decoder violates an invariant.
pub fn check(data: &[u8]) {
    let message = Bytes::copy_from_slice(data);
    for limits in [Limits::DEFAULT, NARROW] {
        let mut count = 0;
        let mut has_ended = false;
        for command in Encoding::Json.decode_commands(&message, &limits) {
            assert!(!has_ended, "a command after an error that ends the message");
            match command {
                Ok(command) => check_command(&message, &limits, &command),
                Err(error) => has_ended = error.ends_message(),
            }
            count += 1;
        }
        assert!(count > 0, "a message has neither a command nor an error");
        assert!(count <= data.len() + 1);
    }
}

fn check_command(message: &Bytes, limits: &Limits, command: &Command) {
    for payload in payloads(&command.request) {
        assert!(
            message.as_ptr_range().contains(&payload.as_ptr()),
            "a payload was copied"
        );
        assert!(!payload.contains(&b'\n'));
    }
    if let Request::Rpc(rpc) = &command.request {
        check_idempotent(&rpc.data, limits);
    }
    let first = encoded(command);
    let message = Bytes::from(first.clone());
    let read: Result<Vec<Command>, DecodeError> =
        Encoding::Json.decode_commands(&message, &WIDE).collect();
    match read.as_deref() {
        Ok([again]) => assert_eq!(encoded(again), first),
        other => panic!("{other:?}"),
    }
}

/// Checks the argument of `gw.publish`, which has a dedicated decoder.
fn check_idempotent(argument: &Bytes, limits: &Limits) {
    if let Ok(publish) = idempotent::decode_publish(argument, limits) {
        assert!((1..=Limits::IDEMPOTENCY_KEY_BYTES).contains(&publish.idempotency_key.len()));
        assert!(publish.channel.len() <= limits.channel_bytes);
    }
}

/// Returns the payloads that the decoder must not copy.
fn payloads(request: &Request) -> Vec<&Bytes> {
    let payload = match request {
        Request::Connect(connect) => {
            let subs = connect.subs.values().filter_map(|sub| sub.data.as_ref());
            return connect.data.iter().chain(subs).collect();
        }
        Request::Subscribe(subscribe) => return subscribe.data.iter().collect(),
        Request::Publish(publish) => &publish.data,
        Request::Send(send) => &send.data,
        Request::Rpc(rpc) => &rpc.data,
        Request::Unsubscribe(_)
        | Request::Presence(_)
        | Request::PresenceStats(_)
        | Request::History(_)
        | Request::Ping
        | Request::Refresh(_)
        | Request::SubRefresh(_)
        | Request::Pong => return Vec::new(),
    };
    if payload.is_empty() {
        Vec::new()
    } else {
        vec![payload]
    }
}

fn encoded(command: &Command) -> Vec<u8> {
    let mut out = Vec::new();
    Encoding::Json.append_command(&mut out, command);
    out
}
