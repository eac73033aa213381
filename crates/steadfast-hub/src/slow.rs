//! What becomes of a peer that takes less than it is sent.
//!
//! The shell reports unsent bytes only after a short write. A peer may owe so many for so long; beyond either bound it
//! is closed with a code whose advice is to come back, and recovers what it missed.

use steadfast_protocol::codes::DisconnectCode;

use crate::hub::Hub;
use crate::io::PeerId;
use crate::peer::Backlog;

impl Hub {
    pub(crate) fn on_backlog(&mut self, id: PeerId, bytes: usize) {
        let (now, bytes_max) = (self.now, self.settings().backlog_bytes_max);
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        if bytes > bytes_max {
            return self.close(id, DisconnectCode::Slow);
        }
        let begun = Backlog {
            bytes,
            overdue: bytes,
            since: now,
        };
        peer.backlog.get_or_insert(begun).bytes = bytes;
        self.arm(id);
    }

    pub(crate) fn on_written(&mut self, id: PeerId, bytes: usize) {
        let now = self.now;
        if let Some(peer) = self.peers.get_mut(id) {
            peer.take_written(now, bytes);
        }
    }

    pub(crate) fn on_drained(&mut self, id: PeerId) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        peer.drain(now);
        self.ask_next_page(id);
    }
}
