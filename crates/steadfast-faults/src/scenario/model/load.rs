//! `[load.X]`: the simulated clients of a scenario.

use std::time::Duration;

use crate::topology::ClientKind;

/// `[load.X]`: simulated clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// The X of `[load.X]`.
    pub name: String,
    /// The behaviour of the clients.
    pub driver: LoadDriver,
    /// The client libraries; clients are assigned to them round-robin.
    pub kinds: Vec<ClientKind>,
    /// The number of clients, all kinds together.
    pub clients: u32,
    /// The service to which they connect; clients are assigned to its instances round-robin.
    pub to: String,
    /// The rate, size and channels of their publications.
    pub send: Publishing,
    /// Publications of one publisher must be delivered in the order in which it sent them.
    pub is_ordered: bool,
    /// The minimum rate in the baseline, in percent of the planned rate.
    pub min_rate_percent: u32,
}

/// The behaviour of simulated clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadDriver {
    /// Subscribe to a channel and publish to it with `gw.publish`, each publication with its own idempotency key.
    /// Resend with the same key until the outcome is known.
    GatewayChat,
}

/// The publications of each client, on a schedule that does not wait for replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publishing {
    /// The period of one client.
    pub every: Duration,
    /// The maximum jitter of each instant, in percent of the period, earlier or later, drawn from the seed.
    pub jitter_percent: u32,
    /// The length of the payload in bytes.
    pub payload_bytes: u32,
    /// The number of channels of each instance.
    pub channels: u32,
    /// The number of unacknowledged publications that a client keeps; above it a publication that is due is counted as
    /// unsent.
    pub queue_len_max: u32,
}
