//! Subscriptions: what the reply contains, what follows it, and when the subscription becomes live.
//!
//! The log has one order, and this shard reads it at one cursor. A response to a read ends exactly where the commits
//! that follow it in this order begin. So the reply is sent first, then the rest of a long recovery page by page, then
//! live publications; nothing is buffered or merged, and no gap can occur in between.
//!
//! ```text
//! Requested --response, complete-----------------------> Live
//!   \----response, more to follow--> Recovering --last page--/   one page at a time for each peer
//!                                      | retention removed the next page, or the log rejected the request
//!                                      \--> unsubscribed with 2500: the client resubscribes
//! ```

use steadfast_engine::{ChannelEpoch, Page, ReadFrom, ReadResponse, Rejection};
use steadfast_protocol::codes::{ErrorCode, UnsubscribeCode};
use steadfast_protocol::message::{
    ClientInfo, Position, Publication, Push, PushEvent, Reply, ReplyResult, SubscribeRequest,
    SubscribeResult,
};

use crate::channel::{ChannelIndex, Cursor};
use crate::event::HubLimit;
use crate::hub::Hub;
use crate::io::{Output, PeerId, ShardMessage};
use crate::peer::{Peer, Subscription, SubscriptionPhase};
use crate::pending_requests::{
    JoinLeavePushes, Purpose, Recovery, SubscribeOptions, Unrecoverable, publication,
    rejection_code,
};
use crate::policy::JoinLeave;
use crate::rejections::RejectionCause;

mod pages;

/// The feature bit with which a client requests error 112 instead of a subscription that lost its position.
const FLAG_REJECT_UNRECOVERED: i64 = 2;

/// The initial position and publications of a granted subscription.
struct Grant {
    epoch: ChannelEpoch,
    /// The offset in the reply: the requested offset if the position is recovered, else the high watermark.
    offset: u64,
    publications: Vec<Publication>,
    is_recovered: bool,
    /// Once the client has read the reply, it has everything up to this offset.
    seen: u64,
    is_complete: bool,
}

impl Hub {
    pub(crate) fn subscribe(&mut self, id: PeerId, command: u32, request: &SubscribeRequest) {
        if request.channel.is_empty() {
            return self.reject(id, command, ErrorCode::BadRequest);
        }
        if request.kind != 0 || request.has_filter {
            return self.reject(id, command, ErrorCode::NotAvailable);
        }
        let channels_max = self.settings().channels_per_peer_max;
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        if self
            .channels
            .find(&request.channel)
            .is_some_and(|channel| peer.subscription(channel).is_some())
        {
            return self.reject(id, command, ErrorCode::AlreadySubscribed);
        }
        if peer.subscriptions.len() >= channels_max {
            self.record_rejection(RejectionCause::Limit(HubLimit::ChannelsPerPeer));
            return self.reject(id, command, ErrorCode::LimitExceeded);
        }
        let options = subscribe_options(request, self.settings().join_leave);
        let channel = self.channels.find_or_create(&request.channel);
        let known = self
            .channels
            .get(channel)
            .and_then(|known| grant_without_request(known.cursor, options.recovery));
        if known.is_none() && !self.has_request_capacity() {
            self.channels.release(channel);
            return self.reject(id, command, ErrorCode::TooManyRequests);
        }
        let subscription = self.add_subscription(id, channel, command);
        if let Some(grant) = known {
            return self.grant_subscription(id, channel, command, options, grant);
        }
        let (from, limit) = first_read(options.recovery, self.settings().recovery_publications_max);
        self.request_page(
            Purpose::Subscribe {
                peer: id,
                channel,
                number: subscription,
                command,
                options,
            },
            from,
            limit,
        );
    }

    /// Adds a subscription that awaits the log. Returns its number.
    fn add_subscription(&mut self, id: PeerId, channel: ChannelIndex, command: u32) -> u64 {
        self.subscriptions_started += 1;
        let number = self.subscriptions_started;
        if let (Some(peer), Some(entered)) =
            (self.peers.get_mut(id), self.channels.get_mut(channel))
        {
            let slot = entered.add_pending(id);
            peer.subscriptions.push(Subscription {
                channel,
                number,
                slot,
                phase: SubscriptionPhase::Requested { command },
            });
        }
        number
    }

    /// Whether the subscription of a response still exists: the peer may have been closed since, or unsubscribed, or
    /// resubscribed. Responses arrive in any order, so the first response is not necessarily for the older
    /// subscription.
    pub(crate) fn is_current(&self, id: PeerId, channel: ChannelIndex, number: u64) -> bool {
        let peer = self.peers.get(id);
        peer.and_then(|peer| peer.subscription(channel))
            .is_some_and(|subscription| subscription.number == number)
    }

