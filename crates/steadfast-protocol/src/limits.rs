//! Size limits of the decoders, checked before memory is allocated.
//!
//! These limits apply to messages only; limits on connections and channels are defined elsewhere.

/// Size limits of a decoder. Units are bytes unless the name says otherwise; a value at the limit is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Length of one command, however many are in its WebSocket message; for replies, of one message with all of them.
    pub message_bytes: usize,
    /// Number of replies in one message. The number of commands is not limited, because they are handled one by one.
    pub replies_max: usize,
    /// Length of a channel name.
    pub channel_bytes: usize,
    /// Length of a token or another long text: an error message, the value of an emulated header or of a tag.
    pub text_bytes: usize,
    /// Length of a short text: an RPC method, a name, a version, a channel epoch.
    pub name_bytes: usize,
    /// Number of entries of a map or a list: emulated headers, positions in a connect command, clients in a presence
    /// result, publications in a result.
    pub entries_max: usize,
    /// Nesting depth of arrays and objects in one payload.
    pub nesting_max: usize,
    /// Length of one number in a payload; `usize::MAX` permits every number.
    pub number_bytes: usize,
}

impl Limits {
    /// 64 KiB, the protocol's default. The command that is longer is rejected; the connection stays open.
    pub const MESSAGE_BYTES: usize = 65_536;
    /// 1,024, for the commands that a client puts into one message: other servers of this protocol have such a limit.
    pub const COMMANDS_MAX: usize = 1_024;
    /// 64 MiB, a thousand times the default of [`Self::message_bytes`]: what follows the longest command that is accepted
    /// is skipped up to here, then the connection is closed.
    pub const SKIPPED_BYTES: u64 = 64 << 20;
    /// 255, the protocol's default.
    pub const CHANNEL_BYTES: usize = 255;
    /// 16 KiB: tokens with many channels in their claims are several KiB long.
    pub const TEXT_BYTES: usize = 16_384;
    /// 255, as for channels. The limit also applies to client name (16 by convention) and version (64): both are only
    /// displayed, so a text longer than the convention is accepted.
    pub const NAME_BYTES: usize = 255;
    /// 256: twice the protocol's default of 128 channels for a client. For replies see [`Self::REPLY_ENTRIES_MAX`].
    pub const ENTRIES_MAX: usize = 256;
    /// 100: common JSON parsers fail at 128 levels, and the envelope adds at most five. A deeper payload would
    /// disconnect every subscriber that receives it.
    pub const NESTING_MAX: usize = 100;
    /// 1,000: Python converts at most 4,300 digits to a number, and its SDK disconnects permanently at a longer one. A
    /// larger number would disconnect every such subscriber that receives it. An exponent has at most three digits.
    pub const NUMBER_BYTES: usize = 1_000;

    /// Length of an idempotency key: 64 bytes fit a SHA-256 in hexadecimal, a UUID or a ULID. The server keeps keys in
    /// memory for the deduplication window.
    pub const IDEMPOTENCY_KEY_BYTES: usize = 64;

    /// 16 MiB, for replies: a page of history is far longer than a command.
    pub const REPLY_MESSAGE_BYTES: usize = 16 << 20;
    /// 32,768, for replies: a gateway fills a message up to 64 KiB, and the shortest reply takes three bytes. Replies
    /// are decoded one at a time, so a large number of them needs no memory.
    pub const REPLIES_MAX: usize = 32_768;
    /// 100,000, for replies: the most publications that a gateway can be configured to send in one reply, and a hundred
    /// times the default number of clients in a presence result. An entry takes a few bytes on the wire and a few
    /// hundred in memory, so the length of the message alone does not bound the memory.
    pub const REPLY_ENTRIES_MAX: usize = 100_000;

    /// The defaults for commands, which a server decodes.
    pub const DEFAULT: Self = Self {
        message_bytes: Self::MESSAGE_BYTES,
        replies_max: Self::REPLIES_MAX,
        channel_bytes: Self::CHANNEL_BYTES,
        text_bytes: Self::TEXT_BYTES,
        name_bytes: Self::NAME_BYTES,
        entries_max: Self::ENTRIES_MAX,
        nesting_max: Self::NESTING_MAX,
        number_bytes: Self::NUMBER_BYTES,
    };

    /// The defaults for replies, which a client decodes.
    pub const REPLIES: Self = Self {
        message_bytes: Self::REPLY_MESSAGE_BYTES,
        entries_max: Self::REPLY_ENTRIES_MAX,
        // A client passes payloads on as they are, also those that were stored before there was a limit.
        number_bytes: usize::MAX,
        ..Self::DEFAULT
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
