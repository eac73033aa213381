//! One channel as a hub sees it: its subscribers on this shard, and how far the shard has read it.
//!
//! A subscription stores its key in the member lists, so that removing a member costs the same in a large channel as in
//! a small one.

use std::rc::Rc;

use steadfast_engine::ChannelEpoch;
use steadfast_protocol::message::ChannelName;

pub(crate) use self::members::MemberKey;
use self::members::Members;
use crate::ids::PeerId;
use crate::policy::ChannelOptions;

mod members;

/// Whether a channel can have this name: any text but the empty one. The decoder has checked its length.
pub(crate) const fn is_valid_name(name: &str) -> bool {
    !name.is_empty()
}

/// The slot of a channel in the hub's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChannelIndex(pub(crate) u32);

/// How far this shard has read the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// The log has not responded about the channel yet.
    Unknown,
    /// Everything up to `offset` was read; the next commit follows it.
    Current { epoch: ChannelEpoch, offset: u64 },
    /// Commits after `offset` were missed; they are read again, see [`CatchUp`].
    Lagging { epoch: ChannelEpoch, offset: u64 },
}

/// Whether the channel is read again, because its cursor lags or did until its history changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CatchUp {
    /// No read is due.
    NotDue,
    /// The channel has this ticket in the queue of `catch_up`.
    Queued { ticket: u64 },
    /// A read is pending.
    Reading,
}

/// The slot of a subscription in the member lists of its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemberSlot {
    /// Receives every publication as it is committed.
    Live(MemberKey),
    /// Receives no publications yet: the log's response or the rest of the recovery is pending.
    Pending(MemberKey),
}

/// One channel of this shard.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) name: ChannelName,
    pub(crate) options: ChannelOptions,
    pub(crate) cursor: Cursor,
    pub(crate) catch_up: CatchUp,
    live: Members,
    pending: Members,
    listeners: Members,
    /// Pending requests to the log about this channel.
    pub(crate) pending_requests: u32,
}

impl Channel {
    pub(crate) fn new(name: ChannelName, options: ChannelOptions) -> Self {
        Self {
            name,
            options,
            cursor: Cursor::Unknown,
            catch_up: CatchUp::NotDue,
            live: Members::default(),
            pending: Members::default(),
            listeners: Members::default(),
            pending_requests: 0,
        }
    }

    /// The peers that receive every publication, for an output; `None` if there are none.
    pub(crate) fn live(&self) -> Option<Rc<Vec<PeerId>>> {
        self.live.share()
    }

    pub(crate) fn pending(&self) -> &[PeerId] {
        self.pending.as_slice()
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = PeerId> + '_ {
        let (live, pending) = (self.live.as_slice(), self.pending.as_slice());
        live.iter().chain(pending).copied()
    }

    pub(crate) fn add_pending(&mut self, peer: PeerId) -> MemberSlot {
        MemberSlot::Pending(self.pending.add(peer))
    }

    pub(crate) fn add_live(&mut self, peer: PeerId) -> MemberSlot {
        MemberSlot::Live(self.live.add(peer))
    }

    /// Removes a member.
    pub(crate) fn remove(&mut self, slot: MemberSlot) {
        match slot {
            MemberSlot::Live(key) => self.live.remove(key),
            MemberSlot::Pending(key) => self.pending.remove(key),
        }
    }

    /// The peers that requested join and leave pushes, for an output; `None` if there are none.
    pub(crate) fn listeners(&self) -> Option<Rc<Vec<PeerId>>> {
        self.listeners.share()
    }

    pub(crate) fn add_listener(&mut self, peer: PeerId) -> MemberKey {
        self.listeners.add(peer)
    }

    pub(crate) fn remove_listener(&mut self, listener: MemberKey) {
        self.listeners.remove(listener);
    }

    pub(crate) fn has_members(&self) -> bool {
        !(self.live.is_empty() && self.pending.is_empty())
    }

    /// Whether the channel has neither members nor pending requests.
    pub(crate) fn is_idle(&self) -> bool {
        !self.has_members() && self.pending_requests == 0
    }
}
