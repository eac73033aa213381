//! The hubs of a gateway process with their sockets: feeds inputs to the hubs and executes their outputs.

use steadfast_engine::EngineEvent;
use steadfast_faults::link::StreamEnd;
use steadfast_hub::Hub;
use steadfast_hub::event::{ClosedBy, Event as HubEvent};
use steadfast_hub::io::{
    Access, ClientId, ConnectionLoss, Destination, Input, Output, PeerId, ShardMessage, Unsent,
};
use steadfast_machine::{Instant, Machine, Seed, convert};
use steadfast_protocol::codec::{Encoding, PerEncoding, ReplyCoalescer, ReplyPayload};
use steadfast_protocol::codes::DisconnectCode;
use steadfast_protocol::message::{PushEvent, Reply, ReplyResult};
use steadfast_protocol::websocket::encoder::encode_server;
use steadfast_protocol::websocket::{EndOfStream, Opcode};

use super::peers::Peers;
use super::requests::RequestQueue;
use super::shard_bus::{InboxFull, ShardBus};
use super::sockets::{Socket, Sockets};
use crate::context::Context;
use crate::ids::{ClientIndex, ConnectionId, ProcessId};
use crate::network::Network;
use crate::planted_bug::{alter_shard_message, is_lost_reply};
use crate::reference_model::Invariant;
use crate::settings::SHARDS;
use crate::words;

mod inbound;

/// What the hubs reach outside themselves.
pub(crate) struct Ports<'a> {
    pub(crate) ctx: &'a mut Context,
    pub(crate) network: &'a mut Network,
    pub(crate) requests: &'a mut RequestQueue,
}

#[derive(Debug)]
struct Shard {
    hub: Hub,
    peers: Peers,
    /// Replies to one peer that are not sent yet; empty between two inputs.
    replies: ReplyCoalescer<PeerId>,
}

/// The hubs of a process.
#[derive(Debug)]
pub(crate) struct Hubs {
    process: ProcessId,
    shards: Vec<Shard>,
    sockets: Sockets,
    bus: ShardBus,
}

impl Hubs {
    pub(crate) fn new(ctx: &mut Context, process: ProcessId) -> Self {
        let now = ctx.now();
        let mut new_shard = |shard| Shard {
            hub: Hub::new(
                ctx.settings.hub(shard, ctx.planted_bug),
                Seed::new(ctx.generator.next_u64()),
                now,
            ),
            peers: Peers::new(ctx.planted_bug),
            replies: ReplyCoalescer::default(),
        };
        Self {
            process,
            shards: (0..SHARDS).map(&mut new_shard).collect(),
            sockets: Sockets::new(process.node),
            bus: ShardBus::new(process),
        }
    }

    /// Opens a connection of a client to a random shard, if the process accepts connections.
    pub(crate) fn accept(
        &mut self,
        ports: &mut Ports<'_>,
        client_end: ClientIndex,
        encoding: Encoding,
    ) -> Option<ConnectionId> {
        if !ports.requests.is_open {
            return None;
        }
        let client = ClientId(u128::from(ports.ctx.generator.next_u64()));
        let index = ports.ctx.generator.below_len(usize::from(SHARDS));
        let node = self.process.node;
        let shard = self.shards.get_mut(index)?;
        let connection = ports.network.open(ports.ctx, client_end, node);
        let (peer, is_reused) = shard.peers.insert(connection);
        ports.ctx.totals.slots_reused += u64::from(is_reused);
        let member = client.to_string();
        ports.ctx.membership.on_accepted(connection, node, member);
        self.sockets
            .insert(ports.ctx, connection, index, peer, encoding);
        let access = Access::Anonymous;
        let accepted = Input::Accepted {
            peer,
            client,
            access,
        };
        self.drive(ports, index, accepted);
        Some(connection)
    }

    /// Feeds an input to a hub and executes the outputs.
    pub(crate) fn drive(&mut self, ports: &mut Ports<'_>, shard: usize, input: Input) {
        self.feed(ports, shard, input);
        self.finish_step(ports, shard);
    }

    /// Feeds an input to all hubs.
    pub(crate) fn drive_all(&mut self, ports: &mut Ports<'_>, input: &Input) {
        for shard in 0..usize::from(SHARDS) {
            self.drive(ports, shard, input.clone());
        }
    }

