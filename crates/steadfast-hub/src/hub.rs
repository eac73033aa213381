//! One shard of the server: the state machine that owns its peers, channels and timers.
//!
//! A hub makes every decision between the socket and the engine: who may connect, what a command does, which peers
//! receive which publication, and which peer is a slow consumer. It stores nothing, orders nothing (the engine does
//! both) and transfers no bytes (the shell of a shard does). One event loop owns it; hubs communicate only through the
//! order of the engine and through shard messages.
//!
//! Here is where inputs enter: the peer of an input is looked up once, and what it does from there on needs no other
//! lookup. Only the hub adds and removes peers. The shell may report something about a peer that the hub has already
//! closed; such an input has no effect.

use steadfast_engine::EngineEvent;
use steadfast_machine::{Instant, Machine, Seed, Timestamp};
use steadfast_protocol::codec::IncompleteCommand;
use steadfast_protocol::codes::DisconnectCode;
use steadfast_protocol::error::DecodeError;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::Command;

use crate::context::Context;
use crate::disconnect::Disconnect;
use crate::event::{ClosedBy, Event, HubLimit};
use crate::ids::{ClientId, PeerId};
use crate::io::{Access, ConnectionLoss, Input, Output, ShardMessage};
use crate::peer::Peer;
use crate::peers::Peers;
use crate::policy::HubPolicy;
use crate::presence::MembershipChange;
use crate::rejections::RejectionCause;
use crate::responses::ClosedCaller;
use crate::shared::Shared;
use crate::slow_consumer::SlowestFirst;
use crate::timer_wheel::TimerEntry;
use crate::{api, catch_up, commits, presence, responses};

/// Maximum number of connections per permitted session. Connections without a session (not connected yet, or rejected)
/// are closed by their timeouts; until then, this maximum bounds them.
const CONNECTION_HEADROOM: usize = 2;

/// One shard of the server.
#[derive(Debug)]
pub struct Hub {
    peers: Peers,
    shared: Shared,
    due: Vec<TimerEntry>,
    slowest_first: SlowestFirst,
    is_shutting_down: bool,
}

impl Hub {
    /// A hub without peers. The seed determines the jitter of first pings and nothing else.
    pub fn new(policy: HubPolicy, seed: Seed, now: Instant) -> Self {
        Self {
            peers: Peers::default(),
            shared: Shared::new(Context::new(policy, seed, now)),
            due: Vec::new(),
            slowest_first: SlowestFirst::default(),
            is_shutting_down: false,
        }
    }

    /// The number of open connections.
    pub const fn peer_count(&self) -> usize {
        self.peers.len()
    }

    /// The number of channels with a subscription or a pending request on this shard.
    pub fn channel_count(&self) -> usize {
        self.shared.channels.len()
    }

    /// The size limits that the driver must apply when it decodes the messages of peers.
    pub const fn limits(&self) -> &Limits {
        &self.shared.context.settings().limits
    }

    fn accept(&mut self, id: PeerId, client: ClientId, access: Access) {
        let context = &mut self.shared.context;
        let mut peer = Peer::new(id, client, access, context.now);
        let peers_max = context.settings().peers_max;
        let refusal = if self.is_shutting_down {
            Some(DisconnectCode::Shutdown.into())
        } else if self.peers.len() >= peers_max.saturating_mul(CONNECTION_HEADROOM) {
            context.record_rejection(RejectionCause::Limit(HubLimit::Connections));
            Some(Disconnect::full())
        } else {
            self.shared.schedule(&mut peer);
            None
        };
        self.peers.insert(peer);
        if let Some(refusal) = refusal {
            self.close(id, refusal);
        }
    }

    /// Closes a connection.
    fn close(&mut self, id: PeerId, disconnect: Disconnect) {
        let unsent = disconnect.unsent();
        let Disconnect { code, reason } = disconnect;
        let closed_by = ClosedBy::Server {
            code,
            reason: reason.clone(),
        };
        if self.remove_peer(id, closed_by) {
            self.shared.context.emit(Output::Disconnect {
                peer: id,
                code,
                reason,
                unsent,
            });
        }
    }

