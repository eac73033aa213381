//! Why bytes could not be decoded: enough to log, never the bytes themselves.

/// Why a message, or one command or reply in it, could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The message is longer than the limit.
    #[error("message of {bytes} bytes exceeds the limit of {bytes_max}")]
    MessageTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The message holds more commands or replies than the limit.
    #[error("message holds more than {count_max} commands or replies")]
    TooManyMessages {
        /// The limit.
        count_max: usize,
    },
    /// The message, or a line of it, is empty.
    #[error("message or line is empty")]
    Empty,
    /// The bytes are not UTF-8.
    #[error("message is not UTF-8")]
    NotUtf8(#[source] std::str::Utf8Error),
    /// The text is not the JSON of a command or reply.
    #[error("{fault} at byte {column} of line {line} of the message")]
    Malformed {
        /// The command or reply, counted from 1.
        line: usize,
        /// Where in that line, counted from 1; 0 when the whole line is meant.
        column: usize,
        /// What kind of mistake it is.
        fault: Fault,
    },
    /// A payload nests arrays and objects deeper than the limit.
    #[error("payload of command {id} nests deeper than {levels_max} levels")]
    TooDeep {
        /// The command's id; 0 when it has none, or for a push.
        id: u32,
        /// The limit.
        levels_max: usize,
    },
    /// A text field is longer than its limit, or a map has more entries.
    #[error("{field} of command {id} has size {size}, the limit is {size_max}")]
    FieldTooLong {
        /// The command's id; 0 when it has none, or for a push.
        id: u32,
        /// Its name on the wire.
        field: &'static str,
        /// Bytes of a text, entries of a map.
        size: usize,
        /// The limit.
        size_max: usize,
    },
    /// A command has an id but asks for nothing known.
    #[error("command {id} asks for nothing known")]
    NothingAsked {
        /// The command's id.
        id: u32,
    },
    /// An answer has an id but neither an error nor a known result.
    #[error("answer {id} has neither result nor error")]
    NoResult {
        /// The command's id.
        id: u32,
    },
}

impl DecodeError {
    /// True when a command with an id was understood but exceeds a limit: it can be answered with an error, and what
    /// stands behind it can still be trusted.
    pub fn concerns_one_command(&self) -> bool {
        match self {
            Self::TooDeep { id, .. } | Self::FieldTooLong { id, .. } => *id > 0,
            Self::MessageTooLong { .. }
            | Self::TooManyMessages { .. }
            | Self::Empty
            | Self::NotUtf8(_)
            | Self::Malformed { .. }
            | Self::NothingAsked { .. }
            | Self::NoResult { .. } => false,
        }
    }

    /// Forgets a column that counts in a part of the line only.
    pub(crate) fn without_column(self) -> Self {
        match self {
            Self::Malformed {
                line,
                column: _,
                fault,
            } => Self::Malformed {
                line,
                column: 0,
                fault,
            },
            Self::MessageTooLong { .. }
            | Self::TooManyMessages { .. }
            | Self::Empty
            | Self::NotUtf8(_)
            | Self::TooDeep { .. }
            | Self::FieldTooLong { .. }
            | Self::NothingAsked { .. }
            | Self::NoResult { .. } => self,
        }
    }
}

/// Why a text is not the JSON of a command or reply. The reader's own words are not kept: they can quote a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The text is not JSON.
    #[error("syntax error")]
    Syntax,
    /// The text ends before the JSON does.
    #[error("unexpected end")]
    Truncated,
    /// A field has a wrong type, a number that does not fit, or stands there twice.
    #[error("wrong or repeated field")]
    Field,
}
