//! Subscriptions: what the reply holds, what follows it, and when a peer goes live.
//!
//! The log has one order, and this core reads it at one cursor. An answer to a read ends exactly where the commits
//! behind it in that order begin. So the reply comes first, then the rest of a long recovery page by page, then live
//! publications; nothing is buffered or merged, and no hole can open in between.
//!
//! ```text
//! Asked --answer, whole---------------------------> Live
//!   \----answer, more to come--> Recovering --last page--/   one page at a time for each peer
//!                                   | retention overtook it, or the log refused
//!                                   \--> unsubscribed with 2500: the client subscribes again
//! ```

use steadfast_protocol::codes::{ErrorCode, UnsubscribeCode};
use steadfast_protocol::message::{
    ClientInfo, Position, Publication, Push, PushEvent, Reply, ReplyResult, SubscribeRequest,
    SubscribeResult,
};

use crate::asks::{Moves, Purpose, Recovery, Unrecoverable, Wish, publication, refusal_code};
use crate::channel::{ChannelIndex, Cursor};
use crate::epoch::ChannelEpoch;
use crate::hub::Hub;
use crate::io::{Note, Output, PeerId};
use crate::log::io::{Page, ReadFrom, ReadResponse, Rejection};
use crate::peer::{Peer, Stage, Subscription};
use crate::policy::hub::JoinLeave;
use crate::refusals::Cause;

mod rest;

/// The feature bit with which a client asks for error 112 instead of a subscription that lost its position.
const FLAG_REJECT_UNRECOVERED: i64 = 2;

/// What a subscriber is given first.
struct Grant {
    epoch: ChannelEpoch,
    /// Told to the client: what it asked for when recovered, else the top.
    offset: u64,
    publications: Vec<Publication>,
    is_recovered: bool,
    /// The client has seen everything up to here once it has read the reply.
    seen: u64,
    is_whole: bool,
}

impl Hub {
    pub(crate) fn subscribe(&mut self, id: PeerId, command: u32, request: &SubscribeRequest) {
        if request.channel.is_empty() {
            return self.refuse(id, command, ErrorCode::BadRequest);
        }
        if request.kind != 0 || request.has_filter {
            return self.refuse(id, command, ErrorCode::NotAvailable);
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
            return self.refuse(id, command, ErrorCode::AlreadySubscribed);
        }
        if peer.subscriptions.len() >= channels_max {
            self.note_refusal(Cause::Limit("channels_per_peer_max"));
            return self.refuse(id, command, ErrorCode::LimitExceeded);
        }
        let wish = wish(request, self.settings().join_leave);
        let channel = self.channels.find_or_create(&request.channel);
        let known = self
            .channels
            .get(channel)
            .and_then(|known| grant_at_once(known.cursor, wish.recovery));
        if known.is_none() && !self.may_ask() {
            self.channels.release(channel);
            return self.refuse(id, command, ErrorCode::TooManyRequests);
        }
        let subscription = self.enter(id, channel, command);
        if let Some(grant) = known {
            return self.grant_subscription(id, channel, command, wish, grant);
        }
        let (from, limit) = first_read(wish.recovery, self.settings().recovery_publications_max);
        self.ask_recovery(
            Purpose::Subscribe {
                peer: id,
                channel,
                number: subscription,
                command,
                wish,
            },
            from,
            limit,
        );
    }

    /// Enters a subscription that waits for the log. Returns its number.
    fn enter(&mut self, id: PeerId, channel: ChannelIndex, command: u32) -> u64 {
        self.subscriptions_begun += 1;
        let number = self.subscriptions_begun;
        if let (Some(peer), Some(entered)) =
            (self.peers.get_mut(id), self.channels.get_mut(channel))
        {
            let place = entered.enter_waiting(id);
            peer.subscriptions.push(Subscription {
                channel,
                number,
                place,
                stage: Stage::Asked { command },
            });
        }
        number
    }

    /// Whether an answer still has its subscription: the peer may have gone since, or unsubscribed, or subscribed
    /// again. Answers come in any order, so the first one need not be the older one's.
    pub(crate) fn is_current(&self, id: PeerId, channel: ChannelIndex, number: u64) -> bool {
        let peer = self.peers.get(id);
        peer.and_then(|peer| peer.subscription(channel))
            .is_some_and(|subscription| subscription.number == number)
    }

