//! Failure detection for a connection: heartbeat probes and the write timeout.
//!
//! Two things are required of a peer: that something arrives from it, and that it receives what is sent.
//!
//! The idle time counts from the last received byte, of any kind. After `ping_after_idle` a probe is sent, a second one
//! half a `pong_timeout` later, and at `ping_after_idle + pong_timeout` the connection is given up. Sending does not
//! reset the idle time: on a half-open connection the kernel accepts bytes for minutes, so a busy writer would not
//! detect it. That the peer receives is proved by its replies alone, see [`reachability`].
//!
//! While a request is in flight and no byte arrives, a probe is due after `ping_after_request`, or after four round trips
//! if those take longer. The timeout is then adaptive: as long as a reply usually takes, at least `pong_timeout_min`, and
//! as long as the bytes take that are in flight. Without a request the peer has no reason to send anything, and the
//! application does not wait for it.

mod reachability;
mod requests;
mod round_trip;
mod write_stall;

use std::time::Duration;

use steadfast_machine::{Instant, convert};

use self::reachability::{Reachability, Verdict};
use self::requests::RequestsInFlight;
use self::round_trip::RoundTrip;
use self::write_stall::WriteStall;
use crate::event::DisconnectCause;
use crate::policy::LivenessSettings;

/// The rate of a link for which the timeouts suffice while bytes are in front of a reply: 128 kbit/s. On a slower one,
/// round trips take longer, and the timeout of requests follows them.
const BYTES_PER_SECOND: u64 = 16 << 10;

/// A request in flight is probed after this number of round trips.
const ROUND_TRIPS_BEFORE_PROBE: u32 = 4;

/// What the session has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Wait,
    /// Send a ping.
    Probe,
    /// Give up the connection.
    GiveUp(DisconnectCause),
}

/// The probes since the last received byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProbeState {
    NotProbed,
    /// One probe was sent, at this time.
    ProbedOnce(Instant),
    /// Two probes were sent, the first at this time.
    ProbedTwice(Instant),
    /// A last probe was sent, because this process was late; the connection is given up at this time.
    ClockJumpGrace(Instant),
}

/// The liveness of one connection.
#[derive(Debug)]
pub(crate) struct Liveness {
    settings: LivenessSettings,
    last_received_at: Instant,
    probe_state: ProbeState,
    reachability: Reachability,
    round_trip: RoundTrip,
    requests: RequestsInFlight,
    write_stall: WriteStall,
}

impl Liveness {
    pub(crate) fn new(settings: LivenessSettings, now: Instant) -> Self {
        let (ping_after, timeout) = (settings.ping_after_idle, settings.pong_timeout);
        Self {
            settings,
            last_received_at: now,
            probe_state: ProbeState::NotProbed,
            reachability: Reachability::new(ping_after, timeout, settings.clock_jump_grace, now),
            round_trip: RoundTrip::default(),
            requests: RequestsInFlight::default(),
            write_stall: WriteStall::new(settings.write_timeout, settings.clock_jump_grace),
        }
    }

    /// This number of bytes was received, of any kind.
    pub(crate) const fn bytes_received(&mut self, now: Instant, bytes: u64) {
        self.last_received_at = now;
        self.probe_state = ProbeState::NotProbed;
        self.requests.on_bytes_received();
        self.reachability.on_bytes_received(bytes);
    }

    /// A pong was received. Returns the round-trip time; `None` if there was no ping.
    pub(crate) fn pong_received(&mut self, now: Instant) -> Option<Duration> {
        let round_trip = self.reachability.on_pong(now)?;
        self.record_round_trip(round_trip);
        Some(round_trip)
    }

    /// A command got its reply.
    pub(crate) fn reply_received(&mut self, now: Instant, command: u32) {
        self.reachability.on_reply(now, command);
        if let Some(round_trip) = self.requests.on_reply(now, command) {
            self.record_round_trip(round_trip);
        }
    }

    /// The size of the send buffer changed.
    pub(crate) fn send_buffer_changed(&mut self, now: Instant, bytes: u64) {
        self.write_stall.on_changed(now, bytes);
    }

    /// A message of this length was added to the send buffer. The newest request in it, or before it, has this id.
    pub(crate) fn bytes_queued(&mut self, bytes: u64, newest_id: u32) {
        self.write_stall.on_bytes_queued(bytes);
        self.requests.on_bytes_queued(bytes);
        self.reachability.on_bytes_queued(bytes, newest_id);
    }

    /// Whether the send buffer is not empty.
    pub(crate) const fn is_write_blocked(&self) -> bool {
        self.write_stall.is_blocked()
    }

    /// Something is about to be sent. After half of `ping_after_idle` a probe is sent immediately, so that the caller
    /// learns after `pong_timeout` that the connection is dead.
    pub(crate) fn on_send(&mut self, now: Instant) -> Action {
        let silence = now.saturating_since(self.last_received_at);
        if self.probe_state == ProbeState::NotProbed && silence >= self.settings.ping_after_idle / 2
        {
            self.start_probing(now);
            return Action::Probe;
        }
        Action::Wait
    }

    /// Requests were sent, the newest with this command; all their bytes were queued.
    pub(crate) fn requests_sent(&mut self, now: Instant, newest: u32) {
        self.requests
            .on_sent(now, newest, self.settings.pong_timeout);
    }

    /// No request is in flight.
    pub(crate) const fn no_request_in_flight(&mut self) {
        self.requests.on_none_in_flight();
    }

