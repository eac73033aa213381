//! The encodings of the Centrifuge client protocol: messages to and from the payloads of frames.
//!
//! An [`Encoding`] is chosen once per connection, at the upgrade; how bytes depend on it is in this module and its
//! submodules only. What a further encoding needs elsewhere is in the record
//! `docs/adr/0011-the-hub-speaks-messages.md`. Decoding is lazy, one command or reply at a time.
//! The codec neither acts on messages nor frames payloads: shells and sessions call it, and the endpoint of the
//! transport writes the frames. State machines of the server never see an encoding.

use bytes::Bytes;

use crate::error::DecodeError;
use crate::idempotent::PublishArgument;
use crate::limits::Limits;
use crate::message::{Command, Reply};
use crate::websocket::MessageKind;

mod assembler;
mod coalescer;
pub(crate) mod json;
mod per_encoding;

pub use assembler::{AssemblerReport, CommandAssembler, CommandBlock, IncompleteCommand};
pub use coalescer::{ReplyCoalescer, ReplyPayload};
pub use per_encoding::PerEncoding;

/// How the messages of one connection are encoded.
///
/// The enum is exhaustive: where something depends on the encoding, the compiler lists the places for a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Lines of JSON in text messages.
    Json,
}

impl Encoding {
    /// What a client can select in the upgrade, in no order of preference.
    pub const ALL: [Self; 1] = [Self::Json];

    /// Returns the WebSocket subprotocol with which a client offers this encoding and a server selects it.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "centrifuge-json",
        }
    }

    /// Returns the kind of the WebSocket messages that carry payloads of this encoding.
    pub const fn message_kind(self) -> MessageKind {
        match self {
            Self::Json => MessageKind::Text,
        }
    }

    /// Returns the bytes between two commands or replies that share a payload.
    pub const fn separator(self) -> &'static [u8] {
        match self {
            Self::Json => b"\n",
        }
    }

    /// Decodes the commands in one payload of a client.
    ///
    /// A rejected connect command invalidates the commands after it, so no command is decoded ahead.
    pub fn decode_commands<'a>(self, payload: &'a Bytes, limits: &'a Limits) -> Commands<'a> {
        self.decode_commands_from(payload, limits, CommandPosition::START)
    }

    /// Decodes the commands in one payload of a client from a position on, which [`Commands::next_position`] has returned
    /// for the same payload. A payload that contains only a part of a message contains complete commands; its position
    /// counts the commands before it.
    pub fn decode_commands_from<'a>(
        self,
        payload: &'a Bytes,
        limits: &'a Limits,
        position: CommandPosition,
    ) -> Commands<'a> {
        Commands(match self {
            Self::Json => CommandDecoder::Json(json::Commands::new(payload, limits, position)),
        })
    }

    /// Returns the number of bytes at the start of `new` up to the end of the last command that is complete, if `new`
    /// follows the bytes of an incomplete command, of which there may be none.
    fn complete_bytes(self, new: &[u8]) -> usize {
        match self {
            Self::Json => memchr::memrchr(b'\n', new).map_or(0, |end| end + 1),
        }
    }

    /// Returns the number of bytes at the start of `new` up to the end of the command that they continue; `None` if it
    /// continues after them.
    fn first_command_bytes(self, new: &[u8]) -> Option<usize> {
        match self {
            Self::Json => memchr::memchr(b'\n', new).map(|end| end + 1),
        }
    }

    /// Returns the bytes of a command without what separates it from the next one.
    fn without_separator(self, command: &[u8]) -> &[u8] {
        command.strip_suffix(self.separator()).unwrap_or(command)
    }

    /// Decodes the replies in one payload of a server.
    pub fn decode_replies<'a>(self, payload: &'a Bytes, limits: &'a Limits) -> Replies<'a> {
        Replies(match self {
            Self::Json => ReplyDecoder::Json(json::Replies::new(payload, limits)),
        })
    }

    /// Appends one command; between two commands of a payload belongs [`Self::separator`].
    ///
    /// [`Request::Pong`](crate::message::Request::Pong) is an empty command; `Send` is written with the id of the
    /// command, which is 0 and therefore omitted.
    pub fn append_command(self, out: &mut Vec<u8>, command: &Command) {
        match self {
            Self::Json => json::append_command(out, command),
        }
    }

    /// Appends a call of a method: the same bytes as [`Self::append_command`], without copying the arguments first.
    pub fn append_rpc_command(self, out: &mut Vec<u8>, id: u32, method: &str, data: &[u8]) {
        match self {
            Self::Json => json::append_rpc_command(out, id, method, data),
        }
    }

    /// Appends a call of `gw.publish`: the same bytes as [`Self::append_command`] with the argument of
    /// [`append_publish`](crate::idempotent::append_publish), without copying it first.
    pub fn append_publish_command(self, out: &mut Vec<u8>, id: u32, publish: PublishArgument<'_>) {
        match self {
            Self::Json => json::append_publish_command(out, id, publish),
        }
    }

    /// Appends one reply; between two replies of a payload belongs [`Self::separator`].
    ///
    /// A push does not contain the channel epoch: the subscriber has it from its subscribe result, and a change of the
    /// epoch ends the subscription.
    pub fn append_reply(self, out: &mut Vec<u8>, reply: &Reply) {
        match self {
            Self::Json => json::append_reply(out, reply),
        }
    }
}

