//! The frames of a client that are not written yet, masked, in two lanes.
//!
//! Control frames are sent before messages, so that a ping is not delayed by megabytes of messages. The endpoint decides
//! which frames are sent; this module decides their order, and bounds the pongs. The WebSocket of this crate calls it.

use std::io;

use steadfast_machine::convert;
use steadfast_protocol::websocket::{ControlFrame, Frame, Opcode};

use super::keys::MaskKeys;

/// Number of queued bytes of control frames from which pings get no reply: the peer does not read.
const CONTROL_BYTES_MAX: usize = 4 << 10;

/// Encoded frames in the order in which they are sent.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    /// Pings and pongs, which are sent before messages.
    control: Vec<u8>,
    /// Messages; at the end the close frame.
    messages: Vec<u8>,
    keys: MaskKeys,
    queued_total: u64,
}

impl SendQueue {
    /// Appends a frame to its lane. A close frame is the last frame of a connection, so it follows the messages.
    pub(super) fn append(&mut self, frame: Frame<'_>) -> io::Result<()> {
        let key = self.keys.next()?;
        let lane = match frame.opcode {
            Opcode::Ping | Opcode::Pong => &mut self.control,
            Opcode::Text | Opcode::Binary | Opcode::Continuation | Opcode::Close => {
                &mut self.messages
            }
        };
        let before = lane.len();
        frame.append_client(lane, key);
        self.queued_total += convert::to_u64(lane.len() - before);
        Ok(())
    }

    /// Appends the frame that the endpoint sends, if any.
    pub(super) fn append_control(&mut self, frame: Option<&ControlFrame>) -> io::Result<()> {
        frame.map_or(Ok(()), |frame| self.append(frame.as_frame()))
    }

    /// Appends the reply to a ping, unless too many bytes of control frames are queued.
    pub(super) fn append_pong(&mut self, pong: &ControlFrame) -> io::Result<()> {
        if self.control.len() < CONTROL_BYTES_MAX {
            self.append(pong.as_frame())
        } else {
            Ok(())
        }
    }

    /// Returns the number of bytes that were queued so far, including frame headers.
    pub(super) const fn queued_total(&self) -> u64 {
        self.queued_total
    }

    /// Returns the lane that is written next.
    pub(super) const fn next_lane(&mut self) -> &mut Vec<u8> {
        if self.control.is_empty() {
            &mut self.messages
        } else {
            &mut self.control
        }
    }
}
