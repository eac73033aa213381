//! One shard of the server: the machine that owns its peers, channels and timers.
//!
//! A hub decides everything between the socket and the log: who may enter, what a command means, who gets which
//! publication, who is too slow. It stores nothing, orders nothing (the log does both) and moves no bytes (the shell
//! of a core does). One event loop owns it; hubs never talk to each other but through the order of the log.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use steadfast_machine::{Generator, Instant, Machine, Seed, Timestamp};
use steadfast_protocol::codes::{DisconnectCode, with_retry_in};
use steadfast_protocol::websocket::{Opcode, encoder::encode_server};

use crate::asks::Asks;
use crate::channel::Channels;
use crate::event::{End, Event};
use crate::io::{Access, ClientId, Input, LogEvent, Loss, Note, Output, PeerId, Timer};
use crate::peer::{DueFor, Peer, Peers, Phase};
use crate::policy::hub::{HubPolicy, HubSettings};
use crate::presence::Gathers;
use crate::refusals::{Cause, Refusals};
use crate::replies::Replies;
use crate::wheel::{Due, TickNumber, Wheel};

/// When a peer that found the hub full shall come back.
const FULL_RETRY: std::time::Duration = std::time::Duration::from_secs(10);

/// How many connections there may be for each session that may be open: those that have none yet, or were refused one,
/// end by their deadlines, and until then are bounded by this.
const CROWD_FACTOR: usize = 2;

/// The close code for "try again later" (registered by IANA after RFC 6455).
const TRY_AGAIN_LATER: u16 = 1013;

/// One shard of the server.
#[derive(Debug)]
pub struct Hub {
    pub(crate) policy: HubPolicy,
    pub(crate) generator: Generator,
    pub(crate) now: Instant,
    pub(crate) wall: Timestamp,
    pub(crate) peers: Peers,
    pub(crate) channels: Channels,
    pub(crate) asks: Asks,
    pub(crate) gathers: Gathers,
    pub(crate) replies: Replies,
    pub(crate) refusals: Refusals,
    pub(crate) subscriptions_begun: u64,
    /// Peers whose connect command was accepted.
    pub(crate) sessions: usize,
    wheel: Wheel,
    due: Vec<Due>,
    outputs: VecDeque<Output>,
    ping: Bytes,
    is_shutting_down: bool,
}

impl Hub {
    /// A hub without peers. The seed drives the spread of first pings and nothing else.
    pub fn new(policy: HubPolicy, seed: Seed, now: Instant) -> Self {
        Self {
            policy,
            generator: seed.generator(),
            now,
            wall: Timestamp::default(),
            peers: Peers::default(),
            channels: Channels::default(),
            asks: Asks::default(),
            gathers: Gathers::default(),
            replies: Replies::default(),
            refusals: Refusals::default(),
            subscriptions_begun: 0,
            sessions: 0,
            wheel: Wheel::new(now),
            due: Vec::new(),
            outputs: VecDeque::new(),
            ping: encode_server(Opcode::Text, b"{}"),
            is_shutting_down: false,
        }
    }

    /// Open connections.
    pub const fn peer_count(&self) -> usize {
        self.peers.len()
    }

    /// Channels that somebody here is subscribed to, or asks about.
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    pub(crate) const fn settings(&self) -> &HubSettings {
        self.policy.settings()
    }

    /// Hands out an order, behind the replies that were written before it.
    pub(crate) fn order(&mut self, output: Output) {
        self.flush_replies();
        self.outputs.push_back(output);
    }

    fn flush_replies(&mut self) {
        if let Some((peer, frame)) = self.replies.take() {
            self.outputs.push_back(Output::Send { peer, frame });
        }
    }

    /// Appends a message for one peer; what follows each other for the same peer shares a frame. Nothing is said to a
    /// peer that has gone.
    pub(crate) fn reply(&mut self, peer: PeerId, reply: &steadfast_protocol::message::Reply) {
        if self.peers.get(peer).is_none() {
            return;
        }
        if !self.replies.is_open_for(peer) {
            self.flush_replies();
        }
        self.replies.append(peer, reply);
    }

    /// Sees to it that the peer is looked at when it must be, if that is sooner than planned.
    pub(crate) fn arm(&mut self, id: PeerId) {
        let settings = self.policy.settings();
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let tick = TickNumber::at_or_after(peer.next_due(settings));
        if peer.armed.is_none_or(|armed| tick < armed) {
            peer.armed = Some(tick);
            self.wheel.enter(Due { peer: id, tick });
        }
    }

    fn accept(&mut self, id: PeerId, client: ClientId, access: Access) {
        self.peers.insert(Peer::new(id, client, access, self.now));
        let crowd_max = self.settings().peers_max.saturating_mul(CROWD_FACTOR);
        if self.is_shutting_down {
            self.close(id, DisconnectCode::Shutdown);
        } else if self.peers.len() > crowd_max {
            self.note_refusal(Cause::Limit("peers_max"));
            self.close_full(id);
        } else {
            self.arm(id);
        }
    }

    /// Whether as many sessions are open as the policy allows. Connections without one do not count: a herd that is
    /// larger than the hub would keep itself out.
    pub(crate) const fn is_full(&self) -> bool {
        self.sessions >= self.policy.settings().peers_max
    }

    /// Ends a connection that there is no room for, and that has no command to answer.
    fn close_full(&mut self, id: PeerId) {
        self.close_with(id, TRY_AGAIN_LATER, Self::full_message());
    }

    /// Ends a connection with a code of the table.
    pub(crate) fn close(&mut self, id: PeerId, code: DisconnectCode) {
        self.close_with(id, code.code(), code.reason().to_owned());
    }

