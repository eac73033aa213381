//! Decoding errors: detailed enough for a log, without quoting the received bytes.

/// Why a message, or one command or reply in it, could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The message is longer than the limit.
    #[error("message of {bytes} bytes exceeds the limit of {bytes_max}")]
    MessageTooLong {
        /// Length of the message.
        bytes: usize,
        /// Longest message that is accepted.
        bytes_max: usize,
    },
    /// The message has more replies than the limit.
    #[error("message has more than {count_max} replies")]
    TooManyReplies {
        /// Most replies that are accepted.
        count_max: usize,
    },
    /// A command is longer than the limit. It was not kept, but the commands after it can be decoded.
    #[error("command {id} has {bytes} bytes, the limit is {bytes_max}")]
    CommandTooLong {
        /// The command's id; 0 when it has none.
        id: u32,
        /// Length of the command.
        bytes: u64,
        /// Longest command that is accepted.
        bytes_max: usize,
    },
    /// A command does not end, although far more bytes than the limit have arrived.
    #[error("a command does not end within {bytes_max} bytes")]
    CommandEndless {
        /// The number of bytes within which every command must end.
        bytes_max: u64,
    },
    /// The message, or a line of it, is empty.
    #[error("message or line is empty")]
    Empty,
    /// The bytes are not UTF-8.
    #[error("message is not UTF-8")]
    NotUtf8(#[source] std::str::Utf8Error),
    /// The text is not the JSON of a command or reply.
    #[error("{kind} at byte {column} of line {line} of the message")]
    Malformed {
        /// Line of the command or reply in the message, counted from 1.
        line: usize,
        /// Byte in that line, counted from 1; 0 when the error is not at a single byte.
        column: usize,
        /// What is wrong with the text.
        kind: JsonErrorKind,
    },
    /// One command is invalid, and its id is known: the commands after it can still be decoded.
    #[error("command {id}: {kind} at byte {column}")]
    InvalidCommand {
        /// The command's id, above 0.
        id: u32,
        /// Byte in the command, counted from 1; 0 when the error is not at a single byte.
        column: usize,
        /// What is wrong with the text.
        kind: JsonErrorKind,
    },
    /// A payload contains a number that is longer than the limit.
    #[error(
        "payload of command {id} contains a number of more than {bytes_max} characters, or with more than three digits in its exponent"
    )]
    NumberTooLong {
        /// The command's id; 0 when it has none, or for a push.
        id: u32,
        /// Longest number that is accepted.
        bytes_max: usize,
    },
    /// A payload nests arrays and objects deeper than the limit.
    #[error("payload of command {id} nests deeper than {levels_max} levels")]
    TooDeep {
        /// The command's id; 0 when it has none, or for a push.
        id: u32,
        /// Most levels that are accepted.
        levels_max: usize,
    },
    /// A text field is longer than its limit, or a map or list has more entries than its limit.
    #[error("{field} of command {id} has size {size}, the limit is {size_max}")]
    FieldTooLong {
        /// The command's id; 0 when it has none, or for a push.
        id: u32,
        /// Name of the field on the wire.
        field: &'static str,
        /// Length of a text in bytes, or number of entries of a map or list.
        size: usize,
        /// Largest size that is accepted.
        size_max: usize,
    },
    /// A command has an id but no known method.
    #[error("command {id} has no known method")]
    NoMethod {
        /// The command's id.
        id: u32,
    },
    /// A reply has an id but neither an error nor a known result.
    #[error("reply {id} has neither result nor error")]
    NoResult {
        /// The command's id.
        id: u32,
    },
}

impl DecodeError {
    /// Returns the id, above 0, of a command that alone is invalid or exceeds a limit: the server can reply to it with an
    /// error, and the commands after it can still be decoded. `None` for every other error, which ends the connection.
    pub fn rejected_command(&self) -> Option<u32> {
        match self {
            Self::TooDeep { id, .. }
            | Self::NumberTooLong { id, .. }
            | Self::FieldTooLong { id, .. }
            | Self::InvalidCommand { id, .. }
            | Self::CommandTooLong { id, .. }
            | Self::NoMethod { id } => (*id > 0).then_some(*id),
            Self::MessageTooLong { .. }
            | Self::TooManyReplies { .. }
            | Self::CommandEndless { .. }
            | Self::Empty
            | Self::NotUtf8(_)
            | Self::Malformed { .. }
            | Self::NoResult { .. } => None,
        }
    }

    /// Whether nothing after the error in the same message can be decoded: it is not about one command whose end is known.
    pub fn ends_message(&self) -> bool {
        !matches!(self, Self::CommandTooLong { .. }) && self.rejected_command().is_none()
    }

    /// Clears a column that is relative to a part of the line.
    pub(crate) fn without_column(self) -> Self {
        match self {
            Self::Malformed {
                line,
                column: _,
                kind,
            } => Self::Malformed {
                line,
                column: 0,
                kind,
            },
            Self::MessageTooLong { .. }
            | Self::TooManyReplies { .. }
            | Self::CommandTooLong { .. }
            | Self::CommandEndless { .. }
            | Self::Empty
            | Self::NotUtf8(_)
            | Self::TooDeep { .. }
            | Self::NumberTooLong { .. }
            | Self::FieldTooLong { .. }
            | Self::InvalidCommand { .. }
            | Self::NoMethod { .. }
            | Self::NoResult { .. } => self,
        }
    }

    /// The same error, about one command if its id is known, which is above 0 then.
    pub(crate) fn of_command(self, id: u32) -> Self {
        if let Self::Malformed { column, kind, .. } = self
            && id > 0
        {
            return Self::InvalidCommand { id, column, kind };
        }
        self
    }
}

/// Why a text is not the JSON of a command or reply. The parser's own message is dropped because it can quote a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonErrorKind {
    /// The text is not JSON.
    #[error("syntax error")]
    Syntax,
    /// The text ends before the JSON value does.
    #[error("unexpected end")]
    Truncated,
    /// A field has a wrong type, a number that is out of range, or occurs twice.
    #[error("wrong or repeated field")]
    Field,
    /// The text is JSON, but a field has a value that cannot be read: half of a surrogate pair in a text, as an encoder
    /// writes it that cuts an emoji in half, or a number out of range.
    #[error("half of a surrogate pair in a text, or a number out of range")]
    Value,
}