    /// Handles the log's response to the first request of a subscription.
    pub(crate) fn on_subscribe_response(
        &mut self,
        id: PeerId,
        channel: ChannelIndex,
        command: u32,
        options: SubscribeOptions,
        response: Result<ReadResponse, Rejection>,
    ) {
        match response {
            Ok(response) => {
                let has_space_for_page = self
                    .peers
                    .get(id)
                    .is_some_and(|peer| peer.has_space_for_page(self.settings()));
                let grant = grant_from(response, options.recovery);
                let grant = if has_space_for_page {
                    grant
                } else {
                    without_publications(grant)
                };
                self.grant_subscription(id, channel, command, options, grant);
            }
            Err(rejection) => {
                self.remove_subscription(id, channel);
                self.reject(id, command, rejection_code(rejection));
            }
        }
    }

    /// Sets this shard's cursor from the first response about a channel; a response with a new epoch replaces the
    /// cursor.
    pub(crate) fn update_cursor(&mut self, channel: ChannelIndex, response: &ReadResponse) {
        let Some(known) = self.channels.get_mut(channel) else {
            return;
        };
        match known.cursor {
            Cursor::Unknown => {
                known.cursor = Cursor::Current {
                    epoch: response.epoch,
                    offset: response.high_watermark,
                }
            }
            Cursor::Current { epoch, .. } | Cursor::Lagging { epoch, .. }
                if epoch != response.epoch =>
            {
                self.lose_position(
                    channel,
                    Cursor::Current {
                        epoch: response.epoch,
                        offset: response.high_watermark,
                    },
                );
            }
            Cursor::Current { .. } | Cursor::Lagging { .. } => {}
        }
    }

