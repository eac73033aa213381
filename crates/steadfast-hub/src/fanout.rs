//! Fan-out of publications, and catching up on publications that this shard has missed.

use steadfast_engine::{Committed, Page, ReadFrom, ReadResponse, Record, Rejection};
use steadfast_protocol::codes::UnsubscribeCode;
use steadfast_protocol::message::{Push, PushEvent, Reply};

use crate::channel::{ChannelIndex, Cursor};
use crate::event::Event;
use crate::hub::Hub;
use crate::io::{Output, PeerId};
use crate::peer::SubscriptionPhase;
use crate::pending_requests::{Purpose, publication};

impl Hub {
    /// Handles a durable publication: if it is the next of its channel, it is sent to all live subscribers.
    pub(crate) fn on_committed(&mut self, committed: Committed) {
        let Some(channel) = self.channels.find(committed.channel.as_str()) else {
            return;
        };
        let Some(cursor) = self.channels.get(channel).map(|channel| channel.cursor) else {
            return;
        };
        let Committed {
            channel: _,
            epoch: now,
            previous,
            record,
        } = committed;
        match cursor {
            // A pending response covers this publication.
            Cursor::Unknown | Cursor::Lagging { .. } => {}
            Cursor::Current { epoch, .. } if epoch != now => {
                self.lose_position(
                    channel,
                    Cursor::Current {
                        epoch: now,
                        offset: record.offset,
                    },
                );
            }
            Cursor::Current { offset, .. } if record.offset <= offset => {}
            Cursor::Current { epoch, offset } if previous <= offset => {
                self.fan_out(channel, epoch, record);
            }
            Cursor::Current { epoch, offset } => self.catch_up(channel, epoch, offset),
        }
    }

    /// Sends the publication to all live subscribers.
    fn fan_out(
        &mut self,
        channel: ChannelIndex,
        epoch: steadfast_engine::ChannelEpoch,
        record: Record,
    ) {
        let Some(target) = self.channels.get_mut(channel) else {
            return;
        };
        target.cursor = Cursor::Current {
            epoch,
            offset: record.offset,
        };
        let Some(to) = target.live() else {
            return;
        };
        let message = Reply::Push(Push {
            channel: target.name.clone(),
            event: PushEvent::Publication(publication(record)),
        });
        self.emit(Output::Fanout { message, to });
    }

    /// Handles a lag of this shard: every channel with a current cursor is read again from that cursor.
    pub(crate) fn on_lagged(&mut self) {
        let lagging: Vec<_> = self
            .channels
            .indices()
            .into_iter()
            .filter_map(|index| match self.channels.get(index)?.cursor {
                Cursor::Current { epoch, offset } => Some((index, epoch, offset)),
                Cursor::Unknown | Cursor::Lagging { .. } => None,
            })
            .collect();
        self.emit(Output::Notify(Event::ShardLagged {
            channels: lagging.len(),
        }));
        for (channel, epoch, offset) in lagging {
            self.catch_up(channel, epoch, offset);
        }
    }

    fn catch_up(
        &mut self,
        channel: ChannelIndex,
        epoch: steadfast_engine::ChannelEpoch,
        offset: u64,
    ) {
        if let Some(lagging) = self.channels.get_mut(channel) {
            lagging.cursor = Cursor::Lagging { epoch, offset };
        }
        let limit = self.settings().recovery_publications_max;
        self.request_page(
            Purpose::CatchUp { channel },
            ReadFrom::After { epoch, offset },
            limit,
        );
    }

    /// Handles the log's response with the publications of a channel that this shard missed.
    pub(crate) fn on_catch_up(
        &mut self,
        channel: ChannelIndex,
        response: Result<ReadResponse, Rejection>,
    ) {
        let Some(Cursor::Lagging { epoch, offset }) =
            self.channels.get(channel).map(|channel| channel.cursor)
        else {
            return;
        };
        let (records, high_watermark, has_more) = match response {
            Ok(ReadResponse {
                epoch: now,
                high_watermark,
                page: Page::Records {
                    records, has_more, ..
                },
            }) if now == epoch => (records, high_watermark, has_more),
            Ok(ReadResponse {
                epoch,
                high_watermark,
                ..
            }) => {
                return self.lose_position(
                    channel,
                    Cursor::Current {
                        epoch,
                        offset: high_watermark,
                    },
                );
            }
            Err(_rejection) => return self.lose_position(channel, Cursor::Unknown),
        };
        let reached = records.last().map_or(offset, |record| record.offset);
        for record in records {
            self.fan_out(channel, epoch, record);
        }
        if has_more {
            return self.catch_up(channel, epoch, reached);
        }
        if let Some(caught_up) = self.channels.get_mut(channel) {
            caught_up.cursor = Cursor::Current {
                epoch,
                offset: high_watermark,
            };
        }
        let pending: Vec<PeerId> = self
            .channels
            .get(channel)
            .map(|c| c.pending().to_vec())
            .unwrap_or_default();
        for peer in pending {
            self.on_channel_caught_up(peer, channel);
        }
    }

    /// The position of the subscribers cannot be continued on this shard: they are unsubscribed with a code whose
    /// advice is to resubscribe and recover.
    pub(crate) fn lose_position(&mut self, channel: ChannelIndex, cursor: Cursor) {
        let Some(lost) = self.channels.get_mut(channel) else {
            return;
        };
        lost.cursor = cursor;
        let name = lost.name.clone();
        let members: Vec<PeerId> = lost.members().collect();
        let holders: Vec<PeerId> = members
            .into_iter()
            .filter(|peer| self.has_position(*peer, channel))
            .collect();
        self.emit(Output::Notify(Event::PositionLost {
            channel: name,
            subscriptions: holders.len(),
        }));
        for peer in holders {
            self.close_subscription(peer, channel, UnsubscribeCode::Insufficient);
        }
    }

    /// Whether the subscriber has received a position; a subscriber whose reply is still pending has not.
    fn has_position(&self, peer: PeerId, channel: ChannelIndex) -> bool {
        self.peers
            .get(peer)
            .and_then(|peer| peer.subscription(channel))
            .is_some_and(|subscription| {
                !matches!(subscription.phase, SubscriptionPhase::Requested { .. })
            })
    }
}
