//! Committed publications: which of them are sent to the subscribers.

use steadfast_engine::Committed;

use crate::channel::Cursor;
use crate::from_engine::is_sendable;
use crate::peers::Peers;
use crate::shared::Shared;
use crate::{catch_up, position};

/// Handles a durable publication: if it is the next of its channel, it is sent to all live subscribers.
pub(crate) fn on_committed(peers: &mut Peers, shared: &mut Shared, committed: Committed) {
    let Committed {
        channel: name,
        epoch: now,
        previous,
        record,
    } = committed;
    // A channel that is not known has no subscribers on this shard.
    let Some(index) = shared.channels.find(name.as_str()) else {
        return;
    };
    let channel = shared.channels.get_mut(index);
    match channel.cursor {
        // A pending response covers this publication.
        Cursor::Unknown | Cursor::Lagging { .. } => {}
        Cursor::Current { epoch, .. } if epoch != now => {
            let newest = Cursor::Current {
                epoch: now,
                offset: record.offset,
            };
            position::lose(peers, shared, index, newest);
        }
        Cursor::Current { offset, .. } if record.offset <= offset => {}
        // No send buffer can hold it: the subscribers resubscribe, and their replies report the gap.
        Cursor::Current { epoch, offset }
            if previous <= offset && !is_sendable(shared.context.settings(), &record) =>
        {
            let newest = Cursor::Current {
                epoch,
                offset: record.offset,
            };
            position::lose(peers, shared, index, newest);
        }
        Cursor::Current { epoch, offset } if previous <= offset => {
            channel.fan_out(&mut shared.context, epoch, record);
        }
        Cursor::Current { .. } => catch_up::on_gap(shared, index),
    }
}
