//! The messages by the commands that they were sent with on this connection.

use std::collections::VecDeque;

use steadfast_machine::convert;

/// The commands without a final reply, in the order in which they were sent, with the numbers of their messages.
///
/// The id of a command follows that of the command before it, and the largest id is followed by the smallest one. So
/// the distances from the oldest command are in order.
#[derive(Debug, Default)]
pub(super) struct CommandIndex {
    sent: VecDeque<(u32, u64)>,
}

impl CommandIndex {
    /// Adds the command that was sent last.
    pub(super) fn push(&mut self, command: u32, number: u64) {
        self.sent.push_back((command, number));
    }

    /// The number of the message of this command.
    pub(super) fn get(&self, command: u32) -> Option<u64> {
        let (_, number) = self.sent.get(self.position(command)?)?;
        Some(*number)
    }

    /// Removes a command that has a final reply, or whose message has its outcome.
    pub(super) fn remove(&mut self, command: u32) {
        if let Some(index) = self.position(command) {
            self.sent.remove(index);
        }
    }

    /// Removes all commands.
    pub(super) fn clear(&mut self) {
        self.sent.clear();
    }

    fn position(&self, command: u32) -> Option<usize> {
        let (oldest, _) = *self.sent.front()?;
        let distance = |command: u32| command.wrapping_sub(oldest);
        // The place of the command unless one before it was removed.
        let place = convert::to_usize(distance(command));
        if self.sent.get(place).is_some_and(|(it, _)| *it == command) {
            return Some(place);
        }
        let found = self
            .sent
            .binary_search_by_key(&distance(command), |(it, _)| distance(*it));
        found.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl CommandIndex {
        pub(in crate::outbox) fn len(&self) -> usize {
            self.sent.len()
        }
    }

    #[test]
    fn commands_are_found_beyond_the_largest_id_and_after_others_were_removed() {
        let mut commands = CommandIndex::default();
        let ids = [u32::MAX - 2, u32::MAX, 1, 2, 5];
        for (number, id) in (0..).zip(ids) {
            commands.push(id, number);
        }

        commands.remove(u32::MAX);
        commands.remove(u32::MAX - 2);
        commands.remove(4);

        let found = ids.map(|id| commands.get(id));
        assert_eq!(found, [None, None, Some(2), Some(3), Some(4)]);
        for unknown in [0, 3, 6, u32::MAX - 1] {
            assert_eq!(commands.get(unknown), None, "{unknown}");
        }
    }
}
