//! One shard: a hub and its sockets. Feeds inputs to the hub and executes its outputs.
//!
//! Within a loop iteration frames are only added to a batch; [`Shard::flush`] then writes once per socket. If a socket
//! accepts less, the rest goes to its send buffer, and the hub is notified. Makes no decisions about peers: it executes
//! the hub's outputs and applies the close timeout. Synchronous; the tasks of `event_loop` call it.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use steadfast_engine::Request;
use steadfast_hub::Hub;
use steadfast_hub::io::{
    Access, ClientId, ConnectionLoss, Input, Output, PeerId, ShardMessage, Unsent,
};
use steadfast_machine::{Instant, Machine};
use steadfast_protocol::codec::{Encoding, ReplyCoalescer};
use steadfast_protocol::websocket::{
    CodecError, ControlFrame, EndOfStream, Frame, Opcode, WrittenAction,
};
use tokio::net::tcp::OwnedWriteHalf;

use crate::connection::{Connection, Connections, ReadInterest, SendOutcome};
use crate::diagnostics::{Refused, ShardLog};
use crate::send_buffer::UnsentMemory;
use crate::shard_bus::ShardBus;
use crate::write_batch::{BufferRange, WriteBatch};

mod inbound;
mod messages;
#[cfg(test)]
mod test_client;

/// A write batch is flushed early when its frames exceed this size: keeps the memory of a burst small, and is far above
/// what coalescing needs (64 messages of 255 bytes are 16 KiB).
const BATCH_BYTES_MAX: usize = 1 << 20;
/// The same for ranges, of 16 bytes each.
const BATCH_RANGES_MAX: usize = 1 << 18;
/// The number of frames after which messages of shards wait for the next turn: they are encoded and queued within a few
/// milliseconds.
const TURN_FRAMES_MAX: u64 = 1 << 13;

/// The outcome of a write; the hub is notified after all sockets were written.
#[derive(Clone, Copy, Debug)]
enum WriteOutcome {
    /// Bytes were left in the send buffer. They may have been written before this outcome is handled.
    Buffered,
    /// The send buffer is empty, and the connection is closing.
    Flushed,
    /// The socket failed.
    Failed,
}

/// The hub of one shard, with its sockets.
#[derive(Debug)]
pub(crate) struct Shard {
    hub: Hub,
    connections: Connections,
    batch: WriteBatch,
    /// The memory of all send buffers.
    unsent_memory: UnsentMemory,
    /// Replies to one peer that are not in the batch yet; empty between two inputs.
    replies: ReplyCoalescer<PeerId>,
    /// Reused for the payload of each message to many peers.
    payload: Vec<u8>,
    /// Slots of sockets with queued buffers; if a slot was reused, the new connection has none.
    dirty_sockets: Vec<u32>,
    write_outcomes: Vec<(PeerId, WriteOutcome)>,
    /// The number of frames that messages to many peers took so far.
    fanned_out: u64,
    /// When closing connections are reset; the timeout is the same for all, so this is in order.
    closing: VecDeque<(Instant, PeerId)>,
    /// Requests that were not submitted to the log yet.
    requests: Vec<Request>,
    bus: ShardBus,
    close_timeout: Duration,
    log: ShardLog,
}

impl Shard {
    pub(crate) fn new(hub: Hub, bus: ShardBus, close_timeout: Duration, log: ShardLog) -> Self {
        Self {
            hub,
            connections: Connections::default(),
            batch: WriteBatch::default(),
            unsent_memory: UnsentMemory::default(),
            replies: ReplyCoalescer::default(),
            payload: Vec::new(),
            dirty_sockets: Vec::new(),
            write_outcomes: Vec::new(),
            fanned_out: 0,
            closing: VecDeque::new(),
            requests: Vec::new(),
            bus,
            close_timeout,
            log,
        }
    }

    /// Feeds one input to the hub and executes its outputs.
    pub(crate) fn handle(&mut self, now: Instant, input: Input) {
        self.drive(now, input);
        self.finish_replies();
    }

    fn drive(&mut self, now: Instant, input: Input) {
        self.hub.handle(now, input);
        while let Some(output) = self.hub.poll_output() {
            self.execute(now, output);
            self.flush_large_batch();
        }
    }

