//! Who gets a publication, in which frame, and what happens when this core has missed some.

use steadfast_protocol::codes::UnsubscribeCode;
use steadfast_protocol::json::{self, InfoParts, PublicationParts};
use steadfast_protocol::websocket::{FrameBuilder, Opcode};

use crate::asks::Purpose;
use crate::channel::{ChannelIndex, Cursor};
use crate::event::Event;
use crate::hub::Hub;
use crate::io::{Output, PeerId};
use crate::log::io::{Committed, Page, ReadFrom, ReadResponse, Record, Rejection};
use crate::peer::Stage;

/// What a push holds besides payload and channel name: keys, offset, the publisher.
const ENVELOPE_BYTES: usize = 160;

impl Hub {
    /// Takes a durable publication: the next one of its channel goes out to everybody who is live.
    pub(crate) fn on_committed(&mut self, committed: Committed) {
        let Some(channel) = self.channels.find(committed.channel.as_str()) else {
            return;
        };
        let Some(cursor) = self.channels.get(channel).map(|channel| channel.cursor) else {
            return;
        };
        let Committed {
            epoch: now, record, ..
        } = committed;
        match cursor {
            // An answer that is still to come covers it.
            Cursor::Unknown | Cursor::Behind { .. } => {}
            Cursor::At { epoch, .. } if epoch != now => {
                self.lose_position(
                    channel,
                    Cursor::At {
                        epoch: now,
                        top: record.offset,
                    },
                );
            }
            Cursor::At { top, .. } if record.offset <= top => {}
            Cursor::At { epoch, top } if record.offset == top + 1 => {
                self.fan_out(channel, epoch, &record);
            }
            Cursor::At { epoch, top } => self.catch_up(channel, epoch, top),
        }
    }

    /// Encodes the publication once and orders it for everybody who is live.
    fn fan_out(
        &mut self,
        channel: ChannelIndex,
        epoch: crate::epoch::ChannelEpoch,
        record: &Record,
    ) {
        let Some(target) = self.channels.get_mut(channel) else {
            return;
        };
        target.cursor = Cursor::At {
            epoch,
            top: record.offset,
        };
        let to = target.live();
        if to.is_empty() {
            return;
        }
        let capacity = record.data.len() + target.name.as_str().len() + ENVELOPE_BYTES;
        let mut frame = FrameBuilder::with_capacity(capacity);
        json::append_publication_push(frame.buffer(), target.name.as_str(), parts(record));
        let frame = frame.finish(Opcode::Text);
        self.order(Output::Fanout { frame, to });
    }

    /// This core fell out of the ring: every channel is read again from where it stood.
    pub(crate) fn on_lapsed(&mut self) {
        let behind: Vec<_> = self
            .channels
            .indices()
            .into_iter()
            .filter_map(|index| match self.channels.get(index)?.cursor {
                Cursor::At { epoch, top } => Some((index, epoch, top)),
                Cursor::Unknown | Cursor::Behind { .. } => None,
            })
            .collect();
        self.order(Output::Notify(Event::CaughtBehind {
            channels: behind.len(),
        }));
        for (channel, epoch, top) in behind {
            self.catch_up(channel, epoch, top);
        }
    }

    fn catch_up(&mut self, channel: ChannelIndex, epoch: crate::epoch::ChannelEpoch, top: u64) {
        if let Some(behind) = self.channels.get_mut(channel) {
            behind.cursor = Cursor::Behind { epoch, top };
        }
        let limit = self.settings().recovery_publications_max;
        self.ask_recovery(
            Purpose::CatchUp { channel },
            ReadFrom::After { epoch, offset: top },
            limit,
        );
    }

    /// The log has answered what this core missed of a channel.
    pub(crate) fn on_catch_up(
        &mut self,
        channel: ChannelIndex,
        answer: Result<ReadResponse, Rejection>,
    ) {
        let Some(Cursor::Behind { epoch, top }) =
            self.channels.get(channel).map(|channel| channel.cursor)
        else {
            return;
        };
        let (records, more) = match answer {
            Ok(ReadResponse {
                epoch: now,
                page:
                    Page::Records {
                        records,
                        has_more: more,
                    },
                ..
            }) if now == epoch => (records, more),
            Ok(ReadResponse {
                epoch,
                high_watermark: top,
                ..
            }) => {
                return self.lose_position(channel, Cursor::At { epoch, top });
            }
            Err(_refused) => return self.lose_position(channel, Cursor::Unknown),
        };
        let reached = records.last().map_or(top, |record| record.offset);
        for record in &records {
            self.fan_out(channel, epoch, record);
        }
        if more {
            return self.catch_up(channel, epoch, reached);
        }
        if let Some(caught_up) = self.channels.get_mut(channel) {
            caught_up.cursor = Cursor::At {
                epoch,
                top: reached,
            };
        }
        let waiting: Vec<PeerId> = self
            .channels
            .get(channel)
            .map(|c| c.waiting().to_vec())
            .unwrap_or_default();
        for peer in waiting {
            self.on_channel_caught_up(peer, channel);
        }
    }

    /// The position of those who are live cannot be continued here: they are told to subscribe again and recover.
    pub(crate) fn lose_position(&mut self, channel: ChannelIndex, cursor: Cursor) {
        let Some(lost) = self.channels.get_mut(channel) else {
            return;
        };
        lost.cursor = cursor;
        let name = lost.name.clone();
        let members: Vec<PeerId> = lost.members().collect();
        let told: Vec<PeerId> = members
            .into_iter()
            .filter(|peer| self.holds_position(*peer, channel))
            .collect();
        self.order(Output::Notify(Event::PositionLost {
            channel: name,
            subscriptions: told.len(),
        }));
        for peer in told {
            self.end_subscription(peer, channel, UnsubscribeCode::Insufficient);
        }
    }

    /// Whether the subscriber has been given a position; one that is still waiting for its reply has not.
    fn holds_position(&self, peer: PeerId, channel: ChannelIndex) -> bool {
        self.peers
            .get(peer)
            .and_then(|peer| peer.subscription(channel))
            .is_some_and(|subscription| !matches!(subscription.stage, Stage::Asked { .. }))
    }
}

/// A stored record as the encoder takes it, nothing copied.
fn parts(record: &Record) -> PublicationParts<'_> {
    let client = str::from_utf8(&record.publisher.client).unwrap_or_default();
    let user = str::from_utf8(&record.publisher.user).unwrap_or_default();
    PublicationParts {
        data: &record.data,
        info: (!client.is_empty()).then_some(InfoParts {
            user,
            client,
            ..InfoParts::default()
        }),
        offset: record.offset,
        tags: None,
        time: i64::try_from(record.at.as_millis()).unwrap_or(i64::MAX),
    }
}
