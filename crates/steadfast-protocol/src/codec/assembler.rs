//! Divides a message that arrives in parts into blocks of complete commands.
//!
//! No limit applies to a message as a whole: a client may send any number of commands in one, as SDKs do with all their
//! subscribe commands after a reconnect. A command has a maximum length. At most one incomplete command is kept, and of
//! one that is too long nothing but what finds its id. The assembler decodes nothing else, and neither limits how long
//! a command may take to arrive nor how much all connections may keep. The receiving part of a server's connection
//! calls it.

use std::mem;

use bytes::Bytes;

use super::json::SkippedCommand;
use super::{CommandPosition, Encoding};
use crate::error::DecodeError;
use crate::limits::Limits;

/// What one connection has received of a message and of its last command.
#[derive(Debug)]
pub struct CommandAssembler {
    encoding: Encoding,
    state: MessageState,
    /// Whether the report that was taken last is about an incomplete command.
    has_reported: bool,
    /// The number of commands of the open message that were decoded.
    commands: usize,
    /// Boxed, because there is nearly always none.
    incomplete: Option<Box<Incomplete>>,
}

/// The message whose parts arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MessageState {
    /// No message has begun.
    None,
    /// Further parts follow.
    Open,
    /// Further parts follow, and are dropped.
    Dropped,
}

/// The command whose end has not arrived.
#[derive(Debug)]
struct Incomplete {
    content: Content,
    /// The number of its bytes in the report that was taken last.
    reported_bytes: u64,
}

/// What is kept of an incomplete command.
#[derive(Debug)]
enum Content {
    /// All of its bytes.
    Kept(Vec<u8>),
    /// It is too long.
    Skipped(SkippedCommand),
}

/// Complete commands of a message, and the error for what precedes them.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandBlock {
    /// The error for a command before those in the payload. Boxed, because there is nearly always none.
    pub error: Option<Box<DecodeError>>,
    /// The commands; empty if there is only the error.
    pub payload: Bytes,
    /// Where the first of the commands begins.
    pub position: CommandPosition,
    /// Whether the message ends with this block.
    pub(crate) is_last: bool,
}

/// What has arrived of a command whose end has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncompleteCommand {
    /// The number of its bytes that have arrived.
    pub received_bytes: u64,
    /// The memory that it takes: 0 if it is skipped because it is too long.
    pub kept_bytes: usize,
    /// Whether it is another command than that of the report before.
    pub is_new: bool,
}

/// What has changed since the last report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssemblerReport {
    /// More bytes of an incomplete command have arrived.
    Incomplete(IncompleteCommand),
    /// The command of the report before is complete or dropped, and no other has begun.
    Complete,
}

