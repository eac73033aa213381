//! What a hub awaited has arrived, or its deadline has passed: the way back to the caller.

use steadfast_engine::{Rejection, Response};
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::ChannelName;

use crate::channel::ChannelIndex;
use crate::disconnect::Disconnect;
use crate::event::HubLimit;
use crate::from_engine::read_response;
use crate::ids::PeerId;
use crate::io::{ApiCall, ConnectDecision, ShardPresence};
use crate::peer::Peer;
use crate::peer::channel_order::Effect;
use crate::peers::Peers;
use crate::pending::{Awaited, Caller, PendingEntry, Purpose};
use crate::rejections::RejectionCause;
use crate::shared::Shared;
use crate::{api, catch_up, position};

/// The caller must be closed: the decision about its connect command requires this.
#[derive(Debug)]
pub(crate) struct ClosedCaller {
    pub(crate) peer: PeerId,
    pub(crate) disconnect: Disconnect,
}

/// Handles the engine's response to a request.
///
/// # Panics
///
/// If the number is not pending, or a response does not match its request: a bug in the driver.
pub(crate) fn on_response(peers: &mut Peers, shared: &mut Shared, number: u64, response: Response) {
    let (caller, weight, purpose) = shared.pending.take_request(number);
    if let Response::Rejected(rejection) = response {
        let cause = match rejection {
            Rejection::NewChannel => RejectionCause::Limit(HubLimit::NewChannelsPerPeer),
            Rejection::NoSpace
            | Rejection::Unavailable
            | Rejection::WriteFailed
            | Rejection::Limit
            | Rejection::TooManyChannels
            | Rejection::TooLarge
            | Rejection::KeyWithOtherData
            | Rejection::Closing => RejectionCause::Log(rejection),
        };
        shared.context.record_rejection(cause);
    }
    if let (Purpose::Subscribe { channel, .. }, Response::Read(read)) = (&purpose, &response) {
        position::update(peers, shared, *channel, read);
    }
    let channel = purpose.channel();
    match caller {
        Caller::Peer { peer, command } => {
            // A peer that is closed gets no reply.
            if let Some(peer) = peers.get_mut(peer) {
                peer.on_response(shared, command, &purpose, response);
                peer.on_replied(shared, &purpose);
                peer.release(shared, weight);
            }
        }
        Caller::Api { call } => on_api_response(shared, call, &purpose, &response),
        Caller::Hub => on_own_response(peers, shared, &purpose, response),
    }
    if let Some(channel) = channel {
        shared.channels.end_request(channel);
    }
}

/// Handles the response to a request of an application.
fn on_api_response(shared: &mut Shared, call: ApiCall, purpose: &Purpose, response: &Response) {
    match purpose {
        Purpose::Publish { .. } => api::on_published(shared, call, response),
        Purpose::Subscribe { .. }
        | Purpose::Page { .. }
        | Purpose::CatchUp { .. }
        | Purpose::History { .. } => unreachable!("an application can only publish"),
    }
}

/// Handles the response to a request of the hub itself.
fn on_own_response(peers: &mut Peers, shared: &mut Shared, purpose: &Purpose, response: Response) {
    match purpose {
        Purpose::CatchUp {
            channel,
            epoch,
            offset,
        } => {
            let position = (*epoch, *offset);
            catch_up::on_response(peers, shared, *channel, position, read_response(response));
        }
        Purpose::Publish { .. }
        | Purpose::Subscribe { .. }
        | Purpose::Page { .. }
        | Purpose::History { .. } => unreachable!("a hub requests for itself only to catch up"),
    }
}

/// Handles the response of one shard to a presence query. Ignores it if the query was another shard's, or has timed
/// out.
pub(crate) fn on_presence_response(
    peers: &mut Peers,
    shared: &mut Shared,
    shard: u16,
    number: u64,
    presence: ShardPresence,
) {
    if shard != shared.context.settings().shard {
        return;
    }
    let Some(PendingEntry {
        awaited: Awaited::Presence { gather, .. },
        ..
    }) = shared.pending.get_mut(number)
    else {
        return;
    };
    if !gather.add(presence) {
        return;
    }
    let Some(PendingEntry {
        caller,
        weight,
        bytes: _,
        deadline: _,
        awaited: Awaited::Presence { channel, gather },
    }) = shared.pending.remove(number)
    else {
        unreachable!("the query was found just now: {number}")
    };
    let Some((peer, command)) = calling_peer(peers, caller) else {
        return;
    };
    peer.on_presence(shared, command, *gather);
    peer.on_presence_replied(shared, &channel);
    peer.release(shared, weight);
    shared.schedule(peer);
}

