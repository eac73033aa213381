//! The subscribe command: what its reply contains.
//!
//! The engine has one order for each channel, and this shard reads it at one cursor. A response to a read ends exactly
//! where the commits that follow it in this order begin. So the reply is sent first, then the rest of a long recovery
//! page by page, then live publications; nothing is buffered or merged, and no gap can occur in between.
//!
//! ```text
//! Requested --response, complete-----------------------> Live
//!   \----response, more to follow--> Recovering --last page--/   one page at a time for each peer
//!                                      | retention removed the next page, or the engine rejected the request
//!                                      \--> unsubscribed with 2500: the client resubscribes
//! ```

use steadfast_engine::{ReadResponse, Rejection};
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::{Position, ReplyResult, SubscribeRequest, SubscribeResult};

use super::recovery::{Grant, first_read, grant_from, grant_without_request, without_publications};
use crate::channel::ChannelIndex;
use crate::event::HubLimit;
use crate::from_engine::rejection_code;
use crate::io::{Output, ShardMessage};
use crate::peer::Peer;
use crate::peer::subscription::{
    JoinLeavePushes, Recovery, SubscribeOptions, Subscription, SubscriptionPhase, Unrecoverable,
};
use crate::pending::{Caller, Purpose};
use crate::policy::{ChannelOptions, JoinLeave};
use crate::rejections::RejectionCause;
use crate::shared::Shared;

/// The feature bit with which a client requests error 112 instead of a subscription that lost its position.
const FLAG_REJECT_UNRECOVERED: i64 = 2;

impl Peer {
    pub(super) fn subscribe(
        &mut self,
        shared: &mut Shared,
        command: u32,
        request: &SubscribeRequest,
    ) {
        if request.kind != 0 || request.has_filter {
            return self.reject(&mut shared.context, command, ErrorCode::NotAvailable);
        }
        let known = shared.channels.find(&request.channel);
        if known.is_some_and(|channel| self.subscription(channel).is_some()) {
            return self.reject(&mut shared.context, command, ErrorCode::AlreadySubscribed);
        }
        if self.subscriptions().len() >= shared.context.settings().channels_per_peer_max {
            let limit = HubLimit::ChannelsPerPeer;
            shared
                .context
                .record_rejection(RejectionCause::Limit(limit));
            return self.reject(&mut shared.context, command, ErrorCode::LimitExceeded);
        }
        let opened = known.map(|channel| shared.channels.get(channel));
        let channel_options = opened.map_or_else(
            || shared.context.policy.channel_options(&request.channel),
            |channel| channel.options,
        );
        let options = subscribe_options(request, channel_options);
        let grant =
            opened.and_then(|channel| grant_without_request(channel.cursor, options.recovery));
        if grant.is_none() && !shared.has_request_capacity(0) {
            return self.reject(&mut shared.context, command, ErrorCode::TooManyRequests);
        }
        let channel = known.unwrap_or_else(|| {
            let channels = &mut shared.channels;
            channels.create(&request.channel, channel_options)
        });
        self.begin_subscription(shared, channel);
        match grant {
            Some(grant) => self.grant(shared, channel, command, options, grant),
            None => self.request_position(shared, channel, command, options),
        }
    }

    /// Adds a subscription that awaits the engine.
    fn begin_subscription(&mut self, shared: &mut Shared, channel: ChannelIndex) {
        shared.subscriptions_started += 1;
        let number = shared.subscriptions_started;
        let slot = shared.channels.get_mut(channel).add_pending(self.id);
        self.add_subscription(Subscription {
            channel,
            number,
            slot,
            listener: None,
            phase: SubscriptionPhase::Requested,
        });
    }

    fn request_position(
        &mut self,
        shared: &mut Shared,
        channel: ChannelIndex,
        command: u32,
        options: SubscribeOptions,
    ) {
        let settings = shared.context.settings();
        let bytes_max = settings.recovery_reply_bytes_max;
        let (from, limit) = first_read(options.recovery, settings.recovery_publications_max);
        let caller = Caller::Peer {
            peer: self.id,
            command,
        };
        let purpose = Purpose::Subscribe { channel, options };
        let weight = shared.request_page(caller, channel, purpose, from, (limit, bytes_max));
        self.reserve(&mut shared.context, weight);
    }

