//! One core's hub with its sockets: facts go in, orders are carried out.
//!
//! Within a turn every frame is only appended; [`Shard::write_out`] then writes once per socket. A socket that takes
//! less keeps the rest, and the hub is told. No decision about peers is made here: the hub's orders and the wait for a
//! close are all there is. Synchronous; the tasks of `core` call it.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use steadfast_hub::Hub;
use steadfast_hub::io::{Access, ClientId, ConnectionLoss, Input, Output, PeerId, ShardMessage};
use steadfast_hub::log::io::Request;
use steadfast_machine::{Instant, Machine};
use steadfast_protocol::websocket::encoder::{
    Frame, encode_server_close, encode_server_close_reply,
};
use steadfast_protocol::websocket::{CodecError, MessageKind, Opcode, close};
use tokio::net::tcp::OwnedWriteHalf;

use crate::connection::{Connection, Connections, Intake, Kind, Phase, Sent};
use crate::journal;
use crate::turn::{Piece, Turn};

/// A turn is written out early when its frames take more: keeps the memory of a burst small, and is far above what
/// coalescing needs (64 messages of 255 bytes are 16 KiB).
const TURN_BYTES_MAX: usize = 1 << 20;
/// The same for pieces, which take 16 bytes each.
const TURN_PIECES_MAX: usize = 1 << 18;

/// What the hub wants the log to get, in its order.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A request.
    Ask(Request),
    /// A note.
    Tell(ShardMessage),
}

/// What was found out while writing; the hub is told after all sockets were written.
#[derive(Clone, Copy, Debug)]
enum Finding {
    /// Bytes were left over. They may be gone by the time that this is told.
    Waits,
    /// Nothing waits, and the connection is on its way out.
    Clear,
    /// The socket is broken.
    Broken,
}

/// One core's hub with its sockets.
#[derive(Debug)]
pub(crate) struct Shard {
    hub: Hub,
    connections: Connections,
    turn: Turn,
    /// Places of sockets that this turn owes something; a place that changed hands is owed nothing.
    owed: Vec<u32>,
    findings: Vec<(PeerId, Finding)>,
    /// When closing connections are reset; all wait equally long, so this is in order.
    leaving: VecDeque<(Instant, PeerId)>,
    outgoing: Vec<Outgoing>,
    close_wait: Duration,
}

impl Shard {
    pub(crate) fn new(hub: Hub, close_wait: Duration) -> Self {
        Self {
            hub,
            connections: Connections::default(),
            turn: Turn::default(),
            owed: Vec::new(),
            findings: Vec::new(),
            leaving: VecDeque::new(),
            outgoing: Vec::new(),
            close_wait,
        }
    }

    /// Tells the hub a fact and carries out what it orders.
    pub(crate) fn handle(&mut self, now: Instant, input: Input) {
        self.hub.handle(now, input);
        while let Some(output) = self.hub.poll_output() {
            self.carry_out(now, output);
            if self.turn.bytes() > TURN_BYTES_MAX || self.turn.pieces() > TURN_PIECES_MAX {
                self.write_out();
            }
        }
    }

    /// Takes over a socket whose answer to the upgrade goes out with the first turn.
    pub(crate) fn open_client(
        &mut self,
        now: Instant,
        stream: OwnedWriteHalf,
        response: &[u8],
        client: ClientId,
        access: Access,
    ) -> PeerId {
        let peer = self
            .connections
            .insert(Connection::new(stream, Kind::Client));
        self.send(peer, response);
        self.handle(
            now,
            Input::Accepted {
                peer,
                client,
                access,
            },
        );
        peer
    }

    /// The same for the echo of the test configuration.
    pub(crate) fn open_echo(&mut self, stream: OwnedWriteHalf, response: &[u8]) -> PeerId {
        let peer = self.connections.insert(Connection::new(stream, Kind::Echo));
        self.send(peer, response);
        peer
    }

    /// The connection, unless it is gone.
    pub(crate) fn connection(&mut self, peer: PeerId) -> Option<&mut Connection> {
        self.connections.get_mut(peer)
    }

