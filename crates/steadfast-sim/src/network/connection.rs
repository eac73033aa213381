//! One connection: its link, and what is at its ends.

use bytes::Bytes;
use steadfast_faults::link::Link;
use steadfast_machine::Instant;

use crate::context::Context;
use crate::ids::{ClientIndex, NodeIndex};
use crate::planted_bug::PlantedBug;

/// A connection between a client and a node.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The client at its end; `None` after the client has closed it.
    pub(crate) client_end: Option<ClientIndex>,
    /// The node at its other end, also after it has closed it.
    pub(crate) node: NodeIndex,
    /// Whether the gateway has not closed it.
    pub(crate) is_gateway_end_open: bool,
    pub(crate) link: Link,
    /// The planted bug: a frame to the client that the next one overtakes.
    held_back: Option<Bytes>,
    /// The planted bug: the next frame to the client is lost.
    loses_next_frame: bool,
}

impl Connection {
    pub(super) const fn new(client: ClientIndex, node: NodeIndex, now: Instant) -> Self {
        Self {
            client_end: Some(client),
            node,
            is_gateway_end_open: true,
            link: Link::new(now),
            held_back: None,
            loses_next_frame: false,
        }
    }

    pub(crate) const fn has_both_ends(&self) -> bool {
        self.client_end.is_some() && self.is_gateway_end_open
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.client_end.is_none() && !self.is_gateway_end_open
    }

    /// A temporary fault ends.
    pub(super) fn on_healed(&mut self, ctx: &Context) {
        self.loses_next_frame = ctx.planted_bug == Some(PlantedBug::LossyFreeze);
    }

    /// Returns the frames that are sent now instead of a frame to the client: the frame itself, unless a bug is planted.
    pub(super) fn alter_frame(&mut self, ctx: &mut Context, frame: Bytes) -> [Option<Bytes>; 2] {
        if std::mem::take(&mut self.loses_next_frame) {
            return [None, None];
        }
        if ctx.planted_bug == Some(PlantedBug::NoOrder)
            && self.held_back.is_none()
            && ctx.generator.chance(1, 4)
        {
            self.held_back = Some(frame);
            return [None, None];
        }
        [Some(frame), self.held_back.take()]
    }
}
