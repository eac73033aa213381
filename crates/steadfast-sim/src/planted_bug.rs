//! Planted bugs: guarantees that a run can break deliberately, to prove that the simulation detects the bug.
//!
//! The state machines are unmodified; the code that drives them contains the bug.

pub(crate) mod session_messages;

use std::collections::BTreeMap;

use bytes::Bytes;
use steadfast_core::dialect::centrifuge::{Item, SubscriptionEvent};
use steadfast_engine::{Append, ChannelEpoch, Read, ReadFrom, Request};
use steadfast_hub::io::{ShardMessage, ShardPresence};
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{ChannelName, Reply, ReplyResult, Request as CommandRequest};

use crate::engine_kind::EngineKind;
use crate::recorder::OTHER_DATA;

/// One guarantee that the simulated drivers break deliberately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedBug {
    /// The disk reports a sync as complete without executing the sync.
    NoSync,
    /// Idempotency keys never reach the log.
    NoDeduplication,
    /// The engine receives other data with a known key as if it was the same data.
    NoDataComparison,
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
    /// The gateway never times out on a command that does not end.
    NoMessageTimeout,
    /// A connection that was frozen loses a frame.
    LossyFreeze,
    /// A session reconnects without a delay.
    NoBackoff,
    /// A session's outbox is full at half of its limit.
    SmallOutbox,
    /// A publication expires after half of its time to live.
    EarlyExpiry,
    /// A reused slot has the generation of its former peer.
    NoGenerations,
    /// Joins never leave their shard.
    NoJoins,
    /// Leaves never leave their shard.
    NoLeaves,
    /// Every leave is sent twice.
    RepeatedLeaves,
    /// A session does not deliver the leaves that it receives.
    UndeliveredLeaves,
    /// An unsubscribe command gets no reply.
    NoUnsubscribeReply,
    /// A history command reaches the gateway before the commands before it in its message.
    NoCommandOrder,
    /// A shard responds to presence queries without its own clients.
    EmptyPresence,
    /// The engine's responses to two reads of a channel are swapped.
    SwappedResponses,
    /// The processes of every node start with the same incarnation numbers.
    SameIncarnation,
    /// The gateway receives nothing from a connection after a fault of it has ended.
    DeafAfterFault,
    /// A session does not repeat calls whose replies were lost with their connection.
    NoCallRepeat,
    /// After a lost connection, a session resends all publications of a channel at once.
    NoCare,
    /// A session reports publications with an unknown outcome as never sent.
    NoDoubt,
    /// A session takes late inputs of an earlier connection for inputs of the current one.
    UntaggedInputs,
    /// The log does not report a stalled disk.
    SilentWatchdog,
    /// The engine measures time by the wall clock.
    WallClockAges,
}

impl PlantedBug {
    /// All planted bugs, in the order of their declaration.
    pub const ALL: [Self; 35] = [
        Self::NoSync,
        Self::NoDeduplication,
        Self::NoDataComparison,
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
        Self::NoMessageTimeout,
        Self::LossyFreeze,
        Self::NoBackoff,
        Self::SmallOutbox,
        Self::EarlyExpiry,
        Self::NoGenerations,
        Self::NoJoins,
        Self::NoLeaves,
        Self::RepeatedLeaves,
        Self::UndeliveredLeaves,
        Self::NoUnsubscribeReply,
        Self::NoCommandOrder,
        Self::EmptyPresence,
        Self::SwappedResponses,
        Self::SameIncarnation,
        Self::DeafAfterFault,
        Self::NoCallRepeat,
        Self::NoCare,
        Self::NoDoubt,
        Self::UntaggedInputs,
        Self::SilentWatchdog,
        Self::WallClockAges,
    ];

    /// Whether there is such a bug in runs with this engine: only the log has a disk.
    pub fn applies_to(self, engine: EngineKind) -> bool {
        !matches!(self, Self::NoSync | Self::SilentWatchdog) || engine == EngineKind::Log
    }

