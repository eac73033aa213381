//! What a subscription is granted: its position, and what the client missed since the position that it requested.

use steadfast_engine::{ChannelEpoch, Page, ReadFrom, ReadResponse};
use steadfast_protocol::message::Publication;

use crate::channel::Cursor;
use crate::from_engine::{is_sendable, publication};
use crate::peer::subscription::Recovery;
use crate::policy::HubSettings;

/// The initial position and publications of a granted subscription.
pub(super) struct Grant {
    pub(super) epoch: ChannelEpoch,
    /// The offset in the reply: the requested offset if the position is recovered, else the high watermark.
    pub(super) offset: u64,
    pub(super) publications: Vec<Publication>,
    pub(super) is_recovered: bool,
    /// Once the client has read the reply, it has everything up to this offset.
    pub(super) seen: u64,
    pub(super) is_complete: bool,
}

/// What can be granted without a request to the log: the client is at the position of this shard, or does not recover.
/// A position that this shard has not reached may have been issued by another shard: only the log can decide.
pub(super) fn grant_without_request(cursor: Cursor, recovery: Recovery) -> Option<Grant> {
    let Cursor::Current {
        epoch,
        offset: newest,
    } = cursor
    else {
        return None;
    };
    let is_recovered = match recovery {
        Recovery::NotRequested | Recovery::UnknownEpoch => false,
        Recovery::After {
            epoch: Some(requested),
            offset,
        } if requested == epoch && offset == newest => true,
        Recovery::After { .. } => return None,
    };
    Some(Grant {
        epoch,
        offset: newest,
        publications: Vec::new(),
        is_recovered,
        seen: newest,
        is_complete: true,
    })
}

/// The first read of a subscription, and its limit in publications.
pub(super) fn first_read(recovery: Recovery, limit: usize) -> (ReadFrom, usize) {
    match recovery {
        Recovery::NotRequested | Recovery::UnknownEpoch => (ReadFrom::Oldest, 0),
        Recovery::After { epoch: None, .. } => (ReadFrom::Oldest, limit),
        Recovery::After {
            epoch: Some(epoch),
            offset,
        } => (ReadFrom::After { epoch, offset }, limit),
    }
}

impl Grant {
    /// The number of payload bytes in the reply.
    pub(super) fn payload_bytes(&self) -> usize {
        let sizes = self.publications.iter().map(|it| it.data.len());
        sizes.sum()
    }
}

/// What is granted after a read. A publication that no send buffer can hold ends the recovery before it; if it is the
/// first one, the client gets past it without a recovery.
pub(super) fn grant_from(
    response: ReadResponse,
    recovery: Recovery,
    settings: &HubSettings,
) -> Grant {
    let ReadResponse {
        epoch,
        high_watermark,
        page,
    } = response;
    let from_now_on = Grant {
        epoch,
        offset: high_watermark,
        publications: Vec::new(),
        is_recovered: false,
        seen: high_watermark,
        is_complete: true,
    };
    let (
        Recovery::After { offset, .. },
        Page::Records {
            previous,
            records,
            has_more,
        },
    ) = (recovery, page)
    else {
        return from_now_on;
    };
    // A read from the start of the history is complete only if no publication was removed there.
    if previous > offset {
        return from_now_on;
    }
    let sendable = records.iter().take_while(|it| is_sendable(settings, it));
    let (read, sendable) = (records.len(), sendable.count());
    if read > 0 && sendable == 0 {
        return from_now_on;
    }
    let has_more = has_more || sendable < read;
    let records = records.into_iter().take(sendable);
    let records: Vec<_> = records.collect();
    let last = records.last().map_or(offset, |record| record.offset);
    let seen = if has_more { last } else { high_watermark };
    let publications = records.into_iter().map(publication).collect();
    Grant {
        epoch,
        offset,
        publications,
        is_recovered: true,
        seen,
        is_complete: !has_more,
    }
}

/// Moves the publications of a grant from the reply to pushes: the send buffer has no capacity for them in the reply.
pub(super) fn without_publications(grant: Grant) -> Grant {
    if grant.publications.is_empty() {
        return grant;
    }
    Grant {
        publications: Vec::new(),
        seen: grant.offset,
        is_complete: false,
        ..grant
    }
}
