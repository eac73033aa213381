//! Writes the events of a hub as log lines. Never logs payloads.

use steadfast_hub::event::{ClosedBy, Event};

use crate::config::keys;

/// Writes one line for one event.
pub(crate) fn log_event(event: &Event) {
    match event {
        Event::PeerConnected { peer, client } => {
            tracing::debug!(peer = peer.index, client = %client, "client connected");
        }
        Event::PeerClosed {
            peer,
            client,
            closed_by,
            duration,
            idle,
        } => {
            let (closed_by, code, reason) = describe(closed_by);
            tracing::info!(
                peer = peer.index,
                client = %client,
                closed_by,
                code,
                reason,
                duration_seconds = duration.as_secs_f64(),
                idle_seconds = idle.as_secs_f64(),
                "connection closed"
            );
        }
        Event::LimitReached { limit, count } => {
            let setting = keys::hub_setting(limit.setting());
            tracing::warn!(?limit, %setting, count, "requests rejected: limit reached");
        }
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
