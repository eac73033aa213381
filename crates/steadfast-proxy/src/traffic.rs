//! Live counters.

/// Bytes of one direction, counted as they move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Read from the sender.
    pub received_bytes: u64,
    /// Written to the receiver.
    pub sent_bytes: u64,
}

/// The counters of a proxy since its creation. They never decrease, except for the number of open connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// From the clients to the upstream.
    pub to_server: Traffic,
    /// From the upstream to the clients.
    pub to_client: Traffic,
    /// Clients that were accepted, which is the number of the newest connection.
    pub accepted: u64,
    /// Clients that were reset because of the maximum.
    pub refused: u64,
    /// Dials that failed.
    pub dials_failed: u64,
    /// Connections that are open now.
    pub open: u64,
}
