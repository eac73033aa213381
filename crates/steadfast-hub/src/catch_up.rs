//! Catching up on publications that this shard has missed.
//!
//! A shard that lags has missed something in any of its channels, so each of them is read again from its cursor. A
//! shard lags because it is overloaded, and so are the engine and the other shards perhaps: a read of each channel at
//! once would add to the load. So only a few reads are in flight, and the other channels wait in a queue. A channel
//! with more than one page to read goes to the end of it. If the engine rejects a read because it is at its limit,
//! reads pause, for longer each time, and no subscriber is closed for it.

use steadfast_engine::{ChannelEpoch, Page, ReadFrom, ReadResponse, Rejection};

use crate::channel::{CatchUp, Channel, ChannelIndex, Cursor};
use crate::context::Context;
use crate::event::Event;
use crate::from_engine::is_sendable;
use crate::peers::Peers;
use crate::pending::{Caller, Purpose};
use crate::position;
use crate::shared::Shared;

/// Handles a lag of this shard: every channel with a current cursor is read again from that cursor.
pub(crate) fn on_lagged(shared: &mut Shared) {
    let lagging: Vec<_> = shared
        .channels
        .iter_mut()
        .filter_map(|(index, channel)| channel.begin_lag().then_some(index))
        .collect();
    shared.context.notify(Event::ShardLagged {
        channels: lagging.len(),
    });
    for channel in lagging {
        shared.channels.queue_catch_up(channel);
    }
    read_queued(shared);
}

/// Handles a gap in the commits of one channel: it is read again from its cursor.
pub(crate) fn on_gap(shared: &mut Shared, index: ChannelIndex) {
    if shared.channels.get_mut(index).begin_lag() {
        shared.channels.queue_catch_up(index);
        read_queued(shared);
    }
}

/// Continues after a pause.
pub(crate) fn on_tick(shared: &mut Shared) {
    if shared.catch_up_reads.end_pause(shared.context.now) {
        read_queued(shared);
    }
}

/// Reads the channels of the queue as far as the limit of reads in flight allows.
fn read_queued(shared: &mut Shared) {
    let settings = shared.context.settings();
    let reads_max = settings.catch_up_reads_max;
    let limits = (
        settings.recovery_publications_max,
        settings.recovery_bytes_max,
    );
    while shared.catch_up_reads.has_capacity(reads_max)
        && let Some(index) = shared.channels.next_catch_up()
    {
        let channel = shared.channels.get_mut(index);
        if !channel.has_members() {
            // The next member begins with a read of its own, whose response sets the cursor.
            channel.cursor = Cursor::Unknown;
            continue;
        }
        let Cursor::Lagging { epoch, offset } = channel.cursor else {
            // Another history began, and with it the cursor became current.
            continue;
        };
        channel.catch_up = CatchUp::Reading;
        shared.catch_up_reads.begin();
        let purpose = Purpose::CatchUp {
            channel: index,
            epoch,
            offset,
        };
        let from = ReadFrom::After { epoch, offset };
        // The weight is of no peer: the limit of reads in flight applies instead.
        let _weight = shared.request_page(Caller::Hub, index, purpose, from, limits);
    }
}

/// Handles the engine's response with the publications of a channel after the position of the read.
pub(crate) fn on_response(
    peers: &mut Peers,
    shared: &mut Shared,
    index: ChannelIndex,
    position: (ChannelEpoch, u64),
    response: Result<ReadResponse, Rejection>,
) {
    let now = shared.context.now;
    match response {
        Err(Rejection::Limit) => shared.catch_up_reads.reject(now),
        Ok(_) | Err(_) => shared.catch_up_reads.complete(),
    }
    let channel = shared.channels.get_mut(index);
    channel.catch_up = CatchUp::NotDue;
    let outcome = channel.catch_up_with(&mut shared.context, position, response);
    match outcome {
        Outcome::NotLagging => {}
        Outcome::MustRead => shared.channels.queue_catch_up(index),
        Outcome::Lost(cursor) => position::lose(peers, shared, index, cursor),
        Outcome::CaughtUp => {
            for id in shared.channels.get(index).pending().to_vec() {
                if let Some(peer) = peers.get_mut(id) {
                    peer.on_caught_up(shared, index);
                }
            }
        }
    }
    read_queued(shared);
}

/// The outcome of a read.
enum Outcome {
    /// Another history began, and the cursor became current.
    NotLagging,
    /// There is more to read.
    MustRead,
    /// The subscribers' position cannot be continued; the new cursor.
    Lost(Cursor),
    /// The cursor is current again.
    CaughtUp,
}

impl Channel {
    /// Lets the cursor lag, so that commits are ignored until a read covers them. Returns `false` if it is not current.
    fn begin_lag(&mut self) -> bool {
        let Cursor::Current { epoch, offset } = self.cursor else {
            return false;
        };
        self.cursor = Cursor::Lagging { epoch, offset };
        true
    }

    /// Sends what was read to the live subscribers, and advances the cursor.
    fn catch_up_with(
        &mut self,
        context: &mut Context,
        position: (ChannelEpoch, u64),
        response: Result<ReadResponse, Rejection>,
    ) -> Outcome {
        let Cursor::Lagging { epoch, offset } = self.cursor else {
            return Outcome::NotLagging;
        };
        if position != (epoch, offset) {
            // Another history began, and lags too.
            return Outcome::MustRead;
        }
        let response = match response {
            Ok(response) => response,
            Err(Rejection::Limit) => return Outcome::MustRead,
            Err(_) => return Outcome::Lost(Cursor::Unknown),
        };
        let newest = Cursor::Current {
            epoch: response.epoch,
            offset: response.high_watermark,
        };
        match response.page {
            Page::Records {
                previous: _,
                records,
                has_more,
            } if response.epoch == epoch
                && records.iter().all(|it| is_sendable(context.settings(), it)) =>
            {
                for record in records {
                    self.fan_out(context, epoch, record);
                }
                if has_more {
                    self.begin_lag();
                    return Outcome::MustRead;
                }
                self.cursor = newest;
                Outcome::CaughtUp
            }
            Page::Records { .. } | Page::Unrecoverable => Outcome::Lost(newest),
        }
    }
}