    /// Logs a connection that did not become a client, or counts it.
    pub(crate) fn log(&mut self, now: Instant, refused: Refused) {
        self.log.on_refused(now, refused);
    }

    /// Writes the log lines that are only counted, at the end.
    pub(crate) fn finish_log(&mut self) {
        self.log.finish();
    }

    /// Feeds messages of shards to the hub, in order, until as much is queued as one turn may send: a join in a large
    /// channel is sent to all its members, and other clients must not wait for hundreds of joins. What is left waits for
    /// the next turn.
    pub(crate) fn handle_shard_messages(
        &mut self,
        now: Instant,
        messages: &mut VecDeque<ShardMessage>,
    ) {
        let turn_end = self.fanned_out.saturating_add(TURN_FRAMES_MAX);
        while self.fanned_out < turn_end
            && let Some(message) = messages.pop_front()
        {
            self.handle(now, Input::ShardMessageReceived { message });
        }
    }

    /// Adds a client's socket; the response to the upgrade is sent with the first write batch.
    pub(crate) fn open_client(
        &mut self,
        now: Instant,
        stream: OwnedWriteHalf,
        response: &[u8],
        client: ClientId,
        access: Access,
        encoding: Encoding,
    ) -> PeerId {
        let peer = self.connections.insert(Connection::new(stream, encoding));
        self.send_preamble(peer, response);
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

    /// Returns the connection, unless it is closed.
    pub(crate) fn connection(&mut self, peer: PeerId) -> Option<&mut Connection> {
        self.connections.get_mut(peer)
    }

    /// Returns how many clients the hub knows.
    pub(crate) const fn peers(&self) -> usize {
        self.hub.peer_count()
    }

    /// Returns the number of connections.
    pub(crate) const fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Whether the connection exists, and no close frame was sent or received.
    pub(crate) fn is_open(&mut self, peer: PeerId) -> bool {
        self.connections
            .get_mut(peer)
            .is_some_and(|connection| connection.endpoint.is_open())
    }

    /// Sends a control frame of the endpoint. Pongs are no outputs of the hub, so the batch is bounded here too. A peer
    /// that sends pings and reads nothing gets the reply to the last one only.
    pub(crate) fn send_control(&mut self, peer: PeerId, frame: &ControlFrame) {
        let encode = || {
            let mut bytes = Vec::new();
            frame.as_frame().append_server(&mut bytes);
            bytes
        };
        let is_replaceable = frame.opcode() == Opcode::Pong;
        let connection = self.connections.get_mut(peer).filter(|_| is_replaceable);
        if connection.is_some_and(|connection| connection.send_pong_first(encode)) {
            return;
        }
        self.send(peer, frame.as_frame());
        self.flush_large_batch();
    }

    /// Handles the peer's close frame; `reply` is the endpoint's, if our close frame was not sent before.
    pub(crate) fn on_closed(
        &mut self,
        now: Instant,
        peer: PeerId,
        loss: ConnectionLoss,
        reply: Option<ControlFrame>,
    ) {
        if let Some(frame) = reply {
            self.handle(now, Input::Lost { peer, loss });
            self.send_close(now, peer, &frame);
        }
        self.finish_close(peer);
    }

    /// Handles bytes that are not valid WebSocket traffic; `close` is the endpoint's close frame, if ours was not sent
    /// before.
    pub(crate) fn on_failed(
        &mut self,
        now: Instant,
        peer: PeerId,
        error: CodecError,
        close: Option<ControlFrame>,
    ) {
        if let Some(frame) = close {
            let (code, reason) = (error.close_code(), error.reason());
            // The hub's output to close this peer has no effect: the endpoint sends one close frame only.
            self.handle(now, Input::Malformed { peer, code, reason });
            self.send_close(now, peer, &frame);
            self.set_read_interest(peer, ReadInterest::Reading);
        }
        self.finish_close(peer);
    }

    /// Handles the end of the stream or a failed read.
    pub(crate) fn on_lost(&mut self, now: Instant, peer: PeerId, loss: ConnectionLoss) {
        let connection = self.connections.get_mut(peer);
        let end = connection.map(|connection| connection.endpoint.on_end_of_stream());
        self.connections.remove(peer);
        if end == Some(EndOfStream::Lost) {
            self.handle(now, Input::Lost { peer, loss });
        }
    }

    /// Handles a partial write of a send buffer.
    pub(crate) fn on_written(&mut self, now: Instant, peer: PeerId, bytes: usize) {
        if bytes > 0 && self.is_open(peer) {
            self.handle(now, Input::Written { peer, bytes });
        }
    }

    /// Handles a send buffer that is empty again.
    pub(crate) fn on_drained(&mut self, now: Instant, peer: PeerId) {
        if self.is_open(peer) {
            self.handle(now, Input::Drained { peer });
        } else {
            self.finish_close(peer);
        }
    }

    /// Once everything is written, does with the socket what the closing handshake requires.
    fn finish_close(&mut self, peer: PeerId) {
        let Some(connection) = self.connections.get_mut(peer) else {
            return;
        };
        if connection.is_written() {
            match connection.endpoint.written_action() {
                WrittenAction::KeepOpen => {}
                WrittenAction::ShutDownSending => connection.shutdown_write(),
                WrittenAction::CloseStream => self.connections.remove(peer),
            }
        }
    }

    /// Flushes the batch before the end of the iteration if it has become large.
    fn flush_large_batch(&mut self) {
        if self.batch.bytes() > BATCH_BYTES_MAX || self.batch.ranges() > BATCH_RANGES_MAX {
            self.flush();
        }
    }

    /// Writes once to each dirty socket, and clears the batch.
    pub(crate) fn flush(&mut self) {
        let mut dirty_sockets = mem::take(&mut self.dirty_sockets);
        for index in dirty_sockets.drain(..) {
            let Some((peer, connection)) = self.connections.at_index_mut(index) else {
                continue;
            };
            if connection.queued.is_empty() {
                continue;
            }
            match connection.send(&mut self.batch, &self.unsent_memory) {
                Ok(SendOutcome::Complete) if connection.endpoint.is_open() => {}
                Ok(SendOutcome::Complete) => {
                    self.write_outcomes.push((peer, WriteOutcome::Flushed));
                }
                Ok(SendOutcome::Buffered) => {
                    self.write_outcomes.push((peer, WriteOutcome::Buffered));
                }
                Err(_) => self.write_outcomes.push((peer, WriteOutcome::Failed)),
            }
        }
        self.dirty_sockets = dirty_sockets;
        self.batch.clear();
    }

    /// Finishes an iteration: writes, and notifies the hub of the outcomes. The hub's outputs for these belong to the
    /// next iteration.
    pub(crate) fn finish_iteration(&mut self, now: Instant) {
        self.flush();
        for (peer, outcome) in mem::take(&mut self.write_outcomes) {
            match outcome {
                WriteOutcome::Buffered if self.is_open(peer) => self.report_send_buffer(now, peer),
                WriteOutcome::Buffered => {}
                // Everything is written, so the next step of the close is possible.
                WriteOutcome::Flushed => self.on_drained(now, peer),
                WriteOutcome::Failed => self.on_lost(now, peer, ConnectionLoss::IoError),
            }
        }
        self.report_unsent_memory(now);
    }

    /// Reports the memory of all send buffers, and again after each peer that the hub closes because of it.
    fn report_unsent_memory(&mut self, now: Instant) {
        loop {
            let (peers, bytes) = (self.hub.peer_count(), self.unsent_memory.bytes());
            if bytes == 0 {
                return;
            }
            self.handle(now, Input::UnsentMemory { bytes });
            if self.hub.peer_count() == peers {
                return;
            }
        }
    }

    /// Resets connections whose close timeout has expired, and lets the hub handle its deadlines.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.log.tick(now);
        while let Some((deadline, peer)) = self.closing.front().copied()
            && deadline <= now
        {
            self.closing.pop_front();
            if self.connections.remove_with_reset(peer) {
                tracing::debug!(peer = peer.index, "close timeout expired; connection reset");
            }
        }
        if self
            .hub
            .poll_timeout()
            .is_some_and(|deadline| deadline <= now)
        {
            self.handle(now, Input::Tick);
        }
    }