    /// Feeds the events that the engine delivered to a shard.
    pub(crate) fn drive_with_events(
        &mut self,
        ports: &mut Ports<'_>,
        shard: u16,
        events: Vec<EngineEvent>,
    ) {
        let lags = events.iter().filter(|event| **event == EngineEvent::Lagged);
        ports.ctx.totals.shard_lags += convert::to_u64(lags.count());
        self.drive(ports, usize::from(shard), Input::Engine { events });
    }

    /// A shard takes messages from its inbox.
    pub(crate) fn deliver_messages(&mut self, ports: &mut Ports<'_>, shard: usize) {
        for message in self.bus.take(shard) {
            ports.ctx.totals.shard_messages_received += 1;
            self.drive(ports, shard, Input::ShardMessageReceived { message });
        }
        self.bus.schedule_delivery(ports.ctx, shard);
    }

    /// The earliest deadline of a hub.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let deadlines = self.shards.iter().filter_map(|it| it.hub.poll_timeout());
        deadlines.min()
    }

    /// Whether no message between shards is in progress.
    pub(crate) fn is_quiet(&self) -> bool {
        self.bus.is_empty()
    }

    pub(crate) const fn sockets(&mut self) -> &mut Sockets {
        &mut self.sockets
    }
}

/// Reports of the network.
impl Hubs {
    /// The connection has ended, as the gateway sees it.
    pub(crate) fn on_stream_end(
        &mut self,
        ports: &mut Ports<'_>,
        connection: ConnectionId,
        end: StreamEnd,
    ) {
        let loss = match end {
            StreamEnd::Closed => ConnectionLoss::EndOfStream,
            StreamEnd::Reset => ConnectionLoss::IoError,
        };
        if let Some(mut socket) = self.close_socket(ports, connection)
            && socket.endpoint.on_end_of_stream() == EndOfStream::Lost
        {
            self.on_peer_lost(ports, &socket, loss);
        }
    }

    /// The network has accepted bytes for a client.
    pub(crate) fn on_written(&mut self, ports: &mut Ports<'_>, connection: ConnectionId) {
        let report = self
            .sockets
            .report_accepted_bytes(ports.ctx.now(), ports.network, connection);
        if let Some((shard, input)) = report {
            self.drive(ports, shard, input);
        }
    }

    /// Reports the size of a send buffer to the hub at the end of a loop iteration.
    pub(crate) fn report_send_buffer(&mut self, ports: &mut Ports<'_>, connection: ConnectionId) {
        let report = self
            .sockets
            .report_send_buffer(ports.ctx, ports.network, connection);
        if let Some((shard, input)) = report {
            self.drive(ports, shard, input);
            self.report_unsent_memory(ports, shard);
        }
        self.sockets
            .check_send_buffer_size(ports.ctx, ports.network, connection);
    }

    /// Reports the total of a shard's send buffers, and again after each peer that its hub closes because of it.
    fn report_unsent_memory(&mut self, ports: &mut Ports<'_>, shard: usize) {
        let peer_count = |hubs: &Self| hubs.shards.get(shard).map_or(0, |it| it.hub.peer_count());
        loop {
            let (peers, bytes) = (
                peer_count(self),
                self.sockets.unsent_bytes(ports.network, shard),
            );
            self.drive(ports, shard, Input::UnsentMemory { bytes });
            if peer_count(self) == peers {
                return;
            }
        }
    }

    fn on_peer_lost(&mut self, ports: &mut Ports<'_>, socket: &Socket, loss: ConnectionLoss) {
        let (shard, peer) = (socket.shard, socket.peer);
        self.remove_peer(shard, peer);
        self.drive(ports, shard, Input::Lost { peer, loss });
    }

    fn close_socket(&mut self, ports: &mut Ports<'_>, connection: ConnectionId) -> Option<Socket> {
        self.sockets.close(ports.ctx, ports.network, connection)
    }

    /// Removes a peer that its hub has already removed, or is about to.
    fn remove_peer(&mut self, shard: usize, peer: PeerId) {
        if let Some(shard) = self.shards.get_mut(shard) {
            shard.peers.remove(peer);
        }
    }
}

/// Outputs of the hubs.
impl Hubs {
    fn feed(&mut self, ports: &mut Ports<'_>, index: usize, input: Input) {
        let Some(shard) = self.shards.get_mut(index) else {
            return;
        };
        shard.hub.handle(ports.ctx.now(), input);
        let outputs: Vec<Output> = std::iter::from_fn(|| shard.hub.poll_output()).collect();
        for output in outputs {
            self.execute(ports, index, output);
        }
    }

