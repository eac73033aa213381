//! The payloads of `gw.publish`, the RPC method that publishes with an idempotency key and returns the offset.
//!
//! A repeated publish with the same key stores nothing and returns the first result. This module defines the wire
//! format only; the log implements the deduplication window.

use std::borrow::Cow;

use bytes::Bytes;

use crate::codec::json::{Context, Object, Payload, Text, fill, number, shape, unescaped};
use crate::error::DecodeError;
use crate::limits::Limits;
use crate::message::PayloadKind;

/// Name of the RPC method.
pub const METHOD: &str = "gw.publish";

/// Kind of every payload that is published with this method: the argument is JSON in every encoding.
pub const PAYLOAD_KIND: PayloadKind = PayloadKind::Json;

/// Bytes of a result without the epoch, whose length varies, so that memory is allocated once.
const ACK_BYTES: usize = r#"{"offset":18446744073709551615,"epoch":"","duplicate":false}"#.len();

/// The argument of `gw.publish`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdempotentPublish {
    /// Channel name; may be empty here, the receiver rejects an empty name.
    pub channel: String,
    /// Payload as raw JSON; empty when absent.
    pub data: Bytes,
    /// Identifies a repeated publish: 1 to 64 bytes of UTF-8, see [`Limits::IDEMPOTENCY_KEY_BYTES`].
    pub idempotency_key: String,
}

/// The argument of `gw.publish` as a client sends it, borrowed: nothing is copied to send it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishArgument<'a> {
    /// Name of the channel; the server rejects an empty one, and one of more than [`Limits::CHANNEL_BYTES`].
    pub channel: &'a str,
    /// Payload as raw JSON; empty when absent.
    pub data: &'a [u8],
    /// Identifies a repeated publish: 1 to 64 bytes of UTF-8, see [`Limits::IDEMPOTENCY_KEY_BYTES`].
    pub idempotency_key: &'a str,
}

impl<'a> From<&'a IdempotentPublish> for PublishArgument<'a> {
    fn from(publish: &'a IdempotentPublish) -> Self {
        Self {
            channel: &publish.channel,
            data: &publish.data,
            idempotency_key: &publish.idempotency_key,
        }
    }
}

/// The result of `gw.publish`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdempotentAck {
    /// Offset of the publication in its channel.
    pub offset: u64,
    /// Channel epoch of the offset.
    pub epoch: String,
    /// `true` when the key was already known and this publish stored nothing.
    pub duplicate: bool,
}

/// Why an argument or a result of `gw.publish` is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdempotentPublishError {
    /// The argument has no idempotency key.
    #[error("gw.publish requires the field idempotency_key, with 1 to {bytes_max} bytes", bytes_max = Limits::IDEMPOTENCY_KEY_BYTES)]
    KeyMissing,
    /// The idempotency key has an invalid length in bytes.
    #[error(
        "invalid idempotency_key of gw.publish: an idempotency key has 1 to {bytes_max} bytes, this one has {0}",
        bytes_max = Limits::IDEMPOTENCY_KEY_BYTES
    )]
    KeyLength(usize),
    /// The payload is malformed or exceeds a limit.
    #[error("invalid payload of gw.publish: {0}")]
    Payload(#[source] DecodeError),
}

/// Appends the argument as raw JSON.
/// [`Encoding::append_publish_command`](crate::codec::Encoding::append_publish_command) appends the whole command.
pub fn append_publish(out: &mut Vec<u8>, publish: &IdempotentPublish) {
    let mut object = Object::new(out);
    fill_publish(&mut object, PublishArgument::from(publish));
    object.end();
}

/// Writes the fields of the argument.
pub(crate) fn fill_publish(object: &mut Object<'_>, publish: PublishArgument<'_>) {
    object.text("channel", publish.channel);
    object.raw("data", publish.data);
    object.text("idempotency_key", publish.idempotency_key);
}

/// Decodes the argument; the publication's payload is a slice of the argument.
///
/// # Errors
///
/// The argument is not a JSON object, a field is invalid or repeated, the key is missing or too long, or a limit is
/// exceeded. The server replies with error 107 and keeps the connection open.
pub fn decode_publish(
    argument: &Bytes,
    limits: &Limits,
) -> Result<IdempotentPublish, IdempotentPublishError> {
    let (at, text) = payload_text(argument, limits)?;
    let mut shape = PublishShape::default();
    fill(&mut shape, text, at.line).map_err(IdempotentPublishError::Payload)?;
    let key = at
        .text("idempotency_key", &shape.key, Limits::IDEMPOTENCY_KEY_BYTES)
        .map_err(key_error)?;
    if key.is_empty() {
        return Err(IdempotentPublishError::KeyMissing);
    }
    Ok(IdempotentPublish {
        channel: at
            .channel(&shape.channel)
            .map_err(IdempotentPublishError::Payload)?,
        data: at
            .payload(shape.data)
            .map_err(IdempotentPublishError::Payload)?,
        idempotency_key: key,
    })
}

