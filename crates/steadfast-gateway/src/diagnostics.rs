//! Writes log lines about the events of a hub, about first requests and about the wall clock. Never logs payloads.
//!
//! What a peer can cause as often as it connects is summed up: at most one line per second and kind, with a count and
//! one example. Connections that close now and then have a line each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use steadfast_engine::time::WallJump;
use steadfast_hub::event::{ClosedBy, Event, HubLimit};
use steadfast_hub::io::{ClientId, PeerId};
use steadfast_hub::policy::HubSetting;
use steadfast_machine::Instant;
use steadfast_machine::throttle::{Summary, Throttle};

use crate::config::keys::{self, SettingSource};
use crate::upgrade::{HttpRejection, RejectionCause};

/// The least time between two summaries of one kind.
const INTERVAL: Duration = Duration::from_secs(1);
/// The number of connections of one kind that may close in an interval with a line each.
const CLOSED_BURST: u32 = 10;

/// Counts log lines that were dropped because their sink did not accept them; clones share the count. `/readyz` shows
/// it, since the log cannot.
#[derive(Clone, Debug, Default)]
pub struct DroppedLogLines(Arc<AtomicU64>);

impl DroppedLogLines {
    /// Counts one line.
    pub fn record(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many lines were dropped since the start.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Writes one line when the wall clock was set.
pub(crate) fn log_wall_jump(jump: WallJump) {
    let WallJump { millis } = jump;
    tracing::warn!(
        jump_ms = millis,
        "wall clock set; ages continue by the boot clock, and nothing is removed"
    );
}

/// The log lines of one shard.
#[derive(Debug)]
pub(crate) struct ShardLog {
    closed: Throttle<ClosedKind, Closed>,
    refused: Throttle<RefusedKind, Refused>,
    /// What limits the number of clients.
    peers_max: SettingSource,
}

/// A connection that was closed.
#[derive(Debug)]
struct Closed {
    peer: PeerId,
    client: ClientId,
    by: ClosedBy,
    duration: Duration,
    idle: Duration,
}

/// Who closed a connection; the code only if it is ours, since clients can send any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ClosedKind {
    Server(u16),
    Client,
    EndOfStream,
    IoError,
}

/// A connection that did not become a client.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Its first request was rejected.
    Request {
        from: SocketAddr,
        cause: RejectionCause,
        reason: String,
    },
    /// Its first request was not complete when there were too many such connections.
    Handshake {
        from: SocketAddr,
        setting: SettingSource,
    },
    /// It could not be accepted, because the system has no file descriptor or memory for it.
    Accept {
        error: std::io::Error,
        /// What limits the number of files.
        files_max: SettingSource,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum RefusedKind {
    Request(RejectionCause),
    Handshake,
    Accept,
}

impl ShardLog {
    /// `peers_max` is what limits the number of clients.
    pub(crate) const fn new(peers_max: SettingSource) -> Self {
        Self {
            closed: Throttle::new(INTERVAL, CLOSED_BURST),
            refused: Throttle::new(INTERVAL, 1),
            peers_max,
        }
    }

    /// Logs one event of the hub, or counts it.
    pub(crate) fn on_event(&mut self, now: Instant, event: Event) {
        if let Event::LimitReached { limit, count } = event {
            let setting = self.setting(limit);
            tracing::warn!(?limit, %setting, count, "requests rejected: limit reached");
        } else if let Event::PeerClosed {
            peer,
            client,
            closed_by,
            duration,
            idle,
        } = event
        {
            let closed = Closed {
                peer,
                client,
                by: closed_by,
                duration,
                idle,
            };
            let kind = closed.kind();
            log_closed(self.closed.record(now, kind, closed).as_slice());
        } else {
            log_event(&event);
        }
    }

    /// Logs a connection that did not become a client, or counts it.
    pub(crate) fn on_refused(&mut self, now: Instant, refused: Refused) {
        let kind = refused.kind();
        log_refused(self.refused.record(now, kind, refused).as_slice());
    }

    /// Writes the summaries that are due.
    pub(crate) fn tick(&mut self, now: Instant) {
        log_closed(&self.closed.take_due(now));
        log_refused(&self.refused.take_due(now));
    }

    /// Writes all summaries, at the end of the shard.
    pub(crate) fn finish(&mut self) {
        log_closed(&self.closed.take_all());
        log_refused(&self.refused.take_all());
    }

    /// Returns when the next summary may be due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let deadlines = [self.closed.next_deadline(), self.refused.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Returns what raises a limit of the hub.
    fn setting(&self, limit: HubLimit) -> SettingSource {
        let setting = limit.setting();
        if matches!(setting, HubSetting::PeersMax) {
            self.peers_max
        } else {
            keys::hub_setting(setting)
        }
    }
}

impl Closed {
    const fn kind(&self) -> ClosedKind {
        match &self.by {
            ClosedBy::Server { code, .. } => ClosedKind::Server(*code),
            ClosedBy::Client { .. } => ClosedKind::Client,
            ClosedBy::EndOfStream => ClosedKind::EndOfStream,
            ClosedBy::IoError => ClosedKind::IoError,
        }
    }
}

impl Refused {
    /// Returns what to log about a request that was rejected; `None` if its sender only made a mistake.
    pub(crate) fn request(from: SocketAddr, rejection: &HttpRejection) -> Option<Self> {
        let (status, cause, reason) = (rejection.status, rejection.cause, &rejection.reason);
        if cause == RejectionCause::Request {
            tracing::debug!(%from, status, reason, "request rejected");
            return None;
        }
        Some(Self::Request {
            from,
            cause,
            reason: reason.clone(),
        })
    }

    const fn kind(&self) -> RefusedKind {
        match self {
            Self::Request { cause, .. } => RefusedKind::Request(*cause),
            Self::Handshake { .. } => RefusedKind::Handshake,
            Self::Accept { .. } => RefusedKind::Accept,
        }
    }
}

/// Writes one line for each summary. The fields describe one connection; `count` is the number of connections.
fn log_closed(summaries: &[Summary<ClosedKind, Closed>]) {
    for Summary { count, example, .. } in summaries {
        let (closed_by, code, reason) = describe(&example.by);
        let (duration, idle) = (example.duration.as_secs_f64(), example.idle.as_secs_f64());
        let setting = limit_of(&example.by).map(tracing::field::display);
        tracing::info!(
            count = summed(*count),
            peer = example.peer.index,
            client = %example.client,
            closed_by,
            code,
            reason,
            setting,
            duration_seconds = duration,
            idle_seconds = idle,
            "{}",
            if *count > 1 { "connections closed, for example" } else { "connection closed" }
        );
    }
}

/// Writes one line for each summary, in the form of [`log_closed`].
fn log_refused(summaries: &[Summary<RefusedKind, Refused>]) {
    for Summary { count, example, .. } in summaries {
        let count = summed(*count);
        match example {
            Refused::Request {
                from,
                cause,
                reason,
            } => match cause {
                RejectionCause::Origin => {
                    tracing::warn!(count, %from, reason, "web page rejected");
                }
                RejectionCause::Limit(setting) => {
                    tracing::warn!(count, %from, %setting, reason, "request rejected: limit reached");
                }
                RejectionCause::Protobuf | RejectionCause::Request => {
                    tracing::warn!(count, %from, reason, "client rejected");
                }
            },
            Refused::Handshake { from, setting } => {
                tracing::warn!(count, %from, %setting, "connection without a complete request dropped: limit reached");
            }
            Refused::Accept { error, files_max } => {
                let setting = is_out_of_files(error).then(|| tracing::field::display(files_max));
                tracing::error!(count, %error, setting, "failed to accept connections; retrying");
            }
        }
    }
}

fn is_out_of_files(error: &std::io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::MFILE)
}

/// A line about one connection has no count.
fn summed(count: u64) -> Option<u64> {
    (count > 1).then_some(count)
}

/// Returns what determines the limit for which the gateway closed a connection.
fn limit_of(closed_by: &ClosedBy) -> Option<SettingSource> {
    let ClosedBy::Server { code, reason } = closed_by else {
        return None;
    };
    keys::closing_limit(*code, reason)
}

/// Writes one line for one event, which a hub reports at a limited rate, or which is logged for debugging only.
fn log_event(event: &Event) {
    match event {
        Event::PeerConnected { peer, client } => {
            tracing::debug!(peer = peer.index, client = %client, "client connected");
        }
        // Connections and limits are logged by the callers of this function.
        Event::PeerClosed { .. } | Event::LimitReached { .. } => {}
        Event::UnsentMemoryLimitReached { count } => log_unsent_memory(*count),
        Event::ShardLagged { channels } => {
            tracing::warn!(
                channels,
                "shard lagged; re-reading channels from the engine"
            );
        }
        Event::PositionLost {
            channel,
            subscriptions,
        } => {
            tracing::warn!(
                channel = channel.as_str(),
                subscriptions,
                "subscriptions closed: position no longer available"
            );
        }
        Event::SendIgnored { peer } => {
            tracing::debug!(peer = peer.index, "message without a channel ignored");
        }
        Event::CommandInvalid { peer, error } => {
            tracing::debug!(peer = peer.index, %error, "command rejected");
        }
        Event::InfoIgnored { peer } => {
            tracing::debug!(
                peer = peer.index,
                "connect data ignored: not a JSON object of at most 1 KiB"
            );
        }
        Event::ShardMessagesDropped { shard, count } => {
            tracing::warn!(
                shard,
                count,
                "messages to a shard dropped: its inbox is full; its clients miss joins and leaves, presence queries time out"
            );
        }
        Event::DecisionsTimedOut { count } => {
            tracing::warn!(count, "connect commands rejected: no decision in time");
        }
        Event::DecisionsLate { count } => {
            tracing::warn!(count, "decisions about connect commands ignored: too late");
        }
        Event::RequestsRejected { rejection, count } => {
            tracing::warn!(reason = ?rejection, count, "requests rejected by the engine");
        }
    }
}

fn log_unsent_memory(count: u64) {
    let setting = keys::hub_setting(HubSetting::UnsentMemoryBytesMax);
    tracing::warn!(%setting, count, "slow consumers closed: send buffers need too much memory");
}

/// Returns who closed a connection, with code and reason. As in RFC 6455, code 1005 means that the close frame had no
/// code, and 1006 that there was no close frame.
fn describe(closed_by: &ClosedBy) -> (&'static str, u16, &str) {
    match closed_by {
        ClosedBy::Server { code, reason } => ("server", *code, reason),
        ClosedBy::Client { code, reason } => ("client", code.unwrap_or(1005), reason),
        ClosedBy::EndOfStream => ("client", 1006, "end of stream without a close frame"),
        ClosedBy::IoError => ("network", 1006, "read or write failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lack_of_file_descriptors_is_reported_with_their_limit() {
        for (errno, expected) in [
            (Errno::MFILE, true),
            (Errno::NFILE, false),
            (Errno::NOMEM, false),
        ] {
            let error = std::io::Error::from(errno);

            assert_eq!(is_out_of_files(&error), expected, "{error}");
        }
    }
}
