//! The payloads of `gw.publish`, the rpc method that publishes with a key and tells where the publication stands.
//!
//! A repeat with the same key is answered like the first and publishes nothing. This module knows only what travels;
//! the window in which keys are remembered is the log's affair.

use bytes::Bytes;

use crate::error::DecodeError;
use crate::json::{Context, Object, Payload, Text, parse, shape};
use crate::limits::Limits;

/// The rpc method.
pub const METHOD: &str = "gw.publish";

/// The argument of the method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyedPublish {
    /// The channel; may be empty here, the receiver refuses that.
    pub channel: String,
    /// The payload, raw JSON; empty when absent.
    pub data: Bytes,
    /// Makes a repeat recognisable: 1 to 64 bytes of UTF-8, see [`Limits::KEY_BYTES`].
    pub key: String,
}

/// The result of the method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyedAck {
    /// The place of the publication in its channel.
    pub offset: u64,
    /// The epoch in which the offset counts.
    pub epoch: String,
    /// True when the key was seen before and nothing was published now.
    pub duplicate: bool,
}

/// Why an argument or a result is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyedError {
    /// No key, or an empty one.
    #[error("key is missing")]
    KeyMissing,
    /// The rest is malformed or exceeds a limit.
    #[error("payload of gw.publish cannot be decoded")]
    Payload(#[source] DecodeError),
}

/// Appends the argument as raw JSON.
pub fn append_publish(out: &mut Vec<u8>, publish: &KeyedPublish) {
    let mut object = Object::new(out);
    object.text("channel", &publish.channel);
    object.raw("data", &publish.data);
    object.text("key", &publish.key);
    object.end();
}

/// Decodes the argument; the payload is a slice of it.
///
/// # Errors
///
/// No object with `channel`, `data` and `key`, a key that is missing or too long, or a limit exceeded. The call gets
/// error 107; the connection goes on.
pub fn decode_publish(argument: &Bytes, limits: &Limits) -> Result<KeyedPublish, KeyedError> {
    let (at, text) = begin(argument, limits)?;
    let shape: PublishShape<'_> = parse(text, at.line).map_err(KeyedError::Payload)?;
    let key = at
        .text("key", &shape.key, Limits::KEY_BYTES)
        .map_err(KeyedError::Payload)?;
    if key.is_empty() {
        return Err(KeyedError::KeyMissing);
    }
    Ok(KeyedPublish {
        channel: at.channel(&shape.channel).map_err(KeyedError::Payload)?,
        data: at.payload(shape.data).map_err(KeyedError::Payload)?,
        key,
    })
}

/// Appends the result as raw JSON; all three fields stand there always, so that a reader needs no defaults.
pub fn append_ack(out: &mut Vec<u8>, ack: &KeyedAck) {
    let mut object = Object::new(out);
    object.number_always("offset", ack.offset);
    object.text_always("epoch", &ack.epoch);
    object.flag_always("duplicate", ack.duplicate);
    object.end();
}

/// Decodes the result.
///
/// # Errors
///
/// No object of that kind.
pub fn decode_ack(result: &Bytes, limits: &Limits) -> Result<KeyedAck, KeyedError> {
    let (at, text) = begin(result, limits)?;
    let shape: AckShape<'_> = parse(text, at.line).map_err(KeyedError::Payload)?;
    let epoch = at
        .name("epoch", &shape.epoch)
        .map_err(KeyedError::Payload)?;
    Ok(KeyedAck {
        offset: shape.offset,
        epoch,
        duplicate: shape.duplicate,
    })
}

/// The text of a payload, which stands alone: no id, one line.
fn begin<'a>(payload: &'a Bytes, limits: &'a Limits) -> Result<(Context<'a>, &'a str), KeyedError> {
    let text = std::str::from_utf8(payload)
        .map_err(|error| KeyedError::Payload(DecodeError::NotUtf8(error)))?;
    Ok((
        Context {
            message: payload,
            limits,
            id: 0,
            line: 1,
        },
        text,
    ))
}

shape! {
    /// See [`KeyedPublish`].
    PublishShape<'a> {
        "channel" => channel: Text<'a>,
        "data" => data: Payload<'a>,
        "key" => key: Text<'a>,
    }
}

shape! {
    /// See [`KeyedAck`].
    AckShape<'a> {
        "offset" => offset: u64,
        "epoch" => epoch: Text<'a>,
        "duplicate" => duplicate: bool,
    }
}