    /// Handles the engine's response to the first request of a subscription.
    pub(crate) fn on_subscribe_response(
        &mut self,
        shared: &mut Shared,
        channel: ChannelIndex,
        command: u32,
        options: SubscribeOptions,
        response: Result<ReadResponse, Rejection>,
    ) {
        match response {
            Ok(response) => {
                let (now, settings) = (shared.context.now, shared.context.settings());
                let mut grant = grant_from(response, options.recovery, settings);
                let bytes = grant.payload_bytes();
                let has_space = bytes == 0 || self.has_space_for_page(settings);
                if !has_space || !self.pace(now, settings).take_reply(now, settings, bytes) {
                    grant = without_publications(grant);
                }
                self.grant(shared, channel, command, options, grant);
            }
            Err(rejection) => {
                self.remove_subscription(shared, channel);
                self.reject(&mut shared.context, command, rejection_code(rejection));
            }
        }
    }

    fn grant(
        &mut self,
        shared: &mut Shared,
        channel: ChannelIndex,
        command: u32,
        options: SubscribeOptions,
        grant: Grant,
    ) {
        let was_recovering = options.recovery != Recovery::NotRequested;
        if was_recovering && !grant.is_recovered && options.unrecoverable == Unrecoverable::Reject {
            self.remove_subscription(shared, channel);
            let code = ErrorCode::UnrecoverablePosition;
            return self.reject(&mut shared.context, command, code);
        }
        let Grant {
            epoch,
            offset,
            publications,
            is_recovered,
            seen,
            is_complete,
        } = grant;
        let result = SubscribeResult {
            recoverable: true,
            positioned: true,
            position: Position {
                epoch: epoch.to_string(),
                offset,
            },
            publications,
            recovered: is_recovered,
            was_recovering,
            ..SubscribeResult::default()
        };
        self.reply(&mut shared.context, command, ReplyResult::Subscribe(result));
        self.announce(shared, channel, options.join_leave);
        self.continue_subscription(shared, channel, epoch, seen, is_complete);
    }

    /// Notifies all shards that the client subscribed.
    fn announce(&mut self, shared: &mut Shared, channel: ChannelIndex, pushes: JoinLeavePushes) {
        let id = self.id;
        let joined = shared.channels.get_mut(channel);
        if pushes == JoinLeavePushes::On
            && let Some(subscription) = self.subscription_mut(channel)
        {
            subscription.listener = Some(joined.add_listener(id));
        }
        if joined.options.join_leave == JoinLeave::On {
            let message = ShardMessage::Join {
                channel: joined.name.clone(),
                info: self.info(),
            };
            shared.context.emit(Output::Broadcast(message));
        }
    }
}

fn subscribe_options(request: &SubscribeRequest, channel: ChannelOptions) -> SubscribeOptions {
    let Position { epoch, offset } = &request.position;
    let recovery = match (request.recover, epoch.is_empty(), epoch.parse()) {
        (false, _, _) => Recovery::NotRequested,
        (true, false, Ok(epoch)) => Recovery::After {
            epoch: Some(epoch),
            offset: *offset,
        },
        // Without an epoch, only the start of the history is the same position in every history.
        (true, true, _) if *offset == 0 => Recovery::After {
            epoch: None,
            offset: 0,
        },
        (true, _, _) => Recovery::UnknownEpoch,
    };
    let is_strict = request.flag & FLAG_REJECT_UNRECOVERED != 0;
    let is_listener = request.join_leave && channel.join_leave == JoinLeave::On;
    SubscribeOptions {
        recovery,
        unrecoverable: if is_strict {
            Unrecoverable::Reject
        } else {
            Unrecoverable::Subscribe
        },
        join_leave: if is_listener {
            JoinLeavePushes::On
        } else {
            JoinLeavePushes::Off
        },
    }
}
