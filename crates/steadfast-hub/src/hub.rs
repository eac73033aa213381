//! One shard of the server: the state machine that owns its peers, channels and timers.
//!
//! A hub makes every decision between the socket and the engine: who may connect, what a command does, which peers
//! receive which publication, and which peer is a slow consumer. It stores nothing, orders nothing (the engine does
//! both) and transfers no bytes (the shell of a shard does). One event loop owns it; hubs communicate only through the
//! order of the engine and through shard messages.

use std::collections::{HashMap, VecDeque};

use steadfast_engine::EngineEvent;
use steadfast_machine::{Generator, Instant, Machine, Seed, Timestamp};
use steadfast_protocol::codes::{DisconnectCode, with_retry_in};
use steadfast_protocol::error::DecodeError;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{Command, Reply};

use crate::channel::Channels;
use crate::event::{ClosedBy, Event, HubLimit};
use crate::io::{Access, ClientId, ConnectionLoss, Input, Output, PeerId, ShardMessage};
use crate::peer::{Deadline, Peer, PeerPhase, Peers};
use crate::pending_requests::PendingRequests;
use crate::policy::{HubPolicy, HubSettings};
use crate::presence::PresenceQueries;
use crate::rejections::{RejectionCause, Rejections};
use crate::timer_wheel::{TickNumber, TimerEntry, TimerWheel};

/// The retry delay for a peer that is rejected because the hub is full.
const FULL_RETRY_DELAY: std::time::Duration = std::time::Duration::from_secs(10);

/// Maximum number of connections per permitted session. Connections without a session (not connected yet, or rejected)
/// are closed by their timeouts; until then, this maximum bounds them.
const CONNECTION_HEADROOM: usize = 2;

/// The close code for "try again later" (registered by IANA after RFC 6455).
const TRY_AGAIN_LATER: u16 = 1013;

/// One shard of the server.
#[derive(Debug)]
pub struct Hub {
    pub(crate) policy: HubPolicy,
    pub(crate) generator: Generator,
    pub(crate) now: Instant,
    /// The wall-clock time of the latest command.
    pub(crate) wall: Timestamp,
    pub(crate) peers: Peers,
    pub(crate) channels: Channels,
    pub(crate) pending_requests: PendingRequests,
    pub(crate) presence_queries: PresenceQueries,
    pub(crate) rejections: Rejections,
    pub(crate) subscriptions_started: u64,
    /// Peers whose connect command was accepted.
    pub(crate) sessions: usize,
    timer_wheel: TimerWheel,
    due: Vec<TimerEntry>,
    outputs: VecDeque<Output>,
    is_shutting_down: bool,
}

impl Hub {
    /// A hub without peers. The seed determines the jitter of first pings and nothing else.
    pub fn new(policy: HubPolicy, seed: Seed, now: Instant) -> Self {
        Self {
            policy,
            generator: seed.generator(),
            now,
            wall: Timestamp::default(),
            peers: Peers::default(),
            channels: Channels::default(),
            pending_requests: PendingRequests::default(),
            presence_queries: PresenceQueries::default(),
            rejections: Rejections::default(),
            subscriptions_started: 0,
            sessions: 0,
            timer_wheel: TimerWheel::new(now),
            due: Vec::new(),
            outputs: VecDeque::new(),
            is_shutting_down: false,
        }
    }

    /// The number of open connections.
    pub const fn peer_count(&self) -> usize {
        self.peers.len()
    }

    /// The number of channels with a subscription or a pending request on this shard.
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// The size limits that the driver must apply when it decodes the messages of peers.
    pub const fn limits(&self) -> &Limits {
        &self.settings().limits
    }

    pub(crate) const fn settings(&self) -> &HubSettings {
        self.policy.settings()
    }

