//! The process of the server: its sockets, and what happens to it. While it is suspended its system accepts connections and
//! bytes, which it handles when it continues.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use steadfast_faults::link::{Direction, Lane};
use steadfast_machine::Instant;
use steadfast_protocol::websocket::{ControlFrame, Opcode, Role, encoder};

use super::counts::Count;
use super::event::{Context, Event};
use super::link_end::{LinkEnd, Received};
use super::network::Network;
use super::server::{Server, ServerOutput};
use crate::ids::ConnectionId;

/// What its system hands to the process.
#[derive(Debug)]
enum Work {
    Opened(ConnectionId, usize),
    Read(ConnectionId, Bytes),
    Ended(ConnectionId),
    Expire,
    Terminate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Suspended,
    /// Killed, and not started again.
    Down,
}

/// The process of the server.
#[derive(Debug)]
pub(super) struct ServerProcess {
    server: Server,
    sockets: BTreeMap<ConnectionId, LinkEnd>,
    state: State,
    /// What has arrived while the process is suspended.
    waiting: VecDeque<Work>,
    tick_at: Option<Instant>,
}

impl ServerProcess {
    pub(super) fn new() -> Self {
        Self {
            server: Server::default(),
            sockets: BTreeMap::new(),
            state: State::Running,
            waiting: VecDeque::new(),
            tick_at: None,
        }
    }

    /// Whether nothing is wrong with the process.
    pub(super) fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// Whether nothing is left to execute.
    pub(super) fn is_idle(&self) -> bool {
        self.server.deadline().is_none() && self.waiting.is_empty()
    }

    /// Whether a dial is accepted.
    pub(super) fn accepts(&self) -> bool {
        self.state != State::Down
    }

    pub(super) fn accept(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
        address: usize,
    ) {
        self.work(ctx, network, Work::Opened(connection, address));
    }

    pub(super) fn read(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
        bytes: Bytes,
    ) {
        self.work(ctx, network, Work::Read(connection, bytes));
    }

    pub(super) fn on_end(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
    ) {
        self.work(ctx, network, Work::Ended(connection));
    }

    pub(super) fn expire(&mut self, ctx: &mut Context, network: &mut Network) {
        self.work(ctx, network, Work::Expire);
    }

    pub(super) fn terminate(&mut self, ctx: &mut Context, network: &mut Network) {
        self.work(ctx, network, Work::Terminate);
    }

    /// Kills the process, unless it is suspended or down; it is started again later.
    pub(super) fn kill(&mut self, ctx: &mut Context, network: &mut Network) {
        if self.state != State::Running {
            return;
        }
        ctx.counts.add(Count::Kills);
        ctx.record_fault();
        self.state = State::Down;
        self.server.kill(ctx);
        self.sockets.clear();
        network.reset_server(ctx);
        let time = ctx.between_millis(10, 3_000);
        ctx.clock.schedule(time, Event::Start);
    }

    pub(super) fn start(&mut self, ctx: &mut Context) {
        ctx.record_fault();
        self.state = State::Running;
    }

    pub(super) fn suspend(&mut self, ctx: &mut Context, time: Duration) {
        if self.state != State::Running {
            return;
        }
        ctx.counts.add(Count::Suspensions);
        ctx.record_fault();
        self.state = State::Suspended;
        ctx.clock.schedule(time, Event::Continue);
    }

    /// The process continues: it handles what has arrived, and what became due.
    pub(super) fn resume(&mut self, ctx: &mut Context, network: &mut Network) {
        ctx.record_fault();
        self.state = State::Running;
        while let Some(work) = self.waiting.pop_front() {
            self.handle(ctx, network, work);
        }
        self.tick(ctx, network);
    }

    /// Something may be due at the server.
    pub(super) fn on_tick(&mut self, ctx: &mut Context, network: &mut Network) {
        if self.tick_at.is_some_and(|at| at <= ctx.now()) {
            self.tick_at = None;
        }
        if self.state == State::Running {
            self.tick(ctx, network);
        }
    }

    fn tick(&mut self, ctx: &mut Context, network: &mut Network) {
        self.server.tick(ctx);
        self.finish(ctx, network);
    }

    fn work(&mut self, ctx: &mut Context, network: &mut Network, work: Work) {
        match self.state {
            State::Running => self.handle(ctx, network, work),
            State::Suspended => self.waiting.push_back(work),
            State::Down => {}
        }
    }

    fn handle(&mut self, ctx: &mut Context, network: &mut Network, work: Work) {
        match work {
            Work::Opened(connection, address) => {
                self.sockets.insert(connection, LinkEnd::new(Role::Server));
                self.server.open(connection, address);
            }
            Work::Read(connection, bytes) => self.on_bytes(ctx, network, connection, &bytes),
            Work::Ended(connection) => self.end(ctx, network, connection),
            Work::Expire => self.server.expire(ctx),
            Work::Terminate => self.server.terminate(ctx),
        }
        self.finish(ctx, network);
    }

    fn on_bytes(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        connection: ConnectionId,
        bytes: &[u8],
    ) {
        let Some(socket) = self.sockets.get_mut(&connection) else {
            return;
        };
        for received in socket.decode(bytes) {
            match received {
                Received::Message(message) => self.server.receive(ctx, connection, &message),
                Received::Ping { reply } => send_control(ctx, network, connection, &reply),
                Received::Pong => {}
                Received::Closed { reply, .. } => {
                    if let Some(reply) = reply {
                        send_control(ctx, network, connection, &reply);
                    }
                    return self.end(ctx, network, connection);
                }
                Received::Failed(_) => return self.end(ctx, network, connection),
            }
        }
    }

    fn end(&mut self, ctx: &mut Context, network: &mut Network, connection: ConnectionId) {
        self.sockets.remove(&connection);
        self.server.close(ctx, connection);
        network.close_server(ctx, connection);
    }

    /// Executes the outputs of the server, and schedules its next tick.
    fn finish(&mut self, ctx: &mut Context, network: &mut Network) {
        for output in self.server.take_outputs() {
            match output {
                ServerOutput::Send { connection, text } => {
                    if self.sockets.contains_key(&connection) {
                        let frame = encoder::encode_server(Opcode::Text, text.as_bytes());
                        let (direction, lane) = (Direction::ToClient, Lane::Messages);
                        network.send(ctx, connection, direction, frame, lane);
                    }
                }
                ServerOutput::Close { connection, code } => {
                    let socket = self.sockets.get_mut(&connection);
                    if let Some(close) = socket.and_then(|it| it.endpoint.close(code, "")) {
                        send_control(ctx, network, connection, &close);
                    }
                    self.end(ctx, network, connection);
                }
            }
        }
        if let Some(next) = self.server.deadline()
            && self.tick_at.is_none_or(|at| next < at)
        {
            self.tick_at = Some(next);
            ctx.clock.schedule_at(next, Event::ServerTick);
        }
    }
}

fn send_control(
    ctx: &mut Context,
    network: &mut Network,
    connection: ConnectionId,
    frame: &ControlFrame,
) {
    let frame = encoder::encode_server(frame.opcode(), frame.payload());
    network.send(ctx, connection, Direction::ToClient, frame, Lane::Messages);
}
