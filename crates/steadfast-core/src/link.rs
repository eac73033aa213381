//! The link: a connection and its successors, without a single message.
//!
//! ```text
//!        open                   dialled                 accepted
//! Idle ─────────▶ Dialing ───────────────▶ Handshake ───────────────▶ Connected ──close──▶ Closing ──▶ Idle
//!                 ▲    │ failed               │ rejected, lost           │ lost
//!  due, reconnect │    ▼                      ▼                          ▼
//!             now └── Waiting ◀───────────────────────────────────────────┘
//!                         any permanent failure ──▶ Failed ──restart──▶ Dialing
//! ```
//!
//! The link decides when and where to dial, when a connection is given up, and when the next attempt follows; its
//! [`Endpoints`] choose the server. It gives up only if its policy or a
//! [`RetryAdvice`](crate::retry_advice::RetryAdvice) requires it. What is said over a connection is the business of the
//! layer above: it calls [`Link::accepted`], [`Link::rejected`] and [`Link::ready`], and executes or passes on the
//! [`LinkOutput`]s. A link performs no I/O and has no clock.

mod closing;
mod connection_loss;
mod credentials;
mod dialing;
mod endpoint_memory;
mod io;
mod timers;

use std::collections::VecDeque;
use std::time::Duration;

use steadfast_machine::{Instant, Seed, convert};

pub use io::LinkOutput;

use self::credentials::LinkCredentials;
use crate::backoff::Backoff;
use crate::endpoints::{EndpointId, Endpoints};
use crate::event::{
    ConnectionEpoch, DisconnectCause, SessionEvent, SessionPhase, SessionSnapshot, SessionState,
};
use crate::io::Attempt;
use crate::liveness::{Action, Liveness};
use crate::policy::{LinkPolicy, LinkSettings};

/// The state machine of a connection and its successors.
///
/// Methods that name an [`Attempt`] ignore an attempt that has ended, so that a late event of an old socket cannot end a
/// new connection. After each call, drain [`Self::poll_output`].
#[derive(Debug)]
pub struct Link {
    settings: LinkSettings,
    lifecycle: Lifecycle,
    snapshot: SessionSnapshot,
    /// The attempt in progress, or the last one.
    attempt: Attempt,
    attempt_started_at: Instant,
    endpoints: Endpoints,
    /// The endpoint of the attempt.
    endpoint: EndpointId,
    /// The endpoint of the last connection, if that was silent: held down, unless the client's own network was the cause.
    silent_endpoint: Option<EndpointId>,
    /// Start of the time without a connection.
    disconnected_since: Option<Instant>,
    credentials: LinkCredentials,
    /// While draining: the instant at which the link closes even if the layer above has more to send.
    drain_until: Option<Instant>,
    backoff: Backoff,
    outputs: VecDeque<LinkOutput>,
}

/// The state of a link, with the data that is valid in it.
#[derive(Debug)]
enum Lifecycle {
    Idle,
    Dialing {
        /// `None` while the dial is queued in the shell.
        deadline: Option<Instant>,
    },
    Handshake {
        deadline: Instant,
        liveness: Liveness,
    },
    Connected {
        since: Instant,
        liveness: Liveness,
        is_ready: bool,
    },
    Waiting {
        until: Instant,
    },
    Closing {
        deadline: Instant,
    },
    Failed,
}

impl Link {
    /// A link that is not opened yet. The seed determines its jitter and nothing else.
    pub fn new(policy: &LinkPolicy, seed: Seed, now: Instant) -> Self {
        let settings = policy.settings().clone();
        Self {
            lifecycle: Lifecycle::Idle,
            snapshot: SessionSnapshot {
                since: now,
                ..SessionSnapshot::default()
            },
            attempt: Attempt::default(),
            attempt_started_at: now,
            endpoints: endpoint_memory::create(&settings, seed.generator().split()),
            endpoint: EndpointId(0),
            silent_endpoint: None,
            disconnected_since: None,
            credentials: LinkCredentials::default(),
            drain_until: None,
            backoff: Backoff::new(settings.backoff, seed),
            outputs: VecDeque::new(),
            settings,
        }
    }

    /// What the layer above has to do next.
    pub fn poll_output(&mut self) -> Option<LinkOutput> {
        self.outputs.pop_front()
    }

    /// The current state of the link, for display and tests.
    pub const fn snapshot(&self) -> &SessionSnapshot {
        &self.snapshot
    }

    /// Records how many messages of the layer above are queued and in flight, for [`Self::snapshot`].
    pub const fn set_counts(&mut self, queued: usize, in_flight: usize) {
        self.snapshot.queued = queued;
        self.snapshot.in_flight = in_flight;
    }