/// Where the next command of a payload begins. A shell that stops decoding keeps the payload, which is smaller than its
/// commands, and continues from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandPosition {
    /// The first byte of the command.
    byte: usize,
    /// The number of commands before it.
    commands: usize,
}

impl CommandPosition {
    /// The first command.
    pub const START: Self = Self::after(0);

    /// The first command of a payload that continues a message with this many commands before it.
    const fn after(commands: usize) -> Self {
        Self { byte: 0, commands }
    }
}

/// The commands of one payload, in order.
///
/// A command that alone is invalid or exceeds a limit yields an error, and the iteration continues after it; an error
/// that [ends the message](DecodeError::ends_message) is the last item. An empty payload yields one error.
#[derive(Clone, Debug)]
pub struct Commands<'a>(CommandDecoder<'a>);

#[derive(Clone, Debug)]
enum CommandDecoder<'a> {
    Json(json::Commands<'a>),
}

impl Commands<'_> {
    /// Returns where the next command begins; `None` if there is no other.
    pub fn next_position(&self) -> Option<CommandPosition> {
        match &self.0 {
            CommandDecoder::Json(commands) => commands.next_position(),
        }
    }

    /// Returns the number of commands of the message up to here.
    pub const fn taken(&self) -> usize {
        match &self.0 {
            CommandDecoder::Json(commands) => commands.taken(),
        }
    }
}

impl Iterator for Commands<'_> {
    type Item = Result<Command, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            CommandDecoder::Json(commands) => commands.next(),
        }
    }
}

/// The replies of one payload, in order. Any error is the last item.
///
/// Pushes of an unknown kind are skipped and counted, so that the client stays compatible with newer servers.
#[derive(Clone, Debug)]
pub struct Replies<'a>(ReplyDecoder<'a>);

#[derive(Clone, Debug)]
enum ReplyDecoder<'a> {
    Json(json::Replies<'a>),
}

impl Replies<'_> {
    /// Returns the number of pushes of an unknown kind that were skipped so far.
    pub const fn unknown_pushes(&self) -> usize {
        match &self.0 {
            ReplyDecoder::Json(replies) => replies.unknown_pushes(),
        }
    }
}

impl Iterator for Replies<'_> {
    type Item = Result<Reply, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            ReplyDecoder::Json(replies) => replies.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_is_in_the_list_once_and_has_its_own_subprotocol() {
        // The match is exhaustive, so that a new encoding gets a place in the list.
        let place = |encoding| match encoding {
            Encoding::Json => 0,
        };

        let places: Vec<usize> = Encoding::ALL.into_iter().map(place).collect();
        let mut subprotocols = Encoding::ALL.map(Encoding::subprotocol).to_vec();
        subprotocols.sort_unstable();
        subprotocols.dedup();

        assert_eq!(places, (0..Encoding::ALL.len()).collect::<Vec<_>>());
        assert_eq!(subprotocols.len(), Encoding::ALL.len());
    }
}
