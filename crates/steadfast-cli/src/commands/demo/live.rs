//! What the live page shows: the gateway, the painters, how long each was out, and whether anything is missing.
//!
//! The books are simple because offsets of a channel are dense: what a painter was not handed between two publications
//! is lost, also when it was told so, what it was handed twice is duplicated, and what was acknowledged beyond its
//! position is owed.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use steadfast::clock::Clock;
use steadfast::{DisconnectCause, Position, SessionState};

/// Disconnects that are shown.
const DISCONNECTS_MAX: usize = 20;
/// Outages of a painter that are remembered for its median.
const OUTAGES_MAX: usize = 1_000;
/// The rate is counted over so many milliseconds.
const RATE_WINDOW_MS: u64 = 2_000;

/// How the gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gateway {
    Starting,
    Up,
    Down,
}

/// Everything that the live page shows.
#[derive(Debug)]
pub(super) struct Live {
    books: Mutex<Books>,
}

#[derive(Debug)]
struct Books {
    gateway: Gateway,
    process: Option<u32>,
    kills: u64,
    down_since_ms: Option<u64>,
    last_outage_ms: Option<u64>,
    connections: u32,
    resumes: u64,
    /// When each of the last publications was seen.
    seen_ms: VecDeque<u64>,
    /// The highest offset that was acknowledged to a painter.
    acknowledged_to: u64,
    painters: Vec<Painter>,
    disconnects: VecDeque<Disconnect>,
}

#[derive(Debug)]
struct Painter {
    name: String,
    state: SessionState,
    attempt: u32,
    next_try_ms: Option<u64>,
    out_since_ms: Option<u64>,
    outages_ms: Vec<u64>,
    resumed: u64,
    acknowledged: u64,
    pending: u64,
    /// The last offset that it was handed; `None` before the first answer of the gateway.
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
    out_ms: Option<u64>,
}

