//! What a hub awaited has arrived, or its deadline has passed: the way back to the caller.

use steadfast_engine::Response;
use steadfast_protocol::codes::ErrorCode;

use crate::channel::ChannelIndex;
use crate::disconnect::Disconnect;
use crate::from_engine::read_response;
use crate::ids::PeerId;
use crate::io::ShardPresence;
use crate::peer::Peer;
use crate::peers::Peers;
use crate::pending::{Awaited, Caller, PendingEntry, Purpose};
use crate::rejections::RejectionCause;
use crate::shared::Shared;
use crate::{catch_up, position};

/// The caller must be closed: it was due to run its queued commands, and one of them requires this.
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
pub(crate) fn on_response(
    peers: &mut Peers,
    shared: &mut Shared,
    number: u64,
    response: Response,
) -> Result<(), ClosedCaller> {
    let (caller, weight, purpose) = shared.pending.take_request(number);
    if let Response::Rejected(rejection) = response {
        let cause = RejectionCause::Log(rejection);
        shared.context.record_rejection(cause);
    }
    if let (Purpose::Subscribe { channel, .. }, Response::Read(read)) = (&purpose, &response) {
        position::update(peers, shared, *channel, read);
    }
    let channel = purpose.channel();
    let requester = match caller {
        Caller::Peer { peer, command } => {
            // A peer that is closed gets no reply.
            let mut requester = peers.get_mut(peer);
            if let Some(peer) = &mut requester {
                peer.on_response(shared, command, &purpose, response);
            }
            requester
        }
        Caller::Hub => {
            on_own_response(peers, shared, &purpose, response);
            None
        }
    };
    if let Some(channel) = channel {
        shared.channels.end_request(channel);
    }
    // The weight is released last, since queued commands may reuse the channel's slot.
    requester.map_or(Ok(()), |peer| release(peer, shared, weight))
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
        | Purpose::History => unreachable!("a hub requests for itself only to catch up"),
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
) -> Result<(), ClosedCaller> {
    if shard != shared.context.settings().shard {
        return Ok(());
    }
    let Some(PendingEntry {
        awaited: Awaited::Presence(gather),
        ..
    }) = shared.pending.get_mut(number)
    else {
        return Ok(());
    };
    if !gather.add(presence) {
        return Ok(());
    }
    let entry = shared.pending.remove(number);
    let Some(PendingEntry {
        caller: Caller::Peer { peer, command },
        weight,
        deadline: _,
        awaited: Awaited::Presence(gather),
    }) = entry
    else {
        unreachable!("a peer queries presence: {entry:?}")
    };
    // A peer that is closed gets no reply.
    let Some(peer) = peers.get_mut(peer) else {
        return Ok(());
    };
    peer.on_presence(shared, command, *gather);
    release(peer, shared, weight)
}

/// Handles an entry whose deadline has passed: the command fails with a temporary error.
pub(crate) fn on_timeout(
    peers: &mut Peers,
    shared: &mut Shared,
    entry: &PendingEntry,
) -> Result<(), ClosedCaller> {
    let Caller::Peer { peer, command } = entry.caller else {
        unreachable!("what the hub requests for itself has no deadline")
    };
    // A peer that is closed gets no reply.
    let Some(peer) = peers.get_mut(peer) else {
        return Ok(());
    };
    peer.reject(&mut shared.context, command, ErrorCode::Internal);
    release(peer, shared, entry.weight)
}

fn release(peer: &mut Peer, shared: &mut Shared, weight: usize) -> Result<(), ClosedCaller> {
    peer.release(shared, weight)
        .map_err(|disconnect| ClosedCaller {
            peer: peer.id,
            disconnect,
        })
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
            Purpose::Publish { form } => self.on_published(shared, command, form, &response),
            Purpose::Subscribe {
                channel,
                number,
                options,
            } => {
                if self.is_current(channel, number) {
                    let response = read_response(response);
                    self.on_subscribe_response(shared, channel, command, options, response);
                }
            }
            Purpose::Page { channel, number } => {
                if self.is_current(channel, number) {
                    self.on_page(shared, channel, read_response(response));
                }
            }
            Purpose::History => self.on_history(shared, command, read_response(response)),
            Purpose::CatchUp { .. } => unreachable!("the hub catches up, not a peer"),
        }
    }

    /// Whether the subscription of a response still exists: the peer may have been unsubscribed since, or resubscribed.
    /// Responses arrive in any order, so the first response is not necessarily for the older subscription.
    fn is_current(&self, channel: ChannelIndex, number: u64) -> bool {
        self.subscription(channel)
            .is_some_and(|subscription| subscription.number == number)
    }
}