    /// The log has answered the first question of a subscription.
    pub(crate) fn on_subscribe_answer(
        &mut self,
        id: PeerId,
        channel: ChannelIndex,
        command: u32,
        wish: Wish,
        answer: Result<ReadResponse, Rejection>,
    ) {
        match answer {
            Ok(answer) => {
                let has_room = self
                    .peers
                    .get(id)
                    .is_some_and(|peer| peer.has_room(self.settings()));
                let grant = grant_from(answer, wish.recovery);
                let grant = if has_room {
                    grant
                } else {
                    without_publications(grant)
                };
                self.grant_subscription(id, channel, command, wish, grant);
            }
            Err(refusal) => {
                self.drop_subscription(id, channel);
                self.refuse(id, command, refusal_code(refusal));
            }
        }
    }

    /// The first answer about a channel places this core's cursor; a new epoch moves it.
    pub(crate) fn learn(&mut self, channel: ChannelIndex, answer: &ReadResponse) {
        let Some(known) = self.channels.get_mut(channel) else {
            return;
        };
        match known.cursor {
            Cursor::Unknown => {
                known.cursor = Cursor::At {
                    epoch: answer.epoch,
                    top: answer.high_watermark,
                }
            }
            Cursor::At { epoch, .. } | Cursor::Behind { epoch, .. } if epoch != answer.epoch => {
                self.lose_position(
                    channel,
                    Cursor::At {
                        epoch: answer.epoch,
                        top: answer.high_watermark,
                    },
                );
            }
            Cursor::At { .. } | Cursor::Behind { .. } => {}
        }
    }

