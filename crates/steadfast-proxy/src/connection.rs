//! The open connections of a proxy.

use std::net::SocketAddr;
use std::time::Duration;

use crate::traffic::Traffic;

/// An open connection.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionInfo {
    /// Its number: the first of the proxy is 1.
    pub id: u64,
    /// The address of the client.
    pub peer: SocketAddr,
    /// The address of the upstream; `None` until it accepts.
    pub upstream: Option<SocketAddr>,
    /// The time since the client was accepted.
    pub age: Duration,
    /// From the client to the upstream.
    pub to_server: Traffic,
    /// From the upstream to the client.
    pub to_client: Traffic,
    /// The toxics of the proxy, and whether they affect this connection.
    pub toxics: Vec<ConnectionToxic>,
}

/// How a toxic and a connection relate.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionToxic {
    /// The name of the toxic.
    pub name: String,
    /// The number from 0.0 to 1.0 that the connection drew; it is affected if it is below the toxicity.
    pub draw: f64,
    /// Whether the toxic affects the connection.
    pub is_victim: bool,
}
