//! The timers of a client, as the command `open` gives them.

use std::time::Duration;

use serde_json::Value;
use steadfast::dialect::Dialect;
use steadfast::{Builder, LivenessSettings, defaults};

/// A timer of a command, if it is set.
pub(super) fn timer(command: &Value, name: &str) -> Option<Duration> {
    let millis = command.get("timers")?.get(name)?.as_u64()?;
    Some(Duration::from_millis(millis))
}

/// Sets the timers of a command. Everything else has the default of the library, within these timers.
pub(super) fn apply<D: Dialect>(mut builder: Builder<D>, command: &Value) -> Builder<D> {
    if let Some(timeout) = timer(command, "connect_ms") {
        builder = builder.connect_timeout(timeout);
    }
    let ping = timer(command, "ping_ms").zip(timer(command, "pong_ms"));
    if let Some((ping, pong)) = ping {
        builder = builder.liveness(within(ping, pong));
    }
    builder
}

fn within(ping: Duration, pong: Duration) -> LivenessSettings {
    let defaults = defaults::LIVENESS;
    defaults
        .ping_after_idle(ping)
        .pong_timeout(pong)
        .ping_after_request(defaults.ping_after_request.min(ping))
        .pong_timeout_min(defaults.pong_timeout_min.min(pong))
}
