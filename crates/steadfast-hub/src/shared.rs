//! What the peers of a hub share: everything that a command may use in addition to its peer.

use steadfast_engine::{Read, ReadFrom, Request, RequestId};

use crate::catch_up_reads::CatchUpReads;
use crate::channel::ChannelIndex;
use crate::channels::Channels;
use crate::context::Context;
use crate::event::HubLimit;
use crate::incomplete::IncompleteCommands;
use crate::io::Output;
use crate::peer::Peer;
use crate::pending::{Awaited, Caller, Pending, PendingEntry, Purpose};
use crate::rejections::RejectionCause;
use crate::timer_wheel::TimerWheel;

/// A hub without its peers.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) context: Context,
    pub(crate) channels: Channels,
    pub(crate) pending: Pending,
    pub(crate) catch_up_reads: CatchUpReads,
    /// Peers whose connect command was accepted, or awaits a decision.
    pub(crate) sessions: usize,
    pub(crate) subscriptions_started: u64,
    pub(crate) timer_wheel: TimerWheel,
    pub(crate) incomplete: IncompleteCommands,
}

impl Shared {
    pub(crate) fn new(context: Context) -> Self {
        let timer_wheel = TimerWheel::new(context.now);
        Self {
            context,
            channels: Channels::default(),
            pending: Pending::default(),
            catch_up_reads: CatchUpReads::new(),
            sessions: 0,
            subscriptions_started: 0,
            timer_wheel,
            incomplete: IncompleteCommands::default(),
        }
    }

    /// Schedules the peer's next deadline if it is earlier than the scheduled one.
    pub(crate) fn schedule(&mut self, peer: &mut Peer) {
        peer.schedule(self.context.policy.settings(), &mut self.timer_wheel);
    }

    /// Whether as many sessions are open as the policy allows. A session is open once its connect command awaits a
    /// decision: otherwise more could be decided than the hub accepts. Connections without a session do not count:
    /// otherwise a thundering herd that is larger than the hub would prevent its own sessions.
    pub(crate) const fn is_full(&self) -> bool {
        self.sessions >= self.context.settings().peers_max
    }

    /// Whether the hub's limits allow one more request of this size to the engine, which is 0 for a read. Records a
    /// rejection if not. A single request is allowed whatever its size is.
    pub(crate) fn has_request_capacity(&mut self, bytes: usize) -> bool {
        let settings = self.context.settings();
        let pending = self.pending.request_bytes();
        let limit = if self.pending.engine_requests() >= settings.pending_requests_max {
            HubLimit::PendingRequests
        } else if bytes > 0 && pending > 0 && pending + bytes > settings.pending_request_bytes_max {
            HubLimit::PendingRequestBytes
        } else {
            return true;
        };
        self.context.record_rejection(RejectionCause::Limit(limit));
        false
    }

    /// Sends a request to the engine; `request` builds it from its id. Returns its weight. The size of an append is in
    /// `bytes`, and 0 for a read, of which only the number is limited.
    pub(crate) fn request(
        &mut self,
        caller: Caller,
        purpose: Purpose,
        bytes: usize,
        request: impl FnOnce(RequestId) -> Request,
    ) -> usize {
        let settings = self.context.settings();
        let (shard, weight) = (settings.shard, purpose.weight(settings));
        if let Some(channel) = purpose.channel() {
            self.channels.get_mut(channel).pending_requests += 1;
        }
        let number = self.pending.add(PendingEntry {
            caller,
            weight,
            bytes,
            deadline: None,
            awaited: Awaited::Engine(purpose),
        });
        let request = request(RequestId { shard, number });
        self.context.emit(Output::Request(request));
        weight
    }

    /// Requests a page of the purpose's channel from the engine, with these limits of publications and payload bytes.
    /// Returns its weight.
    pub(crate) fn request_page(
        &mut self,
        caller: Caller,
        channel: ChannelIndex,
        purpose: Purpose,
        from: ReadFrom,
        (limit, bytes_max): (usize, usize),
    ) -> usize {
        let name = self.channels.get(channel).name.clone();
        self.request(caller, purpose, 0, |request_id| {
            Request::Read(Read {
                request_id,
                channel: name,
                from,
                limit,
                bytes_max,
            })
        })
    }
}
