//! A position in a stream of messages that has a history.

/// A position in the history of a stream: the messages up to and including `offset` were received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Identifies the history in which the offset counts; opaque to clients. Empty if unknown.
    pub epoch: String,
    /// Offset of the last message received; 0 before the first.
    pub offset: u64,
}
