//! The presence queries at the end of a run: when everything is quiet, each client queries the presence of each channel
//! until a reply had to be exact. Before that, queries may fail because an inbox of the gateway was full.

use std::time::Duration;

use crate::context::Context;
use crate::ids::ConnectionId;
use crate::settings::PRESENCE_TIMEOUT;

/// Whether a client has received an exact reply since everything is quiet.
pub(crate) fn is_exact(ctx: &Context, connection: Option<ConnectionId>, channel: usize) -> bool {
    let channel = ctx.settings.channels.get(channel);
    let (Some(connection), Some(channel), Some(since)) = (connection, channel, ctx.quiet_since)
    else {
        return false;
    };
    ctx.membership
        .has_exact_reply_since(connection, channel, since)
}

/// Draws the time until a client queries again: then the query before has its reply, or has failed.
pub(crate) fn retry_delay(ctx: &mut Context) -> Duration {
    PRESENCE_TIMEOUT + ctx.between(Duration::from_millis(200), Duration::from_millis(800))
}
