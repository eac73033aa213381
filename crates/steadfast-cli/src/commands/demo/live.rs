//! The live report: the state of the gateway and the painters, their downtimes, and missing deliveries.
//!
//! Offsets of a channel have no gaps, so that offsets suffice for the counts: a publication that a painter skipped is
//! lost, even if the gap was reported; a repeated offset is a duplicate; and acknowledged publications after the
//! painter's offset are undelivered.

mod cause;

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use steadfast::centrifuge::Position;
use steadfast::{DisconnectCause, SessionState};
use steadfast_clock::Clock;
use steadfast_machine::convert;

/// The maximum number of reported disconnects.
const DISCONNECTS_MAX: usize = 20;
/// The maximum number of stored downtimes of a painter, for its median.
const DOWNTIMES_MAX: usize = 1_000;
/// The message rate is the average over this time.
const RATE_WINDOW_MS: u64 = 2_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GatewayState {
    Starting,
    Up,
    /// The process runs and has not responded to the last probe, for example because it is suspended.
    Unresponsive,
    Down,
}

impl GatewayState {
    /// Whether there is a process that was ready.
    const fn is_running(self) -> bool {
        matches!(self, Self::Up | Self::Unresponsive)
    }

    /// Whether nothing is received from the gateway.
    const fn is_silent(self) -> bool {
        matches!(self, Self::Unresponsive | Self::Down)
    }
}

/// The statistics of the live report, shared between the tasks of the demo.
#[derive(Debug)]
pub(super) struct LiveStats {
    stats: Mutex<Stats>,
}

#[derive(Debug)]
struct Stats {
    gateway: GatewayState,
    /// When the demo started; a report with another value is not comparable with earlier ones.
    started_ms: u64,
    process: Option<u32>,
    kills: u64,
    /// Since the last kill, until the next gateway is started.
    is_killed: bool,
    /// How often the gateway went down, for any reason.
    outages: u64,
    down_since_ms: Option<u64>,
    last_outage_ms: Option<u64>,
    /// The number of clients that the gateway reported last; 0 after it went down.
    connections: u32,
    resumes: u64,
    /// When each publication within the rate window was received.
    received_ms: VecDeque<u64>,
    /// The highest offset that was acknowledged to a painter.
    acknowledged_offset: u64,
    painters: Vec<Painter>,
    disconnects: VecDeque<Disconnect>,
}

#[derive(Debug)]
struct Painter {
    name: String,
    state: SessionState,
    attempt: u32,
    next_attempt_at_ms: Option<u64>,
    disconnected_since_ms: Option<u64>,
    downtimes_ms: Vec<u64>,
    resumed: u64,
    acknowledged: u64,
    in_flight: u64,
    /// The offset of the last delivered publication; `None` before the first subscription.
    offset: Option<u64>,
    lost: u64,
    duplicated: u64,
}

#[derive(Debug)]
struct Disconnect {
    at_ms: u64,
    painter: usize,
    cause: String,
    code: Option<u16>,
    downtime_ms: Option<u64>,
}