impl Live {
    pub(super) fn new(painters: usize) -> Self {
        let painters = (1..=painters).map(|number| Painter {
            name: format!("painter {number}"),
            state: SessionState::Disconnected,
            attempt: 0,
            next_try_ms: None,
            out_since_ms: None,
            outages_ms: Vec::new(),
            resumed: 0,
            acknowledged: 0,
            pending: 0,
            offset: None,
            lost: 0,
            duplicated: 0,
        });
        Self {
            books: Mutex::new(Books {
                gateway: Gateway::Starting,
                process: None,
                kills: 0,
                down_since_ms: None,
                last_outage_ms: None,
                connections: 0,
                resumes: 0,
                seen_ms: VecDeque::new(),
                acknowledged_to: 0,
                painters: painters.collect(),
                disconnects: VecDeque::new(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_up(&self) -> bool {
        self.lock().gateway == Gateway::Up
    }

    pub(super) fn gateway_is(&self, gateway: Gateway, process: Option<u32>) {
        let now = now_ms();
        let mut books = self.lock();
        match gateway {
            Gateway::Up => {
                let since = books.down_since_ms.take();
                books.last_outage_ms = since
                    .map(|since| now.saturating_sub(since))
                    .or(books.last_outage_ms);
            }
            // A start that failed does not begin another outage.
            Gateway::Down => books.down_since_ms = books.down_since_ms.or(Some(now)),
            Gateway::Starting => {}
        }
        books.gateway = gateway;
        books.process = process;
    }

    pub(super) fn killed(&self) {
        self.lock().kills += 1;
    }

    /// A publication reached the owner of the canvas.
    pub(super) fn saw_message(&self) {
        let now = now_ms();
        let mut books = self.lock();
        books.seen_ms.push_back(now);
        books.forget_seen(now);
    }

    pub(super) fn counted(&self, clients: u32) {
        self.lock().connections = clients;
    }

    /// What a painter's session says of itself.
    pub(super) fn session(
        &self,
        painter: usize,
        state: SessionState,
        attempt: u32,
        next_try_in: Option<Duration>,
    ) {
        let now = now_ms();
        self.with(painter, |it| {
            it.state = state;
            it.attempt = attempt;
            it.next_try_ms = next_try_in.map(|wait| now.saturating_add(millis(wait)));
        });
    }

    pub(super) fn lost(&self, painter: usize, cause: &DisconnectCause) {
        let now = now_ms();
        self.with(painter, |it| it.out_since_ms = Some(now));
        let mut books = self.lock();
        let (cause, code) = told(cause);
        books.disconnects.push_front(Disconnect {
            at_ms: now,
            painter,
            cause,
            code,
            out_ms: None,
        });
        books.disconnects.truncate(DISCONNECTS_MAX);
    }

    /// A painter stands again: subscribed, and told whether anything is missing.
    pub(super) fn stands(&self, painter: usize, offset: u64, resumed: bool) {
        let now = now_ms();
        let mut books = self.lock();
        books.resumes += u64::from(resumed);
        let Some(it) = books.painters.get_mut(painter) else {
            return;
        };
        it.resumed += u64::from(resumed);
        if !resumed || it.offset.is_none() {
            it.offset = Some(offset);
        }
        let Some(since) = it.out_since_ms.take() else {
            return;
        };
        let out = now.saturating_sub(since);
        if it.outages_ms.len() == OUTAGES_MAX {
            it.outages_ms.remove(0);
        }
        it.outages_ms.push(out);
        let latest = books
            .disconnects
            .iter_mut()
            .find(|it| it.painter == painter && it.out_ms.is_none());
        if let Some(latest) = latest {
            latest.out_ms = Some(out);
        }
    }

    /// A painter was told that something is missing. Who says so has lost it all the same.
    pub(super) fn missed(&self, painter: usize, from: Option<&Position>, to: &Position) {
        let mut books = self.lock();
        let is_same_history = from.is_some_and(|from| from.epoch == to.epoch);
        if !is_same_history {
            // What was acknowledged in a history that is gone is lost, and not owed for ever.
            books.acknowledged_to = books.acknowledged_to.min(to.offset);
        }
        if let Some(it) = books.painters.get_mut(painter) {
            let last = from.map_or(to.offset, |from| from.offset);
            // Between two histories the offsets say little; that something is missing was said.
            it.lost += last.abs_diff(to.offset).max(1);
        }
        drop(books);
        self.stands(painter, to.offset, false);
    }

    /// A painter was handed a publication.
    pub(super) fn handed(&self, painter: usize, offset: u64) {
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

    pub(super) fn sent(&self, painter: usize) {
        self.with(painter, |it| it.pending += 1);
    }

    /// What a painter's publication came to; the offset if it was acknowledged.
    pub(super) fn settled(&self, painter: usize, offset: Option<u64>) {
        let mut books = self.lock();
        if let Some(offset) = offset {
            books.acknowledged_to = books.acknowledged_to.max(offset);
        }
        if let Some(it) = books.painters.get_mut(painter) {
            it.pending = it.pending.saturating_sub(1);
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
        let mut books = self.lock();
        books.forget_seen(now);
        books.to_json(now)
    }
}

impl Books {
    fn forget_seen(&mut self, now: u64) {
        while self
            .seen_ms
            .front()
            .is_some_and(|at| now.saturating_sub(*at) > RATE_WINDOW_MS)
        {
            self.seen_ms.pop_front();
        }
    }

    fn to_json(&self, now: u64) -> Value {
        let sum = |count: fn(&Painter) -> u64| self.painters.iter().map(count).sum::<u64>();
        let owed: u64 = self.painters.iter().map(|it| self.owed(it)).sum();
        let seen = u32::try_from(self.seen_ms.len()).unwrap_or(u32::MAX);
        let seconds = Duration::from_millis(RATE_WINDOW_MS).as_secs_f64();
        json!({
            "now_ms": now,
            "gateway": {
                "state": match self.gateway {
                    Gateway::Starting => "starting",
                    Gateway::Up => "up",
                    Gateway::Down => "down",
                },
                "pid": self.process,
                "kills": self.kills,
                "down_since_ms": self.down_since_ms,
                "last_outage_ms": self.last_outage_ms,
            },
            "connections": self.connections,
            "messages_per_second": f64::from(seen) / seconds,
            "resumes": self.resumes,
            "clients": self.painters.iter().map(|it| self.painter_json(it, now)).collect::<Vec<_>>(),
            "owed": owed,
            "lost": sum(|it| it.lost),
            "acked": sum(|it| it.acknowledged),
            "duplicated": sum(|it| it.duplicated),
            "disconnects": self.disconnects.iter().map(|it| self.disconnect_json(it)).collect::<Vec<_>>(),
        })
    }

    fn owed(&self, painter: &Painter) -> u64 {
        painter
            .offset
            .map_or(0, |offset| self.acknowledged_to.saturating_sub(offset))
    }

    fn painter_json(&self, it: &Painter, now: u64) -> Value {
        let mut outages = it.outages_ms.clone();
        outages.sort_unstable();
        let median = outages
            .len()
            .checked_sub(1)
            .and_then(|last| outages.get(last / 2));
        json!({
            "name": it.name,
            "state": match it.state {
                SessionState::Disconnected => "disconnected",
                SessionState::Connecting => "connecting",
                SessionState::Connected => "connected",
                SessionState::Reconnecting => "reconnecting",
                SessionState::Failed => "failed",
            },
            "attempt": it.attempt,
            "next_try_ms": it.next_try_ms,
            "out_ms": it.out_since_ms.map_or(0, |since| now.saturating_sub(since)),
            "last_out_ms": it.outages_ms.last(),
            "out_p50_ms": median,
            "out_max_ms": outages.last(),
            "resumed": it.resumed,
            "owed": self.owed(it),
            "lost": it.lost,
            "acked": it.acknowledged,
            "pending": it.pending,
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
            "out_ms": it.out_ms,
        })
    }
}

/// The cause in a few words, and the code if there was one.
fn told(cause: &DisconnectCause) -> (String, Option<u16>) {
    match cause {
        DisconnectCause::Closed { code, reason } => (reason.clone(), Some(*code)),
        DisconnectCause::ConnectionFailed(text)
        | DisconnectCause::Dial(text)
        | DisconnectCause::LocalNetwork(text)
        | DisconnectCause::Protocol(text) => (text.clone(), None),
        DisconnectCause::PongTimeout(time) => {
            (format!("silent for {:.1} s", time.as_secs_f64()), None)
        }
        DisconnectCause::WriteTimeout(time) => (
            format!("took nothing for {:.1} s", time.as_secs_f64()),
            None,
        ),
        DisconnectCause::ConnectRejected { message, .. } => (message.clone(), None),
        DisconnectCause::ConnectTimeout => ("no answer in time".to_owned(), None),
        DisconnectCause::AttemptsExhausted(attempts) => {
            (format!("gave up after {attempts} attempts"), None)
        }
    }
}

fn now_ms() -> u64 {
    Clock::wall().as_millis()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_painter_is_told_to_miss_is_lost() {
        let live = Live::new(1);
        live.stands(0, 0, false);
        live.handed(0, 1);
        live.settled(0, Some(4));

        live.missed(0, Some(&at("one", 1)), &at("one", 4));
        live.handed(0, 5);

        let told = live.to_json();
        assert_eq!((&told["lost"], &told["owed"]), (&json!(3), &json!(0)));
    }

    #[test]
    fn what_was_acknowledged_in_a_history_that_is_gone_is_lost() {
        let live = Live::new(1);
        live.stands(0, 0, false);
        live.handed(0, 1);
        live.handed(0, 2);
        live.settled(0, Some(2));

        live.missed(0, Some(&at("one", 2)), &at("other", 0));

        let told = live.to_json();
        assert_eq!((&told["lost"], &told["owed"]), (&json!(2), &json!(0)));
    }

    #[test]
    fn a_start_that_fails_does_not_begin_another_outage() {
        let live = Live::new(1);
        live.gateway_is(Gateway::Down, None);
        live.lock().down_since_ms = Some(5);

        live.gateway_is(Gateway::Starting, None);
        live.gateway_is(Gateway::Down, None);

        assert_eq!(live.lock().down_since_ms, Some(5));
    }

    fn at(epoch: &str, offset: u64) -> Position {
        Position {
            epoch: epoch.to_owned(),
            offset,
        }
    }
}