    /// How many clients the hub knows.
    pub(crate) const fn peers(&self) -> usize {
        self.hub.peer_count()
    }

    /// How many connections there are.
    pub(crate) const fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Where the connection stands and what it is for, unless it is gone.
    pub(crate) fn standing(&mut self, peer: PeerId) -> Option<(Phase, Kind)> {
        self.connections
            .get_mut(peer)
            .map(|connection| (connection.phase, connection.kind))
    }

    /// A whole message arrived at the echo.
    pub(crate) fn echo(&mut self, peer: PeerId, kind: MessageKind, payload: &[u8]) {
        let mut frame = Vec::with_capacity(payload.len() + 10);
        Frame::unfragmented(Opcode::from(kind), payload).append_server(&mut frame);
        self.send(peer, &frame);
        if self.turn.bytes() > TURN_BYTES_MAX {
            self.write_out();
        }
    }

    /// A ping arrived.
    pub(crate) fn pong(&mut self, peer: PeerId, payload: &[u8]) {
        let mut frame = Vec::with_capacity(payload.len() + 2);
        Frame::unfragmented(Opcode::Pong, payload).append_server(&mut frame);
        self.send(peer, &frame);
    }

    /// The peer's close frame arrived.
    pub(crate) fn on_close_frame(
        &mut self,
        now: Instant,
        peer: PeerId,
        code: Option<u16>,
        reason: &str,
    ) {
        let Some((phase, kind)) = self.standing(peer) else {
            return;
        };
        if phase == Phase::Open {
            if kind == Kind::Client {
                let loss = ConnectionLoss::CloseFrame {
                    code,
                    reason: reason.to_owned(),
                };
                self.handle(now, Input::Lost { peer, loss });
            }
            self.send(peer, &encode_server_close_reply(code));
            self.leaving.push_back((now + self.close_wait, peer));
        }
        if let Some(connection) = self.connections.get_mut(peer) {
            connection.phase = Phase::Finishing;
            if connection.chain.is_empty() && !connection.has_backlog() {
                self.connections.remove(peer);
            }
        }
    }

    /// The peer's bytes are no WebSocket traffic.
    pub(crate) fn on_malformed(&mut self, now: Instant, peer: PeerId, error: CodecError) {
        let (code, reason) = (error.close_code(), error.reason());
        match self.standing(peer) {
            Some((Phase::Open, Kind::Client)) => {
                self.handle(now, Input::Malformed { peer, code, reason });
            }
            Some((Phase::Open, Kind::Echo)) => self.close(now, peer, code, reason),
            Some((Phase::Closing | Phase::Deaf | Phase::Finishing, _)) | None => {}
        }
        if let Some(connection) = self.connections.get_mut(peer)
            && connection.phase != Phase::Open
        {
            connection.phase = Phase::Deaf;
            if connection.chain.is_empty() && !connection.has_backlog() {
                connection.end_stream();
            }
        }
    }

    /// The stream ended, or reading failed.
    pub(crate) fn on_lost(&mut self, now: Instant, peer: PeerId, loss: ConnectionLoss) {
        let standing = self.standing(peer);
        self.connections.remove(peer);
        if standing == Some((Phase::Open, Kind::Client)) {
            self.handle(now, Input::Lost { peer, loss });
        }
    }

    /// Some of what waited for a socket is written.
    pub(crate) fn on_written(&mut self, now: Instant, peer: PeerId, bytes: usize) {
        if bytes > 0 && self.standing(peer) == Some((Phase::Open, Kind::Client)) {
            self.handle(now, Input::Written { peer, bytes });
        }
    }

    /// What waited for a socket is written.
    pub(crate) fn on_drained(&mut self, now: Instant, peer: PeerId) {
        let Some(connection) = self.connections.get_mut(peer) else {
            return;
        };
        match (connection.phase, connection.kind) {
            (Phase::Open, Kind::Client) => self.handle(now, Input::Drained { peer }),
            (Phase::Open, Kind::Echo) => connection.set_intake(Intake::Running),
            (Phase::Closing, _) => {}
            (Phase::Deaf, _) => connection.end_stream(),
            (Phase::Finishing, _) => _ = self.connections.remove(peer),
        }
    }

