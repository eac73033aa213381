//! Faults of connections: a connection is closed, reset, blackholed or frozen, or its client reads slowly. Also the
//! checks that these faults are detected in time.

use std::time::Duration;

use steadfast_hub::timer_wheel::TICK;
use steadfast_machine::Generator;

use crate::byte_stream::{ReadRate, StreamEnd};
use crate::connections::{ClientIndex, ConnectionId, Direction};
use crate::planted_bug::PlantedBug;
use crate::reference_model::Invariant;
use crate::settings::{CONNECT_TIMEOUT, UNSENT_TIME_MAX};
use crate::socket::PingTiming;
use crate::world::{World, WorldEvent};

/// A fault that neither end of a connection detects at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionFault {
    /// Both directions drop all bytes.
    BlackholeBoth,
    /// The direction to the gateway drops all bytes.
    BlackholeToGateway,
    /// The direction to the client drops all bytes.
    BlackholeToClient,
    /// Both directions deliver nothing for this time, then everything.
    Freeze(Duration),
    /// The direction to the gateway delivers nothing for this time, and the client's socket accepts no more bytes.
    StallUplink(Duration),
    /// The client reads at a low rate for a limited time, and its socket holds a limited number of bytes.
    SlowReader {
        read_rate: ReadRate,
        window: usize,
        time: Duration,
    },
}

impl ConnectionFault {
    pub(crate) fn draw(generator: &mut Generator) -> Self {
        let millis = Duration::from_millis;
        match generator.below(8) {
            0 => Self::BlackholeBoth,
            1 => Self::BlackholeToGateway,
            2 => Self::BlackholeToClient,
            3 | 4 => Self::Freeze(generator.between(millis(100), millis(4_000))),
            5 => Self::StallUplink(generator.between(millis(1_000), millis(4_000))),
            _ => Self::SlowReader {
                // In one of three cases the client reads only one byte per second.
                read_rate: ReadRate {
                    bytes_per_second: match generator.below(3) {
                        0 => 1,
                        _ => 200 + generator.below(4_000),
                    },
                },
                window: 256 << generator.below(5),
                // The time may exceed `UNSENT_TIME_MAX`: a client that recovers earlier exercises no timeout.
                time: generator.between(millis(1_000), millis(9_000)),
            },
        }
    }
}

impl World {
    /// Picks a random connection of which both ends are open.
    fn pick_connection(&mut self) -> Option<ConnectionId> {
        let open = self
            .connections
            .iter()
            .filter(|(_, state)| state.has_both_ends());
        let connections: Vec<ConnectionId> = open.map(|(connection, _)| *connection).collect();
        let pick = self.generator.below_len(connections.len());
        connections.get(pick).copied()
    }

    /// Closes or resets a random connection. Each end detects the loss later, if the network delivers the end of the
    /// stream.
    pub(crate) fn drop_connection(&mut self) {
        let Some(connection) = self.pick_connection() else {
            // There is no open connection at this time.
            self.clock
                .schedule(Duration::from_millis(50), WorldEvent::DropConnection);
            return;
        };
        self.record_fault_change();
        self.faulted.insert(connection);
        if self.generator.chance(1, 2) {
            self.totals.connections_closed += 1;
            self.close_connection(connection);
        } else {
            self.totals.connections_reset += 1;
            self.reset_connection(connection);
        }
    }

    fn close_connection(&mut self, connection: ConnectionId) {
        let now = self.clock.now();
        let delay = Duration::from_millis(1);
        if let Some(state) = self.connections.get_mut(&connection) {
            for direction in [Direction::ToClient, Direction::ToGateway] {
                let stream = state.stream(direction);
                stream.discard_unsent();
                stream.end(now, delay, StreamEnd::Closed);
            }
            self.schedule_stream(connection, Direction::ToClient);
            self.schedule_stream(connection, Direction::ToGateway);
        }
    }

    fn reset_connection(&mut self, connection: ConnectionId) {
        let now = self.clock.now();
        let (soon, late) = (Duration::from_millis(1), Duration::from_secs(2));
        let to_client = self.generator.between(soon, Duration::from_millis(50));
        let to_gateway = self.generator.between(soon, late);
        if let Some(state) = self.connections.get_mut(&connection) {
            state.to_client.reset(now, to_client);
            state.to_gateway.reset(now, to_gateway);
            self.schedule_stream(connection, Direction::ToClient);
            self.schedule_stream(connection, Direction::ToGateway);
        }
    }

