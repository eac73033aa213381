//! The commands that act on one channel: they take effect in the order in which the client sent them.

use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::{HistoryRequest, SubscribeRequest};

use crate::append::NewPublication;
use crate::channel::is_valid_name;
use crate::io::PresenceDetail;
use crate::peer::Peer;
use crate::peer::channel_order::{Effect, WaitingCommand};
use crate::peer::subscription::Subscription;
use crate::pending::{PublishForm, large_weight};
use crate::shared::Shared;

/// A command that acts on one channel.
#[derive(Debug)]
pub(crate) enum ChannelCommand {
    Subscribe(SubscribeRequest),
    Unsubscribe {
        channel: String,
    },
    Publish {
        form: PublishForm,
        publication: NewPublication,
    },
    Presence {
        channel: String,
        detail: PresenceDetail,
    },
    History(HistoryRequest),
}

impl ChannelCommand {
    pub(crate) fn channel(&self) -> &str {
        match self {
            Self::Subscribe(request) => &request.channel,
            Self::Publish { publication, .. } => publication.channel.as_str(),
            Self::Unsubscribe { channel } | Self::Presence { channel, .. } => channel,
            Self::History(request) => &request.channel,
        }
    }

    const fn effect(&self) -> Effect {
        match self {
            Self::Subscribe(_) | Self::Unsubscribe { .. } => Effect::ChangeMembership,
            Self::Publish { .. } => Effect::Publish,
            Self::Presence { .. } => Effect::ReadPresence,
            Self::History(_) => Effect::ReadHistory,
        }
    }
}

impl Peer {
    /// Executes a command, at once or when the earlier ones in its channel have their replies.
    pub(super) fn execute_in_order(
        &mut self,
        shared: &mut Shared,
        id: u32,
        command: ChannelCommand,
    ) {
        if !is_valid_name(command.channel()) {
            let error = ErrorCode::BadRequest.reply_with("channel name is empty".to_owned());
            return self.reject_with(&mut shared.context, id, error);
        }
        let is_next = !self
            .channel_order()
            .is_some_and(|order| order.is_waiting(command.channel()));
        if is_next && !self.has_to_wait(shared, &command) {
            return self.execute_in_channel(shared, id, command);
        }
        let weight = large_weight(shared.context.settings());
        self.channel_order_mut().wait(id, command);
        self.reserve(&mut shared.context, weight);
    }

    /// Executes the commands that waited for one in this channel, which has its reply now.
    pub(crate) fn continue_channel(&mut self, shared: &mut Shared, channel: &str) {
        while let Some(waiting) = self
            .channel_order()
            .and_then(|order| order.first_waiting(channel))
            && !self.has_to_wait(shared, &waiting.command)
            && let Some(WaitingCommand { id, command }) =
                self.channel_order_mut().take_waiting(channel)
        {
            let weight = large_weight(shared.context.settings());
            self.pending_weight = self.pending_weight.saturating_sub(weight);
            self.execute_in_channel(shared, id, command);
        }
    }

    /// Whether a command could miss the effect of an earlier one that has no reply yet.
    fn has_to_wait(&self, shared: &Shared, command: &ChannelCommand) -> bool {
        let (effect, channel) = (command.effect(), command.channel());
        if let Some(order) = self.channel_order()
            && order.has_in_flight_before(effect, channel)
        {
            return true;
        }
        effect.waits_for(Effect::ChangeMembership)
            && shared
                .channels
                .find(channel)
                .and_then(|index| self.subscription(index))
                .is_some_and(|subscription| !Subscription::has_position(subscription))
    }

    fn execute_in_channel(&mut self, shared: &mut Shared, id: u32, command: ChannelCommand) {
        match command {
            ChannelCommand::Subscribe(request) => self.subscribe(shared, id, &request),
            ChannelCommand::Unsubscribe { channel } => self.unsubscribe(shared, id, &channel),
            ChannelCommand::Publish { form, publication } => {
                self.append(shared, id, form, publication);
            }
            ChannelCommand::Presence { channel, detail } => {
                self.query_presence(shared, id, &channel, detail);
            }
            ChannelCommand::History(request) => self.history(shared, id, &request),
        }
    }
}