    fn finish_step(&mut self, ports: &mut Ports<'_>, index: usize) {
        self.send_replies(ports, index);
        ports.requests.schedule_iteration(ports.ctx);
    }

    fn execute(&mut self, ports: &mut Ports<'_>, index: usize, output: Output) {
        if !matches!(output, Output::Send { .. }) {
            self.send_replies(ports, index);
        }
        match output {
            Output::Send { peer, message } => self.reply(ports, index, peer, &message),
            Output::Fanout { message, to } => self.fan_out(ports, index, &message, &to),
            Output::Disconnect {
                peer,
                code,
                reason,
                unsent,
            } => {
                let connection = self.connection_of(index, peer);
                if let Some(connection) = connection.filter(|_| unsent == Unsent::Discard) {
                    ports.network.discard_unsent_to_client(connection);
                }
                self.close_peer(ports, index, peer, code, &reason);
            }
            Output::PauseReading { peer } => self.set_paused(ports, index, peer, true),
            Output::ResumeReading { peer } => self.set_paused(ports, index, peer, false),
            Output::Request(request) => ports.requests.push(request),
            Output::Broadcast(message) => {
                for message in alter_shard_message(message, ports.ctx.planted_bug) {
                    self.broadcast(ports, index, &message);
                }
            }
            Output::Decide { .. } => {
                unreachable!("the simulated hubs decide about connect commands themselves")
            }
            Output::ReplyToApi { .. } => {
                unreachable!("no simulated application calls the API")
            }
            Output::Notify(event) => self.on_event(ports, index, &event),
        }
    }

    /// Appends a message of a hub to the replies that share a frame.
    fn reply(&mut self, ports: &mut Ports<'_>, index: usize, peer: PeerId, message: &Reply) {
        let Some((connection, encoding)) = self.receiver(index, peer) else {
            return;
        };
        if is_lost_reply(message, ports.ctx.planted_bug) {
            return;
        }
        if *message == Reply::Ping && Sockets::has_unsent_bytes(ports.network, connection) {
            return self.send_ping(ports, index, peer, encoding);
        }
        let now = ports.ctx.now();
        let membership = &mut ports.ctx.membership;
        match message {
            Reply::Response {
                id,
                outcome: Ok(ReplyResult::Subscribe(_)),
            } => membership.on_subscribe_granted(connection, *id),
            Reply::Push(push) if matches!(push.event, PushEvent::Unsubscribe { .. }) => {
                membership.on_unsubscribed(now, connection, push.channel.as_str());
            }
            Reply::Response { .. } | Reply::Push(_) | Reply::Ping => {}
        }
        let must_finish = |shard: &Shard| !shard.replies.accepts(peer);
        if self.shards.get(index).is_some_and(must_finish) {
            self.send_replies(ports, index);
        }
        if let Some(shard) = self.shards.get_mut(index) {
            shard.replies.append(peer, encoding, message);
        }
    }

    /// Sends a ping before everything that is unsent.
    fn send_ping(&mut self, ports: &mut Ports<'_>, index: usize, peer: PeerId, encoding: Encoding) {
        let mut payload = Vec::new();
        encoding.append_reply(&mut payload, &Reply::Ping);
        let frame = encode_server(Opcode::from(encoding.message_kind()), &payload);
        let Some(connection) = self.connection_of(index, peer) else {
            return;
        };
        let sockets = &mut self.sockets;
        if let Some(bytes) = sockets.send_ping(ports.ctx, ports.network, connection, frame) {
            self.feed(ports, index, Input::PingBuffered { peer, bytes });
        }
    }

    /// Sends the frame with the replies that were appended last.
    fn send_replies(&mut self, ports: &mut Ports<'_>, index: usize) {
        let shard = self.shards.get_mut(index);
        let Some(ReplyPayload {
            receiver,
            encoding,
            bytes,
        }) = shard.and_then(|shard| shard.replies.take())
        else {
            return;
        };
        let frame = encode_server(Opcode::from(encoding.message_kind()), bytes);
        if let Some(connection) = self.connection_of(index, receiver) {
            self.sockets
                .send(ports.ctx, ports.network, connection, frame);
        }
    }

