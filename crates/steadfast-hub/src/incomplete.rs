//! Commands that have begun and whose end has not arrived.
//!
//! A peer that never ends its command would keep memory for as long as it replies to pings. So each command must make
//! progress: it ends, or at least 1 KiB of it arrives within the timeout, which a link with 16 kbit/s carries in half a
//! second. All of them together have a limit of memory too, above which the commands without progress for the longest
//! time go first. Their peers are closed with advice to reconnect. The receiving part of a connection reports its
//! command, and keeps the bytes.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_machine::Instant;
use steadfast_protocol::codec::IncompleteCommand;

use crate::ids::PeerId;
use crate::policy::HubSettings;

/// How many bytes of a command count as progress.
const PROGRESS_BYTES: u64 = 1024;

/// The incomplete commands of all peers of a hub; at most one for each peer.
#[derive(Debug, Default)]
pub(crate) struct IncompleteCommands {
    commands: BTreeMap<PeerId, Progress>,
    /// The same peers, the longest without progress first.
    stalest: BTreeSet<(Instant, PeerId)>,
    /// Those whose commands take memory: clients can cause any number of skipped ones, which take none.
    stalest_kept: BTreeSet<(Instant, PeerId)>,
    /// The memory of all of them.
    kept_bytes: usize,
}

/// The progress of one command.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// When the command began or last made progress.
    at: Instant,
    /// How much of it had arrived then.
    received_bytes: u64,
    /// The memory that it takes.
    kept_bytes: usize,
}

impl IncompleteCommands {
    /// Records what has arrived of a peer's command.
    pub(crate) fn record(&mut self, now: Instant, peer: PeerId, command: IncompleteCommand) {
        let IncompleteCommand {
            received_bytes,
            kept_bytes,
            is_new,
        } = command;
        let before = self.take(peer).filter(|_| !is_new);
        let has_progress = |before: &Progress| {
            received_bytes.saturating_sub(before.received_bytes) >= PROGRESS_BYTES
        };
        let mut progress = before
            .filter(|before| !has_progress(before))
            .unwrap_or(Progress {
                at: now,
                received_bytes,
                kept_bytes,
            });
        progress.kept_bytes = kept_bytes;
        self.insert(peer, progress);
    }

    /// Records that the peer has no incomplete command, or is closed.
    pub(crate) fn remove(&mut self, peer: PeerId) {
        if !self.commands.is_empty() {
            self.take(peer);
        }
    }

    /// Starts the timeout of a peer's command again: until now, the peer was not read from.
    pub(crate) fn restart(&mut self, now: Instant, peer: PeerId) {
        if let Some(progress) = self.take(peer) {
            self.insert(
                peer,
                Progress {
                    at: now,
                    ..progress
                },
            );
        }
    }

    /// Returns when the next timeout passes.
    pub(crate) fn next_deadline(&self, settings: &HubSettings) -> Option<Instant> {
        let (at, _) = self.stalest.first()?;
        Some(*at + settings.message_timeout)
    }

    /// Returns a peer whose timeout has passed.
    pub(crate) fn expired(&self, now: Instant, settings: &HubSettings) -> Option<PeerId> {
        let (at, peer) = self.stalest.first()?;
        (*at + settings.message_timeout <= now).then_some(*peer)
    }

    /// Returns the peer to close next, if all commands need too much memory: of those that take any, the one without
    /// progress for the longest time.
    pub(crate) fn excess(&self, settings: &HubSettings) -> Option<PeerId> {
        if self.kept_bytes <= settings.incomplete_bytes_max {
            return None;
        }
        let mut peers = self
            .stalest_kept
            .iter()
            .map(|(_, peer)| *peer)
            .inspect(|_| {
                #[cfg(test)]
                crate::work::count(1);
            });
        peers.next()
    }

    fn insert(&mut self, peer: PeerId, progress: Progress) {
        self.kept_bytes += progress.kept_bytes;
        self.stalest.insert((progress.at, peer));
        if progress.kept_bytes > 0 {
            self.stalest_kept.insert((progress.at, peer));
        }
        self.commands.insert(peer, progress);
    }

    fn take(&mut self, peer: PeerId) -> Option<Progress> {
        let progress = self.commands.remove(&peer)?;
        self.stalest.remove(&(progress.at, peer));
        self.stalest_kept.remove(&(progress.at, peer));
        self.kept_bytes -= progress.kept_bytes;
        Some(progress)
    }
}
