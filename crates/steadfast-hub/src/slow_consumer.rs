//! Slow consumers: peers that accept fewer bytes than are sent to them.
//!
//! The shell reports its send buffer only after a short write. Both its size and the time that bytes stay in it are
//! limited; above either limit the peer is closed with a code whose advice is to reconnect, and it recovers what it
//! missed.

use steadfast_protocol::codes::DisconnectCode;

use crate::hub::Hub;
use crate::io::PeerId;
use crate::peer::SendBuffer;

impl Hub {
    pub(crate) fn on_send_buffer(&mut self, id: PeerId, bytes: usize) {
        let (now, bytes_max) = (self.now, self.settings().send_buffer_bytes_max);
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        if bytes > bytes_max {
            return self.close(id, DisconnectCode::Slow);
        }
        let initial = SendBuffer {
            bytes,
            bytes_due: bytes,
            since: now,
        };
        peer.send_buffer.get_or_insert(initial).bytes = bytes;
        self.schedule(id);
    }

    pub(crate) fn on_written(&mut self, id: PeerId, bytes: usize) {
        let now = self.now;
        if let Some(peer) = self.peers.get_mut(id) {
            peer.record_written(now, bytes);
        }
    }

    pub(crate) fn on_drained(&mut self, id: PeerId) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        peer.record_drained(now);
        self.request_next_page(id);
    }
}
