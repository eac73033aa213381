//! What a dialect must know of a message that is too long to be kept.

use std::fmt;

use bytes::Bytes;

/// Finds in a message above the limit of the client what the dialect must know, while the message arrives. It takes bounded
/// memory, however long the message is.
pub trait Excerpt: fmt::Debug + Send {
    /// Reads the next part of the message.
    fn add(&mut self, part: &[u8]);

    /// What was found, for [`Dialect::read_oversized`](super::Dialect::read_oversized).
    fn finish(self: Box<Self>) -> Bytes;
}

/// A message of the peer that was above the limit of the client, and was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oversized {
    /// Its length in bytes.
    pub bytes: u64,
    /// What the dialect's [`Excerpt`] found in it.
    pub excerpt: Bytes,
}
