//! Slow consumers: peers that accept fewer bytes than are sent to them.
//!
//! The shell reports its send buffer only after a short write. Its size is limited, and so is the time in which the
//! socket accepts nothing of it; above either limit the peer is closed with a code whose advice is to reconnect, and it
//! recovers what it missed. The memory of all send buffers together has a limit too. Above it, the peers that have
//! fallen back furthest are closed: they hold the most, and of what many peers have not accepted, the oldest.

use std::cmp::Reverse;

use steadfast_protocol::codes::DisconnectCode;

use crate::context::Context;
use crate::disconnect::Disconnect;
use crate::ids::PeerId;
use crate::peer::Peer;
use crate::peer::send_buffer::SendBuffer;
use crate::peers::Peers;
use crate::rejections::RejectionCause;
use crate::shared::Shared;

/// Once the memory exceeds its limit, this fraction of the limit is freed: otherwise the peers would be sorted again
/// after each publication.
const FREED_ONE_IN: usize = 8;

/// The peers that are closed while the memory of all send buffers exceeds its limit.
#[derive(Debug, Default)]
pub(crate) struct SlowestFirst {
    /// The peer that has fallen back furthest is last.
    candidates: Vec<PeerId>,
    is_reducing: bool,
}

impl SlowestFirst {
    /// Returns the peer to close next, if the send buffers need too much memory. The shell reports the memory again
    /// after this peer is closed, because only it knows what others hold too.
    pub(crate) fn next(
        &mut self,
        peers: &Peers,
        shared: &mut Shared,
        bytes: usize,
    ) -> Option<PeerId> {
        let max = shared.context.settings().unsent_memory_bytes_max;
        let kept = if self.is_reducing {
            max - max / FREED_ONE_IN
        } else {
            max
        };
        if bytes <= kept {
            *self = Self::default();
            return None;
        }
        if !self.is_reducing {
            self.candidates = slowest_last(peers);
            self.is_reducing = true;
        }
        while let Some(peer) = self.candidates.pop() {
            if peers
                .get(peer)
                .is_some_and(|peer| peer.send_buffer.is_some())
            {
                let cause = RejectionCause::UnsentMemory;
                shared.context.record_rejection(cause);
                return Some(peer);
            }
        }
        // What is left belongs to connections that are closed already.
        *self = Self::default();
        None
    }
}

/// The peers with a send buffer, by the size of the buffer, then by the time since it has become smaller.
fn slowest_last(peers: &Peers) -> Vec<PeerId> {
    let mut slow: Vec<_> = peers
        .iter()
        .filter_map(|peer| {
            let send_buffer = peer.send_buffer?;
            let progress_at = Reverse(send_buffer.progress_at());
            Some((send_buffer.bytes(), progress_at, peer.id))
        })
        .collect();
    slow.sort_unstable();
    slow.into_iter().map(|(_, _, peer)| peer).collect()
}

impl Peer {
    /// Handles bytes that were added to the send buffer.
    pub(crate) fn on_buffered(
        &mut self,
        context: &Context,
        bytes: usize,
    ) -> Result<(), Disconnect> {
        if bytes > context.settings().send_buffer_bytes_max {
            return Err(DisconnectCode::Slow.into());
        }
        self.send_buffer
            .get_or_insert_with(|| SendBuffer::new(context.now, bytes))
            .resize(bytes);
        Ok(())
    }

    /// Handles an empty send buffer: a recovery may continue.
    pub(crate) fn on_drained(&mut self, shared: &mut Shared) {
        self.record_drained(shared.context.now);
        self.request_next_page(shared);
    }
}
