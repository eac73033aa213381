//! The link: a connection and its successors, without a single message.
//!
//! ```text
//!        open                   dialled                 accepted
//! Idle ─────────▶ Dialing ───────────────▶ Handshake ───────────────▶ Connected ──close──▶ Closing ──▶ Idle
//!                 ▲    │ failed               │ rejected, lost           │ lost
//!  due, reconnect │    ▼                      ▼                          ▼
//!             now └── Waiting ◀───────────────────────────────────────────┘
//!                         any permanent failure ──▶ Failed ──restart──▶ Dialing
//!
//! While Connected and ready, a second connection may be established; the first one stays until the switch:
//!
//!       failback, migrate         dialled              accepted               switch
//! none ──────────────────▶ Dialing ─────▶ Handshake ─────────────▶ Accepted ─────────▶ the present connection
//!  ▲                         │ failed        │ rejected, lost        │ lost             the former one is Retiring
//!  └─────────────────────────┴───────────────┴───────────────────────┘                  until the peer has closed it
//! ```
//!
//! The link decides when and where to dial, when a connection is given up, and when the next attempt follows; its
//! [`Endpoints`] choose the server. It gives up only if its policy or a
//! [`RetryAdvice`](crate::retry_advice::RetryAdvice) requires it. What is said over a connection is the business of the
//! layer above: it calls [`Link::accepted`], [`Link::rejected`] and [`Link::ready`], and executes or passes on the
//! [`LinkOutput`]s. A link performs no I/O and has no clock.

mod closing;
mod connection;
mod connection_loss;
mod credentials;
mod dialing;
mod endpoint_memory;
mod io;
mod standby;
mod switch;
mod timers;

use std::collections::VecDeque;
use std::time::Duration;

use steadfast_machine::{Instant, Seed};

pub use io::LinkOutput;
pub use standby::SWITCH_TIMEOUT;

use self::credentials::LinkCredentials;
use self::standby::Standby;
use self::switch::Retiring;
use crate::backoff::Backoff;
use crate::endpoints::{EndpointId, Endpoints};
use crate::event::{SessionEvent, SessionPhase, SessionSnapshot, SessionState};
use crate::io::Attempt;
use crate::liveness::Liveness;
use crate::policy::{LinkPolicy, LinkSettings};

/// The state machine of a connection and its successors.
///
/// Methods that name an [`Attempt`] serve the present connection and the one that is to replace it. They ignore an attempt
/// that has ended, so that a late event of an old socket cannot end a new connection. After each call, drain
/// [`Self::poll_output`].
#[derive(Debug)]
pub struct Link {
    settings: LinkSettings,
    lifecycle: Lifecycle,
    snapshot: SessionSnapshot,
    /// The attempt in progress, or the last one; that of the present connection while connected.
    attempt: Attempt,
    /// The newest attempt of all.
    last_attempt: Attempt,
    attempt_started_at: Instant,
    /// When the last attempt began, or begins, that [`Link::reconnect_now`] caused.
    requested_at: Option<Instant>,
    endpoints: Endpoints,
    /// The endpoint of the attempt.
    endpoint: EndpointId,
    /// The endpoint of the last connection, if that was silent: held down, unless the client's own network was the cause.
    silent_endpoint: Option<EndpointId>,
    /// The connection that is to replace the present one; only while that is ready and the link is not closing. Boxed,
    /// because most links have none.
    standby: Option<Box<Standby>>,
    /// The connection that was replaced, until the peer has closed it.
    retiring: Option<Retiring>,
    /// Start of the time without a connection.
    disconnected_since: Option<Instant>,
    /// It was reported that this time is long.
    has_reported_degraded: bool,
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
            last_attempt: Attempt::default(),
            attempt_started_at: now,
            requested_at: None,
            endpoints: endpoint_memory::create(&settings, seed.generator().split()),
            endpoint: EndpointId(0),
            silent_endpoint: None,
            standby: None,
            retiring: None,
            disconnected_since: None,
            has_reported_degraded: false,
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

    /// The attempt in progress, or the last one; while connected, that of the present connection.
    pub const fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// The number of an attempt that begins now.
    const fn next_attempt(&mut self) -> Attempt {
        self.last_attempt = Attempt(self.last_attempt.0 + 1);
        self.last_attempt
    }

    /// Whether inputs of this attempt are still valid, and it is not that of a standby.
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

    fn probe(&mut self, attempt: Attempt) {
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
