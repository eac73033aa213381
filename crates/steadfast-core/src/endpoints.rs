//! Which endpoint a session connects to next: failover after a failure, failback to an endpoint of better priority.
//!
//! [`Endpoints`] sees no connection and does not decide how long a session waits between two attempts. A link reports
//! what happens to its attempts and connections, and dials what [`Endpoints::next`] and [`Endpoints::start_failback`]
//! return. There is no clock and no I/O; the seed determines the jitter and the order of endpoints of equal priority.
//!
//! - **Round:** attempts are made in rounds, in which each endpoint is tried once. The backoff applies after a loss and
//!   between rounds, and its smallest delay within one. A stable connection ends a round. One that is lost before it is
//!   stable does not, so that a server that accepts connections and drops them delays the others once per round.
//! - **Order in a round:** endpoints that are not held down, then by priority, then random.
//! - **Hold-down:** an endpoint that failed is tried after the others for a time with jitter. It is deferred and never
//!   excluded: in an outage of all endpoints each round still tries every one.
//! - **Failback:** a session that is connected to an endpoint of lower priority returns to a better one after both the
//!   hold-down of that one and a time with jitter, so that the clients of a server that is available again do not connect
//!   to it at once. The present connection is kept until the new one is ready. A failed failback begins another hold-down.
//!
//! # The time of a failover
//!
//! A stable connection is lost, and one of the endpoints accepts connections and did not request a delay. The session is
//! connected to it at the latest `d + t₁ + … + tₖ + c` after it detected the loss:
//!
//! - `d`: the backoff after the loss. It is at most `floor + min` of a proportional range if earlier outages are not
//!   counted any more, and at most `going_away_jitter` if the server announced that it goes away;
//! - `t₁ … tₖ`: one attempt at each of the other endpoints, which takes at least `floor`. A refused connection and an HTTP
//!   status such as 503 take a round trip, with or without a requested delay. A black hole, which drops packets, takes
//!   the timeout of the TCP connection. A process that is frozen, whose kernel still accepts connections, takes that of
//!   the upgrade or at most that of the attempt;
//! - `c`: the attempt that succeeds.
//!
//! An endpoint that accepts connections only after its attempt in the round is reached in the next one, after the backoff
//! between both.
//!
//! If that connection was stable and is lost during the hold-down of the other endpoints, the session is connected again
//! after `d + c`. An endpoint that accepts connections and drops them takes, instead of `tᵢ`, the time of the connection,
//! which is shorter than `stable_after`, and the backoff after its loss.

mod candidate;

use std::time::Duration;

use steadfast_machine::{Generator, Instant, Seed};
use thiserror::Error;

use crate::policy::{EndpointsPolicy, EndpointsSettings};
use candidate::Candidate;

/// An endpoint, numbered by the shell. The number of a removed endpoint must not be used for another one, which would
/// inherit its hold-down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u64);

/// An endpoint of the list, with its priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedEndpoint {
    /// The number that the shell chose for this endpoint.
    pub id: EndpointId,
    /// The endpoint with the lowest number is preferred. Sessions are distributed at random over endpoints of equal
    /// priority, and there is no failback between these.
    pub priority: u16,
}

/// Why a list of endpoints is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EndpointsError {
    /// There is no endpoint to connect to.
    #[error("the list of endpoints is empty")]
    Empty,
    /// The list has more endpoints than [`EndpointsSettings::count_max`].
    #[error("too many endpoints: at most {max} are allowed")]
    TooMany {
        /// The limit of the policy.
        max: usize,
    },
    /// The same number occurs twice.
    #[error("duplicate endpoint id {}", .0.0)]
    Duplicate(EndpointId),
}

