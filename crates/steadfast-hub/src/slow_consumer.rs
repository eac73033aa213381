//! Slow consumers: peers that accept fewer bytes than are sent to them.
//!
//! The shell reports its send buffer only after a short write. Both its size and the time that bytes stay in it are
//! limited; above either limit the peer is closed with a code whose advice is to reconnect, and it recovers what it
//! missed.

use steadfast_protocol::codes::DisconnectCode;

use crate::context::Context;
use crate::disconnect::Disconnect;
use crate::peer::Peer;
use crate::peer::send_buffer::SendBuffer;
use crate::shared::Shared;

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
