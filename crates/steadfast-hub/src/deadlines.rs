//! Deadlines of a peer: what the hub does when one has passed.

use steadfast_protocol::codes::DisconnectCode;
use steadfast_protocol::message::Reply;

use crate::disconnect::Disconnect;
use crate::peer::{Deadline, Peer};
use crate::shared::Shared;
use crate::timer_wheel::TickNumber;

impl Peer {
    /// Handles an entry of the timer wheel, unless it has become stale.
    pub(crate) fn on_timer(
        &mut self,
        shared: &mut Shared,
        tick: TickNumber,
    ) -> Result<(), Disconnect> {
        if !self.take_schedule(tick) {
            return Ok(());
        }
        let is_full = shared.is_full();
        let context = &mut shared.context;
        let Some(deadline) = self.take_expired(context.now, context.settings()) else {
            return Ok(());
        };
        match deadline {
            Deadline::Ping => {
                self.send(context, Reply::Ping);
                Ok(())
            }
            Deadline::NoPong => Err(DisconnectCode::NoPong.into()),
            Deadline::ConnectTimeout if is_full => Err(Disconnect::full()),
            Deadline::ConnectTimeout => Err(DisconnectCode::Stale.into()),
            Deadline::RejectedCloseTimeout => Err(DisconnectCode::TooManyRequests.into()),
            Deadline::WriteTimeout => Err(DisconnectCode::WriteError.into()),
        }
    }
}
