//! Planted bugs: guarantees that a run can break deliberately, to prove that the simulation detects the bug.
//!
//! The state machines are unmodified; the code that drives them contains the bug.

pub(crate) mod session_messages;

use std::collections::BTreeMap;

use steadfast_engine::{Append, ChannelEpoch, Read, ReadFrom, Request};
use steadfast_protocol::message::ChannelName;

use crate::engine_kind::EngineKind;

/// One guarantee that the simulated drivers break deliberately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedBug {
    /// The disk reports a sync as complete without executing the sync.
    NoSync,
    /// Idempotency keys never reach the log.
    NoDeduplication,
    /// Each position is treated as a position of the current channel epoch, at most at the high watermark.
    NoPositionCheck,
    /// Frames to one client may overtake each other.
    NoOrder,
    /// The log serves all publications of a channel, regardless of the limit per channel.
    NoRetention,
    /// A session never resends unacknowledged publications.
    NoResend,
    /// A session resends unacknowledged publications with new idempotency keys.
    NewKeys,
    /// A session resubscribes without its position.
    NoPosition,
    /// A session never times out on a silent gateway.
    NoLiveness,
    /// The gateway never sends pings.
    NoPings,
    /// The gateway never learns the size of a client's send buffer.
    NoSendBuffer,
    /// The gateway never times out on a client that does not read.
    NoWriteTimeout,
    /// A connection that was frozen loses a frame.
    LossyFreeze,
    /// A session reconnects without a delay.
    NoBackoff,
    /// A session's outbox is full at half of its limit.
    SmallOutbox,
    /// A publication expires after half of its time to live.
    EarlyExpiry,
}

impl PlantedBug {
    /// All planted bugs, in the order of their declaration.
    pub const ALL: [Self; 16] = [
        Self::NoSync,
        Self::NoDeduplication,
        Self::NoPositionCheck,
        Self::NoOrder,
        Self::NoRetention,
        Self::NoResend,
        Self::NewKeys,
        Self::NoPosition,
        Self::NoLiveness,
        Self::NoPings,
        Self::NoSendBuffer,
        Self::NoWriteTimeout,
        Self::LossyFreeze,
        Self::NoBackoff,
        Self::SmallOutbox,
        Self::EarlyExpiry,
    ];

    /// Whether there is such a bug in runs with this engine: only the log has a disk.
    pub fn applies_to(self, engine: EngineKind) -> bool {
        self != Self::NoSync || engine == EngineKind::Log
    }

    /// Returns the name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSync => "no-sync",
            Self::NoDeduplication => "no-deduplication",
            Self::NoPositionCheck => "no-position-check",
            Self::NoOrder => "no-order",
            Self::NoRetention => "no-retention",
            Self::NoResend => "no-resend",
            Self::NewKeys => "new-keys",
            Self::NoPosition => "no-position",
            Self::NoLiveness => "no-liveness",
            Self::NoPings => "no-pings",
            Self::NoSendBuffer => "no-send-buffer",
            Self::NoWriteTimeout => "no-write-timeout",
            Self::LossyFreeze => "lossy-freeze",
            Self::NoBackoff => "no-backoff",
            Self::SmallOutbox => "small-outbox",
            Self::EarlyExpiry => "early-expiry",
        }
    }

    /// Returns the planted bug with this name on the command line.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|planted_bug| planted_bug.name() == name)
    }
}

/// Alters a request to the log as the planted bug requires.
pub(crate) fn alter_log_request(
    request: Request,
    planted_bug: Option<PlantedBug>,
    high_watermarks: &BTreeMap<ChannelName, (ChannelEpoch, u64)>,
) -> Request {
    match (planted_bug, request) {
        (Some(PlantedBug::NoDeduplication), Request::Append(append)) => Request::Append(Append {
            idempotency_key: None,
            ..append
        }),
        (Some(PlantedBug::NoPositionCheck), Request::Read(read)) => {
            Request::Read(make_position_valid(read, high_watermarks))
        }
        (_, request) => request,
    }
}

/// Replaces the position of a read by a valid one.
fn make_position_valid(
    read: Read,
    high_watermarks: &BTreeMap<ChannelName, (ChannelEpoch, u64)>,
) -> Read {
    match (&read.from, high_watermarks.get(&read.channel)) {
        (ReadFrom::After { offset, .. }, Some((epoch, high_watermark))) => {
            let from = ReadFrom::After {
                epoch: *epoch,
                offset: (*offset).min(*high_watermark),
            };
            Read { from, ..read }
        }
        _ => read,
    }
}
