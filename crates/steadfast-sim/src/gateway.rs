//! The gateway process in the world: its hubs and its engine, and the work of their shells as events.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use steadfast_engine::io::Input as EngineInput;
use steadfast_engine::order::{Delivery, ShardOrder};
use steadfast_engine::{ChannelEpoch, Committed, EngineEvent, Request};
use steadfast_hub::Hub;
use steadfast_hub::event::{ClosedBy, Event as HubEvent};
use steadfast_hub::io::{Input, Output, PeerId};
use steadfast_machine::{Instant, Machine, Seed, convert};
use steadfast_protocol::codec::{Encoding, PerEncoding, ReplyCoalescer, ReplyPayload};
use steadfast_protocol::codes::DisconnectCode;
use steadfast_protocol::message::{ChannelName, Reply};
use steadfast_protocol::websocket::Opcode;
use steadfast_protocol::websocket::encoder::encode_server;

use crate::connections::ConnectionId;
use crate::engine::GatewayEngine;
use crate::log_thread::DiskOperation;
use crate::reference_model::Invariant;
use crate::settings::SHARDS;
use crate::shard_bus::Inbox;
use crate::socket::PingTiming;
use crate::world::{World, WorldEvent};

/// The maximum number of events that a shard takes at once: so few that events often stay in the order.
const EVENTS_MAX: usize = 16;

/// The shard number in requests of the world itself; no hub has this number.
pub(crate) const WORLD_SHARD: u16 = u16::MAX;

#[derive(Debug)]
pub(crate) struct Shard {
    hub: Hub,
    pub(crate) inbox: Inbox,
    connections: BTreeMap<PeerId, ConnectionId>,
    /// Replies to one peer that are not sent yet; empty between two inputs.
    replies: ReplyCoalescer<PeerId>,
    next_peer: u32,
    is_iteration_scheduled: bool,
}

/// The progress of a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShutdownPhase {
    /// No shutdown was requested.
    Running,
    /// The log was requested to close.
    Requested,
    /// The log reported that it cannot record a clean shutdown.
    Unclean,
}

/// One process of the gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) is_open: bool,
    pub(crate) shutdown_phase: ShutdownPhase,
    pub(crate) engine: GatewayEngine,
    pub(crate) shards: Vec<Shard>,
    /// What the log delivers and the shards have not received.
    pub(crate) order: ShardOrder,
    /// Requests for the log's next loop iteration.
    pub(crate) log_queue: VecDeque<Request>,
    pub(crate) is_log_iteration_scheduled: bool,
    tick_at: Option<Instant>,
    /// The write in progress, which may be on disk after a crash.
    pub(crate) write_in_progress: Option<DiskOperation>,
    /// The number of disk operations in progress.
    pub(crate) pending_operations: usize,
    /// The epoch and high watermark of each channel, for the planted bug that replaces positions.
    pub(crate) high_watermarks: BTreeMap<ChannelName, (ChannelEpoch, u64)>,
}

impl World {
    /// Starts the process; a log finds the segments on the disk.
    pub(crate) fn start_gateway(&mut self) {
        let now = self.clock.now();
        let engine = self.new_engine();
        let shards = (0..SHARDS).map(|shard| Shard {
            hub: Hub::new(
                self.settings.hub(shard, self.planted_bug),
                Seed::new(self.generator.next_u64()),
                now,
            ),
            inbox: Inbox::default(),
            connections: BTreeMap::new(),
            replies: ReplyCoalescer::default(),
            next_peer: 0,
            is_iteration_scheduled: false,
        });
        self.gateway = Some(Gateway {
            is_open: false,
            shutdown_phase: ShutdownPhase::Running,
            engine,
            shards: shards.collect(),
            order: ShardOrder::new(SHARDS, self.settings.order_limits),
            log_queue: VecDeque::new(),
            is_log_iteration_scheduled: false,
            tick_at: None,
            write_in_progress: None,
            pending_operations: 0,
            high_watermarks: BTreeMap::new(),
        });
        self.open_engine();
    }

    /// Creates a peer on a random shard for a new connection; `None` when the gateway accepts no connections. The
    /// caller reports the peer to the hub.
    pub(crate) fn create_peer(&mut self, connection: ConnectionId) -> Option<(usize, PeerId)> {
        let index = self.generator.below_len(usize::from(SHARDS));
        let shard = self
            .gateway
            .as_mut()
            .filter(|gateway| gateway.is_open)?
            .shards
            .get_mut(index)?;
        let peer = PeerId {
            index: shard.next_peer,
            generation: 0,
        };
        shard.next_peer += 1;
        shard.connections.insert(peer, connection);
        Some((index, peer))
    }

    /// Feeds an input to a hub and executes the outputs.
    pub(crate) fn drive_hub(&mut self, index: usize, input: Input) {
        self.feed_hub(index, input);
        self.finish_hub_step(index);
    }