/// The endpoints of a session, with what is remembered of their failures.
///
/// The memory is bounded by [`EndpointsSettings::count_max`]: nothing is kept of endpoints that are not listed.
///
/// ```
/// use std::time::Duration;
///
/// use steadfast_core::endpoints::{EndpointId, Endpoints, ListedEndpoint};
/// use steadfast_core::policy::{EndpointsPolicy, EndpointsSettings};
/// use steadfast_machine::{Instant, Seed};
///
/// let settings = EndpointsSettings::new(16, Duration::from_secs(10), Duration::from_mins(5));
/// let policy = EndpointsPolicy::new(settings.hold_down_jitter(Duration::from_mins(10)))?;
/// let (main, backup) = (EndpointId(1), EndpointId(2));
/// let list = [
///     ListedEndpoint { id: main, priority: 0 },
///     ListedEndpoint { id: backup, priority: 1 },
/// ];
/// let mut endpoints = Endpoints::new(policy, &list, Seed::new(7))?;
/// let now = Instant::START;
///
/// assert_eq!(endpoints.next(now), main);
/// endpoints.on_failed(now, main);
/// assert!(!endpoints.is_round_over(now)); // the smallest delay applies
/// assert_eq!(endpoints.next(now), backup);
/// endpoints.on_connected(now, backup);
///
/// // The main server is tried last while it is held down.
/// let later = now + Duration::from_mins(1);
/// endpoints.on_lost(later, backup);
/// assert_eq!(endpoints.next(later), backup);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Endpoints {
    settings: EndpointsSettings,
    generator: Generator,
    /// In the order of the list; never empty.
    candidates: Vec<Candidate>,
    connection: Option<Connection>,
}

/// The present connection.
#[derive(Clone, Copy, Debug)]
struct Connection {
    endpoint: EndpointId,
    since: Instant,
    /// It was stable when an attempt for its replacement began; that attempt began a round.
    has_ended_round: bool,
}

impl Endpoints {
    /// The endpoints of a session that is not connected. The seed must not be that of another part of the session, whose
    /// jitter would be correlated.
    ///
    /// # Errors
    ///
    /// The list is empty or too long, or contains an id twice.
    pub fn new(
        policy: EndpointsPolicy,
        list: &[ListedEndpoint],
        seed: Seed,
    ) -> Result<Self, EndpointsError> {
        let settings = *policy.settings();
        check(list, settings.count_max)?;
        let mut generator = seed.generator();
        let candidates = list
            .iter()
            .map(|it| Candidate::new(*it, generator.next_u64()));
        Ok(Self {
            settings,
            candidates: candidates.collect(),
            generator,
            connection: None,
        })
    }

    /// Replaces the list. What is remembered of endpoints that stay, and the round in progress, continue.
    ///
    /// While connected, an endpoint that is now preferred to that of the connection is due for failback after
    /// [`FailbackSettings`](crate::policy::FailbackSettings), also if the endpoint of the connection is not listed any
    /// more. The connection itself is not ended.
    ///
    /// # Errors
    ///
    /// The list is empty or too long, or contains an id twice. The present list then stays.
    pub fn set(&mut self, now: Instant, list: &[ListedEndpoint]) -> Result<(), EndpointsError> {
        check(list, self.settings.count_max)?;
        let was_preferred = self.preferred();
        let mut candidates = Vec::with_capacity(list.len());
        for listed in list {
            let known = self.candidates.iter().find(|it| it.id() == listed.id);
            candidates.push(match known {
                Some(known) => known.with_priority(listed.priority),
                None => Candidate::new(*listed, self.generator.next_u64()),
            });
        }
        self.candidates = candidates;
        let is_preferred = self.preferred();
        let newly_preferred = |id| is_preferred.contains(&id) && !was_preferred.contains(&id);
        self.delay_failback(now, newly_preferred);
        Ok(())
    }

    /// Begins an attempt: returns the endpoint to dial. Begins a round if [`Self::is_round_over`].
    ///
    /// While connected, the attempt is for a connection that replaces the present one, for example since the server
    /// announced that it goes away: it is at another endpoint, if there is one.
    ///
    /// Call it at [`Self::available_at`] or later. Before that, it returns the endpoint that is available first.
    pub fn next(&mut self, now: Instant) -> EndpointId {
        self.end_round_if_stable(now);
        if self.is_round_over(now) {
            self.begin_round();
        }
        let chosen = self.first(now);
        chosen.is_tried = true;
        chosen.id()
    }

    /// Whether each endpoint that is available was tried in this round. The backoff applies before the next attempt;
    /// otherwise its smallest delay, from the start of the failed attempt.
    pub fn is_round_over(&self, now: Instant) -> bool {
        let connected_to = self.connected_to();
        let mut candidates = self.candidates.iter();
        candidates.all(|it| it.is_tried || it.is_postponed(now) || connected_to == Some(it.id()))
    }

    /// The earliest instant of the next attempt, if servers requested a delay: that of the endpoint that is available
    /// first, or [`Instant::START`] if one did not request any.
    pub fn available_at(&self) -> Instant {
        let connected_to = self.connected_to();
        let candidates = self.candidates.iter();
        let others = candidates.filter(|it| connected_to != Some(it.id()));
        let first = others.map(|it| it.postponed_until).min();
        first.unwrap_or(Instant::START)
    }