    /// Writes once to each socket that is owed something, and begins a new turn.
    pub(crate) fn write_out(&mut self) {
        let mut owed = mem::take(&mut self.owed);
        for index in owed.drain(..) {
            let Some((peer, connection)) = self.connections.at_mut(index) else {
                continue;
            };
            let chain = mem::replace(&mut connection.chain, crate::turn::Chain::EMPTY);
            if chain.is_empty() {
                continue;
            }
            match connection.send(self.turn.gather(chain)) {
                Ok(Sent::All) if connection.phase == Phase::Open => {}
                Ok(Sent::All) => self.findings.push((peer, Finding::Clear)),
                Ok(Sent::Some) => self.findings.push((peer, Finding::Waits)),
                Err(_) => self.findings.push((peer, Finding::Broken)),
            }
        }
        self.owed = owed;
        self.turn.clear();
    }

    /// Ends a turn: writes, and tells the hub what came of it. What the hub orders thereupon begins the next turn.
    pub(crate) fn end_turn(&mut self, now: Instant) {
        self.write_out();
        for (peer, finding) in mem::take(&mut self.findings) {
            match (finding, self.standing(peer)) {
                (_, None) => {}
                (Finding::Waits, Some((Phase::Open, kind))) => self.tell_backlog(now, peer, kind),
                (Finding::Waits, Some((Phase::Closing | Phase::Deaf | Phase::Finishing, _))) => {}
                // Nothing more is owed: what stands in the way of the next step of the end is out.
                (Finding::Clear, Some(_)) => self.on_drained(now, peer),
                (Finding::Broken, Some(_)) => self.on_lost(now, peer, ConnectionLoss::IoError),
            }
        }
    }

    /// Resets what was closed and did not go in time, and lets the hub look at the clock.
    pub(crate) fn tick(&mut self, now: Instant) {
        while let Some((deadline, peer)) = self.leaving.front().copied()
            && deadline <= now
        {
            self.leaving.pop_front();
            if self.connections.remove_hard(peer) {
                tracing::debug!(
                    index = peer.index,
                    "reset a closed connection that did not end in time"
                );
            }
        }
        if self
            .hub
            .poll_timeout()
            .is_some_and(|(deadline, _)| deadline <= now)
        {
            self.handle(now, Input::Tick);
        }
    }