    /// The attempt in progress, or the last one.
    pub const fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// Whether inputs of this attempt are still valid.
    pub fn is_current(&self, attempt: Attempt) -> bool {
        attempt == self.attempt
            && match self.lifecycle {
                Lifecycle::Dialing { .. }
                | Lifecycle::Handshake { .. }
                | Lifecycle::Connected { .. }
                | Lifecycle::Closing { .. } => true,
                Lifecycle::Idle | Lifecycle::Waiting { .. } | Lifecycle::Failed => false,
            }
    }

    /// Whether the transport is open and the peer has not accepted the client yet.
    pub const fn is_in_handshake(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Handshake { .. })
    }

    /// Whether the peer has accepted the client, and the connection is not closing.
    pub const fn is_connected(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Connected { .. })
    }

    /// Whether messages can be received: the transport is or was open in this attempt.
    pub const fn can_receive(&self) -> bool {
        matches!(
            self.lifecycle,
            Lifecycle::Handshake { .. } | Lifecycle::Connected { .. } | Lifecycle::Closing { .. }
        )
    }

    /// Whether the application has closed the link, which still sends what is queued.
    pub const fn is_draining(&self) -> bool {
        self.drain_until.is_some()
    }

    /// Whether the connection is being closed: everything was sent, and the link waits for the peer.
    pub const fn is_closing_connection(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Closing { .. })
    }

    /// Whether the application requested to close the link, and the link has not ended.
    pub const fn is_closing(&self) -> bool {
        self.is_draining() || self.is_closing_connection()
    }

    /// Whether the transport has bytes that the socket has not accepted.
    pub const fn is_write_blocked(&self) -> bool {
        match &self.lifecycle {
            Lifecycle::Handshake { liveness, .. } | Lifecycle::Connected { liveness, .. } => {
                liveness.is_write_blocked()
            }
            Lifecycle::Idle
            | Lifecycle::Dialing { .. }
            | Lifecycle::Waiting { .. }
            | Lifecycle::Closing { .. }
            | Lifecycle::Failed => false,
        }
    }

    /// From the start of an attempt until the peer has accepted the client.
    pub const fn connect_timeout(&self) -> Duration {
        self.settings.connect_timeout
    }

    /// The delays of this link; the layer above draws its own from the same seed.
    pub(crate) const fn backoff_mut(&mut self) -> &mut Backoff {
        &mut self.backoff
    }

    fn transition(&mut self, now: Instant, state: SessionState, phase: SessionPhase) {
        if self.snapshot.state != state {
            self.snapshot.since = now;
        }
        self.snapshot.state = state;
        self.snapshot.phase = phase;
        self.snapshot.next_attempt_at = match self.lifecycle {
            Lifecycle::Waiting { until } => Some(until),
            Lifecycle::Idle
            | Lifecycle::Dialing { .. }
            | Lifecycle::Handshake { .. }
            | Lifecycle::Connected { .. }
            | Lifecycle::Closing { .. }
            | Lifecycle::Failed => None,
        };
    }

    /// Gives up the current transport; its later inputs are ignored.
    fn abort_transport(&mut self) {
        // An attempt that waits for credentials has none.
        if !self.is_fetching_credentials() {
            let attempt = self.attempt;
            self.outputs.push_back(LinkOutput::Abort { attempt });
        }
    }

    fn notify(&mut self, event: SessionEvent) {
        self.outputs.push_back(LinkOutput::Notify(event));
    }

    fn probe(&mut self) {
        let attempt = self.attempt;
        self.outputs.push_back(LinkOutput::Probe { attempt });
    }

    const fn liveness_mut(&mut self) -> Option<&mut Liveness> {
        match &mut self.lifecycle {
            Lifecycle::Handshake { liveness, .. } | Lifecycle::Connected { liveness, .. } => {
                Some(liveness)
            }
            Lifecycle::Idle
            | Lifecycle::Dialing { .. }
            | Lifecycle::Waiting { .. }
            | Lifecycle::Closing { .. }
            | Lifecycle::Failed => None,
        }
    }
}

/// An open transport.
impl Link {
    /// Bytes of any kind were received: the peer is alive.
    pub fn bytes_received(&mut self, now: Instant, attempt: Attempt) {
        if !self.is_current(attempt) {
            return;
        }
        let round_trip = self
            .liveness_mut()
            .and_then(|liveness| liveness.bytes_received(now));
        self.snapshot.rtt = round_trip.or(self.snapshot.rtt);
    }