    fn grant_subscription(
        &mut self,
        id: PeerId,
        channel: ChannelIndex,
        command: u32,
        wish: Wish,
        grant: Grant,
    ) {
        let was_recovering = wish.recovery != Recovery::No;
        if was_recovering && !grant.is_recovered && wish.unrecoverable == Unrecoverable::Refuse {
            self.drop_subscription(id, channel);
            return self.refuse(id, command, ErrorCode::UnrecoverablePosition);
        }
        let Grant {
            epoch,
            offset,
            publications,
            is_recovered,
            seen,
            is_whole,
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
        self.grant(id, command, ReplyResult::Subscribe(result));
        self.announce(id, channel, wish.moves);
        self.go_on(id, channel, epoch, seen, is_whole);
    }

    /// Tells the others that somebody came.
    fn announce(&mut self, id: PeerId, channel: ChannelIndex, moves: Moves) {
        let Some(info) = self.peers.get(id).map(Peer::info) else {
            return;
        };
        let Some(joined) = self.channels.get_mut(channel) else {
            return;
        };
        if moves == Moves::Told {
            joined.listeners.push(id);
        }
        let name = joined.name.clone();
        if self.settings().join_leave == JoinLeave::Offered {
            self.order(Output::Tell(Note::Joined {
                channel: name,
                info,
            }));
        }
    }

    pub(crate) fn unsubscribe(&mut self, id: PeerId, command: u32, channel: &str) {
        if channel.is_empty() {
            return self.refuse(id, command, ErrorCode::BadRequest);
        }
        if let Some(channel) = self.channels.find(channel) {
            let stage = self.stage(id, channel);
            self.drop_subscription(id, channel);
            if let Some(Stage::Asked { command: owed }) = stage {
                self.refuse_given_up(id, owed);
            }
        }
        self.grant(id, command, ReplyResult::Unsubscribe);
    }

    /// Answers a subscribe command whose subscription is not wanted any more: a command without an answer would time
    /// out, upon which SDKs drop the connection. Temporary, so that it harms none that was begun since.
    fn refuse_given_up(&mut self, id: PeerId, command: u32) {
        let error = ErrorCode::Internal.reply_with("unsubscribed before it began".to_owned());
        self.reply(
            id,
            &Reply::Response {
                id: command,
                outcome: Err(error),
            },
        );
    }

    /// Ends a subscription from here and tells the client.
    pub(crate) fn end_subscription(
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
        if self.drop_subscription(id, channel) {
            let event = PushEvent::Unsubscribe {
                code: code.code(),
                reason: code.reason().to_owned(),
            };
            self.reply(
                id,
                &Reply::Push(Push {
                    channel: name.as_str().to_owned(),
                    event,
                }),
            );
        }
    }

    /// Forgets a subscription of a peer that stays. False when there is none.
    fn drop_subscription(&mut self, id: PeerId, channel: ChannelIndex) -> bool {
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
        // It may have been the one whose page was under way.
        self.ask_next_page(id);
        true
    }

    /// Takes a subscription that its peer no longer knows of out of its channel.
    pub(crate) fn leave_channel(
        &mut self,
        id: PeerId,
        info: ClientInfo,
        subscription: Subscription,
    ) {
        let channel = subscription.channel;
        self.vacate(channel, subscription.place);
        let Some(left) = self.channels.get_mut(channel) else {
            return;
        };
        left.forget_listener(id);
        let name = left.name.clone();
        self.channels.release(channel);
        let was_announced = !matches!(subscription.stage, Stage::Asked { .. });
        if was_announced && self.settings().join_leave == JoinLeave::Offered {
            self.order(Output::Tell(Note::Left {
                channel: name,
                info,
            }));
        }
    }

    fn vacate(&mut self, channel: ChannelIndex, place: crate::channel::Place) {
        let moved = self
            .channels
            .get_mut(channel)
            .and_then(|channel| channel.leave(place));
        let moved = moved.and_then(|moved| self.peers.get_mut(moved));
        if let Some(subscription) = moved.and_then(|moved| moved.subscription_mut(channel)) {
            subscription.place = place;
        }
    }

    fn stage(&self, id: PeerId, channel: ChannelIndex) -> Option<Stage> {
        Some(self.peers.get(id)?.subscription(channel)?.stage)
    }
}

fn wish(request: &SubscribeRequest, offered: JoinLeave) -> Wish {
    let Position { epoch, offset } = &request.position;
    let recovery = match (request.recover, epoch.is_empty(), epoch.parse()) {
        (false, _, _) => Recovery::No,
        (true, false, Ok(epoch)) => Recovery::Behind {
            epoch: Some(epoch),
            offset: *offset,
        },
        // Without an epoch only the very beginning means the same in every history.
        (true, true, _) if *offset == 0 => Recovery::Behind {
            epoch: None,
            offset: 0,
        },
        (true, _, _) => Recovery::Foreign,
    };
    let is_strict = request.flag & FLAG_REJECT_UNRECOVERED != 0;
    let is_listener = request.join_leave && offered == JoinLeave::Offered;
    Wish {
        recovery,
        unrecoverable: if is_strict {
            Unrecoverable::Refuse
        } else {
            Unrecoverable::Subscribe
        },
        moves: if is_listener {
            Moves::Told
        } else {
            Moves::Untold
        },
    }
}

/// What can be granted without asking the log, because the client stands where this core does, or wants to. A position
/// that this core has not reached may be one that another core handed out: only the log knows.
fn grant_at_once(cursor: Cursor, recovery: Recovery) -> Option<Grant> {
    let Cursor::At { epoch, top } = cursor else {
        return None;
    };
    let is_recovered = match recovery {
        Recovery::No | Recovery::Foreign => false,
        Recovery::Behind {
            epoch: Some(asked),
            offset,
        } if asked == epoch && offset == top => true,
        Recovery::Behind { .. } => return None,
    };
    Some(Grant {
        epoch,
        offset: top,
        publications: Vec::new(),
        is_recovered,
        seen: top,
        is_whole: true,
    })
}

/// What to ask the log first, and for how many publications.
fn first_read(recovery: Recovery, limit: usize) -> (ReadFrom, usize) {
    match recovery {
        Recovery::No | Recovery::Foreign => (ReadFrom::Oldest, 0),
        Recovery::Behind { epoch: None, .. } => (ReadFrom::Oldest, limit),
        Recovery::Behind {
            epoch: Some(epoch),
            offset,
        } => (ReadFrom::After { epoch, offset }, limit),
    }
}

fn grant_from(answer: ReadResponse, recovery: Recovery) -> Grant {
    let ReadResponse {
        epoch,
        high_watermark: top,
        page,
    } = answer;
    let from_now_on = Grant {
        epoch,
        offset: top,
        publications: Vec::new(),
        is_recovered: false,
        seen: top,
        is_whole: true,
    };
    let (
        Recovery::Behind { offset, .. },
        Page::Records {
            records,
            has_more: more,
        },
    ) = (recovery, page)
    else {
        return from_now_on;
    };
    // A read from the very beginning is whole only if nothing has been removed there.
    let is_gapless = match records.first() {
        Some(first) => first.offset == offset + 1,
        None => top == offset,
    };
    if !is_gapless {
        return from_now_on;
    }
    let seen = records.last().map_or(offset, |record| record.offset);
    let publications = records.into_iter().map(publication).collect();
    Grant {
        epoch,
        offset,
        publications,
        is_recovered: true,
        seen,
        is_whole: !more,
    }
}

/// The same promise, kept in pushes: nothing fits into the reply while so much waits for the socket.
fn without_publications(grant: Grant) -> Grant {
    if grant.publications.is_empty() {
        return grant;
    }
    Grant {
        publications: Vec::new(),
        seen: grant.offset,
        is_whole: false,
        ..grant
    }
}
