//! A position in a stream of messages that has a history.

/// A position in the history of a stream: the messages up to and including `offset` were received.
///
/// ```
/// use steadfast_machine::Position;
///
/// // A program stores both, and subscribes after this position when it starts again.
/// let position = Position { epoch: "a1b2".to_owned(), offset: 17 };
/// # assert_eq!(position.clone(), position);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Identifies the history in which the offset counts; opaque to clients. Empty if unknown.
    pub epoch: String,
    /// Offset of the last message received; 0 before the first.
    pub offset: u64,
}