    /// Feeds the commands in a message of a client to its hub, until one of them closes the connection. The replies to
    /// one message share a frame.
    pub(crate) fn drive_hub_with_message(
        &mut self,
        index: usize,
        peer: PeerId,
        encoding: Encoding,
        message: &Bytes,
    ) {
        let Some(limits) = self.shard_mut(index).map(|shard| *shard.hub.limits()) else {
            return;
        };
        let at = self.wall();
        for command in encoding.decode_commands(message, &limits) {
            self.feed_hub(index, Input::CommandReceived { peer, command, at });
            if self.connection_of(index, peer).is_none() {
                break;
            }
        }
        self.finish_hub_step(index);
    }

    fn feed_hub(&mut self, index: usize, input: Input) {
        let now = self.clock.now();
        let Some(shard) = self
            .gateway
            .as_mut()
            .and_then(|gateway| gateway.shards.get_mut(index))
        else {
            return;
        };
        shard.hub.handle(now, input);
        let outputs: Vec<Output> = std::iter::from_fn(|| shard.hub.poll_output()).collect();
        for output in outputs {
            self.execute_hub_output(index, output);
        }
    }

    fn finish_hub_step(&mut self, index: usize) {
        self.send_replies(index);
        self.schedule_log_iteration();
        self.schedule_tick();
    }

    fn execute_hub_output(&mut self, index: usize, output: Output) {
        if !matches!(output, Output::Send { .. }) {
            self.send_replies(index);
        }
        match output {
            Output::Send { peer, message } => self.reply(index, peer, &message),
            Output::Fanout { message, to } => self.fan_out(index, &message, &to),
            Output::Disconnect { peer, code, reason } => {
                self.close_peer(index, peer, code, &reason);
            }
            Output::PauseReading { peer } => {
                if let Some(connection) = self.connection_of(index, peer) {
                    self.set_reading(connection, true);
                }
            }
            Output::ResumeReading { peer } => {
                if let Some(connection) = self.connection_of(index, peer) {
                    self.set_reading(connection, false);
                }
            }
            Output::Request(request) => self.queue_for_log(request),
            Output::ReplyToApi { .. } => unreachable!("no simulated application calls the API"),
            Output::Decide { .. } => {
                unreachable!("the simulated hubs decide about connect commands themselves")
            }
            Output::Broadcast(message) => self.send_to_shards(index, &message),
            Output::Notify(event) => self.on_hub_event(index, &event),
        }
    }

    /// Appends a message of a hub to the replies that share a frame.
    fn reply(&mut self, index: usize, peer: PeerId, message: &Reply) {
        let Some((_, encoding)) = self.receiver(index, peer) else {
            return;
        };
        let must_finish = |shard: &mut Shard| !shard.replies.accepts(peer);
        if self.shard_mut(index).is_some_and(must_finish) {
            self.send_replies(index);
        }
        if let Some(shard) = self.shard_mut(index) {
            shard.replies.append(peer, encoding, message);
        }
    }

    /// Sends the frame with the replies that were appended last.
    fn send_replies(&mut self, index: usize) {
        let Some(ReplyPayload {
            receiver,
            encoding,
            bytes,
        }) = self.shard_mut(index).and_then(|shard| shard.replies.take())
        else {
            return;
        };
        let frame = encode_server(Opcode::from(encoding.message_kind()), bytes);
        if let Some(connection) = self.connection_of(index, receiver) {
            self.send_to_client(connection, frame);
        }
    }