impl CommandAssembler {
    /// Creates the assembler of a connection that has received no message.
    pub const fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            state: MessageState::None,
            has_reported: false,
            commands: 0,
            incomplete: None,
        }
    }

    /// Returns the encoding of the connection.
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Returns the heap memory of the assembler in bytes.
    pub fn kept_bytes(&self) -> usize {
        let incomplete = self.incomplete.as_ref();
        incomplete.map_or(0, |incomplete| incomplete.content.kept_bytes())
    }

    /// Takes the next part of a message. Returns the commands that it completes: the caller decodes them, and then calls
    /// [`Self::on_decoded`] or [`Self::drop_message`] before it takes another part.
    #[inline]
    pub fn push(&mut self, part: &[u8], is_last: bool, limits: &Limits) -> Option<CommandBlock> {
        if is_last && self.state == MessageState::None && !part.is_empty() {
            // Nearly every message arrives as one part.
            return Some(CommandBlock {
                error: None,
                payload: Bytes::copy_from_slice(part),
                position: CommandPosition::START,
                is_last,
            });
        }
        self.push_part(part, is_last, limits)
    }

    fn push_part(&mut self, part: &[u8], is_last: bool, limits: &Limits) -> Option<CommandBlock> {
        let state = mem::replace(
            &mut self.state,
            if is_last {
                MessageState::None
            } else {
                MessageState::Open
            },
        );
        if state == MessageState::Dropped {
            if is_last {
                self.commands = 0;
            } else {
                self.state = MessageState::Dropped;
            }
            return None;
        }
        let skipped = self.skip(part, is_last, limits);
        let (error, part) = match skipped {
            Skipped::Continues => return None,
            Skipped::Nothing => (None, part),
            Skipped::Ended { error, rest } => (Some(error), rest),
        };
        let (complete, rest) = if is_last {
            (part, [].as_slice())
        } else {
            part.split_at(self.encoding.complete_bytes(part))
        };
        let payload = self.complete(complete, is_last);
        self.keep(rest, limits);
        let is_empty_message =
            is_last && self.commands == 0 && payload.is_empty() && error.is_none();
        let position = CommandPosition::after(self.commands + usize::from(error.is_some()));
        let error = error.or_else(|| is_empty_message.then_some(DecodeError::Empty));
        let error = error.map(Box::new);
        if error.is_none() && payload.is_empty() {
            if is_last {
                self.commands = 0;
            }
            return None;
        }
        Some(CommandBlock {
            error,
            payload,
            position,
            is_last,
        })
    }

    /// Handles the end of a block, with the number of commands of its message up to there.
    #[inline]
    pub const fn on_decoded(&mut self, block: &CommandBlock, commands: usize) {
        self.commands = if block.is_last { 0 } else { commands };
    }

    /// Drops the rest of the message that contains a block: it cannot be decoded.
    pub fn drop_message(&mut self, block: &CommandBlock) {
        if !block.is_last {
            self.state = MessageState::Dropped;
            self.incomplete = None;
        }
    }

    /// Drops everything: nothing of it will be decoded.
    pub fn clear(&mut self) {
        self.incomplete = None;
    }

    /// Returns what has changed since the last call; `None` if nothing has.
    #[inline]
    pub fn take_report(&mut self) -> Option<AssemblerReport> {
        if self.incomplete.is_none() && !self.has_reported {
            return None;
        }
        self.report()
    }

    fn report(&mut self) -> Option<AssemblerReport> {
        let Some(incomplete) = &mut self.incomplete else {
            return mem::take(&mut self.has_reported).then_some(AssemblerReport::Complete);
        };
        let received_bytes = incomplete.content.received_bytes();
        let before = mem::replace(&mut incomplete.reported_bytes, received_bytes);
        self.has_reported = true;
        (received_bytes > before).then(|| {
            AssemblerReport::Incomplete(IncompleteCommand {
                received_bytes,
                kept_bytes: incomplete.content.kept_bytes(),
                is_new: before == 0,
            })
        })
    }

    /// Skips what belongs to a command that is too long.
    fn skip<'a>(&mut self, part: &'a [u8], is_last: bool, limits: &Limits) -> Skipped<'a> {
        let Some(incomplete) = &mut self.incomplete else {
            return Skipped::Nothing;
        };
        let Content::Skipped(command) = &mut incomplete.content else {
            return Skipped::Nothing;
        };
        let end = self.encoding.first_command_bytes(part);
        let end = end.or_else(|| is_last.then_some(part.len()));
        let (of_command, rest) = part.split_at(end.unwrap_or(part.len()));
        command.push(self.encoding.without_separator(of_command));
        let error = if end.is_some() {
            Some(command.finish(self.commands + 1, limits.message_bytes))
        } else {
            command.endless(limits.message_bytes)
        };
        match error {
            Some(error) => {
                self.incomplete = None;
                Skipped::Ended { error, rest }
            }
            None => Skipped::Continues,
        }
    }

    /// Returns the payload of a block: the command that was incomplete, and what completes it.
    fn complete(&mut self, complete: &[u8], is_last: bool) -> Bytes {
        if complete.is_empty() && !is_last {
            return Bytes::new();
        }
        match self.incomplete.take().map(|incomplete| incomplete.content) {
            Some(Content::Kept(mut bytes)) => {
                bytes.reserve_exact(complete.len());
                bytes.extend_from_slice(complete);
                Bytes::from(bytes)
            }
            Some(Content::Skipped(_)) => unreachable!("a command that is skipped has ended"),
            None => Bytes::copy_from_slice(complete),
        }
    }

    /// Keeps the bytes of an incomplete command, or skips it if they are too many.
    fn keep(&mut self, bytes: &[u8], limits: &Limits) {
        if bytes.is_empty() {
            return;
        }
        let incomplete = self.incomplete.get_or_insert_with(|| {
            Box::new(Incomplete {
                content: Content::Kept(Vec::new()),
                reported_bytes: 0,
            })
        });
        let Content::Kept(kept) = &mut incomplete.content else {
            unreachable!("the bytes of a command that is skipped are not kept");
        };
        let needed = kept.len() + bytes.len();
        if needed > limits.message_bytes {
            let mut command = SkippedCommand::new();
            command.push(kept);
            command.push(bytes);
            incomplete.content = Content::Skipped(command);
            return;
        }
        if needed > kept.capacity() {
            let target = needed.max(limits.message_bytes.min(2 * kept.capacity()));
            kept.reserve_exact(target - kept.len());
        }
        kept.extend_from_slice(bytes);
    }
}

/// What skipping has done with a part of a message.
enum Skipped<'a> {
    /// No command is skipped.
    Nothing,
    /// The part belongs to a command that continues.
    Continues,
    /// The command that was skipped has ended, or is not skipped any further.
    Ended { error: DecodeError, rest: &'a [u8] },
}

impl Content {
    fn received_bytes(&self) -> u64 {
        match self {
            Self::Kept(bytes) => u64::try_from(bytes.len()).expect("a length has at most 64 bits"),
            Self::Skipped(command) => command.bytes(),
        }
    }

    const fn kept_bytes(&self) -> usize {
        match self {
            Self::Kept(bytes) => bytes.capacity(),
            Self::Skipped(_) => 0,
        }
    }
}
