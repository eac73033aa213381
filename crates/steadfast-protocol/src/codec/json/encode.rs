//! Encodes commands, replies and pushes without an intermediate tree.
//!
//! Zero values are omitted, except those that implementations of the protocol always expect. No line feed is written: a
//! caller that puts several commands or replies into one message writes a line feed between them.

mod command;
mod publication;
mod reply;
mod write;

pub(in crate::codec) use command::{append_command, append_publish_command, append_rpc_command};
pub(in crate::codec) use reply::append_reply;
pub(crate) use write::Object;