    /// Ends a connection; the reason is plain text, never empty.
    pub(crate) fn close_with(&mut self, id: PeerId, code: u16, reason: String) {
        let end = End::Server {
            code,
            reason: reason.clone(),
        };
        if self.forget(id, end) {
            self.order(Output::Close {
                peer: id,
                code,
                reason,
            });
        }
    }

    /// Forgets a connection and everything it was subscribed to. False when it is not known.
    fn forget(&mut self, id: PeerId, end: End) -> bool {
        let Some(peer) = self.peers.remove(id) else {
            return false;
        };
        if matches!(peer.phase, Phase::Connected { .. }) {
            self.sessions -= 1;
        }
        for subscription in &peer.subscriptions {
            self.leave_channel(peer.id, peer.info(), *subscription);
        }
        self.order(Output::Notify(Event::PeerClosed {
            peer: id,
            client: peer.client,
            end,
            lasted: self.now - peer.accepted_at,
            idle: self.now - peer.stirred_at,
        }));
        true
    }

    fn lose(&mut self, id: PeerId, loss: Loss) {
        let end = match loss {
            Loss::Closed { code, reason } => End::Client { code, reason },
            Loss::Ended => End::Ended,
            Loss::Broken => End::Broken,
        };
        self.forget(id, end);
    }

    fn stir(&mut self, id: PeerId) {
        let now = self.now;
        if let Some(peer) = self.peers.get_mut(id) {
            peer.stir(now);
        }
    }

    fn receive(&mut self, id: PeerId, message: &Bytes) {
        self.stir(id);
        self.on_message(id, message);
        self.arm(id);
    }

    fn take_log(&mut self, events: Vec<LogEvent>, at: Timestamp) {
        self.wall = at;
        for event in events {
            match event {
                LogEvent::Committed(committed) => self.on_committed(committed),
                LogEvent::Answered { number, answer } => self.on_answer(number, answer),
                LogEvent::Noted(note) => self.on_note(note),
                LogEvent::Lapsed => self.on_lapsed(),
            }
        }
    }

    fn on_note(&mut self, note: Note) {
        match note {
            Note::Joined { channel, info } => {
                self.tell_listeners(&channel, info, crate::presence::Move::Joined);
            }
            Note::Left { channel, info } => {
                self.tell_listeners(&channel, info, crate::presence::Move::Left);
            }
            Note::PresenceAsked {
                core,
                number,
                channel,
                detail,
            } => {
                self.answer_presence(core, number, &channel, detail);
            }
            Note::PresenceTold {
                core,
                number,
                present,
            } => self.on_presence_told(core, number, present),
        }
    }

    fn tick(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(self.now, &mut due);
        for entry in due.drain(..) {
            self.look_at(entry);
        }
        self.due = due;
        self.expire_gathers();
        self.tell_refusals();
    }

    /// Does what a peer is due for, unless the entry has become stale.
    fn look_at(&mut self, entry: Due) {
        let (now, settings) = (self.now, self.policy.settings());
        let Some(peer) = self
            .peers
            .get_mut(entry.peer)
            .filter(|peer| peer.armed == Some(entry.tick))
        else {
            return;
        };
        peer.armed = None;
        match peer.take_due(now, settings) {
            Some(DueFor::Ping) => {
                let frame = self.ping.clone();
                self.order(Output::Send {
                    peer: entry.peer,
                    frame,
                });
            }
            Some(DueFor::NoPong) => self.close(entry.peer, DisconnectCode::NoPong),
            Some(DueFor::Stale) if self.is_full() => self.close_full(entry.peer),
            Some(DueFor::Stale) => self.close(entry.peer, DisconnectCode::Stale),
            Some(DueFor::RefusedTooLong) => self.close(entry.peer, DisconnectCode::TooManyRequests),
            Some(DueFor::WriteDeadline) => self.close(entry.peer, DisconnectCode::WriteError),
            None => {}
        }
        self.arm(entry.peer);
    }

    fn shut_down(&mut self) {
        self.is_shutting_down = true;
        for id in self.peers.ids() {
            self.close(id, DisconnectCode::Shutdown);
        }
    }

    /// What a peer is told that there is no room for: its SDK lets the backoff grow and comes back.
    pub(crate) fn full_message() -> String {
        with_retry_in("at capacity", FULL_RETRY)
    }
}

impl Machine for Hub {
    type Input = Input;
    type Output = Output;
    type Timer = Timer;

    fn handle(&mut self, now: Instant, input: Input) {
        self.now = now;
        match input {
            Input::Accepted {
                peer,
                client,
                access,
            } => self.accept(peer, client, access),
            Input::Received { peer, message } => self.receive(peer, &message),
            Input::Stirred { peer } => self.stir(peer),
            Input::Malformed { peer, code, reason } => {
                self.close_with(peer, code, reason.to_owned());
            }
            Input::Lost { peer, loss } => self.lose(peer, loss),
            Input::Backlog { peer, bytes } => self.on_backlog(peer, bytes),
            Input::Written { peer, bytes } => self.on_written(peer, bytes),
            Input::Drained { peer } => self.on_drained(peer),
            Input::Log { events, at } => self.take_log(events, at),
            Input::ShutdownRequested => self.shut_down(),
            Input::Tick => self.tick(),
        }
        self.flush_replies();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        let deadlines = [
            self.wheel.next(),
            self.gathers.next_due(),
            self.refusals.next_due(),
        ];
        let due = deadlines.into_iter().flatten().min()?;
        Some((due, Timer::Wheel))
    }
}

/// Look-ups of unanswered requests by number; never iterated.
pub(crate) type ByNumber<T> = HashMap<u64, T>;
