//! Links between clients and the gateway: two flows each, and whoever holds their ends.
//!
//! What travels are bytes of WebSocket frames. A link whose two ends were let go is forgotten, and with it what is still
//! under way.

use std::time::Duration;

use bytes::Bytes;
use steadfast_hub::io::{Access, ClientId, Input};
use steadfast_machine::Instant;
use steadfast_protocol::websocket::{Frame, Opcode};

use crate::flow::{Chunk, End, Flow, Lane, Order};
use crate::mutation::Mutation;
use crate::socket::Socket;
use crate::world::{Event, World};

/// One connection between a client and the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkId(u64);

/// Who holds the client's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A simple client.
    Simple(usize),
    /// A session of the client library.
    Session(usize),
}

/// One of the two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToGateway,
    ToClient,
}

#[derive(Debug)]
pub(crate) struct Link {
    /// None: the client has let go.
    pub(crate) owner: Option<Owner>,
    /// None: the gateway has let go.
    pub(crate) socket: Option<Socket>,
    pub(crate) to_gateway: Flow,
    pub(crate) to_client: Flow,
}

impl Link {
    pub(crate) const fn flow(&mut self, direction: Direction) -> &mut Flow {
        match direction {
            Direction::ToGateway => &mut self.to_gateway,
            Direction::ToClient => &mut self.to_client,
        }
    }

    /// Whether both ends are held.
    pub(crate) const fn is_whole(&self) -> bool {
        self.owner.is_some() && self.socket.is_some()
    }

    pub(crate) fn is_healthy(&self, now: Instant) -> bool {
        self.to_gateway.is_healthy(now) && self.to_client.is_healthy(now)
    }
}

impl World {
    /// A client's connection is taken by some core of the gateway, if it takes any.
    pub(crate) fn open_link(&mut self, owner: Owner) -> Option<LinkId> {
        let client = ClientId(u128::from(self.generator.next_u64()));
        let now = self.clock.now();
        let link = LinkId(self.next_link);
        let (core, peer) = self.accept(link)?;
        self.next_link += 1;
        let order = match self.mutation {
            Some(Mutation::NoOrder) => Order::Lost,
            Some(_) | None => Order::Kept,
        };
        let state = Link {
            owner: Some(owner),
            socket: Some(Socket::new(core, peer, now)),
            to_gateway: Flow::new(Order::Kept, now),
            to_client: Flow::new(order, now),
        };
        self.links.insert(link, state);
        let access = Access::Anonymous;
        self.tell_hub(
            core,
            Input::Accepted {
                peer,
                client,
                access,
            },
        );
        Some(link)
    }

    /// Sends a message of a client, or a control frame ahead of its messages.
    pub(crate) fn send_to_gateway(&mut self, link: LinkId, opcode: Opcode, payload: &[u8]) {
        let [a, b, c, d, ..] = self.generator.next_u64().to_le_bytes();
        let mut frame = Vec::with_capacity(payload.len() + 14);
        Frame::unfragmented(opcode, payload).append_client(&mut frame, [a, b, c, d]);
        let lane = match opcode {
            Opcode::Ping | Opcode::Pong => Lane::Control,
            Opcode::Close | Opcode::Text | Opcode::Binary | Opcode::Continuation => Lane::Messages,
        };
        self.send(link, Direction::ToGateway, Bytes::from(frame), lane);
    }

    /// Sends frames of the gateway.
    pub(crate) fn send_to_client(&mut self, link: LinkId, frames: Bytes) {
        self.send(link, Direction::ToClient, frames, Lane::Messages);
    }

    fn send(&mut self, link: LinkId, direction: Direction, frame: Bytes, lane: Lane) {
        let (now, delay) = (self.clock.now(), self.link_delay());
        // Now and then a socket is full for a while.
        let stuffed = self.generator.chance(1, 32).then(|| {
            let (low, high) = (Duration::from_millis(1), Duration::from_millis(30));
            now + self.generator.between(low, high)
        });
        let Some(state) = self.links.get_mut(&link) else {
            return;
        };
        let flow = state.flow(direction);
        if let Some(until) = stuffed {
            flow.stuff(until);
        }
        flow.send(now, delay, frame, lane);
        self.plan_flow(link, direction);
        if direction == Direction::ToClient {
            self.notice_backlog(link);
        }
    }

    fn link_delay(&mut self) -> Duration {
        self.generator
            .between(Duration::from_micros(100), Duration::from_millis(8))
    }

