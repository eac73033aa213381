//! One message to many peers of a channel.

use steadfast_engine::{ChannelEpoch, Record};
use steadfast_protocol::message::{Push, PushEvent, Reply};

use crate::channel::{Channel, Cursor};
use crate::context::Context;
use crate::from_engine::publication;
use crate::io::Output;

impl Channel {
    /// Sends the next publication to all live subscribers.
    pub(crate) fn fan_out(&mut self, context: &mut Context, epoch: ChannelEpoch, record: Record) {
        self.cursor = Cursor::Current {
            epoch,
            offset: record.offset,
        };
        let Some(to) = self.live() else {
            return;
        };
        let message = Reply::Push(Push {
            channel: self.name.clone(),
            event: PushEvent::Publication(publication(record)),
        });
        context.emit(Output::Fanout { message, to });
    }
}
