//! The JSON codec of the stream protocol: lines of JSON in one message, payloads left raw.
//!
//! Server and client use the same codec: what one appends the other decodes. Decoding takes the envelope apart and
//! hands out payloads as slices of the message; nothing of a payload is copied or changed. Encoding removes line
//! breaks from payloads, because a line break separates messages; JSON has them only between tokens, where they mean
//! nothing. Numbers beyond 2^53 are written exactly, but a JavaScript client reads them rounded.
//!
//! It does not decide what follows from a command or an error: see [`crate::codes::Remedy`] and the callers, which are
//! the hub on the server's side, and the session, the simulation and the tools on the client's.

mod commands;
mod encode;
mod lines;
mod replies;
mod shape;

pub use commands::{Commands, decode_commands};
pub(crate) use encode::Object;
pub use encode::{
    InfoParts, PublicationParts, append_command, append_join_push, append_leave_push,
    append_publication_push, append_reply,
};
pub use replies::{Replies, decode_replies};
pub(crate) use shape::{Context, Field, Payload, Text, parse, shape};
