//! What the gateway's shell does with one socket: bytes become facts for the hub, and what waits is told to it.

use bytes::Bytes;
use steadfast_hub::io::{Input, Loss, PeerId};
use steadfast_machine::Instant;
use steadfast_protocol::limits;
use steadfast_protocol::websocket::encoder::encode_server_close_reply;
use steadfast_protocol::websocket::{
    CodecError, Decoder, Opcode, Role, WebSocketEvent, WebSocketLimits, encoder,
};

use crate::flow::End;
use crate::links::{Direction, LinkId};
use crate::mutation::Mutation;
use crate::reference::Promise;
use crate::settings::{BACKLOG_BYTES_MAX, BYTES_WAIT_MAX};
use crate::world::{Event, World};

/// The gateway's end of a link.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) core: usize,
    pub(crate) peer: PeerId,
    pub(crate) accepted_at: Instant,
    /// Whether a whole message came.
    pub(crate) has_spoken: bool,
    decoder: Decoder,
    /// The hub was told that something waits; so much of what was sent had been taken when it was told last.
    taken_told: Option<u64>,
    is_backlog_told_later: bool,
    pub(crate) pings: Pings,
}

/// What a client's silence may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pings {
    /// Nothing ever stood in front of one.
    Prompt,
    /// Bytes have waited, so that one may have stood behind them.
    Behind,
    /// The same, and the client's silence had the time for that.
    Judged,
}

/// What one read brought.
#[derive(Debug)]
enum Arrival {
    Message(Bytes),
    Ping(Bytes),
    Pong,
    Close { code: Option<u16>, reason: String },
    Broken(CodecError),
}

impl Socket {
    pub(crate) const fn new(core: usize, peer: PeerId, now: Instant) -> Self {
        Self {
            core,
            peer,
            accepted_at: now,
            has_spoken: false,
            decoder: Decoder::new(Role::Server, LIMITS),
            taken_told: None,
            is_backlog_told_later: false,
            pings: Pings::Prompt,
        }
    }

    fn decode(&mut self, bytes: &[u8]) -> Vec<Arrival> {
        let mut input = bytes.to_vec();
        let mut arrivals = Vec::new();
        let mut reading = self.decoder.read(&mut input);
        loop {
            arrivals.push(match reading.next_event() {
                Ok(Some(WebSocketEvent::Message { payload, .. })) => {
                    Arrival::Message(Bytes::copy_from_slice(payload))
                }
                Ok(Some(WebSocketEvent::Ping(payload))) => {
                    Arrival::Ping(Bytes::copy_from_slice(payload))
                }
                Ok(Some(WebSocketEvent::Pong(_))) => Arrival::Pong,
                Ok(Some(WebSocketEvent::Close { code, reason })) => Arrival::Close {
                    code,
                    reason: reason.to_owned(),
                },
                Ok(None) => return arrivals,
                Err(error) => {
                    arrivals.push(Arrival::Broken(error));
                    return arrivals;
                }
            });
        }
    }
}

impl World {
    /// Bytes arrived at the gateway. What comes behind its own close frame is dropped.
    pub(crate) fn gateway_reads(&mut self, link: LinkId, bytes: &[u8]) {
        let Some(socket) = self
            .links
            .get_mut(&link)
            .and_then(|state| state.socket.as_mut())
        else {
            return;
        };
        let (core, peer) = (socket.core, socket.peer);
        let arrivals = socket.decode(bytes);
        let has_message = arrivals
            .iter()
            .any(|arrival| matches!(arrival, Arrival::Message(_)));
        socket.has_spoken |= has_message;
        for arrival in arrivals {
            if !self.holds_socket(link) {
                return;
            }
            match arrival {
                Arrival::Message(message) => self.tell_hub(core, Input::Received { peer, message }),
                Arrival::Ping(payload) => {
                    let frame = encoder::encode_server(Opcode::Pong, &payload);
                    self.send_to_client(link, frame);
                }
                Arrival::Pong => {}
                Arrival::Close { code, reason } => {
                    self.send_to_client(link, encode_server_close_reply(code));
                    let loss = Loss::Closed { code, reason };
                    return self.gateway_lets_go(link, loss);
                }
                Arrival::Broken(error) => {
                    let (code, reason) = (error.close_code(), error.reason());
                    return self.tell_hub(core, Input::Malformed { peer, code, reason });
                }
            }
        }
        if !has_message && self.holds_socket(link) {
            self.tell_hub(core, Input::Stirred { peer });
        }
    }

    fn holds_socket(&self, link: LinkId) -> bool {
        self.links
            .get(&link)
            .is_some_and(|state| state.socket.is_some())
    }

    /// The link ended, as the gateway sees it.
    pub(crate) fn gateway_loses(&mut self, link: LinkId, end: End) {
        let loss = match end {
            End::Ended => Loss::Ended,
            End::Reset => Loss::Broken,
        };
        self.gateway_lets_go(link, loss);
    }

