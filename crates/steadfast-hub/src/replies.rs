//! The frame under construction: messages for one peer that are sent together.
//!
//! Several replies to one inbound frame, or several acknowledgements in a row, share a frame (messages separated by a
//! line feed) and so a single allocation.

use bytes::Bytes;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::message::Reply;
use steadfast_protocol::websocket::{FrameBuilder, Opcode};

use crate::io::PeerId;

/// A frame that exceeds this size is finished: large frames delay the first message in them.
const FRAME_BYTES_SOFT_MAX: usize = 64 * 1024;

/// Enough for most frames: a connect and a subscribe reply.
const CAPACITY: usize = 256;

/// The frame under construction.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    open: Option<(PeerId, FrameBuilder)>,
}

impl Replies {
    /// Whether the next message for this peer can be added to the frame.
    pub(crate) fn is_open_for(&self, peer: PeerId) -> bool {
        self.open.as_ref().is_some_and(|(owner, frame)| {
            *owner == peer && frame.payload_bytes() < FRAME_BYTES_SOFT_MAX
        })
    }

    /// Adds a message; the open frame, if any, must be for this peer.
    pub(crate) fn append(&mut self, peer: PeerId, reply: &Reply) {
        let (owner, frame) = self
            .open
            .get_or_insert_with(|| (peer, FrameBuilder::with_capacity(CAPACITY)));
        assert!(*owner == peer, "a frame has one receiver");
        if frame.payload_bytes() > 0 {
            frame.buffer().extend_from_slice(Encoding::Json.separator());
        }
        Encoding::Json.append_reply(frame.buffer(), reply);
    }

    /// Takes the finished frame, if there is one.
    pub(crate) fn take(&mut self) -> Option<(PeerId, Bytes)> {
        let (peer, frame) = self.open.take()?;
        Some((peer, frame.finish(Opcode::Text)))
    }
}
