//! What a hub has asked of the log and not been answered yet.
//!
//! The number of a request finds its purpose again; what a peer may have unanswered is bounded by the policy, and a
//! peer at its bound is not read from. Requests with large answers weigh more, so that the bound holds for bytes too.

use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::{Publication, Reply, ReplyResult};

use crate::channel::ChannelIndex;
use crate::epoch::ChannelEpoch;
use crate::hub::{ByNumber, Hub};
use crate::io::{Output, PeerId};
use crate::log::io::{
    Publisher, Read, ReadFrom, ReadResponse, Record, Rejection, Request, RequestId, Response,
};
use crate::policy::hub::HubSettings;
use crate::refusals::Cause;

/// Why the log was asked.
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
        wish: Wish,
    },
    /// To go on with the recovery of a subscription.
    Page {
        peer: PeerId,
        channel: ChannelIndex,
        number: u64,
    },
    /// To read again what this core missed of a channel.
    CatchUp { channel: ChannelIndex },
    /// To answer a history command.
    History { peer: PeerId, command: u32 },
}

/// How the peer published, which decides the form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublishForm {
    Plain,
    Keyed,
}

/// What a subscriber wished for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) recovery: Recovery,
    pub(crate) unrecoverable: Unrecoverable,
    pub(crate) moves: Moves,
}

/// Whether the subscriber has a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// It did not ask to recover.
    No,
    /// It asked, with a position of this server or with none but the very beginning.
    Behind {
        epoch: Option<ChannelEpoch>,
        offset: u64,
    },
    /// It asked, with a position that proves nothing here.
    Foreign,
}

/// What the subscriber wants when its position cannot be continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unrecoverable {
    /// A subscription from now on, which says so.
    Subscribe,
    /// Error 112.
    Refuse,
}

/// Whether the subscriber wants join and leave pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moves {
    Told,
    Untold,
}

/// The unanswered requests of a hub.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    open: ByNumber<Purpose>,
    next: u64,
}

impl Asks {
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    fn enter(&mut self, purpose: Purpose) -> u64 {
        self.next += 1;
        self.open.insert(self.next, purpose);
        self.next
    }
}

impl Hub {
    /// Whether one more request of this peer to the log is within the bounds. Says so to people when it is not.
    pub(crate) fn may_ask(&mut self) -> bool {
        let is_within = self.asks.len() < self.settings().asks_max;
        if !is_within {
            self.note_refusal(Cause::Limit("asks_max"));
        }
        is_within
    }

    /// Asks the log; `request` is built for the ticket.
    pub(crate) fn ask(&mut self, purpose: Purpose, request: impl FnOnce(RequestId) -> Request) {
        let asker = asker(&purpose);
        let weight = weight(&purpose, self.settings());
        if let Some(channel) = channel(&purpose).and_then(|channel| self.channels.get_mut(channel))
        {
            channel.asks += 1;
        }
        let request_id = RequestId {
            shard: self.settings().core,
            number: self.asks.enter(purpose),
        };
        self.order(Output::Ask(request(request_id)));
        if let Some(peer) = asker {
            self.count_ask(peer, weight);
        }
    }

    /// Adds to what a peer has unanswered; at the bound nothing more is read from it.
    pub(crate) fn count_ask(&mut self, id: PeerId, weight: usize) {
        let max = self.settings().asks_per_peer_max;
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        peer.asks += weight;
        if peer.asks >= max && !peer.is_paused {
            peer.is_paused = true;
            self.order(Output::Pause { peer: id });
        }
    }

    /// Takes off what was answered; at half the bound the peer goes on, first with what is held.
    pub(crate) fn uncount_ask(&mut self, id: PeerId, weight: usize) {
        let max = self.settings().asks_per_peer_max;
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        peer.asks = peer.asks.saturating_sub(weight);
        if peer.is_paused && peer.asks <= max / 2 {
            self.take_held(id);
        }
    }