    fn gateway_lets_go(&mut self, link: LinkId, loss: Loss) {
        if let Some(socket) = self.let_go_as_gateway(link) {
            let (core, peer) = (socket.core, socket.peer);
            self.forget_peer(core, peer);
            self.tell_hub(core, Input::Lost { peer, loss });
        }
    }

    /// Bytes may wait for a client: the hub is told at the end of the turn, and nobody waits for a client for ever.
    pub(crate) fn notice_backlog(&mut self, link: LinkId) {
        let now = self.clock.now();
        let Some(state) = self.links.get_mut(&link) else {
            return;
        };
        let (bytes, since) = (
            state.to_client.waiting_bytes(),
            state.to_client.waits_since(),
        );
        let Some(socket) = state.socket.as_mut().filter(|_| bytes > 0) else {
            return;
        };
        if !std::mem::replace(&mut socket.is_backlog_told_later, true) {
            self.clock.plan_at(now, Event::Backlog { link });
        }
        if since == Some(now) {
            let sent = state.to_client.sent_bytes();
            self.plan_judgement_of_backlog(link, sent);
        }
    }

    fn plan_judgement_of_backlog(&mut self, link: LinkId, sent: u64) {
        let latest = self.clock.now() + BYTES_WAIT_MAX;
        self.clock
            .plan_at(latest, Event::JudgeBacklog { link, sent });
    }

    /// Tells the hub what waits now, if anything still does.
    pub(crate) fn tell_backlog(&mut self, link: LinkId) {
        let is_told = self.mutation != Some(Mutation::NoBacklog);
        let Some(state) = self.links.get_mut(&link) else {
            return;
        };
        let (bytes, taken) = (
            state.to_client.waiting_bytes(),
            state.to_client.taken_bytes(),
        );
        let Some(socket) = &mut state.socket else {
            return;
        };
        socket.is_backlog_told_later = false;
        if bytes > 0 && is_told {
            socket.taken_told = Some(taken);
            if socket.pings == Pings::Prompt {
                socket.pings = Pings::Behind;
            }
            let (core, peer) = (socket.core, socket.peer);
            self.tell_hub(core, Input::Backlog { peer, bytes });
        }
        // What one turn adds comes on top, since the hub learns of it at the turn's end.
        if bytes > BACKLOG_BYTES_MAX && self.holds_socket(link) {
            let seen = format!("{bytes} bytes wait for {link:?}");
            self.reference
                .break_promise(Promise::ASlowClientIsNotWaitedFor, seen);
        }
    }

    /// Tells the hub what was taken of what waited, if it was told that something does.
    pub(crate) fn notice_taken(&mut self, link: LinkId) {
        let Some(state) = self.links.get_mut(&link) else {
            return;
        };
        let is_empty = state.to_client.waiting_bytes() == 0;
        let taken = state.to_client.taken_bytes();
        let Some(socket) = &mut state.socket else {
            return;
        };
        let Some(told) = socket.taken_told.replace(taken) else {
            socket.taken_told = None;
            return;
        };
        let (core, peer) = (socket.core, socket.peer);
        if is_empty {
            socket.taken_told = None;
            self.tell_hub(core, Input::Drained { peer });
        } else if let Ok(bytes) = usize::try_from(taken - told)
            && bytes > 0
        {
            self.tell_hub(core, Input::Written { peer, bytes });
        }
    }

    /// Whether what was sent so long ago still waits for a client.
    pub(crate) fn judge_backlog(&mut self, link: LinkId, sent: u64) {
        let held = self.links.get(&link).filter(|state| state.socket.is_some());
        let Some(flow) = held.map(|state| &state.to_client) else {
            return;
        };
        if flow.taken_bytes() < sent {
            let seen = format!("bytes wait for {link:?} for more than two write deadlines");
            self.reference
                .break_promise(Promise::ASlowClientIsNotWaitedFor, seen);
        } else if flow.waiting_bytes() > 0 {
            let sent = flow.sent_bytes();
            self.plan_judgement_of_backlog(link, sent);
        }
    }

    /// The hub reads nothing more of a client, or reads again.
    pub(crate) fn set_reading(&mut self, link: LinkId, is_paused: bool) {
        self.totals.readings_paused += u64::from(is_paused);
        if let Some(state) = self.links.get_mut(&link) {
            state.to_gateway.set_paused(is_paused);
            self.plan_flow(link, Direction::ToGateway);
        }
    }
}

/// What the gateway takes by default.
const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: MESSAGE_BYTES_MAX,
    frame_bytes_max: MESSAGE_BYTES_MAX,
    fragments_max: 1_024,
};

const MESSAGE_BYTES_MAX: u32 = 65_536;
// The codec counts in 32 bits, so the number stands here again.
const _: () = assert!(limits::Limits::MESSAGE_BYTES == 65_536);
