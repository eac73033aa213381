//! Sizes that are refused before anything is allocated for them.
//!
//! The limits are numbers of the wire alone; how many connections or channels a server takes is not decided here.

/// Sizes that a decoder refuses. Units are bytes unless the name says otherwise; a value at the limit is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A whole message, that is, one WebSocket message with all commands or replies in it.
    pub message_bytes: usize,
    /// Commands or replies in one message.
    pub messages_max: usize,
    /// A channel name.
    pub channel_bytes: usize,
    /// A token, or another long text: the message of an error, the value of an emulated header or of a tag.
    pub text_bytes: usize,
    /// An rpc method, a name, a version, an epoch or another short text.
    pub name_bytes: usize,
    /// Entries of a map or a list: emulated headers, positions in a connect command, clients in a presence result,
    /// publications in a result.
    pub entries_max: usize,
    /// Levels of arrays and objects in one payload.
    pub nesting_max: usize,
}

impl Limits {
    /// 64 KiB, the protocol's default. SDKs take the close code of a larger message as final.
    pub const MESSAGE_BYTES: usize = 65_536;
    /// 1,024: SDKs send connect and all subscribes in one message (128 channels by default) and can collect publishes;
    /// an empty command is three bytes, so without a limit one message could hold 20,000.
    pub const MESSAGES_MAX: usize = 1_024;
    /// 255, the protocol's default.
    pub const CHANNEL_BYTES: usize = 255;
    /// 16 KiB: tokens with many channels in their claims are some KiB long.
    pub const TEXT_BYTES: usize = 16_384;
    /// 255, as for channels. Client name (16 by convention) and version (64) are held to it too: both are only told to
    /// people, so a longer one than the convention is accepted.
    pub const NAME_BYTES: usize = 255;
    /// 256: twice the protocol's default of 128 channels for a client. Of what a server sends see
    /// [`Self::REPLY_ENTRIES_MAX`].
    pub const ENTRIES_MAX: usize = 256;
    /// 100: widespread JSON readers give up at 128 levels, and a payload is delivered inside at most five of the
    /// envelope's own. A deeper payload would cut off every subscriber that receives it.
    pub const NESTING_MAX: usize = 100;

    /// Key of a keyed publish, in bytes: 64 hold a SHA-256 in hexadecimal, a UUID or a ULID. Keys stay in the log's
    /// window, so they cost memory on the server.
    pub const KEY_BYTES: usize = 64;

    /// 16 MiB, for what a client reads: a page of history is far longer than a command.
    pub const REPLY_MESSAGE_BYTES: usize = 16 << 20;
    /// 32,768, for what a client reads: a gateway goes on filling a message up to 64 KiB, and the shortest reply takes
    /// three bytes. Replies are decoded one at a time, so many of them cost nothing.
    pub const REPLY_MESSAGES_MAX: usize = 32_768;
    /// 100,000, for what a client reads: as many publications as a gateway can be told to put into one reply, and a
    /// hundred times the clients of a presence result by default. An entry costs a few bytes on the wire and a few
    /// hundred in memory, so the length of the message alone is no limit.
    pub const REPLY_ENTRIES_MAX: usize = 100_000;

    /// The documented defaults for what a server reads.
    pub const DEFAULT: Self = Self {
        message_bytes: Self::MESSAGE_BYTES,
        messages_max: Self::MESSAGES_MAX,
        channel_bytes: Self::CHANNEL_BYTES,
        text_bytes: Self::TEXT_BYTES,
        name_bytes: Self::NAME_BYTES,
        entries_max: Self::ENTRIES_MAX,
        nesting_max: Self::NESTING_MAX,
    };

    /// The documented defaults for what a client reads.
    pub const REPLIES: Self = Self {
        message_bytes: Self::REPLY_MESSAGE_BYTES,
        messages_max: Self::REPLY_MESSAGES_MAX,
        entries_max: Self::REPLY_ENTRIES_MAX,
        ..Self::DEFAULT
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
