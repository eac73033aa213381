//! The JSON encoding: lines of JSON in one message, payloads left raw.
//!
//! Server and client use the same codec: each decodes what the other appends. Decoding parses the envelope and returns
//! payloads as slices of the message, neither copied nor changed. Encoding removes line breaks from payloads, because a
//! line break separates messages; JSON has line breaks only between tokens, where they are insignificant. Numbers
//! beyond 2^53 are written exactly, but a JavaScript client reads them rounded.
//!
//! [`super::Encoding`] is the only caller; the payloads of `gw.publish` use the same reader and writer of objects.

mod commands;
mod encode;
mod invalid;
mod lines;
mod replies;
mod shape;
mod skipped;
mod written;

pub(super) use commands::Commands;
pub(crate) use encode::Object;
pub(super) use encode::{append_command, append_publish_command, append_reply, append_rpc_command};
pub(super) use replies::Replies;
pub(crate) use shape::{
    Alternative, Context, Field, Payload, Shape, Text, fill, keep_first, read_shape, shape,
};
pub(super) use skipped::SkippedCommand;
pub(crate) use written::{number, unescaped};