    /// The socket has not accepted this number of bytes; reported after a partial write, and when nothing is left.
    pub fn send_buffer_changed(&mut self, now: Instant, attempt: Attempt, bytes: u64) {
        if self.is_current(attempt)
            && let Some(liveness) = self.liveness_mut()
        {
            liveness.send_buffer_changed(now, bytes);
        }
    }

    /// A message of this length was passed to the transport, which may buffer it.
    pub fn transmitted(&mut self, bytes: usize) {
        if let Some(liveness) = self.liveness_mut() {
            liveness.bytes_queued(convert::to_u64(bytes));
        }
    }

    /// Requests are about to be sent. After a long silence the peer is probed first, so that the caller learns soon
    /// whether it is alive.
    pub fn requests_pending(&mut self, now: Instant) {
        if let Lifecycle::Connected { liveness, .. } = &mut self.lifecycle
            && liveness.on_send(now) == Action::Probe
        {
            self.probe();
        }
    }

    /// Requests were passed to the transport, the newest with this id: the peer has to reply.
    pub fn requests_sent(&mut self, now: Instant, newest: u32) {
        if let Lifecycle::Connected { liveness, .. } = &mut self.lifecycle {
            liveness.requests_sent(now, newest);
        }
    }

    /// Every request has its reply: the peer has no reason to send anything.
    pub const fn no_request_in_flight(&mut self) {
        if let Lifecycle::Connected { liveness, .. } = &mut self.lifecycle {
            liveness.no_request_in_flight();
        }
    }

    /// The request with this id got its reply.
    pub fn reply_received(&mut self, now: Instant, id: u32) {
        if let Lifecycle::Connected { liveness, .. } = &mut self.lifecycle {
            liveness.reply_received(now, id);
        }
    }

    /// The peer accepted the client; has no effect unless the link is in a handshake.
    pub fn accepted(&mut self, now: Instant) {
        if !self.is_in_handshake() {
            return;
        }
        let Lifecycle::Handshake { liveness, .. } =
            std::mem::replace(&mut self.lifecycle, Lifecycle::Idle)
        else {
            return;
        };
        self.lifecycle = Lifecycle::Connected {
            since: now,
            liveness,
            is_ready: false,
        };
        let epoch = ConnectionEpoch(self.snapshot.epoch.0 + 1);
        let is_first = self.snapshot.epoch == ConnectionEpoch::default();
        self.backoff.connected(now);
        self.silent_endpoint = None;
        let downtime = self
            .disconnected_since
            .take()
            .filter(|_| !is_first)
            .map(|since| now.saturating_since(since));
        self.snapshot.epoch = epoch;
        self.snapshot.attempt = 0;
        self.snapshot.reconnects += u64::from(!is_first);
        let phase = self.resuming_phase();
        self.transition(now, SessionState::Connected, phase);
        self.notify(SessionEvent::Connected { epoch, downtime });
    }

    /// The layer above has restored its state over the new connection; repeated calls have no effect.
    pub fn ready(&mut self, now: Instant) {
        let Lifecycle::Connected { is_ready, .. } = &mut self.lifecycle else {
            return;
        };
        if std::mem::replace(is_ready, true) {
            return;
        }
        self.endpoints.on_connected(now, self.endpoint);
        let epoch = self.snapshot.epoch;
        if !self.is_draining() {
            self.transition(now, SessionState::Connected, SessionPhase::Ready);
        }
        self.notify(SessionEvent::Ready { epoch });
    }

    fn check_liveness(&mut self, now: Instant) {
        let Some(liveness) = self.liveness_mut() else {
            return;
        };
        match liveness.on_timer(now) {
            Action::Wait => {}
            Action::Probe => self.probe(),
            Action::PongTimeout(silence) => {
                self.give_up_connection(now, DisconnectCause::PongTimeout(silence));
            }
            Action::WriteTimeout(time) => {
                self.give_up_connection(now, DisconnectCause::WriteTimeout(time));
            }
        }
    }

    /// The first phase of a new connection.
    const fn resuming_phase(&self) -> SessionPhase {
        if self.is_draining() {
            SessionPhase::Draining
        } else {
            SessionPhase::Resuming
        }
    }

    /// How long a connection must have been ready to count as stable for this time.
    const fn stable_for(connected_for: Duration, is_ready: bool) -> Duration {
        // A connection that was never ready reduces no backoff, so that a server that accepts and then drops
        // connections is not flooded with attempts.
        if is_ready {
            connected_for
        } else {
            Duration::ZERO
        }
    }
}