    /// Sends a message to many peers, encoded once for each encoding.
    fn fan_out(&mut self, index: usize, message: &Reply, to: &[PeerId]) {
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
            self.send_to_client(connection, frame.clone());
        }
    }

    fn shard_mut(&mut self, index: usize) -> Option<&mut Shard> {
        self.gateway.as_mut()?.shards.get_mut(index)
    }

    fn connection_of(&self, index: usize, peer: PeerId) -> Option<ConnectionId> {
        let shard = self.gateway.as_ref()?.shards.get(index)?;
        shard.connections.get(&peer).copied()
    }

    /// Returns the connection of a peer, and the encoding of its socket.
    fn receiver(&self, index: usize, peer: PeerId) -> Option<(ConnectionId, Encoding)> {
        let connection = self.connection_of(index, peer)?;
        let socket = self.connections.get(&connection)?.socket.as_ref()?;
        Some((connection, socket.encoding))
    }

    fn queue_for_log(&mut self, request: Request) {
        if let Some(gateway) = &mut self.gateway {
            gateway.log_queue.push_back(request);
        }
    }

    /// Sends the close frame after everything else and closes the gateway's end.
    fn close_peer(&mut self, index: usize, peer: PeerId, code: u16, reason: &str) {
        let Some(connection) = self.connection_of(index, peer) else {
            return;
        };
        if code == DisconnectCode::NoPong.code() && !self.faulted.contains(&connection) {
            let details = format!("the gateway closed {connection:?}, which is healthy");
            self.reference_model
                .report_violation(Invariant::HealthyPeersKept, details);
        }
        self.remove_peer(index, peer);
        let socket = self.socket(connection);
        if let Some(close) = socket.and_then(|socket| socket.endpoint.close(code, reason)) {
            self.send_control_to_client(connection, &close);
        }
        self.close_as_gateway(connection);
    }

    /// Handles an event that a hub reports to the operator.
    fn on_hub_event(&mut self, index: usize, event: &HubEvent) {
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
            self.totals.dead_peers_detected += 1;
            let connection = self.connection_of(index, *peer);
            let socket = connection
                .and_then(|connection| self.connections.get(&connection)?.socket.as_ref());
            let ping_timing = socket.map_or(PingTiming::Prompt, |socket| socket.ping_timing);
            let longest = self.settings.peer_silence_max(ping_timing);
            if *idle > longest {
                let details = format!(
                    "the gateway detected a silent client after {idle:?}, the limit is {longest:?}"
                );
                self.reference_model
                    .report_violation(Invariant::DeadPeersDetected, details);
            }
        } else if is_one_of(&[DisconnectCode::Slow, DisconnectCode::WriteError]) {
            self.totals.slow_consumers_closed += 1;
        }
    }

    /// Removes a peer that its hub has already removed.
    pub(crate) fn remove_peer(&mut self, shard: usize, peer: PeerId) {
        if let Some(shard) = self
            .gateway
            .as_mut()
            .and_then(|gateway| gateway.shards.get_mut(shard))
        {
            shard.connections.remove(&peer);
        }
    }

    pub(crate) fn schedule_shard_iterations(&mut self) {
        let process_number = self.process_number;
        let Some(gateway) = &mut self.gateway else {
            return;
        };
        for (index, shard) in (0..).zip(&mut gateway.shards) {
            if !gateway.order.has_events(index) || shard.is_iteration_scheduled {
                continue;
            }
            shard.is_iteration_scheduled = true;
            // Occasionally a shard is busy for some time and lags behind the log.
            let longest = if self.generator.chance(1, 20) {
                50_000
            } else {
                500
            };
            let delay = self
                .generator
                .between(Duration::from_micros(5), Duration::from_micros(longest));
            self.clock.schedule(
                delay,
                WorldEvent::ShardIteration {
                    process_number,
                    shard: index,
                },
            );
        }
    }

    /// A shard takes its events from the log.
    pub(crate) fn run_shard_iteration(&mut self, index: u16) {
        let Some(gateway) = &mut self.gateway else {
            return;
        };
        if let Some(shard) = gateway.shards.get_mut(usize::from(index)) {
            shard.is_iteration_scheduled = false;
        }
        let mut events = Vec::new();
        gateway.order.take(index, &mut events, EVENTS_MAX);
        let lags = events.iter().filter(|event| **event == EngineEvent::Lagged);
        self.totals.shard_lags += convert::to_u64(lags.count());
        self.drive_hub(usize::from(index), Input::Engine { events });
        self.schedule_shard_iterations();
    }

    pub(crate) fn schedule_tick(&mut self) {
        let process_number = self.process_number;
        let Some(gateway) = &mut self.gateway else {
            return;
        };
        let hubs = gateway
            .shards
            .iter()
            .filter_map(|shard| shard.hub.poll_timeout());
        let Some(next) = hubs.chain(gateway.engine.next_deadline()).min() else {
            return;
        };
        if gateway.tick_at.is_none_or(|scheduled| next < scheduled) {
            gateway.tick_at = Some(next);
            self.clock
                .schedule_at(next, WorldEvent::Tick { process_number });
        }
    }

    /// Feeds a tick to all hubs and the engine.
    pub(crate) fn tick(&mut self) {
        let at = self.wall();
        if let Some(gateway) = &mut self.gateway {
            gateway.tick_at = None;
        }
        for shard in 0..usize::from(SHARDS) {
            self.drive_hub(shard, Input::Tick);
        }
        self.drive_engine(EngineInput::Tick { at });
    }
}

impl Gateway {
    /// Passes a committed publication to every shard.
    pub(crate) fn commit(&mut self, committed: Committed) {
        let high_watermark = (committed.epoch, committed.record.offset);
        self.high_watermarks
            .insert(committed.channel.clone(), high_watermark);
        self.order.push(Delivery::Committed(committed));
    }

    /// Whether nothing is in progress between shards, log and disk.
    pub(crate) fn is_quiet(&self) -> bool {
        self.log_queue.is_empty()
            && self.pending_operations == 0
            && self.shards.iter().all(|shard| shard.inbox.is_empty())
            && (0..SHARDS).all(|shard| !self.order.has_events(shard))
    }
}
