//! Pending requests of a hub to the log.
//!
//! The number of a request identifies its purpose. The policy limits the pending requests of a peer, and a peer at its
//! limit is not read from. Requests with large responses weigh more, so that the limit bounds bytes as well.

use steadfast_engine::{
    ChannelEpoch, Publisher, Read, ReadFrom, ReadResponse, Record, Rejection, Request, RequestId,
    Response,
};
use steadfast_machine::convert;
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::{Publication, Reply, ReplyResult};

use crate::channel::ChannelIndex;
use crate::event::HubLimit;
use crate::hub::{ByNumber, Hub};
use crate::io::{Output, PeerId};
use crate::policy::HubSettings;
use crate::rejections::RejectionCause;

/// Why a request was sent to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To publish for a peer.
    Publish {
        peer: PeerId,
        command: u32,
        form: PublishForm,
    },
    /// To begin a subscription.
    Subscribe {
        peer: PeerId,
        channel: ChannelIndex,
        /// Which subscription of the peer to the channel.
        number: u64,
        command: u32,
        options: SubscribeOptions,
    },
    /// To continue the recovery of a subscription.
    Page {
        peer: PeerId,
        channel: ChannelIndex,
        number: u64,
    },
    /// To read the publications of a channel that this shard missed.
    CatchUp { channel: ChannelIndex },
    /// To reply to a history command.
    History { peer: PeerId, command: u32 },
}

/// How the peer published, which determines the form of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublishForm {
    Plain,
    Idempotent,
}

/// The options of a subscribe command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubscribeOptions {
    pub(crate) recovery: Recovery,
    pub(crate) unrecoverable: Unrecoverable,
    pub(crate) join_leave: JoinLeavePushes,
}

/// Whether the subscriber requests recovery, and from which position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// The subscriber does not request recovery.
    NotRequested,
    /// The subscriber requests recovery after a position of this server, or without an epoch after offset 0.
    After {
        epoch: Option<ChannelEpoch>,
        offset: u64,
    },
    /// The subscriber requests recovery, but with an invalid epoch, or without an epoch after an offset above 0.
    UnknownEpoch,
}

/// What happens when the position cannot be continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unrecoverable {
    /// Subscribe from the high watermark on; the reply says that recovery failed.
    Subscribe,
    /// Reject with error 112.
    Reject,
}

/// Whether the subscriber receives join and leave pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinLeavePushes {
    On,
    Off,
}

/// The pending requests of a hub.
#[derive(Debug, Default)]
pub(crate) struct PendingRequests {
    by_number: ByNumber<Purpose>,
    next: u64,
}

impl PendingRequests {
    pub(crate) fn len(&self) -> usize {
        self.by_number.len()
    }

    fn add(&mut self, purpose: Purpose) -> u64 {
        self.next += 1;
        self.by_number.insert(self.next, purpose);
        self.next
    }
}

impl Hub {
    /// Whether the hub's limit allows one more pending request. Records a rejection if not.
    pub(crate) fn has_request_capacity(&mut self) -> bool {
        let is_within = self.pending_requests.len() < self.settings().pending_requests_max;
        if !is_within {
            self.record_rejection(RejectionCause::Limit(HubLimit::PendingRequests));
        }
        is_within
    }

    /// Sends a request to the log; `request` builds it from its id.
    pub(crate) fn send_request(
        &mut self,
        purpose: Purpose,
        request: impl FnOnce(RequestId) -> Request,
    ) {
        let requester = requester(&purpose);
        let weight = weight(&purpose, self.settings());
        if let Some(channel) = channel(&purpose).and_then(|channel| self.channels.get_mut(channel))
        {
            channel.pending_requests += 1;
        }
        let request_id = RequestId {
            shard: self.settings().shard,
            number: self.pending_requests.add(purpose),
        };
        self.emit(Output::Request(request(request_id)));
        if let Some(peer) = requester {
            self.reserve_weight(peer, weight);
        }
    }

    /// Adds to the weight of a peer's pending requests; at the limit the peer is not read from.
    pub(crate) fn reserve_weight(&mut self, id: PeerId, weight: usize) {
        let max = self.settings().pending_requests_per_peer_max;
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        peer.pending_weight += weight;
        if peer.pending_weight >= max && !peer.is_paused {
            peer.is_paused = true;
            self.emit(Output::PauseReading { peer: id });
        }
    }

    /// Subtracts from the weight of a peer's pending requests; at half the limit the peer resumes, first with its
    /// queued commands.
    pub(crate) fn release_weight(&mut self, id: PeerId, weight: usize) {
        let max = self.settings().pending_requests_per_peer_max;
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        peer.pending_weight = peer.pending_weight.saturating_sub(weight);
        if peer.is_paused && peer.pending_weight <= max / 2 {
            self.run_queued_commands(id);
        }
    }

