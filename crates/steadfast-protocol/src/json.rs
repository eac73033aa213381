//! The JSON codec of the Centrifuge client protocol: lines of JSON in one message, payloads left raw.
//!
//! Server and client use the same codec: each decodes what the other appends. Decoding parses the envelope and returns
//! payloads as slices of the message, neither copied nor changed. Encoding removes line breaks from payloads, because a
//! line break separates messages; JSON has line breaks only between tokens, where they are insignificant. Numbers
//! beyond 2^53 are written exactly, but a JavaScript client reads them rounded.
//!
//! The codec does not act on commands or errors: see [`crate::codes::DecodeErrorAction`] and the callers, which are the
//! hub on the server side, and the session, the simulation and the tools on the client side.

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
