//! Parsers of values whose errors say what may be written.

use std::net::IpAddr;

use steadfast_protocol::limits::Limits;

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
