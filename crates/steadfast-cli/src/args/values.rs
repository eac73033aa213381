//! Parsers of values whose errors say what may be written.

use std::net::IpAddr;
use std::time::Duration;

use steadfast_protocol::limits::Limits;
use steadfast_truenas_emulator::ApiVersion;

/// Parses a port; 0 is valid.
pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_error| "must be a port from 0 to 65535, for example 8000".to_owned())
}

/// Parses an IP address. A name is not resolved: it may have several addresses, and the gateway listens on one.
pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    let example = "127.0.0.1 for clients on this machine, or 0.0.0.0 for all";
    text.parse()
        .map_err(|_error| format!("must be an IP address, for example {example}"))
}

/// Parses a version of the emulated API.
pub(super) fn api_version(text: &str) -> Result<ApiVersion, String> {
    ApiVersion::from_name(text).ok_or_else(|| {
        let names = ApiVersion::ALL.map(ApiVersion::name);
        format!("must be one of {}", names.join(", "))
    })
}

/// Parses the name of a channel.
pub(super) fn channel(text: &str) -> Result<String, String> {
    if (1..=Limits::CHANNEL_BYTES).contains(&text.len()) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "a channel name has 1 to {} bytes, for example lobby",
        Limits::CHANNEL_BYTES
    ))
}

/// Parses the name of a method of JSON-RPC.
pub(super) fn method(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("a method has a name, for example status".to_owned());
    }
    Ok(text.to_owned())
}

/// Parses a time limit in seconds, above zero and at most a day.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    const MAX: Duration = Duration::from_hours(24);
    let time = text.parse().ok().and_then(|seconds: f64| {
        let time = Duration::try_from_secs_f64(seconds).ok()?;
        (!time.is_zero() && time <= MAX).then_some(time)
    });
    time.ok_or_else(|| "must be above 0 and at most 86400, for example 30 or 0.5".to_owned())
}

/// Parses the most calls in flight, from 1 to 20: more are rejected by the server.
pub(super) fn in_flight(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=20).contains(count));
    count.ok_or_else(|| "must be from 1 to 20, which the server executes and lets wait".to_owned())
}

/// Parses the most logins in a minute, from 1 to 1,000: a server that restarts begins its count again.
pub(super) fn logins(text: &str) -> Result<u32, String> {
    let count = text
        .parse()
        .ok()
        .filter(|count| (1..=1_000).contains(count));
    count.ok_or_else(|| "must be from 1 to 1000, for example 4 for each of two bridges".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_limit_is_above_zero_and_at_most_a_day() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("86400"), Ok(Duration::from_hours(24)));
        for text in ["0", "1e-12", "-1", "86401", "inf", "NaN", "ten", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