    /// Takes the log's answer to a request.
    ///
    /// # Panics
    ///
    /// If the number was never asked, or an answer does not fit its request: the driver mixed something up.
    pub(crate) fn on_answer(&mut self, number: u64, answer: Response) {
        let purpose = self
            .asks
            .open
            .remove(&number)
            .expect("every answer belongs to a request of this hub");
        let channel = channel(&purpose);
        if let Some(channel) = channel.and_then(|channel| self.channels.get_mut(channel)) {
            channel.asks -= 1;
        }
        let asker = asker(&purpose);
        let weight = weight(&purpose, self.settings());
        if let Response::Rejected(refusal) = answer {
            self.note_refusal(Cause::Log(refusal));
        }
        match purpose {
            Purpose::Publish {
                peer,
                command,
                form,
            } => self.on_published(peer, command, form, &answer),
            Purpose::Subscribe {
                peer,
                channel,
                number,
                command,
                wish,
            } => {
                if let Response::Read(answer) = &answer {
                    self.learn(channel, answer);
                }
                if self.is_current(peer, channel, number) {
                    self.on_subscribe_answer(peer, channel, command, wish, into_read(answer));
                }
            }
            Purpose::Page {
                peer,
                channel,
                number,
            } => {
                if self.is_current(peer, channel, number) {
                    self.on_page(peer, channel, into_read(answer));
                }
            }
            Purpose::CatchUp { channel } => self.on_catch_up(channel, into_read(answer)),
            Purpose::History { peer, command } => self.on_history(peer, command, into_read(answer)),
        }
        if let Some(channel) = channel {
            self.channels.release(channel);
        }
        // Last, since what is held may use the channel's place again.
        if let Some(peer) = asker {
            self.uncount_ask(peer, weight);
        }
    }

    /// Asks the log for a page of a channel, sized for recovery.
    pub(crate) fn ask_recovery(&mut self, purpose: Purpose, from: ReadFrom, limit: usize) {
        let Some(channel) = channel(&purpose).and_then(|channel| self.channels.get(channel)) else {
            return;
        };
        let name = channel.name.clone();
        let bytes_max = self.settings().recovery_bytes_max;
        self.ask(purpose, |request_id| {
            Request::Read(Read {
                request_id,
                channel: name,
                from,
                limit,
                bytes_max,
            })
        });
    }

    /// Refuses a command.
    pub(crate) fn refuse(&mut self, peer: PeerId, command: u32, code: ErrorCode) {
        self.reply(
            peer,
            &Reply::Response {
                id: command,
                outcome: Err(code.reply()),
            },
        );
    }

    /// Answers a command.
    pub(crate) fn grant(&mut self, peer: PeerId, command: u32, result: ReplyResult) {
        self.reply(
            peer,
            &Reply::Response {
                id: command,
                outcome: Ok(result),
            },
        );
    }
}

/// The error that tells a client why the log refused.
pub(crate) const fn refusal_code(refusal: Rejection) -> ErrorCode {
    match refusal {
        Rejection::NoSpace | Rejection::WriteFailed | Rejection::Closing => ErrorCode::Internal,
        Rejection::Limit => ErrorCode::TooManyRequests,
        Rejection::TooLarge => ErrorCode::LimitExceeded,
    }
}

/// A stored record as clients see it.
pub(crate) fn publication(record: Record) -> Publication {
    let Record {
        offset,
        data,
        publisher,
        at,
    } = record;
    Publication {
        data,
        info: client_info(&publisher),
        offset,
        tags: std::collections::BTreeMap::new(),
        time: i64::try_from(at.as_millis()).unwrap_or(i64::MAX),
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

/// What a request weighs against its peer's bound: a quarter of it if the answer may be as large as a reply can be.
const fn weight(purpose: &Purpose, settings: &HubSettings) -> usize {
    match purpose {
        Purpose::Publish { .. } | Purpose::Page { .. } | Purpose::CatchUp { .. } => 1,
        Purpose::Subscribe { wish, .. } => match wish.recovery {
            Recovery::No | Recovery::Foreign => 1,
            Recovery::Behind { .. } => large_weight(settings),
        },
        Purpose::History { .. } => large_weight(settings),
    }
}

/// What a request with a large answer weighs.
pub(crate) const fn large_weight(settings: &HubSettings) -> usize {
    settings.asks_per_peer_max.div_ceil(4)
}

const fn asker(purpose: &Purpose) -> Option<PeerId> {
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

fn into_read(answer: Response) -> Result<ReadResponse, Rejection> {
    match answer {
        Response::Read(read) => Ok(read),
        Response::Rejected(refusal) => Err(refusal),
        Response::Appended { .. } => unreachable!("the log answers a read with what was read"),
    }
}