    /// When `tick` has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let hub = self.hub.poll_timeout().map(|(deadline, _)| deadline);
        let leaving = self.leaving.front().map(|(deadline, _)| *deadline);
        [hub, leaving].into_iter().flatten().min()
    }

    /// True while a turn has something to write or to tell.
    pub(crate) fn has_turn(&self) -> bool {
        !self.owed.is_empty() || !self.findings.is_empty()
    }

    /// What the log shall get.
    pub(crate) fn take_outgoing(&mut self) -> Vec<Outgoing> {
        mem::take(&mut self.outgoing)
    }

    /// True when the log shall get something.
    pub(crate) fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Closes everything with the advice to come back.
    pub(crate) fn shut_down(&mut self, now: Instant) {
        self.handle(now, Input::ShutdownRequested);
        for peer in self.connections.peers() {
            if self.standing(peer) == Some((Phase::Open, Kind::Echo)) {
                self.close(now, peer, close::GOING_AWAY, "shutdown");
            }
        }
    }

    fn carry_out(&mut self, now: Instant, output: Output) {
        match output {
            Output::Send { peer, frame } => self.send(peer, &frame),
            Output::Fanout { frame, to } => {
                let piece = self.turn.add_shared(&frame);
                for peer in to.iter() {
                    self.owe(*peer, piece);
                }
            }
            Output::Close { peer, code, reason } => self.close(now, peer, code, &reason),
            Output::PauseReading { peer } => self.set_intake(peer, Intake::Paused),
            Output::ResumeReading { peer } => self.set_intake(peer, Intake::Running),
            Output::Request(request) => self.outgoing.push(Outgoing::Ask(request)),
            Output::Broadcast(note) => self.outgoing.push(Outgoing::Tell(note)),
            Output::Notify(event) => journal::record(&event),
        }
    }

    /// Appends a close frame behind everything else, and waits for the peer to go.
    fn close(&mut self, now: Instant, peer: PeerId, code: u16, reason: &str) {
        self.send(peer, &encode_server_close(code, reason));
        if let Some(connection) = self.connections.get_mut(peer) {
            connection.phase = Phase::Closing;
            // The peer's close frame can only be seen by reading.
            connection.set_intake(Intake::Running);
            self.leaving.push_back((now + self.close_wait, peer));
        }
    }

    /// Tells what waits now: a turn that is written out early leaves the connection's task time to drain before its end,
    /// and a backlog that is told behind its drain would never end.
    fn tell_backlog(&mut self, now: Instant, peer: PeerId, kind: Kind) {
        let waiting = self.connections.get_mut(peer);
        let Some(bytes) = waiting.and_then(|connection| connection.backlog_bytes()) else {
            return;
        };
        match kind {
            Kind::Client => self.handle(now, Input::SendBuffer { peer, bytes }),
            Kind::Echo => self.set_intake(peer, Intake::Paused),
        }
    }

    fn set_intake(&mut self, peer: PeerId, intake: Intake) {
        if let Some(connection) = self.connections.get_mut(peer) {
            connection.set_intake(intake);
        }
    }

    fn send(&mut self, peer: PeerId, frame: &[u8]) {
        let piece = self.turn.add_own(frame);
        self.owe(peer, piece);
    }

    fn owe(&mut self, peer: PeerId, piece: Piece) {
        if let Some(connection) = self.connections.get_mut(peer) {
            if connection.chain.is_empty() {
                self.owed.push(peer.index);
            }
            self.turn.owe(&mut connection.chain, piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Read as _;
    use std::thread;

    use bytes::Bytes;
    use steadfast_machine::Seed;
    use tokio::runtime;

    use super::*;
    use crate::config::Config;
    use crate::config::load::Loaded;
    use crate::config::policy::Policies;

    /// More than the system takes for one connection.
    const LARGE: usize = 16 << 20;

    #[test]
    fn a_backlog_that_drained_before_the_end_of_its_turn_is_not_told() {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let (mut shard, start) = (shard(), Instant::START);
            let (near, mut far) = pair();
            let (_reading, writing) = near.into_split();
            let access = Access::Anonymous;
            let peer = shard.open_client(start, writing, b"", ClientId(1), access);
            let message = Bytes::from_static(b"{\"id\":1,\"connect\":{}}");
            shard.handle(start, Input::Received { peer, message });

            // The turn is written out early, and all of it is read before the turn ends.
            shard.send(peer, &vec![0; LARGE]);
            shard.write_out();
            assert!(shard.connection(peer).unwrap().has_backlog());
            let reader = thread::spawn(move || {
                far.read_exact(&mut vec![0; LARGE]).unwrap();
                far
            });
            poll_fn(|context| shard.connection(peer).unwrap().poll_drain(context))
                .await
                .unwrap();
            let _far = reader.join().unwrap();
            shard.on_drained(start, peer);
            shard.end_turn(start);
            shard.tick(start + Config::default().client.write_deadline.0 * 2);

            let standing = shard.standing(peer);
            assert_eq!(standing, Some((Phase::Open, Kind::Client)));
        });
    }

    fn shard() -> Shard {
        let mut config = Config::default();
        config.server.cores = 1;
        let policies = Policies::try_from(&Loaded::from(config)).unwrap();
        let hub = Hub::new(policies.hubs[0].clone(), Seed::new(1), Instant::START);
        Shard::new(hub, Duration::from_secs(5))
    }

    /// Both ends of a connection: the gateway's and the client's.
    fn pair() -> (tokio::net::TcpStream, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let far = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (near, _) = listener.accept().unwrap();
        near.set_nonblocking(true).unwrap();
        (tokio::net::TcpStream::from_std(near).unwrap(), far)
    }
}