/// Handles a decision whether a client may connect. One that arrives after its deadline is only counted.
pub(crate) fn on_decided(
    peers: &mut Peers,
    shared: &mut Shared,
    number: u64,
    decision: ConnectDecision,
) -> Result<(), ClosedCaller> {
    let Some((caller, weight)) = shared.pending.take_decision(number) else {
        shared
            .context
            .record_rejection(RejectionCause::LateDecision);
        return Ok(());
    };
    let Some((peer, command)) = calling_peer(peers, caller) else {
        return Ok(());
    };
    peer.on_decided(shared, command, decision)
        .map_err(|disconnect| ClosedCaller {
            peer: peer.id,
            disconnect,
        })?;
    peer.release(shared, weight);
    shared.schedule(peer);
    Ok(())
}

/// Handles a presence query that a shard will not receive: it fails now, because no complete response can arrive.
pub(crate) fn on_query_dropped(peers: &mut Peers, shared: &mut Shared, number: u64) {
    // Another shard may have dropped the query too.
    if let Some(entry) = shared.pending.remove(number) {
        on_timeout(peers, shared, entry);
    }
}

/// Handles an entry whose deadline has passed: the command fails with a temporary error.
pub(crate) fn on_timeout(peers: &mut Peers, shared: &mut Shared, entry: PendingEntry) {
    let PendingEntry {
        caller,
        weight,
        bytes: _,
        deadline: _,
        awaited,
    } = entry;
    let Some((peer, command)) = calling_peer(peers, caller) else {
        return;
    };
    match awaited {
        Awaited::Engine(purpose) => unreachable!("a request has no deadline: {purpose:?}"),
        Awaited::Presence { channel, .. } => {
            peer.reject(&mut shared.context, command, ErrorCode::Internal);
            peer.on_presence_replied(shared, &channel);
        }
        Awaited::ConnectDecision => {
            peer.on_decision_timeout(shared, command);
        }
    }
    peer.release(shared, weight);
    shared.schedule(peer);
}

/// The peer that called, and the number of its command; `None` if it is closed, and gets no reply.
///
/// # Panics
///
/// If the caller is not a peer: only what peers await has a deadline.
fn calling_peer(peers: &mut Peers, caller: Caller) -> Option<(&mut Peer, u32)> {
    match caller {
        Caller::Peer { peer, command } => Some((peers.get_mut(peer)?, command)),
        Caller::Api { .. } | Caller::Hub => {
            unreachable!("only what a peer awaits has a deadline: {caller:?}")
        }
    }
}

impl Peer {
    /// Handles the engine's response to a request for this peer.
    fn on_response(
        &mut self,
        shared: &mut Shared,
        command: u32,
        purpose: &Purpose,
        response: Response,
    ) {
        match *purpose {
            Purpose::Publish { form, taken, .. } => {
                self.give_back(shared, taken, &response);
                self.on_published(shared, command, form, &response);
            }
            Purpose::Subscribe { channel, options } => {
                let response = read_response(response);
                self.on_subscribe_response(shared, channel, command, options, response);
            }
            Purpose::Page { channel, number } => {
                if self.is_current(channel, number) {
                    self.on_page(shared, channel, read_response(response));
                }
            }
            Purpose::History { .. } => self.on_history(shared, command, read_response(response)),
            Purpose::CatchUp { .. } => unreachable!("the hub catches up, not a peer"),
        }
    }

    /// Records that a request for a command of this peer has its response, and executes what waited for it.
    fn on_replied(&mut self, shared: &mut Shared, purpose: &Purpose) {
        let (effect, channel) = match purpose {
            Purpose::Publish { channel, .. } => (Effect::Publish, channel),
            Purpose::History { channel } => (Effect::ReadHistory, channel),
            Purpose::Subscribe { channel, .. } => {
                let name = shared.channels.get(*channel).name.clone();
                return self.continue_channel(shared, name.as_str());
            }
            Purpose::Page { .. } | Purpose::CatchUp { .. } => return,
        };
        self.channel_order_mut().end(effect, channel);
        self.continue_channel(shared, channel.as_str());
    }

    fn on_presence_replied(&mut self, shared: &mut Shared, channel: &ChannelName) {
        self.channel_order_mut().end(Effect::ReadPresence, channel);
        self.continue_channel(shared, channel.as_str());
    }

    /// Whether the subscription of a page still exists: the peer may have been unsubscribed since, or resubscribed.
    /// Responses arrive in any order, so the first response is not necessarily for the older subscription.
    fn is_current(&self, channel: ChannelIndex, number: u64) -> bool {
        self.subscription(channel)
            .is_some_and(|subscription| subscription.number == number)
    }
}