    /// Sees to it that the flow is looked at when something comes out of it, or fits into it again.
    pub(crate) fn plan_flow(&mut self, link: LinkId, direction: Direction) {
        let now = self.clock.now();
        let next = self
            .links
            .get_mut(&link)
            .and_then(|state| state.flow(direction).plan(now));
        if let Some(at) = next {
            self.clock.plan_at(at, Event::Flow { link, direction });
        }
    }

    /// What has arrived is handed over, and what waits goes on its way.
    pub(crate) fn look_at_flow(&mut self, link: LinkId, direction: Direction) {
        let now = self.clock.now();
        let is_due = self
            .links
            .get_mut(&link)
            .is_some_and(|state| state.flow(direction).wake(now));
        if !is_due {
            return;
        }
        loop {
            let bytes_max = self.read_size();
            let Some(state) = self.links.get_mut(&link) else {
                return;
            };
            let Some(chunk) = state.flow(direction).take(now, bytes_max) else {
                break;
            };
            match (direction, chunk) {
                (Direction::ToGateway, Chunk::Bytes(bytes)) => self.gateway_reads(link, &bytes),
                (Direction::ToGateway, Chunk::End(end)) => self.gateway_loses(link, end),
                (Direction::ToClient, Chunk::Bytes(bytes)) => self.client_reads(link, &bytes),
                (Direction::ToClient, Chunk::End(end)) => self.client_loses(link, end),
            }
        }
        let delay = self.link_delay();
        if let Some(state) = self.links.get_mut(&link) {
            state.flow(direction).refill(now, delay);
        }
        self.plan_flow(link, direction);
        match direction {
            Direction::ToClient => self.notice_taken(link),
            Direction::ToGateway => self.tell_unsent(link),
        }
    }

    /// Mostly everything; frames that arrive in two reads would break some mutations in a way that nobody means.
    fn read_size(&mut self) -> usize {
        let cuts = self.generator.chance(1, 16);
        let bytes = 1 + usize::try_from(self.generator.below(64)).unwrap_or(0);
        match self.mutation {
            Some(Mutation::NoOrder | Mutation::LossyFreeze) => usize::MAX,
            Some(_) | None if cuts => bytes,
            Some(_) | None => usize::MAX,
        }
    }

    fn client_reads(&mut self, link: LinkId, bytes: &[u8]) {
        match self.links.get(&link).and_then(|state| state.owner) {
            Some(Owner::Simple(client)) => self.simple_client_reads(client, link, bytes),
            Some(Owner::Session(session)) => self.session_reads(session, link, bytes),
            // The client has let go: its system throws away what still comes.
            None => {}
        }
    }

    fn client_loses(&mut self, link: LinkId, end: End) {
        let owner = self.links.get(&link).and_then(|state| state.owner);
        self.let_go_as_client(link, end);
        match owner {
            Some(Owner::Simple(client)) => self.lose_client_link(client, link),
            Some(Owner::Session(session)) => self.session_loses(session, link, end),
            None => {}
        }
    }

    /// The client's end is let go; the gateway learns of it behind what is under way, if it can.
    pub(crate) fn let_go_as_client(&mut self, link: LinkId, end: End) {
        let (now, delay) = (self.clock.now(), self.link_delay());
        if let Some(state) = self.links.get_mut(&link)
            && state.owner.take().is_some()
        {
            state.to_gateway.drop_waiting();
            state.to_gateway.end(now, delay, end);
            self.plan_flow(link, Direction::ToGateway);
        }
        self.forget_if_let_go(link);
    }

    /// The gateway's end is let go; the client learns of it behind what is under way and what waits, if it can.
    pub(crate) fn let_go_as_gateway(&mut self, link: LinkId) -> Option<Socket> {
        let (now, delay) = (self.clock.now(), self.link_delay());
        let mut socket = None;
        if let Some(state) = self.links.get_mut(&link) {
            socket = state.socket.take();
            if socket.is_some() {
                state.to_client.end(now, delay, End::Ended);
                self.plan_flow(link, Direction::ToClient);
            }
        }
        self.forget_if_let_go(link);
        socket
    }

    pub(crate) fn forget_if_let_go(&mut self, link: LinkId) {
        let is_over = self
            .links
            .get(&link)
            .is_some_and(|state| state.owner.is_none() && state.socket.is_none());
        if is_over {
            self.links.remove(&link);
        }
    }
}