    /// Injects a fault into a random healthy connection.
    pub(crate) fn inject_fault(&mut self, fault: ConnectionFault) {
        let now = self.clock.now();
        let healthy = self.pick_connection().filter(|connection| {
            self.connections
                .get(connection)
                .is_some_and(|it| it.is_healthy(now))
        });
        let Some(connection) = healthy else {
            self.clock
                .schedule(Duration::from_millis(50), WorldEvent::InjectFault { fault });
            return;
        };
        self.connection_faults_left -= 1;
        self.faulted.insert(connection);
        self.record_fault_change();
        match fault {
            ConnectionFault::BlackholeBoth => {
                self.totals.blackholes += 1;
                self.blackhole(connection, &[Direction::ToGateway, Direction::ToClient]);
            }
            ConnectionFault::BlackholeToGateway => {
                self.totals.blackholes_to_gateway += 1;
                self.blackhole(connection, &[Direction::ToGateway]);
            }
            ConnectionFault::BlackholeToClient => {
                self.totals.blackholes_to_client += 1;
                self.blackhole(connection, &[Direction::ToClient]);
            }
            ConnectionFault::Freeze(time) => {
                self.totals.connections_frozen += 1;
                if let Some(state) = self.connections.get_mut(&connection) {
                    state.to_gateway.freeze(now + time);
                    state.to_client.freeze(now + time);
                }
                self.clock
                    .schedule(time, WorldEvent::HealConnection { connection });
            }
            ConnectionFault::StallUplink(time) => {
                self.totals.uplinks_stalled += 1;
                if let Some(state) = self.connections.get_mut(&connection) {
                    state.to_gateway.freeze(now + time);
                    state.to_gateway.shrink_window(0);
                }
                self.clock
                    .schedule(time, WorldEvent::HealConnection { connection });
            }
            ConnectionFault::SlowReader {
                read_rate,
                window,
                time,
            } => {
                self.totals.slow_readers += 1;
                if let Some(state) = self.connections.get_mut(&connection) {
                    state.to_client.limit_read_rate(read_rate);
                    state.to_client.shrink_window(window);
                }
                self.clock
                    .schedule(time, WorldEvent::HealConnection { connection });
            }
        }
    }

    /// Drops all bytes from now on, and schedules the checks of each end that no longer receives: such an end must
    /// detect the silence in time. The other end detects the fault when the silent connection is closed.
    fn blackhole(&mut self, connection: ConnectionId, directions: &[Direction]) {
        let now = self.clock.now();
        let Some(state) = self.connections.get_mut(&connection) else {
            return;
        };
        for direction in directions {
            state.stream(*direction).blackhole();
        }
        let (client_end, socket) = (state.client_end, state.socket.as_ref());
        if directions.contains(&Direction::ToGateway)
            && let Some(socket) = socket
        {
            let after_ping = now + self.settings.peer_silence_max(PingTiming::Prompt);
            let after_accept = socket.accepted_at + CONNECT_TIMEOUT + 2 * TICK;
            let latest = if socket.has_received_message {
                after_ping
            } else {
                after_accept.max(now)
            };
            self.clock
                .schedule_at(latest, WorldEvent::CheckGatewayTimeout { connection });
        }
        if directions.contains(&Direction::ToClient) {
            match client_end {
                Some(ClientIndex::Session(session)) => {
                    let silence = self.silence_max(session);
                    self.clock.schedule(
                        silence,
                        WorldEvent::CheckSessionTimeout {
                            session,
                            connection,
                        },
                    );
                }
                Some(ClientIndex::Simple(client)) => {
                    let silence = self.settings.ping_timeout();
                    self.clock
                        .schedule(silence, WorldEvent::PingTimeout { client, connection });
                }
                None => {}
            }
        }
    }

    /// Ends a temporary fault of a connection.
    pub(crate) fn heal_connection(&mut self, connection: ConnectionId) {
        self.record_fault_change();
        if let Some(state) = self.connections.get_mut(&connection) {
            if self.planted_bug == Some(PlantedBug::LossyFreeze) {
                state.to_client.drop_next_frame();
            }
            state.to_client.restore();
            state.to_gateway.restore();
        }
        self.schedule_stream(connection, Direction::ToClient);
        self.schedule_stream(connection, Direction::ToGateway);
    }

    /// Checks that the gateway has closed a connection that is silent for too long.
    pub(crate) fn check_gateway_timeout(&mut self, connection: ConnectionId) {
        let held = self.connections.get_mut(&connection);
        if let Some(socket) = held.and_then(|it| it.socket.as_mut()) {
            if socket.ping_timing == PingTiming::Delayed {
                socket.ping_timing = PingTiming::DelayedAndExtended;
                self.clock.schedule(
                    UNSENT_TIME_MAX,
                    WorldEvent::CheckGatewayTimeout { connection },
                );
                return;
            }
            let details = format!(
                "the gateway has not closed {connection:?}, {:?}",
                socket.peer
            );
            self.reference_model
                .report_violation(Invariant::DeadPeersDetected, details);
        }
    }

    /// Checks that a session has closed a connection that is silent for too long.
    pub(crate) fn check_session_timeout(&mut self, session: usize, connection: ConnectionId) {
        let client_end = self
            .connections
            .get(&connection)
            .and_then(|state| state.client_end);
        // A session that is being closed waits for the close frame, with its own timeout.
        let is_closing = self
            .drivers
            .get(session)
            .is_some_and(|driver| driver.application.is_closing);
        if client_end == Some(ClientIndex::Session(session)) && !is_closing {
            let details = format!("session {session} has not closed {connection:?}");
            self.reference_model
                .report_violation(Invariant::DeadPeersDetected, details);
        }
    }

    /// A simple client has received no ping for too long and closes its connection.
    pub(crate) fn on_ping_timeout(&mut self, client: usize, connection: ConnectionId) {
        let client_end = self
            .connections
            .get(&connection)
            .and_then(|state| state.client_end);
        if client_end == Some(ClientIndex::Simple(client)) {
            self.close_as_client(connection, StreamEnd::Closed);
            self.on_client_connection_lost(client, connection);
        }
    }

    /// Records that a fault began or ended; the time limits of the checks count from this time.
    pub(crate) fn record_fault_change(&mut self) {
        self.last_fault_change_at = self.clock.now();
    }
}
