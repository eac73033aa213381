//! The timers of a client, as the command `open` gives them.

use std::time::Duration;

use serde_json::Value;
use steadfast::dialect::Dialect;
use steadfast::{Builder, LivenessSettings};

/// A timer of a command, if it is set.
pub(super) fn timer(command: &Value, name: &str) -> Option<Duration> {
    let millis = command.get("timers")?.get(name)?.as_u64()?;
    Some(Duration::from_millis(millis))
}

/// Sets the timers of a command. Without them, the defaults of the library apply.
pub(super) fn apply<D: Dialect>(mut builder: Builder<D>, command: &Value) -> Builder<D> {
    if let Some(timeout) = timer(command, "connect_ms") {
        builder = builder.connect_timeout(timeout);
    }
    let ping = timer(command, "ping_ms").zip(timer(command, "pong_ms"));
    if let Some((ping, pong)) = ping {
        builder = builder.liveness(LivenessSettings::new(ping, pong));
    }
    builder
}