fn key_error(error: DecodeError) -> IdempotentPublishError {
    if let DecodeError::FieldTooLong { size, .. } = error {
        IdempotentPublishError::KeyLength(size)
    } else {
        IdempotentPublishError::Payload(error)
    }
}

/// Appends the result as raw JSON. All three fields are always written, so that a client needs no defaults.
pub fn append_ack(out: &mut Vec<u8>, ack: &IdempotentAck) {
    out.reserve(ACK_BYTES + ack.epoch.len());
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
/// The result is not a JSON object, a field is invalid or repeated, or a limit is exceeded.
pub fn decode_ack(
    result: &Bytes,
    limits: &Limits,
) -> Result<IdempotentAck, IdempotentPublishError> {
    let (at, text) = payload_text(result, limits)?;
    let shape = match written_ack(text) {
        Some(shape) => shape,
        None => read_ack(text, at.line)?,
    };
    let epoch = at
        .name("epoch", &shape.epoch)
        .map_err(IdempotentPublishError::Payload)?;
    Ok(IdempotentAck {
        offset: shape.offset,
        epoch,
        duplicate: shape.duplicate,
    })
}

/// The result exactly as [`append_ack`] writes it, without a general parser; `None` for anything else, also an invalid one.
fn written_ack(text: &str) -> Option<AckShape<'_>> {
    let (offset, rest) = number(text.strip_prefix(r#"{"offset":"#)?)?;
    let (epoch, rest) = unescaped(rest.strip_prefix(r#","epoch":""#)?)?;
    let duplicate = match rest.strip_prefix(r#","duplicate":"#)? {
        "false}" => false,
        "true}" => true,
        _ => return None,
    };
    Some(AckShape {
        offset,
        epoch: Text(Cow::Borrowed(epoch)),
        duplicate,
    })
}

fn read_ack(text: &str, line: usize) -> Result<AckShape<'_>, IdempotentPublishError> {
    let mut shape = AckShape::default();
    fill(&mut shape, text, line).map_err(IdempotentPublishError::Payload)?;
    Ok(shape)
}

/// Returns the text of a payload and its context: no id, line 1.
fn payload_text<'a>(
    payload: &'a Bytes,
    limits: &'a Limits,
) -> Result<(Context<'a>, &'a str), IdempotentPublishError> {
    let text = std::str::from_utf8(payload)
        .map_err(|error| IdempotentPublishError::Payload(DecodeError::NotUtf8(error)))?;
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
    /// The JSON object of [`IdempotentPublish`].
    PublishShape<'a> {
        "channel" => channel: Text<'a>,
        "data" => data: Payload<'a>,
        "idempotency_key" => key: Text<'a>,
    }
}

shape! {
    /// The JSON object of [`IdempotentAck`].
    AckShape<'a> {
        "offset" => offset: u64,
        "epoch" => epoch: Text<'a>,
        "duplicate" => duplicate: bool,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Characters that matter in names, and others.
    const EPOCH: &str = r#"[a-z0-9 "\\\u{1}\u{7f}\u{fc}]{0,6}"#;

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn a_result_as_it_is_written_has_the_values_of_the_general_parser(
            offset in prop_oneof![Just("0"), Just("01"), Just("7"), Just("18446744073709551615"), Just("18446744073709551616"), Just("-1")],
            epoch in EPOCH,
            duplicate in prop_oneof![Just("true"), Just("false"), Just("null"), Just("1")],
            end in prop_oneof![4 => Just("}"), 1 => Just(" }"), 1 => Just("}}"), 1 => Just("")],
        ) {
            let text = format!(r#"{{"offset":{offset},"epoch":"{epoch}","duplicate":{duplicate}{end}"#);

            if let Some(written) = written_ack(&text) {
                let read = read_ack(&text, 1).expect("valid JSON");
                prop_assert_eq!(written.offset, read.offset);
                prop_assert_eq!(written.epoch, read.epoch);
                prop_assert_eq!(written.duplicate, read.duplicate);
            }
        }
    }

    #[test]
    fn a_result_is_recognized_as_it_is_written() {
        for duplicate in [false, true] {
            let ack = IdempotentAck {
                offset: u64::MAX,
                epoch: "f3a9".to_owned(),
                duplicate,
            };
            let mut text = Vec::new();
            append_ack(&mut text, &ack);
            let text = String::from_utf8(text).unwrap();

            let written = written_ack(&text).expect("recognized");

            assert_eq!(written.offset, ack.offset);
            assert_eq!(written.epoch.0, ack.epoch);
            assert_eq!(written.duplicate, duplicate);
        }
    }
}