    /// Returns the name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSync => "no-sync",
            Self::NoDeduplication => "no-deduplication",
            Self::NoDataComparison => "no-data-comparison",
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
            Self::NoMessageTimeout => "no-message-timeout",
            Self::LossyFreeze => "lossy-freeze",
            Self::NoBackoff => "no-backoff",
            Self::SmallOutbox => "small-outbox",
            Self::EarlyExpiry => "early-expiry",
            Self::NoGenerations => "no-generations",
            Self::NoJoins => "no-joins",
            Self::NoLeaves => "no-leaves",
            Self::RepeatedLeaves => "repeated-leaves",
            Self::UndeliveredLeaves => "undelivered-leaves",
            Self::NoUnsubscribeReply => "no-unsubscribe-reply",
            Self::NoCommandOrder => "no-command-order",
            Self::EmptyPresence => "empty-presence",
            Self::SwappedResponses => "swapped-responses",
            Self::SameIncarnation => "same-incarnation",
            Self::DeafAfterFault => "deaf-after-fault",
            Self::NoCallRepeat => "no-call-repeat",
            Self::NoCare => "no-care",
            Self::NoDoubt => "no-doubt",
            Self::UntaggedInputs => "untagged-inputs",
            Self::SilentWatchdog => "silent-watchdog",
            Self::WallClockAges => "wall-clock-ages",
        }
    }

    /// Returns the planted bug with this name on the command line.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|planted_bug| planted_bug.name() == name)
    }
}

/// Returns the messages that are sent between shards instead of one, as the planted bug requires.
pub(crate) fn alter_shard_message(
    message: ShardMessage,
    planted_bug: Option<PlantedBug>,
) -> Vec<ShardMessage> {
    match (planted_bug, message) {
        (Some(PlantedBug::NoJoins), ShardMessage::Join { .. })
        | (Some(PlantedBug::NoLeaves), ShardMessage::Leave { .. }) => Vec::new(),
        (Some(PlantedBug::RepeatedLeaves), leave @ ShardMessage::Leave { .. }) => {
            vec![leave.clone(), leave]
        }
        (Some(PlantedBug::EmptyPresence), ShardMessage::PresenceResponse { shard, number, .. }) => {
            vec![ShardMessage::PresenceResponse {
                shard,
                number,
                presence: ShardPresence::Clients(Vec::new()),
            }]
        }
        (_, message) => vec![message],
    }
}

/// Whether the gateway loses this reply, as the planted bug requires.
pub(crate) fn is_lost_reply(reply: &Reply, planted_bug: Option<PlantedBug>) -> bool {
    let outcome = Ok(ReplyResult::Unsubscribe);
    planted_bug == Some(PlantedBug::NoUnsubscribeReply)
        && matches!(reply, Reply::Response { outcome: it, .. } if *it == outcome)
}

/// Moves the history commands of a message to its start, as the planted bug requires.
pub(crate) fn reorder_commands(
    message: Bytes,
    encoding: Encoding,
    planted_bug: Option<PlantedBug>,
) -> Bytes {
    if planted_bug != Some(PlantedBug::NoCommandOrder) {
        return message;
    }
    let decoded = encoding.decode_commands(&message, &Limits::DEFAULT);
    let Ok(mut commands) = decoded.collect::<Result<Vec<_>, _>>() else {
        return message;
    };
    commands.sort_by_key(|command| !matches!(command.request, CommandRequest::History(_)));
    let mut reordered = Vec::new();
    for command in &commands {
        if !reordered.is_empty() {
            reordered.extend_from_slice(encoding.separator());
        }
        encoding.append_command(&mut reordered, command);
    }
    Bytes::from(reordered)
}

/// Whether a session loses this event, as the planted bug requires.
pub(crate) fn is_lost_event(event: &SubscriptionEvent, planted_bug: Option<PlantedBug>) -> bool {
    planted_bug == Some(PlantedBug::UndeliveredLeaves)
        && matches!(event, SubscriptionEvent::Item(Item::Leave(_)))
}

/// Swaps the ids of the first two reads of a channel by one shard, as the planted bug requires.
pub(crate) fn swap_reads(requests: &mut [Request]) {
    let reads = requests.iter_mut().filter_map(|request| match request {
        Request::Read(read) => Some(read),
        Request::Append(_) => None,
    });
    let mut first: BTreeMap<(u16, ChannelName), &mut Read> = BTreeMap::new();
    for read in reads {
        let entry = (read.request_id.shard, read.channel.clone());
        match first.remove(&entry) {
            Some(other) => std::mem::swap(&mut other.request_id, &mut read.request_id),
            None => drop(first.insert(entry, read)),
        }
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
        (Some(PlantedBug::NoDataComparison), Request::Append(append)) => {
            Request::Append(without_other_data(append))
        }
        (Some(PlantedBug::NoPositionCheck), Request::Read(read)) => {
            Request::Read(make_position_valid(read, high_watermarks))
        }
        (_, request) => request,
    }
}

/// Makes the data of a publication the same as that of the first one with its key.
fn without_other_data(append: Append) -> Append {
    let text = String::from_utf8_lossy(&append.data);
    let data = Bytes::from(text.replace(OTHER_DATA, ""));
    Append { data, ..append }
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
