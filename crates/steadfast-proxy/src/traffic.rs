//! Counters that others read while bytes move.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of one direction, counted as they move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Read from the sender.
    pub received_bytes: u64,
    /// Written to the receiver.
    pub sent_bytes: u64,
}

impl Traffic {
    pub(crate) const fn add(&mut self, other: Self) {
        self.received_bytes += other.received_bytes;
        self.sent_bytes += other.sent_bytes;
    }
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

/// The counters of one direction of one connection, which its task writes and others read.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
}

impl Meter {
    pub(crate) fn received(&self, bytes: u64) {
        self.received_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, bytes: u64) {
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Traffic {
        Traffic {
            received_bytes: self.received_bytes.load(Ordering::Relaxed),
            sent_bytes: self.sent_bytes.load(Ordering::Relaxed),
        }
    }
}
