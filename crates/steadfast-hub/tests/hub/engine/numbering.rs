//! The publications of each channel by number, and their offsets.
//!
//! Tests number the publications of a channel 1, 2, 3. With dense offsets, number and offset are equal. With increasing
//! offsets, they are translated where a script meets the hub: commands to offsets, replies and responses to numbers. An
//! offset that no publication has fails the test.

use std::collections::BTreeMap;

use steadfast_engine::memory::Offsets;
use steadfast_engine::{ChannelEpoch, Committed, Page, ReadResponse, Record, Response};
use steadfast_protocol::message::{
    ChannelName, Command, HistoryRequest, Position, Publication, PushEvent, Reply, ReplyResult,
    Request, SubscribeRequest,
};

/// The offsets of all publications.
pub(crate) struct Numbering {
    offsets: Offsets,
    channels: BTreeMap<ChannelName, History>,
    /// Channel and number of each publication by its offset; only of increasing offsets, which are unique.
    numbers: BTreeMap<u64, (ChannelName, u64)>,
    /// The number of publications of all channels.
    total: u64,
}

/// The offsets of a channel's publications in its current epoch.
struct History {
    epoch: ChannelEpoch,
    offsets: Vec<u64>,
}

impl Numbering {
    pub(crate) const fn new(offsets: Offsets) -> Self {
        Self {
            offsets,
            channels: BTreeMap::new(),
            numbers: BTreeMap::new(),
            total: 0,
        }
    }

    /// Adds a publication, whose offset must be the next one of its channel or of the sequence of all channels.
    pub(crate) fn add(&mut self, committed: &Committed) {
        let Committed {
            channel,
            epoch,
            previous,
            record: Record { offset, .. },
        } = committed;
        self.total += 1;
        let new = || History {
            epoch: *epoch,
            offsets: Vec::new(),
        };
        let history = self.channels.entry(channel.clone()).or_insert_with(new);
        if history.epoch != *epoch {
            *history = new();
        }
        let newest = history.offsets.last().copied().unwrap_or(0);
        let expected = match self.offsets {
            Offsets::Dense => newest + 1,
            Offsets::Increasing { step } => self.total * step,
        };
        assert_eq!((*previous, *offset), (newest, expected), "{channel:?}");
        history.offsets.push(*offset);
        if self.offsets != Offsets::Dense {
            let number = count(history);
            self.numbers.insert(*offset, (channel.clone(), number));
        }
    }

    /// The number of the channel's newest publication; 0 before the first.
    pub(crate) fn newest(&self, channel: &str) -> u64 {
        self.channels.get(channel).map_or(0, count)
    }

    /// The offset of a publication, or the one that it would have if the channel's publications were the next ones.
    pub(crate) fn offset(&self, channel: &str, number: u64) -> u64 {
        let known = self.channels.get(channel);
        let Some(index) = number.checked_sub(1) else {
            return 0;
        };
        let index = usize::try_from(index).expect("small");
        if let Some(offset) = known.and_then(|history| history.offsets.get(index)) {
            return *offset;
        }
        match self.offsets {
            Offsets::Dense => number,
            Offsets::Increasing { step } => (self.total + number - self.newest(channel)) * step,
        }
    }

    /// The number of the publication with this offset.
    fn number(&self, offset: u64) -> u64 {
        if self.offsets == Offsets::Dense || offset == 0 {
            return offset;
        }
        self.publication(offset).1
    }

    fn publication(&self, offset: u64) -> &(ChannelName, u64) {
        let publication = self.numbers.get(&offset);
        publication.unwrap_or_else(|| panic!("no publication has the offset {offset}"))
    }

    /// A command whose position is a number, as a client sends it.
    pub(crate) fn command_with_offsets(&self, mut command: Command) -> Command {
        let (Request::Subscribe(SubscribeRequest {
            channel,
            recover: true,
            position,
            ..
        })
        | Request::History(HistoryRequest {
            channel,
            since: Some(position),
            ..
        })) = &mut command.request
        else {
            return command;
        };
        position.offset = self.offset(channel, position.offset);
        command
    }

    /// A reply with numbers instead of offsets.
    pub(crate) fn reply_with_numbers(&self, mut reply: Reply) -> Reply {
        match &mut reply {
            Reply::Response {
                outcome: Ok(ReplyResult::Subscribe(result)),
                ..
            } => self.renumber(&mut result.position, &mut result.publications),
            Reply::Response {
                outcome: Ok(ReplyResult::History(result)),
                ..
            } => self.renumber(&mut result.position, &mut result.publications),
            Reply::Push(push) => {
                if let PushEvent::Publication(publication) = &mut push.event {
                    if self.offsets != Offsets::Dense {
                        let (channel, _) = self.publication(publication.offset);
                        assert_eq!(*channel, push.channel, "offset {}", publication.offset);
                    }
                    publication.offset = self.number(publication.offset);
                }
            }
            Reply::Response { .. } | Reply::Ping => {}
        }
        reply
    }

    fn renumber(&self, position: &mut Position, publications: &mut [Publication]) {
        position.offset = self.number(position.offset);
        for publication in publications {
            publication.offset = self.number(publication.offset);
        }
    }

    /// A response of the engine with numbers instead of offsets.
    pub(crate) fn response_with_numbers(&self, mut response: Response) -> Response {
        match &mut response {
            Response::Appended { offset, .. } => *offset = self.number(*offset),
            Response::Read(ReadResponse {
                high_watermark,
                page,
                ..
            }) => {
                *high_watermark = self.number(*high_watermark);
                if let Page::Records {
                    previous, records, ..
                } = page
                {
                    *previous = self.number(*previous);
                    for record in records {
                        record.offset = self.number(record.offset);
                    }
                }
            }
            Response::Rejected(_) => {}
        }
        response
    }
}

fn count(history: &History) -> u64 {
    u64::try_from(history.offsets.len()).expect("small")
}