    /// An attempt failed for a reason of the endpoint, or a connection was lost before it was ready. Holds the endpoint
    /// down.
    ///
    /// A failure of the client's own network is not reported: the endpoint counts as tried, and is not held down.
    pub fn on_failed(&mut self, now: Instant, id: EndpointId) {
        self.hold_down(now, id);
        if let Some(candidate) = self.candidate(id) {
            candidate.is_tried = true;
        }
    }

    /// Each further attempt at this endpoint would fail for the same reason. Reported before [`Self::on_failed`].
    ///
    /// Returns whether this is so for every endpoint: then no attempt can succeed. Otherwise the endpoint is treated as
    /// any other that failed. A transport to it ([`Self::on_opened`]) and [`Self::on_closed`] refute it.
    pub fn on_failed_for_good(&mut self, id: EndpointId) -> bool {
        if let Some(candidate) = self.candidate(id) {
            candidate.has_failed_for_good = true;
        }
        self.candidates.iter().all(|it| it.has_failed_for_good)
    }

    /// A transport to this endpoint has opened: it can be reached.
    pub fn on_opened(&mut self, id: EndpointId) {
        if let Some(candidate) = self.candidate(id) {
            candidate.has_failed_for_good = false;
        }
    }

    /// A connection is ready. It replaces the present one, if there is one, and ends the hold-down of its endpoint.
    pub fn on_connected(&mut self, now: Instant, id: EndpointId) {
        if self.is_stable(now) {
            self.begin_round();
        }
        self.connection = Some(Connection {
            endpoint: id,
            since: now,
            has_ended_round: false,
        });
        if let Some(candidate) = self.candidate(id) {
            candidate.on_connected();
        }
        let preferred = self.preferred();
        self.delay_failback(now, |id| preferred.contains(&id));
    }

    /// The present connection was lost. After a stable one a round begins, in which its endpoint is preferred as before;
    /// otherwise the endpoint is held down, and the round continues. The loss of another connection changes nothing.
    pub fn on_lost(&mut self, now: Instant, id: EndpointId) {
        if self.connected_to() != Some(id) {
            return;
        }
        let is_stable = self.is_stable(now);
        self.connection = None;
        if is_stable {
            self.begin_round();
        } else {
            self.on_failed(now, id);
        }
    }

    /// The client replaces the present connection by another one, which is reported when it is ready. Nothing follows from
    /// this for the endpoint that it leaves.
    pub fn on_replaced(&mut self, now: Instant) {
        if self.is_stable(now) {
            self.begin_round();
        }
        self.connection = None;
    }

    /// The end of the delay that the server of this endpoint requested, which may have passed; `None` for an endpoint that
    /// is not listed.
    pub fn postponed_until(&self, id: EndpointId) -> Option<Instant> {
        let found = self.candidates.iter().find(|it| it.id() == id);
        found.map(|it| it.postponed_until)
    }

    /// Ends the hold-down of an endpoint: what was reported of it was not its fault.
    pub fn end_hold_down(&mut self, id: EndpointId) {
        if let Some(candidate) = self.candidate(id) {
            candidate.held_until = Instant::START;
        }
    }

    /// An attempt ended for a reason that has nothing to do with its endpoint, which is to be tried again in this round.
    pub fn on_inconclusive(&mut self, id: EndpointId) {
        if let Some(candidate) = self.candidate(id) {
            candidate.is_tried = false;
        }
    }

    /// The session is closed, or restarted after it gave up. Nothing follows from this for an endpoint: the next attempt
    /// begins a round.
    pub fn on_closed(&mut self) {
        for candidate in &mut self.candidates {
            candidate.has_failed_for_good = false;
        }
        self.connection = None;
        self.begin_round();
    }

    /// Defers an endpoint for [`EndpointsSettings::hold_down`], although it did not fail an attempt: its server asked
    /// the client to connect elsewhere, or did not respond on an open connection.
    pub fn hold_down(&mut self, now: Instant, id: EndpointId) {
        let jitter = self.draw(self.settings.hold_down_jitter);
        let until = now + self.settings.hold_down + jitter;
        if let Some(candidate) = self.candidate(id) {
            candidate.held_until = until;
        }
    }

    /// Excludes an endpoint until an instant, since its server requested a delay, such as `Retry-After`. The caller limits
    /// the delay and adds the jitter.
    pub fn postpone(&mut self, id: EndpointId, until: Instant) {
        if let Some(candidate) = self.candidate(id) {
            candidate.postponed_until = until;
        }
    }

