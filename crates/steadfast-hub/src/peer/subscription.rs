//! One subscription of a peer: what its command requested, and how far it is.

use steadfast_engine::{ChannelEpoch, ReadFrom};

use crate::channel::{ChannelIndex, MemberKey, MemberSlot};

/// The options of a subscribe command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubscribeOptions {
    pub(crate) recovery: Recovery,
    pub(crate) unrecoverable: Unrecoverable,
    pub(crate) join_leave: JoinLeavePushes,
}

/// Whether the subscriber requests recovery, and from which position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// The subscriber does not request recovery.
    NotRequested,
    /// The subscriber requests recovery after a position of this server, or without an epoch after offset 0.
    After {
        epoch: Option<ChannelEpoch>,
        offset: u64,
    },
    /// The subscriber requests recovery, but with an invalid epoch, or without an epoch after an offset above 0.
    UnknownEpoch,
}

/// What happens when the position cannot be continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unrecoverable {
    /// Subscribe from the high watermark on; the reply says that recovery failed.
    Subscribe,
    /// Reject with error 112.
    Reject,
}

/// Whether the subscriber receives join and leave pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinLeavePushes {
    On,
    Off,
}

/// The phase of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubscriptionPhase {
    /// A request to the log is pending; the command has no reply yet.
    Requested,
    /// The reply is sent, but publications after `offset` must be sent before the live ones.
    Recovering {
        epoch: ChannelEpoch,
        offset: u64,
        page: NextPage,
    },
    /// The subscriber receives every publication as it is committed.
    Live,
}

/// The state of the next page of a recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextPage {
    /// A request to the log is pending.
    Requested,
    /// The send buffer is not empty, or it is another channel's turn.
    AwaitsTurn,
    /// The shard itself lags on this channel.
    AwaitsCatchUp,
}

/// One subscription of a peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscription {
    pub(crate) channel: ChannelIndex,
    /// Distinguishes the subscription from earlier subscriptions of this peer to this channel, whose pages may still
    /// arrive.
    pub(crate) number: u64,
    pub(crate) slot: MemberSlot,
    /// Set while the subscriber receives join and leave pushes.
    pub(crate) listener: Option<MemberKey>,
    pub(crate) phase: SubscriptionPhase,
}

impl Subscription {
    /// Whether the subscription is recovering and its next page has this state.
    pub(super) fn awaits(&self, next: NextPage) -> bool {
        matches!(self.phase, SubscriptionPhase::Recovering { page, .. } if page == next)
    }

    /// Whether the client has received a position; while its reply is pending, it has not.
    pub(crate) const fn has_position(&self) -> bool {
        !matches!(self.phase, SubscriptionPhase::Requested)
    }

    /// Begins to read the next page of a recovery. Returns where it begins; `None` if the subscription is not
    /// recovering.
    pub(crate) const fn begin_page(&mut self) -> Option<ReadFrom> {
        match &mut self.phase {
            SubscriptionPhase::Recovering {
                epoch,
                offset,
                page,
            } => {
                *page = NextPage::Requested;
                Some(ReadFrom::After {
                    epoch: *epoch,
                    offset: *offset,
                })
            }
            SubscriptionPhase::Requested | SubscriptionPhase::Live => None,
        }
    }

    /// Lets a recovery that awaited this shard take its turn. Returns `false` if it did not await the shard.
    pub(crate) fn end_catch_up(&mut self) -> bool {
        match &mut self.phase {
            SubscriptionPhase::Recovering { page, .. } if *page == NextPage::AwaitsCatchUp => {
                *page = NextPage::AwaitsTurn;
                true
            }
            SubscriptionPhase::Requested
            | SubscriptionPhase::Recovering { .. }
            | SubscriptionPhase::Live => false,
        }
    }
}