    /// Handles the log's response to a request.
    ///
    /// # Panics
    ///
    /// If the number is not pending, or a response does not match its request: a bug in the driver.
    pub(crate) fn on_response(&mut self, number: u64, response: Response) {
        let purpose = self
            .pending_requests
            .by_number
            .remove(&number)
            .expect("every response belongs to a pending request of this hub");
        let channel = channel(&purpose);
        if let Some(channel) = channel.and_then(|channel| self.channels.get_mut(channel)) {
            channel.pending_requests -= 1;
        }
        let requester = requester(&purpose);
        let weight = weight(&purpose, self.settings());
        if let Response::Rejected(rejection) = response {
            self.record_rejection(RejectionCause::Log(rejection));
        }
        match purpose {
            Purpose::Publish {
                peer,
                command,
                form,
            } => self.on_published(peer, command, form, &response),
            Purpose::Subscribe {
                peer,
                channel,
                number,
                command,
                options,
            } => {
                if let Response::Read(response) = &response {
                    self.update_cursor(channel, response);
                }
                if self.is_current(peer, channel, number) {
                    self.on_subscribe_response(
                        peer,
                        channel,
                        command,
                        options,
                        into_read(response),
                    );
                }
            }
            Purpose::Page {
                peer,
                channel,
                number,
            } => {
                if self.is_current(peer, channel, number) {
                    self.on_page(peer, channel, into_read(response));
                }
            }
            Purpose::CatchUp { channel } => self.on_catch_up(channel, into_read(response)),
            Purpose::History { peer, command } => {
                self.on_history(peer, command, into_read(response));
            }
        }
        if let Some(channel) = channel {
            self.channels.release(channel);
        }
        // The weight is released last, since queued commands may reuse the channel's slot.
        if let Some(peer) = requester {
            self.release_weight(peer, weight);
        }
    }

    /// Requests a page of a channel from the log, with the size of a recovery page.
    pub(crate) fn request_page(&mut self, purpose: Purpose, from: ReadFrom, limit: usize) {
        let Some(channel) = channel(&purpose).and_then(|channel| self.channels.get(channel)) else {
            return;
        };
        let name = channel.name.clone();
        let bytes_max = self.settings().recovery_bytes_max;
        self.send_request(purpose, |request_id| {
            Request::Read(Read {
                request_id,
                channel: name,
                from,
                limit,
                bytes_max,
            })
        });
    }

    /// Rejects a command with an error.
    pub(crate) fn reject(&mut self, peer: PeerId, command: u32, code: ErrorCode) {
        self.send(
            peer,
            Reply::Response {
                id: command,
                outcome: Err(code.reply()),
            },
        );
    }

    /// Replies to a command with its result.
    pub(crate) fn reply_ok(&mut self, peer: PeerId, command: u32, result: ReplyResult) {
        self.send(
            peer,
            Reply::Response {
                id: command,
                outcome: Ok(result),
            },
        );
    }
}

/// The error code that a client receives for a rejection by the log.
pub(crate) const fn rejection_code(rejection: Rejection) -> ErrorCode {
    match rejection {
        Rejection::NoSpace | Rejection::WriteFailed | Rejection::Closing => ErrorCode::Internal,
        Rejection::Limit => ErrorCode::TooManyRequests,
        Rejection::TooLarge => ErrorCode::LimitExceeded,
    }
}

/// A stored record as clients receive it.
pub(crate) fn publication(record: Record) -> Publication {
    let Record {
        offset,
        data,
        kind,
        retention: _,
        publisher,
        at,
    } = record;
    Publication {
        data,
        payload_kind: kind,
        info: client_info(&publisher),
        offset,
        tags: std::collections::BTreeMap::new(),
        time: convert::saturating(at.as_millis()),
    }
}

fn client_info(publisher: &Publisher) -> Option<steadfast_protocol::message::ClientInfo> {
    if publisher.client.is_empty() {
        return None;
    }
    Some(steadfast_protocol::message::ClientInfo {
        user: String::from_utf8_lossy(&publisher.user).into_owned(),
        client: String::from_utf8_lossy(&publisher.client).into_owned(),
        conn_info: None,
        chan_info: None,
    })
}

/// The weight of a request: a quarter of its peer's limit if the response may have the maximum size of a reply.
const fn weight(purpose: &Purpose, settings: &HubSettings) -> usize {
    match purpose {
        Purpose::Publish { .. } | Purpose::Page { .. } | Purpose::CatchUp { .. } => 1,
        Purpose::Subscribe { options, .. } => match options.recovery {
            Recovery::NotRequested | Recovery::UnknownEpoch => 1,
            Recovery::After { .. } => large_weight(settings),
        },
        Purpose::History { .. } => large_weight(settings),
    }
}

/// The weight of a request with a large response.
pub(crate) const fn large_weight(settings: &HubSettings) -> usize {
    settings.pending_requests_per_peer_max.div_ceil(4)
}

const fn requester(purpose: &Purpose) -> Option<PeerId> {
    match purpose {
        Purpose::Publish { peer, .. }
        | Purpose::Subscribe { peer, .. }
        | Purpose::Page { peer, .. }
        | Purpose::History { peer, .. } => Some(*peer),
        Purpose::CatchUp { .. } => None,
    }
}

const fn channel(purpose: &Purpose) -> Option<ChannelIndex> {
    match purpose {
        Purpose::Subscribe { channel, .. }
        | Purpose::Page { channel, .. }
        | Purpose::CatchUp { channel } => Some(*channel),
        Purpose::Publish { .. } | Purpose::History { .. } => None,
    }
}

fn into_read(response: Response) -> Result<ReadResponse, Rejection> {
    match response {
        Response::Read(read) => Ok(read),
        Response::Rejected(rejection) => Err(rejection),
        Response::Appended { .. } => unreachable!("the log responds to a read with a page"),
    }
}