    /// Returns the next instant at which `tick` has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let hub = self.hub.poll_timeout();
        let closing = self.closing.front().map(|(deadline, _)| *deadline);
        [hub, closing, self.log.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether there is something to write, or an outcome of which the hub is not notified yet.
    pub(crate) fn has_pending_work(&self) -> bool {
        !self.dirty_sockets.is_empty() || !self.write_outcomes.is_empty()
    }

    /// Removes and returns the requests to the log.
    pub(crate) fn take_requests(&mut self) -> Vec<Request> {
        mem::take(&mut self.requests)
    }

    /// Whether there are requests to the log.
    pub(crate) fn has_requests(&self) -> bool {
        !self.requests.is_empty()
    }

    /// Closes every connection with reconnect advice.
    pub(crate) fn shut_down(&mut self, now: Instant) {
        self.handle(now, Input::ShutdownRequested);
    }

    fn execute(&mut self, now: Instant, output: Output) {
        if !matches!(output, Output::Send { .. }) {
            self.finish_replies();
        }
        match output {
            Output::Send { peer, message } => self.reply(now, peer, &message),
            Output::Fanout { message, to } => self.fan_out(&message, &to),
            Output::Disconnect {
                peer,
                code,
                reason,
                unsent,
            } => {
                if unsent == Unsent::Discard
                    && let Some(connection) = self.connections.get_mut(peer)
                {
                    connection.discard_unsent();
                }
                self.close(now, peer, code, &reason);
            }
            Output::PauseReading { peer } => self.set_read_interest(peer, ReadInterest::Paused),
            Output::ResumeReading { peer } => self.set_read_interest(peer, ReadInterest::Reading),
            Output::Request(request) => self.requests.push(request),
            Output::ReplyToApi { .. } => unreachable!("a gateway has no API that can be called"),
            Output::Decide { .. } => {
                unreachable!("the hubs of a gateway decide about connect commands themselves")
            }
            Output::Broadcast(message) => self.send_to_shards(now, message),
            Output::Notify(event) => self.log.on_event(now, event),
        }
    }

    /// Closes a connection as the hub requests.
    fn close(&mut self, now: Instant, peer: PeerId, code: u16, reason: &str) {
        let connection = self.connections.get_mut(peer);
        if let Some(frame) =
            connection.and_then(|connection| connection.endpoint.close(code, reason))
        {
            self.send_close(now, peer, &frame);
            // The peer's close frame can only be seen by reading.
            self.set_read_interest(peer, ReadInterest::Reading);
            if let Some(connection) = self.connections.get_mut(peer) {
                // The task frees what it has kept of the peer's commands.
                connection.wake();
            }
        }
    }

    /// Appends a close frame after everything else, and starts the close timeout.
    fn send_close(&mut self, now: Instant, peer: PeerId, frame: &ControlFrame) {
        self.send_control(peer, frame);
        self.closing.push_back((now + self.close_timeout, peer));
    }

    /// Reports the current size of a send buffer. After an early flush the connection's task may empty the send buffer
    /// before the iteration finishes; the hub would wait without end for a buffer that is reported after it was
    /// emptied.
    fn report_send_buffer(&mut self, now: Instant, peer: PeerId) {
        let connection = self.connections.get_mut(peer);
        if let Some(bytes) = connection.and_then(|connection| connection.send_buffer_bytes()) {
            self.handle(now, Input::SendBuffer { peer, bytes });
        }
    }

    /// Sends a message on the bus, and notifies the hub of each inbox without capacity. The hub's outputs for these
    /// follow those that are queued.
    fn send_to_shards(&mut self, now: Instant, message: ShardMessage) {
        let query = message.query();
        for shard in self.bus.send(message) {
            let dropped = Input::ShardMessageDropped { shard, query };
            self.hub.handle(now, dropped);
        }
    }

    fn set_read_interest(&mut self, peer: PeerId, read_interest: ReadInterest) {
        if let Some(connection) = self.connections.get_mut(peer) {
            connection.set_read_interest(read_interest);
        }
    }

    fn send(&mut self, peer: PeerId, frame: Frame<'_>) {
        let range = self.batch.add_own(frame);
        self.enqueue(peer, range);
    }

    fn send_preamble(&mut self, peer: PeerId, bytes: &[u8]) {
        let range = self.batch.add_preamble(bytes);
        self.enqueue(peer, range);
    }

    fn enqueue(&mut self, peer: PeerId, range: BufferRange) {
        if let Some(connection) = self.connections.get_mut(peer) {
            if connection.queued.is_empty() {
                self.dirty_sockets.push(peer.index);
            }
            self.batch.enqueue(&mut connection.queued, range);
        }
    }
}

#[cfg(test)]
mod tests;