    fn grant_subscription(
        &mut self,
        id: PeerId,
        channel: ChannelIndex,
        command: u32,
        options: SubscribeOptions,
        grant: Grant,
    ) {
        let was_recovering = options.recovery != Recovery::NotRequested;
        if was_recovering && !grant.is_recovered && options.unrecoverable == Unrecoverable::Reject {
            self.remove_subscription(id, channel);
            return self.reject(id, command, ErrorCode::UnrecoverablePosition);
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
        self.reply_ok(id, command, ReplyResult::Subscribe(result));
        self.announce(id, channel, options.join_leave);
        self.continue_subscription(id, channel, epoch, seen, is_complete);
    }

    /// Notifies all shards that a client subscribed.
    fn announce(&mut self, id: PeerId, channel: ChannelIndex, join_leave: JoinLeavePushes) {
        let Some(info) = self.peers.get(id).map(Peer::info) else {
            return;
        };
        let Some(joined) = self.channels.get_mut(channel) else {
            return;
        };
        if join_leave == JoinLeavePushes::On {
            joined.listeners.push(id);
        }
        let name = joined.name.clone();
        if self.settings().join_leave == JoinLeave::On {
            self.emit(Output::Broadcast(ShardMessage::Join {
                channel: name,
                info,
            }));
        }
    }

    pub(crate) fn unsubscribe(&mut self, id: PeerId, command: u32, channel: &str) {
        if channel.is_empty() {
            return self.reject(id, command, ErrorCode::BadRequest);
        }
        if let Some(channel) = self.channels.find(channel) {
            let phase = self.subscription_phase(id, channel);
            self.remove_subscription(id, channel);
            if let Some(SubscriptionPhase::Requested { command: pending }) = phase {
                self.reject_cancelled(id, pending);
            }
        }
        self.reply_ok(id, command, ReplyResult::Unsubscribe);
    }

    /// Replies to a subscribe command whose subscription was cancelled: a command without a reply would time out, and
    /// SDKs then drop the connection. The error is temporary, so that it does not affect a later subscription.
    fn reject_cancelled(&mut self, id: PeerId, command: u32) {
        let error = ErrorCode::Internal.reply_with("unsubscribed before it began".to_owned());
        self.send(
            id,
            Reply::Response {
                id: command,
                outcome: Err(error),
            },
        );
    }

    /// Closes a subscription from the server's side and notifies the client.
    pub(crate) fn close_subscription(
        &mut self,
        id: PeerId,
        channel: ChannelIndex,
        code: UnsubscribeCode,
    ) {
        let Some(name) = self
            .channels
            .get(channel)
            .map(|channel| channel.name.clone())
        else {
            return;
        };
        if self.remove_subscription(id, channel) {
            let event = PushEvent::Unsubscribe {
                code: code.code(),
                reason: code.reason().to_owned(),
            };
            self.send(
                id,
                Reply::Push(Push {
                    channel: name,
                    event,
                }),
            );
        }
    }

    /// Removes a subscription of a peer that stays connected. Returns `false` if there is none.
    fn remove_subscription(&mut self, id: PeerId, channel: ChannelIndex) -> bool {
        let Some(peer) = self.peers.get_mut(id) else {
            return false;
        };
        let Some(index) = peer
            .subscriptions
            .iter()
            .position(|subscription| subscription.channel == channel)
        else {
            return false;
        };
        let subscription = peer.subscriptions.swap_remove(index);
        let info = peer.info();
        self.leave_channel(id, info, subscription);
        // The pending page may have been that of the removed subscription.
        self.request_next_page(id);
        true
    }

    /// Removes a subscription from its channel after its peer has dropped it.
    pub(crate) fn leave_channel(
        &mut self,
        id: PeerId,
        info: ClientInfo,
        subscription: Subscription,
    ) {
        let channel = subscription.channel;
        let Some(left) = self.channels.get_mut(channel) else {
            return;
        };
        left.remove(subscription.slot);
        left.remove_listener(id);
        let name = left.name.clone();
        self.channels.release(channel);
        let was_announced = !matches!(subscription.phase, SubscriptionPhase::Requested { .. });
        if was_announced && self.settings().join_leave == JoinLeave::On {
            self.emit(Output::Broadcast(ShardMessage::Leave {
                channel: name,
                info,
            }));
        }
    }

    fn subscription_phase(&self, id: PeerId, channel: ChannelIndex) -> Option<SubscriptionPhase> {
        Some(self.peers.get(id)?.subscription(channel)?.phase)
    }
}

fn subscribe_options(request: &SubscribeRequest, join_leave: JoinLeave) -> SubscribeOptions {
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
    let is_listener = request.join_leave && join_leave == JoinLeave::On;
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

/// What can be granted without a request to the log: the client is at the position of this shard, or does not recover.
/// A position that this shard has not reached may have been issued by another shard: only the log can decide.
fn grant_without_request(cursor: Cursor, recovery: Recovery) -> Option<Grant> {
    let Cursor::Current {
        epoch,
        offset: newest,
    } = cursor
    else {
        return None;
    };
    let is_recovered = match recovery {
        Recovery::NotRequested | Recovery::UnknownEpoch => false,
        Recovery::After {
            epoch: Some(requested),
            offset,
        } if requested == epoch && offset == newest => true,
        Recovery::After { .. } => return None,
    };
    Some(Grant {
        epoch,
        offset: newest,
        publications: Vec::new(),
        is_recovered,
        seen: newest,
        is_complete: true,
    })
}

/// The first read of a subscription, and its limit in publications.
fn first_read(recovery: Recovery, limit: usize) -> (ReadFrom, usize) {
    match recovery {
        Recovery::NotRequested | Recovery::UnknownEpoch => (ReadFrom::Oldest, 0),
        Recovery::After { epoch: None, .. } => (ReadFrom::Oldest, limit),
        Recovery::After {
            epoch: Some(epoch),
            offset,
        } => (ReadFrom::After { epoch, offset }, limit),
    }
}

fn grant_from(response: ReadResponse, recovery: Recovery) -> Grant {
    let ReadResponse {
        epoch,
        high_watermark,
        page,
    } = response;
    let from_now_on = Grant {
        epoch,
        offset: high_watermark,
        publications: Vec::new(),
        is_recovered: false,
        seen: high_watermark,
        is_complete: true,
    };
    let (
        Recovery::After { offset, .. },
        Page::Records {
            previous,
            records,
            has_more,
        },
    ) = (recovery, page)
    else {
        return from_now_on;
    };
    // A read from the start of the history is complete only if no publication was removed there.
    if previous > offset {
        return from_now_on;
    }
    let last = records.last().map_or(offset, |record| record.offset);
    let seen = if has_more { last } else { high_watermark };
    let publications = records.into_iter().map(publication).collect();
    Grant {
        epoch,
        offset,
        publications,
        is_recovered: true,
        seen,
        is_complete: !has_more,
    }
}

/// Moves the publications of a grant from the reply to pushes: the send buffer has no capacity for them in the reply.
fn without_publications(grant: Grant) -> Grant {
    if grant.publications.is_empty() {
        return grant;
    }
    Grant {
        publications: Vec::new(),
        seen: grant.offset,
        is_complete: false,
        ..grant
    }
}