    /// When a failback is due; `None` while not connected, if no endpoint has a better priority than that of the
    /// connection, and without [`EndpointsSettings::failback`].
    pub fn failback_at(&self) -> Option<Instant> {
        let targets = self.failback_targets();
        targets.map(Candidate::failback_at).min()
    }

    /// Begins a failback if one is due: returns the endpoint to dial while the present connection stays. Reported like
    /// any attempt. Without a report, the next failback is due after the same delay as after a connection.
    pub fn start_failback(&mut self, now: Instant) -> Option<EndpointId> {
        let targets = self.failback_targets();
        let due = targets.filter(|it| it.failback_at() <= now);
        let target = due.min_by_key(|it| (it.priority(), it.rank))?.id();
        self.delay_failback(now, |id| id == target);
        Some(target)
    }
}

impl Endpoints {
    /// Each endpoint is to be tried once more, in a new random order among those of equal priority.
    fn begin_round(&mut self) {
        for candidate in &mut self.candidates {
            candidate.is_tried = false;
            candidate.rank = self.generator.next_u64();
        }
    }

    /// The endpoint of the next attempt. That of the present connection is the last.
    fn first(&mut self, now: Instant) -> &mut Candidate {
        let connected_to = self.connected_to();
        let candidates = self.candidates.iter_mut();
        candidates
            .min_by_key(|it| (connected_to == Some(it.id()), it.order(now)))
            .expect("the list is not empty")
    }

    /// The attempts of a round were made before the present connection, and are obsolete once it is stable.
    fn end_round_if_stable(&mut self, now: Instant) {
        let is_stable = self.is_stable(now);
        let connection = self.connection.as_mut();
        if let Some(connection) = connection.filter(|it| is_stable && !it.has_ended_round) {
            connection.has_ended_round = true;
            self.begin_round();
        }
    }

    fn is_stable(&self, now: Instant) -> bool {
        let stable_after = self.settings.stable_after;
        self.connection
            .is_some_and(|it| now.saturating_since(it.since) >= stable_after)
    }

    fn connected_to(&self) -> Option<EndpointId> {
        self.connection.map(|it| it.endpoint)
    }

    fn candidate(&mut self, id: EndpointId) -> Option<&mut Candidate> {
        self.candidates.iter_mut().find(|it| it.id() == id)
    }

    /// The endpoints with a better priority than that of the connection; all if that one is not listed any more.
    fn preferred(&self) -> Vec<EndpointId> {
        self.preferred_candidates().map(Candidate::id).collect()
    }

    fn preferred_candidates(&self) -> impl Iterator<Item = &Candidate> {
        let connected_to = self.connected_to();
        let connected = self
            .candidates
            .iter()
            .find(|it| connected_to == Some(it.id()));
        let priority = connected.map(Candidate::priority);
        self.candidates.iter().filter(move |it| {
            connected_to.is_some() && priority.is_none_or(|priority| it.priority() < priority)
        })
    }

    fn failback_targets(&self) -> impl Iterator<Item = &Candidate> {
        let is_enabled = self.settings.failback.is_some();
        self.preferred_candidates().filter(move |_| is_enabled)
    }

    /// Delays the failback to some endpoints; the same delay for all of them.
    fn delay_failback(&mut self, now: Instant, is_delayed: impl Fn(EndpointId) -> bool) {
        let Some(failback) = self.settings.failback else {
            return;
        };
        let from = now + failback.after + self.draw(failback.jitter);
        for candidate in &mut self.candidates {
            if is_delayed(candidate.id()) {
                candidate.failback_from = from;
            }
        }
    }

    fn draw(&mut self, range: Duration) -> Duration {
        self.generator.between(Duration::ZERO, range)
    }
}

fn check(list: &[ListedEndpoint], count_max: usize) -> Result<(), EndpointsError> {
    if list.is_empty() {
        return Err(EndpointsError::Empty);
    }
    if list.len() > count_max {
        return Err(EndpointsError::TooMany { max: count_max });
    }
    let mut ids: Vec<EndpointId> = list.iter().map(|it| it.id).collect();
    ids.sort_unstable();
    let mut pairs = ids.iter().zip(ids.iter().skip(1));
    match pairs.find(|(one, other)| one == other) {
        Some((id, _)) => Err(EndpointsError::Duplicate(*id)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