    /// Starts probing regardless of the idle time. Returns false if probing has already started.
    pub(crate) fn probe_now(&mut self, now: Instant) -> bool {
        let is_due = self.probe_state == ProbeState::NotProbed;
        if is_due {
            self.start_probing(now);
        }
        is_due
    }

    pub(crate) const fn last_received_at(&self) -> Instant {
        self.last_received_at
    }

    /// When [`Self::on_timer`] is due.
    pub(crate) fn deadline(&self) -> Instant {
        let due = match self.probe_state {
            ProbeState::NotProbed => self.first_probe_at(),
            ProbeState::ProbedOnce(at) => at + self.timeout(at) / 2,
            ProbeState::ProbedTwice(at) => at + self.timeout(at),
            ProbeState::ClockJumpGrace(deadline) => deadline,
        };
        let due = due.min(self.reachability.deadline());
        self.write_stall.deadline().map_or(due, |at| at.min(due))
    }

    pub(crate) fn on_timer(&mut self, now: Instant) -> Action {
        if let Some(time) = self.write_stall.on_timer(now) {
            return Action::GiveUp(DisconnectCause::WriteTimeout(time));
        }
        match self.on_silence_timer(now) {
            Action::Wait => self.on_reachability_timer(now),
            action @ (Action::Probe | Action::GiveUp(_)) => action,
        }
    }

    fn on_reachability_timer(&mut self, now: Instant) -> Action {
        match self.reachability.on_timer(now) {
            Verdict::Wait => Action::Wait,
            Verdict::Probe => {
                // If a probe is pending already, this one has to count as well, or it would be due again at once.
                if !self.probe_now(now) {
                    self.reachability.on_probe(now);
                }
                Action::Probe
            }
            Verdict::Unreachable(time) => Action::GiveUp(DisconnectCause::PongMissing(time)),
        }
    }

    fn on_silence_timer(&mut self, now: Instant) -> Action {
        match self.probe_state {
            ProbeState::NotProbed if now >= self.first_probe_at() => {
                self.start_probing(now);
                Action::Probe
            }
            ProbeState::ProbedOnce(at) if now >= at + self.timeout(at) / 2 => {
                self.probe_state = ProbeState::ProbedTwice(at);
                let timeout = self.timeout(at);
                self.grant_clock_jump_grace(now, at + timeout / 2, timeout)
                    .unwrap_or(Action::Probe)
            }
            ProbeState::ProbedTwice(at) if now >= at + self.timeout(at) => {
                let timeout = self.timeout(at);
                self.grant_clock_jump_grace(now, at + timeout, timeout)
                    .unwrap_or_else(|| self.pong_timeout(now))
            }
            ProbeState::ClockJumpGrace(deadline) if now >= deadline => self.pong_timeout(now),
            ProbeState::NotProbed
            | ProbeState::ProbedOnce(_)
            | ProbeState::ProbedTwice(_)
            | ProbeState::ClockJumpGrace(_) => Action::Wait,
        }
    }

    /// When the first probe is due.
    fn first_probe_at(&self) -> Instant {
        let idle = self.last_received_at + self.settings.ping_after_idle;
        self.request_probe_at().map_or(idle, |at| at.min(idle))
    }

    /// When a probe is due because a request is in flight and no byte arrives.
    fn request_probe_at(&self) -> Option<Instant> {
        let since = self.requests.since()?.max(self.last_received_at);
        let round_trips = self
            .round_trip
            .smoothed()
            .saturating_mul(ROUND_TRIPS_BEFORE_PROBE);
        Some(since + self.settings.ping_after_request.max(round_trips))
    }

    /// The time from the first probe until the connection is given up.
    fn timeout(&self, probed_at: Instant) -> Duration {
        let longest = self.settings.pong_timeout;
        let (Some(probe_at), Some(round_trip)) =
            (self.request_probe_at(), self.round_trip.timeout())
        else {
            return longest;
        };
        let timeout = round_trip
            .max(self.settings.pong_timeout_min)
            .saturating_add(self.requests.transmission_time());
        // A probe may be older than the request.
        let wait = probe_at.saturating_since(probed_at);
        wait.saturating_add(timeout).min(longest)
    }

    /// A process that was suspended would measure its own pause, so that a sample has a limit.
    fn record_round_trip(&mut self, sample: Duration) {
        self.round_trip
            .record(sample.min(self.settings.pong_timeout));
    }

    fn start_probing(&mut self, now: Instant) {
        self.probe_state = ProbeState::ProbedOnce(now);
        self.requests.on_probe();
        self.reachability.on_probe(now);
    }

    /// A suspended process or machine could not receive anything either: the peer gets one more chance.
    fn grant_clock_jump_grace(
        &mut self,
        now: Instant,
        due: Instant,
        timeout: Duration,
    ) -> Option<Action> {
        let late = now.saturating_since(due);
        (late > timeout / 2).then(|| {
            self.probe_state = ProbeState::ClockJumpGrace(now + self.settings.clock_jump_grace);
            self.reachability.extend(now);
            Action::Probe
        })
    }

    fn pong_timeout(&self, now: Instant) -> Action {
        let silence = now.saturating_since(self.last_received_at);
        Action::GiveUp(DisconnectCause::PongTimeout(silence))
    }
}

/// How long this number of bytes takes at [`BYTES_PER_SECOND`].
fn transmission_time(bytes: u64) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(BYTES_PER_SECOND);
    Duration::from_nanos(convert::saturating(nanos))
}
