//! Promises that a run can be told to break, to show that the simulation notices.
//!
//! The machines stay as they are; the driver around them does the damage.

use std::collections::BTreeMap;

use steadfast_hub::epoch::ChannelEpoch;
use steadfast_hub::log::io::{Append, Read, ReadFrom, Request};
use steadfast_protocol::message::ChannelName;

/// A promise that the driver breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// A sync is reported and not done.
    NoSync,
    /// Keys of publishes never reach the log.
    NoDedupe,
    /// Positions are taken as if they were of the present epoch and within the top.
    NoPositionCheck,
    /// Frames to one client may overtake each other.
    NoOrder,
    /// However many publications a channel may show, the log shows all of them.
    NoRetention,
    /// A session never sends again what was not answered.
    NoRepeat,
    /// A session sends again what was not answered, as if it were something new.
    NewKeys,
    /// A session subscribes again without saying where it stood.
    NoPosition,
    /// A session waits for ever for a gateway that says nothing any more.
    NoLiveness,
    /// The gateway never asks whether a client still lives.
    NoPings,
    /// The gateway never learns that a client takes less than it is sent.
    NoBacklog,
    /// The gateway waits for ever for a client that takes nothing.
    NoWriteDeadline,
    /// A link that stood still loses a frame.
    LossyFreeze,
    /// A session tries again at once.
    NoPause,
    /// A session's outbox is full at half of what it was given.
    SmallOutbox,
    /// A publication is given up after half of its time.
    Impatience,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::NoSync,
        Self::NoDedupe,
        Self::NoPositionCheck,
        Self::NoOrder,
        Self::NoRetention,
        Self::NoRepeat,
        Self::NewKeys,
        Self::NoPosition,
        Self::NoLiveness,
        Self::NoPings,
        Self::NoBacklog,
        Self::NoWriteDeadline,
        Self::LossyFreeze,
        Self::NoPause,
        Self::SmallOutbox,
        Self::Impatience,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSync => "no-sync",
            Self::NoDedupe => "no-dedupe",
            Self::NoPositionCheck => "no-position-check",
            Self::NoOrder => "no-order",
            Self::NoRetention => "no-retention",
            Self::NoRepeat => "no-repeat",
            Self::NewKeys => "new-keys",
            Self::NoPosition => "no-position",
            Self::NoLiveness => "no-liveness",
            Self::NoPings => "no-pings",
            Self::NoBacklog => "no-backlog",
            Self::NoWriteDeadline => "no-write-deadline",
            Self::LossyFreeze => "lossy-freeze",
            Self::NoPause => "no-pause",
            Self::SmallOutbox => "small-outbox",
            Self::Impatience => "impatience",
        }
    }

    /// The mutation with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mutation| mutation.name() == name)
    }
}

/// Breaks a promise on the way to the log, if the run is told to.
pub(crate) fn mutate(
    request: Request,
    mutation: Option<Mutation>,
    tops: &BTreeMap<ChannelName, (ChannelEpoch, u64)>,
) -> Request {
    match (mutation, request) {
        (Some(Mutation::NoDedupe), Request::Append(append)) => Request::Append(Append {
            key: None,
            ..append
        }),
        (Some(Mutation::NoPositionCheck), Request::Read(read)) => Request::Read(bend(read, tops)),
        (_, request) => request,
    }
}

/// Makes any position valid.
fn bend(read: Read, tops: &BTreeMap<ChannelName, (ChannelEpoch, u64)>) -> Read {
    match (&read.from, tops.get(&read.channel)) {
        (ReadFrom::After { offset, .. }, Some((epoch, top))) => {
            let from = ReadFrom::After {
                epoch: *epoch,
                offset: (*offset).min(*top),
            };
            Read { from, ..read }
        }
        _ => read,
    }
}