    /// Queues an output.
    pub(crate) fn emit(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// Sends a message to one peer. Does nothing if the peer is closed.
    pub(crate) fn send(&mut self, peer: PeerId, message: Reply) {
        if self.peers.get(peer).is_some() {
            self.emit(Output::Send { peer, message });
        }
    }

    /// Schedules the peer's next deadline if it is earlier than the scheduled one.
    pub(crate) fn schedule(&mut self, id: PeerId) {
        let settings = self.policy.settings();
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let tick = TickNumber::at_or_after(peer.next_deadline(settings));
        if peer.scheduled.is_none_or(|scheduled| tick < scheduled) {
            peer.scheduled = Some(tick);
            self.timer_wheel.add(TimerEntry { peer: id, tick });
        }
    }

    fn accept(&mut self, id: PeerId, client: ClientId, access: Access) {
        self.peers.insert(Peer::new(id, client, access, self.now));
        let connections_max = self
            .settings()
            .peers_max
            .saturating_mul(CONNECTION_HEADROOM);
        if self.is_shutting_down {
            self.close(id, DisconnectCode::Shutdown);
        } else if self.peers.len() > connections_max {
            self.record_rejection(RejectionCause::Limit(HubLimit::Connections));
            self.close_full(id);
        } else {
            self.schedule(id);
        }
    }

    /// Whether as many sessions are open as the policy allows. Connections without a session do not count: otherwise a
    /// thundering herd that is larger than the hub would prevent its own sessions.
    pub(crate) const fn is_full(&self) -> bool {
        self.sessions >= self.policy.settings().peers_max
    }

    /// Closes a connection that exceeds the capacity and has no command to reply to.
    fn close_full(&mut self, id: PeerId) {
        self.close_with(id, TRY_AGAIN_LATER, Self::full_message());
    }

    /// Closes a connection with a disconnect code.
    pub(crate) fn close(&mut self, id: PeerId, code: DisconnectCode) {
        self.close_with(id, code.code(), code.reason().to_owned());
    }

    /// Closes a connection; the reason is plain text, never empty.
    pub(crate) fn close_with(&mut self, id: PeerId, code: u16, reason: String) {
        let closed_by = ClosedBy::Server {
            code,
            reason: reason.clone(),
        };
        if self.remove_peer(id, closed_by) {
            self.emit(Output::Disconnect {
                peer: id,
                code,
                reason,
            });
        }
    }

    /// Removes a connection and all its subscriptions. Returns `false` if the connection is unknown.
    fn remove_peer(&mut self, id: PeerId, closed_by: ClosedBy) -> bool {
        let Some(peer) = self.peers.remove(id) else {
            return false;
        };
        if matches!(peer.phase, PeerPhase::Connected { .. }) {
            self.sessions -= 1;
        }
        for subscription in &peer.subscriptions {
            self.leave_channel(peer.id, peer.info(), *subscription);
        }
        self.emit(Output::Notify(Event::PeerClosed {
            peer: id,
            client: peer.client,
            closed_by,
            duration: self.now - peer.accepted_at,
            idle: self.now - peer.last_activity_at,
        }));
        true
    }

    fn on_lost(&mut self, id: PeerId, loss: ConnectionLoss) {
        let closed_by = match loss {
            ConnectionLoss::CloseFrame { code, reason } => ClosedBy::Client { code, reason },
            ConnectionLoss::EndOfStream => ClosedBy::EndOfStream,
            ConnectionLoss::IoError => ClosedBy::IoError,
        };
        self.remove_peer(id, closed_by);
    }

    fn record_activity(&mut self, id: PeerId) {
        let now = self.now;
        if let Some(peer) = self.peers.get_mut(id) {
            peer.record_activity(now);
        }
    }

    fn on_command_received(&mut self, id: PeerId, command: Result<Command, DecodeError>) {
        self.record_activity(id);
        self.execute_or_queue(id, command);
        self.schedule(id);
    }

    fn on_engine_events(&mut self, events: Vec<EngineEvent>) {
        for event in events {
            match event {
                EngineEvent::Committed(committed) => self.on_committed(committed),
                EngineEvent::Response { number, response } => self.on_response(number, response),
                EngineEvent::Lagged => self.on_lagged(),
            }
        }
    }

    fn on_shard_message(&mut self, message: ShardMessage) {
        match message {
            ShardMessage::Join { channel, info } => {
                self.push_membership(&channel, info, crate::presence::MembershipChange::Joined);
            }
            ShardMessage::Leave { channel, info } => {
                self.push_membership(&channel, info, crate::presence::MembershipChange::Left);
            }
            ShardMessage::PresenceQuery {
                shard,
                number,
                channel,
                detail,
            } => {
                self.respond_to_presence_query(shard, number, &channel, detail);
            }
            ShardMessage::PresenceResponse {
                shard,
                number,
                presence,
            } => self.on_presence_response(shard, number, presence),
        }
    }

    fn tick(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.timer_wheel.advance(self.now, &mut due);
        for entry in due.drain(..) {
            self.on_timer(entry);
        }
        self.due = due;
        self.expire_presence_queries();
        self.report_rejections();
    }

    /// Handles the deadline of a peer, unless the entry has become stale.
    fn on_timer(&mut self, entry: TimerEntry) {
        let (now, settings) = (self.now, self.policy.settings());
        let Some(peer) = self
            .peers
            .get_mut(entry.peer)
            .filter(|peer| peer.scheduled == Some(entry.tick))
        else {
            return;
        };
        peer.scheduled = None;
        match peer.take_expired(now, settings) {
            Some(Deadline::Ping) => self.send(entry.peer, Reply::Ping),
            Some(Deadline::NoPong) => self.close(entry.peer, DisconnectCode::NoPong),
            Some(Deadline::ConnectTimeout) if self.is_full() => self.close_full(entry.peer),
            Some(Deadline::ConnectTimeout) => self.close(entry.peer, DisconnectCode::Stale),
            Some(Deadline::RejectedCloseTimeout) => {
                self.close(entry.peer, DisconnectCode::TooManyRequests);
            }
            Some(Deadline::WriteTimeout) => self.close(entry.peer, DisconnectCode::WriteError),
            None => {}
        }
        self.schedule(entry.peer);
    }

    fn shut_down(&mut self) {
        self.is_shutting_down = true;
        for id in self.peers.ids() {
            self.close(id, DisconnectCode::Shutdown);
        }
    }

    /// The message for a peer that exceeds the capacity: the peer's SDK increases the backoff and reconnects.
    pub(crate) fn full_message() -> String {
        with_retry_in("at capacity", FULL_RETRY_DELAY)
    }
}

impl Machine for Hub {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        self.now = now;
        match input {
            Input::Accepted {
                peer,
                client,
                access,
            } => self.accept(peer, client, access),
            Input::CommandReceived { peer, command, at } => {
                self.wall = at;
                self.on_command_received(peer, command);
            }
            Input::BytesReceived { peer } => self.record_activity(peer),
            Input::Malformed { peer, code, reason } => {
                self.close_with(peer, code, reason.to_owned());
            }
            Input::Lost { peer, loss } => self.on_lost(peer, loss),
            Input::SendBuffer { peer, bytes } => self.on_send_buffer(peer, bytes),
            Input::Written { peer, bytes } => self.on_written(peer, bytes),
            Input::Drained { peer } => self.on_drained(peer),
            Input::Engine { events } => self.on_engine_events(events),
            Input::ShardMessageReceived { message } => self.on_shard_message(message),
            Input::ShardMessageDropped { shard } => {
                self.record_rejection(RejectionCause::InboxFull { shard });
            }
            Input::ShutdownRequested => self.shut_down(),
            Input::Tick => self.tick(),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = [
            self.timer_wheel.next(),
            self.presence_queries.next_deadline(),
            self.rejections.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }
}

/// Lookups of pending requests by number; never iterated.
pub(crate) type ByNumber<T> = HashMap<u64, T>;