impl LiveStats {
    pub(super) fn new(painters: usize) -> Self {
        let painters = (1..=painters).map(|number| Painter {
            name: format!("painter {number}"),
            state: SessionState::Disconnected,
            attempt: 0,
            next_attempt_at_ms: None,
            disconnected_since_ms: None,
            downtimes_ms: Vec::new(),
            resumed: 0,
            acknowledged: 0,
            in_flight: 0,
            offset: None,
            lost: 0,
            duplicated: 0,
        });
        Self {
            stats: Mutex::new(Stats {
                gateway: GatewayState::Starting,
                started_ms: now_ms(),
                process: None,
                kills: 0,
                is_killed: false,
                outages: 0,
                down_since_ms: None,
                last_outage_ms: None,
                connections: 0,
                resumes: 0,
                received_ms: VecDeque::new(),
                acknowledged_offset: 0,
                painters: painters.collect(),
                disconnects: VecDeque::new(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a gateway that can be killed.
    pub(super) fn is_running(&self) -> bool {
        self.lock().gateway.is_running()
    }

    /// The outcome of a probe of the running gateway.
    pub(super) fn set_responsive(&self, is_responsive: bool) {
        let mut stats = self.lock();
        // It may have been killed since the probe began.
        if stats.gateway.is_running() {
            stats.gateway = if is_responsive {
                GatewayState::Up
            } else {
                GatewayState::Unresponsive
            };
        }
    }

    pub(super) fn set_gateway_state(&self, gateway: GatewayState, process: Option<u32>) {
        let now = now_ms();
        let mut stats = self.lock();
        match gateway {
            GatewayState::Up => {
                let since = stats.down_since_ms.take();
                stats.last_outage_ms = since
                    .map(|since| now.saturating_sub(since))
                    .or(stats.last_outage_ms);
            }
            // A failed start does not begin another outage.
            GatewayState::Down => {
                stats.outages += u64::from(stats.down_since_ms.is_none());
                stats.down_since_ms = stats.down_since_ms.or(Some(now));
                stats.connections = 0;
                stats.received_ms.clear();
            }
            GatewayState::Starting => stats.is_killed = false,
            GatewayState::Unresponsive => {}
        }
        stats.gateway = gateway;
        stats.process = process;
    }

    pub(super) fn record_kill(&self) {
        let mut stats = self.lock();
        stats.kills += 1;
        stats.is_killed = true;
    }

    /// The client that maintains the picture received a publication.
    pub(super) fn record_message(&self) {
        let now = now_ms();
        let mut stats = self.lock();
        stats.received_ms.push_back(now);
        stats.drop_expired_messages(now);
    }

    pub(super) fn set_connections(&self, clients: u32) {
        let mut stats = self.lock();
        // A reply can arrive after the decision to kill the gateway.
        if !stats.gateway.is_silent() {
            stats.connections = clients;
        }
    }

    /// The state of a painter's session changed.
    pub(super) fn update_session(
        &self,
        painter: usize,
        state: SessionState,
        attempt: u32,
        next_attempt_in: Option<Duration>,
    ) {
        let now = now_ms();
        self.with(painter, |it| {
            it.state = state;
            it.attempt = attempt;
            it.next_attempt_at_ms = next_attempt_in.map(|delay| now.saturating_add(millis(delay)));
        });
    }

    pub(super) fn record_disconnect(&self, painter: usize, cause: &DisconnectCause) {
        let now = now_ms();
        self.with(painter, |it| it.disconnected_since_ms = Some(now));
        let mut stats = self.lock();
        let (cause, code) = cause::describe(cause, stats.is_killed);
        stats.disconnects.push_front(Disconnect {
            at_ms: now,
            painter,
            cause,
            code,
            downtime_ms: None,
        });
        stats.disconnects.truncate(DISCONNECTS_MAX);
    }

    /// A painter's subscription is active; `is_resumed` when no publication is missing.
    pub(super) fn record_subscribed(&self, painter: usize, offset: u64, is_resumed: bool) {
        let now = now_ms();
        let mut stats = self.lock();
        stats.resumes += u64::from(is_resumed);
        let Some(it) = stats.painters.get_mut(painter) else {
            return;
        };
        it.resumed += u64::from(is_resumed);
        if !is_resumed || it.offset.is_none() {
            it.offset = Some(offset);
        }
        let Some(since) = it.disconnected_since_ms.take() else {
            return;
        };
        let downtime = now.saturating_sub(since);
        if it.downtimes_ms.len() == DOWNTIMES_MAX {
            it.downtimes_ms.remove(0);
        }
        it.downtimes_ms.push(downtime);
        let latest = stats
            .disconnects
            .iter_mut()
            .find(|it| it.painter == painter && it.downtime_ms.is_none());
        if let Some(latest) = latest {
            latest.downtime_ms = Some(downtime);
        }
    }

    /// A gap was reported to a painter. The missing publications count as lost.
    pub(super) fn record_gap(&self, painter: usize, from: Option<&Position>, to: &Position) {
        let mut stats = self.lock();
        let is_same_history = from.is_some_and(|from| from.epoch == to.epoch);
        if !is_same_history {
            // Acknowledged publications of an earlier history are lost, and no longer undelivered.
            stats.acknowledged_offset = stats.acknowledged_offset.min(to.offset);
        }
        if let Some(it) = stats.painters.get_mut(painter) {
            let last = from.map_or(to.offset, |from| from.offset);
            // Offsets of two histories are not comparable, but at least one publication is missing.
            it.lost += last.abs_diff(to.offset).max(1);
        }
        drop(stats);
        self.record_subscribed(painter, to.offset, false);
    }

    /// A publication was delivered to a painter.
    pub(super) fn record_delivery(&self, painter: usize, offset: u64) {
        self.with(painter, |it| {
            let last = it.offset.unwrap_or_else(|| offset.saturating_sub(1));
            if offset <= last {
                it.duplicated += 1;
                return;
            }
            it.lost += offset - last - 1;
            it.offset = Some(offset);
        });
    }

    pub(super) fn record_publish(&self, painter: usize) {
        self.with(painter, |it| it.in_flight += 1);
    }

    /// The outcome of a painter's publication: the offset if the publication was acknowledged.
    pub(super) fn record_outcome(&self, painter: usize, offset: Option<u64>) {
        let mut stats = self.lock();
        if let Some(offset) = offset {
            stats.acknowledged_offset = stats.acknowledged_offset.max(offset);
        }
        if let Some(it) = stats.painters.get_mut(painter) {
            it.in_flight = it.in_flight.saturating_sub(1);
            it.acknowledged += u64::from(offset.is_some());
        }
    }

    fn with(&self, painter: usize, change: impl FnOnce(&mut Painter)) {
        if let Some(it) = self.lock().painters.get_mut(painter) {
            change(it);
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let now = now_ms();
        let mut stats = self.lock();
        stats.drop_expired_messages(now);
        stats.to_json(now)
    }
}

impl Stats {
    fn drop_expired_messages(&mut self, now: u64) {
        while self
            .received_ms
            .front()
            .is_some_and(|at| now.saturating_sub(*at) > RATE_WINDOW_MS)
        {
            self.received_ms.pop_front();
        }
    }

    fn to_json(&self, now: u64) -> Value {
        let sum = |count: fn(&Painter) -> u64| self.painters.iter().map(count).sum::<u64>();
        let undelivered: u64 = self.painters.iter().map(|it| self.undelivered(it)).sum();
        let received: u32 = convert::saturating(self.received_ms.len());
        let seconds = Duration::from_millis(RATE_WINDOW_MS).as_secs_f64();
        json!({
            "now_ms": now,
            "started_ms": self.started_ms,
            "gateway": {
                "state": match self.gateway {
                    GatewayState::Starting => "starting",
                    GatewayState::Up => "up",
                    GatewayState::Unresponsive => "unresponsive",
                    GatewayState::Down => "down",
                },
                "pid": self.process,
                "kills": self.kills,
                "outages": self.outages,
                "down_since_ms": self.down_since_ms,
                "last_outage_ms": self.last_outage_ms,
            },
            "connections": self.connections(),
            "messages_per_second": f64::from(received) / seconds,
            "resumes": self.resumes,
            "clients": self.painters.iter().map(|it| self.painter_json(it, now)).collect::<Vec<_>>(),
            "undelivered": undelivered,
            "lost": sum(|it| it.lost),
            "acked": sum(|it| it.acknowledged),
            "duplicated": sum(|it| it.duplicated),
            "disconnects": self.disconnects.iter().map(|it| self.disconnect_json(it)).collect::<Vec<_>>(),
        })
    }

    /// The gateway's number of clients may be slightly older than the states of the painters.
    fn connections(&self) -> u32 {
        if self.gateway.is_silent() {
            return 0;
        }
        let connected = self
            .painters
            .iter()
            .filter(|it| it.state == SessionState::Connected);
        self.connections.max(convert::saturating(connected.count()))
    }

    fn undelivered(&self, painter: &Painter) -> u64 {
        painter
            .offset
            .map_or(0, |offset| self.acknowledged_offset.saturating_sub(offset))
    }

    fn painter_json(&self, it: &Painter, now: u64) -> Value {
        let mut downtimes = it.downtimes_ms.clone();
        downtimes.sort_unstable();
        let median = downtimes
            .len()
            .checked_sub(1)
            .and_then(|last| downtimes.get(last / 2));
        json!({
            "name": it.name,
            "state": match it.state {
                SessionState::Disconnected => "disconnected",
                SessionState::Connecting => "connecting",
                SessionState::Connected => "connected",
                SessionState::Reconnecting => "reconnecting",
                SessionState::Failed => "failed",
                _ => "unknown",
            },
            "attempt": it.attempt,
            "next_attempt_at_ms": it.next_attempt_at_ms,
            "downtime_ms": it.disconnected_since_ms.map_or(0, |since| now.saturating_sub(since)),
            "last_downtime_ms": it.downtimes_ms.last(),
            "downtime_p50_ms": median,
            "downtime_max_ms": downtimes.last(),
            "resumed": it.resumed,
            "undelivered": self.undelivered(it),
            "lost": it.lost,
            "acked": it.acknowledged,
            "in_flight": it.in_flight,
        })
    }

    fn disconnect_json(&self, it: &Disconnect) -> Value {
        let name = self
            .painters
            .get(it.painter)
            .map(|painter| painter.name.as_str());
        json!({
            "at_ms": it.at_ms,
            "client": name,
            "cause": it.cause,
            "code": it.code,
            "downtime_ms": it.downtime_ms,
        })
    }
}

fn now_ms() -> u64 {
    Clock::wall().as_millis()
}

fn millis(time: Duration) -> u64 {
    convert::saturating(time.as_millis())
}

#[cfg(test)]
mod tests;