    /// Removes a connection and all its subscriptions. Returns `false` if the connection is unknown.
    fn remove_peer(&mut self, id: PeerId, closed_by: ClosedBy) -> bool {
        let Some(peer) = self.peers.remove(id) else {
            return false;
        };
        if peer.has_session() {
            self.shared.sessions -= 1;
        }
        peer.leave_all_channels(&mut self.shared);
        self.shared.incomplete.remove(id);
        let context = &mut self.shared.context;
        context.notify(Event::PeerClosed {
            peer: id,
            client: peer.client,
            closed_by,
            duration: context.now - peer.accepted_at,
            idle: context.now - peer.last_activity_at,
        });
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

    /// Lets a peer execute a command.
    ///
    /// # Panics
    ///
    /// If the peer is paused: a bug in the driver.
    fn on_command(&mut self, id: PeerId, command: Result<Command, DecodeError>, at: Timestamp) {
        self.shared.context.wall = at;
        self.with_peer(id, |peer, shared| {
            assert!(!peer.is_paused, "{id:?} is paused");
            peer.record_activity(shared.context.now);
            peer.execute(shared, command)
        });
    }

    /// Records an incomplete command, and closes peers while all of them need too much memory.
    fn on_incomplete(&mut self, id: PeerId, command: Option<IncompleteCommand>) {
        let Shared {
            context,
            incomplete,
            ..
        } = &mut self.shared;
        match command.filter(|_| self.peers.get(id).is_some()) {
            Some(command) => incomplete.record(context.now, id, command),
            None => incomplete.remove(id),
        }
        while let Some(peer) = self
            .shared
            .incomplete
            .excess(self.shared.context.settings())
        {
            let cause = RejectionCause::Limit(HubLimit::IncompleteBytes);
            self.shared.context.record_rejection(cause);
            self.close(peer, Disconnect::incomplete_bytes());
        }
    }

    /// Closes the peers whose command has made no progress for too long. One that is not read from cannot make any.
    fn close_incomplete(&mut self) {
        let now = self.shared.context.now;
        loop {
            let settings = self.shared.context.settings();
            let Some(id) = self.shared.incomplete.expired(now, settings) else {
                return;
            };
            if self.peers.get(id).is_some_and(|peer| peer.is_paused) {
                self.shared.incomplete.restart(now, id);
            } else {
                self.close(id, Disconnect::message_timeout());
            }
        }
    }

    /// Lets a peer handle an input, and schedules its next deadline or closes it.
    fn with_peer(
        &mut self,
        id: PeerId,
        handle: impl FnOnce(&mut Peer, &mut Shared) -> Result<(), Disconnect>,
    ) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        match handle(peer, &mut self.shared) {
            Ok(()) => self.shared.schedule(peer),
            Err(disconnect) => self.close(id, disconnect),
        }
    }

    fn on_engine_events(&mut self, events: Vec<EngineEvent>) {
        for event in events {
            let (peers, shared) = (&mut self.peers, &mut self.shared);
            match event {
                EngineEvent::Committed(committed) => {
                    commits::on_committed(peers, shared, committed);
                }
                EngineEvent::Response { number, response } => {
                    responses::on_response(peers, shared, number, response);
                }
                EngineEvent::Lagged => catch_up::on_lagged(shared),
            }
        }
    }

    fn on_shard_message(&mut self, message: ShardMessage) {
        let (peers, shared) = (&mut self.peers, &mut self.shared);
        match message {
            ShardMessage::Join { channel, info } => {
                presence::push_membership(shared, &channel, info, MembershipChange::Joined);
            }
            ShardMessage::Leave { channel, info } => {
                presence::push_membership(shared, &channel, info, MembershipChange::Left);
            }
            ShardMessage::PresenceQuery {
                shard,
                number,
                channel,
                detail,
            } => presence::respond(peers, shared, shard, number, &channel, detail),
            ShardMessage::PresenceResponse {
                shard,
                number,
                presence,
            } => responses::on_presence_response(peers, shared, shard, number, presence),
        }
    }

