//! What the hub reports, as log lines. Never payloads.

use steadfast_hub::event::{ClosedBy, Event};

use crate::config::policy;

/// Writes one line for one event.
pub(crate) fn record(event: &Event) {
    match event {
        Event::PeerConnected { peer, client } => {
            tracing::debug!(peer = peer.index, client = %client, "connected");
        }
        Event::PeerClosed {
            peer,
            client,
            closed_by: end,
            duration: lasted,
            idle,
        } => {
            let (by, code, reason) = describe(end);
            tracing::info!(
                peer = peer.index,
                client = %client,
                by,
                code,
                reason,
                lasted_seconds = lasted.as_secs_f64(),
                idle_seconds = idle.as_secs_f64(),
                "closed"
            );
        }
        Event::LimitReached {
            setting,
            count: times,
        } => {
            let key = policy::hub_key(setting);
            tracing::warn!(key, times, "refused, a limit is reached");
        }
        Event::ShardLagged { channels } => {
            tracing::warn!(channels, "fell behind the log and reads channels again");
        }
        Event::PositionLost {
            channel,
            subscriptions,
        } => {
            tracing::warn!(
                channel = channel.as_str(),
                subscriptions,
                "subscriptions ended, their position could not be continued"
            );
        }
        Event::SendIgnored { peer } => {
            tracing::debug!(peer = peer.index, "a message without a channel was ignored");
        }
        Event::InfoIgnored { peer } => {
            tracing::debug!(
                peer = peer.index,
                "the data of a connect is no JSON object of at most 1 KiB, others are not shown it"
            );
        }
        Event::RequestsRejected {
            rejection: refusal,
            count: times,
        } => {
            tracing::warn!(?refusal, times, "the log refused requests");
        }
    }
}

/// Who ended a connection, with code and reason; code 1005 and 1006 stand for none, as in RFC 6455.
fn describe(end: &ClosedBy) -> (&'static str, u16, &str) {
    match end {
        ClosedBy::Server { code, reason } => ("server", *code, reason),
        ClosedBy::Client { code, reason } => ("client", code.unwrap_or(1005), reason),
        ClosedBy::EndOfStream => ("client", 1006, "the stream ended without a close"),
        ClosedBy::IoError => ("network", 1006, "reading or writing failed"),
    }
}
