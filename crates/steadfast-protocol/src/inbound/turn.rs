//! One turn of a connection: the commands of a block, up to the number that a turn permits.
//!
//! [`super::Inbound`] calls it for each block of complete commands.

use super::{InboundDriver, InboundOutput, Permission};
use crate::codec::{CommandAssembler, CommandBlock};
use crate::error::DecodeError;
use crate::limits::Limits;

/// The maximum number of commands and control frames that are handled in one turn of a connection: about a millisecond
/// of the shard. SDKs subscribe to 128 channels by default, so most connections never need a second turn.
pub const TURN_MAX: usize = 256;

/// Whether all commands of a block were decoded, or dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockEnd {
    Reached,
    NotReached,
}

/// Decodes the commands of a block, until one of them closes or pauses the connection or the turn is over. The block
/// contains what is left then.
pub(super) fn decode_block(
    assembler: &mut CommandAssembler,
    block: &mut CommandBlock,
    limits: &Limits,
    driver: &mut impl InboundDriver,
    turn: &mut Turn,
) -> BlockEnd {
    let encoding = assembler.encoding();
    let mut commands = encoding.decode_commands_from(&block.payload, limits, block.position);
    let next = loop {
        match driver.permission() {
            Permission::Reading(endpoint) if !endpoint.is_open() => {
                assembler.drop_message(block);
                break None;
            }
            Permission::Removed => break None,
            Permission::Reading(_) if !turn.is_over() => {}
            Permission::Reading(_) | Permission::Paused => {
                let next = commands.next_position();
                break next.filter(|_| block.error.is_some() || !block.payload.is_empty());
            }
        }
        let ends_message = if let Some(error) = block.error.take() {
            let ends_message = error.ends_message();
            driver.execute(InboundOutput::Command(Err(*error)));
            ends_message
        } else if block.payload.is_empty() {
            break None;
        } else {
            let Some(command) = commands.next() else {
                break None;
            };
            let ends_message = command.as_ref().is_err_and(DecodeError::ends_message);
            driver.execute(InboundOutput::Command(command));
            ends_message
        };
        turn.record_command();
        if ends_message {
            assembler.drop_message(block);
            break None;
        }
    };
    driver.execute(InboundOutput::SendReplies);
    if let Some(position) = next {
        block.position = position;
        return BlockEnd::NotReached;
    }
    assembler.on_decoded(block, commands.taken());
    BlockEnd::Reached
}

/// What was handled in one turn of a connection.
pub(super) struct Turn {
    /// How many commands and control frames may still be handled.
    left: usize,
    has_command: bool,
}

impl Turn {
    pub(super) const fn new() -> Self {
        Self {
            left: TURN_MAX,
            has_command: false,
        }
    }

    pub(super) const fn has_command(&self) -> bool {
        self.has_command
    }

    pub(super) const fn is_over(&self) -> bool {
        self.left == 0
    }

    pub(super) const fn record_command(&mut self) {
        self.has_command = true;
        self.record_control_frame();
    }

    pub(super) const fn record_control_frame(&mut self) {
        self.left = self.left.saturating_sub(1);
    }
}