    fn tick(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        let now = self.shared.context.now;
        self.shared.timer_wheel.advance(now, &mut due);
        for entry in due.drain(..) {
            let TimerEntry { peer, tick } = entry;
            self.with_peer(peer, |peer, shared| peer.on_timer(shared, tick));
        }
        self.due = due;
        while let Some(entry) = self.shared.pending.take_expired(self.shared.context.now) {
            responses::on_timeout(&mut self.peers, &mut self.shared, entry);
        }
        self.close_incomplete();
        catch_up::on_tick(&mut self.shared);
        self.shared.context.report_rejections();
    }

    fn shut_down(&mut self) {
        self.is_shutting_down = true;
        for id in self.peers.ids() {
            self.close(id, DisconnectCode::Shutdown.into());
        }
    }

    fn on_unsent_memory(&mut self, bytes: usize) {
        let slowest = self
            .slowest_first
            .next(&self.peers, &mut self.shared, bytes);
        if let Some(peer) = slowest {
            self.close(peer, DisconnectCode::Slow.into());
        }
    }
}

impl Machine for Hub {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        self.shared.context.now = now;
        match input {
            Input::Accepted {
                peer,
                client,
                access,
            } => self.accept(peer, client, access),
            Input::CommandReceived { peer, command, at } => self.on_command(peer, command, at),
            Input::BytesReceived { peer } => {
                if let Some(peer) = self.peers.get_mut(peer) {
                    peer.record_activity(now);
                }
            }
            Input::Incomplete { peer, command } => self.on_incomplete(peer, command),
            Input::Malformed { peer, code, reason } => {
                let reason = reason.to_owned();
                self.close(peer, Disconnect { code, reason });
            }
            Input::Lost { peer, loss } => self.on_lost(peer, loss),
            Input::SendBuffer { peer, bytes } => {
                self.with_peer(peer, |peer, shared| {
                    peer.on_buffered(&shared.context, bytes)
                });
            }
            Input::Written { peer, bytes } => {
                if let Some(peer) = self.peers.get_mut(peer) {
                    peer.record_written(now, bytes);
                }
            }
            Input::Drained { peer } => {
                if let Some(peer) = self.peers.get_mut(peer) {
                    peer.on_drained(&mut self.shared);
                }
            }
            Input::PingBuffered { peer, bytes } => {
                if let Some(peer) = self.peers.get_mut(peer) {
                    peer.record_ping_buffered(bytes);
                }
            }
            Input::UnsentMemory { bytes } => self.on_unsent_memory(bytes),
            Input::ApiPublishReceived { call, publication } => {
                api::publish(&mut self.shared, call, publication);
            }
            Input::Engine { events } => self.on_engine_events(events),
            Input::ShardMessageReceived { message } => self.on_shard_message(message),
            Input::ShardMessageDropped { shard, query } => {
                let cause = RejectionCause::InboxFull { shard };
                self.shared.context.record_rejection(cause);
                if let Some(number) = query {
                    responses::on_query_dropped(&mut self.peers, &mut self.shared, number);
                }
            }
            Input::Decided {
                number,
                decision,
                at,
            } => {
                self.shared.context.wall = at;
                let (peers, shared) = (&mut self.peers, &mut self.shared);
                let outcome = responses::on_decided(peers, shared, number, decision);
                if let Err(ClosedCaller { peer, disconnect }) = outcome {
                    self.close(peer, disconnect);
                }
            }
            Input::ShutdownRequested => self.shut_down(),
            Input::Tick => self.tick(),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.shared.context.take_output()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = [
            self.shared.timer_wheel.next(),
            self.shared.pending.next_deadline(),
            self.shared.catch_up_reads.next_deadline(),
            self.shared
                .incomplete
                .next_deadline(self.shared.context.settings()),
            self.shared.context.next_report(),
        ];
        deadlines.into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