    /// Sends a message to many peers, encoded once for each encoding.
    fn fan_out(&mut self, ports: &mut Ports<'_>, index: usize, message: &Reply, to: &[PeerId]) {
        let mut frames = PerEncoding::default();
        for peer in to {
            let Some((connection, encoding)) = self.receiver(index, *peer) else {
                continue;
            };
            let frame = frames.get_or_insert_with(encoding, || {
                let mut payload = Vec::new();
                encoding.append_reply(&mut payload, message);
                encode_server(Opcode::from(encoding.message_kind()), &payload)
            });
            self.sockets
                .send(ports.ctx, ports.network, connection, frame.clone());
        }
    }

    /// Puts a message of a shard into the inboxes of its destination.
    fn broadcast(&mut self, ports: &mut Ports<'_>, sender: usize, message: &ShardMessage) {
        for shard in 0..SHARDS {
            let is_receiver = match message.destination() {
                Destination::AllShards => true,
                Destination::Shard(receiver) => receiver == shard,
            };
            let inbox = usize::from(shard);
            if is_receiver && self.bus.try_put(ports.ctx, inbox, message) == Err(InboxFull) {
                self.drive(
                    ports,
                    sender,
                    Input::ShardMessageDropped {
                        shard,
                        query: message.query(),
                    },
                );
            }
        }
    }

    fn connection_of(&mut self, index: usize, peer: PeerId) -> Option<ConnectionId> {
        self.shards.get_mut(index)?.peers.connection(peer)
    }

    /// Returns the connection of a peer, and the encoding of its socket.
    fn receiver(&mut self, index: usize, peer: PeerId) -> Option<(ConnectionId, Encoding)> {
        let connection = self.connection_of(index, peer)?;
        let socket = self.sockets.get_mut(connection)?;
        Some((connection, socket.encoding))
    }

    /// Sends the close frame after everything else and closes the gateway's end.
    fn close_peer(
        &mut self,
        ports: &mut Ports<'_>,
        index: usize,
        peer: PeerId,
        code: u16,
        reason: &str,
    ) {
        let Some(connection) = self.connection_of(index, peer) else {
            return;
        };
        if code == DisconnectCode::NoPong.code() && !ports.network.is_excused(ports.ctx, connection)
        {
            let details = format!(
                "the gateway closed {} at {}",
                ports.network.describe(connection),
                words::at(ports.ctx.now())
            );
            ports.ctx.report(Invariant::HealthyPeersKept, details);
        }
        if code == DisconnectCode::ForceReconnect.code() {
            ports.ctx.totals.endless_commands += 1;
        }
        self.remove_peer(index, peer);
        let socket = self.sockets.get_mut(connection);
        if let Some(close) = socket.and_then(|socket| socket.endpoint.close(code, reason)) {
            self.sockets
                .send_control(ports.ctx, ports.network, connection, &close);
        }
        self.close_socket(ports, connection);
    }

    /// Handles an event that a hub reports to the operator.
    fn on_event(&mut self, ports: &mut Ports<'_>, index: usize, event: &HubEvent) {
        let HubEvent::PeerClosed {
            peer,
            closed_by: end,
            idle,
            ..
        } = event
        else {
            return;
        };
        let ClosedBy::Server { code, .. } = end else {
            return;
        };
        let is_one_of = |codes: &[DisconnectCode]| codes.iter().any(|it| it.code() == *code);
        if is_one_of(&[DisconnectCode::NoPong]) {
            ports.ctx.totals.dead_peers_detected += 1;
            let connection = self.connection_of(index, *peer);
            let socket = connection.and_then(|connection| self.sockets.get_mut(connection));
            let now = ports.ctx.now();
            let settings = &ports.ctx.settings;
            let (counted, longest) = socket.map_or_else(
                || (*idle, settings.peer_silence_max()),
                |socket| {
                    let counted = now.saturating_since(socket.silence_counts_from);
                    (counted, socket.silence_max(settings))
                },
            );
            let silence = counted.min(*idle);
            if silence > longest && ports.ctx.now() >= ports.ctx.silence_excused_until() {
                let details = format!(
                    "the gateway detected a silent client after {}, the limit is {}",
                    words::seconds(silence),
                    words::seconds(longest)
                );
                ports.ctx.report(Invariant::DeadPeersDetected, details);
            }
        } else if is_one_of(&[DisconnectCode::Slow, DisconnectCode::WriteError]) {
            ports.ctx.totals.slow_consumers_closed += 1;
        }
    }
}
