//! An engine with a clock and what it delivered: a test sends requests and reads their responses.

use std::time::Duration;

use bytes::Bytes;
use steadfast_engine::{
    Append, ChannelEpoch, Committed, Health, Page, Publisher, Read, ReadFrom, ReadResponse, Record,
    Rejection, Request, RequestId, Response, RetentionClass,
};
use steadfast_machine::{Instant, Timestamp};
use steadfast_protocol::message::PayloadKind;

use crate::engines::{Engine, Input, Settings};

/// What an engine delivers to the shards, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Committed(Committed),
    Response(RequestId, Response),
}

pub(crate) struct Harness<E> {
    engine: E,
    now: Instant,
    wall: Timestamp,
    next_number: u64,
    /// Everything that was delivered, in order.
    pub(crate) delivered: Vec<Delivery>,
}

impl<E: Engine> Harness<E> {
    pub(crate) fn new(settings: Settings) -> Self {
        let wall = Timestamp::from_millis(1_700_000_000_000);
        Self {
            engine: E::start(settings, Instant::START, wall),
            now: Instant::START,
            wall,
            next_number: 0,
            delivered: Vec::new(),
        }
    }

    pub(crate) fn wall(&self) -> Timestamp {
        self.wall
    }

    fn handle(&mut self, input: Input) {
        let delivered = self.engine.handle(self.now, input);
        self.delivered.extend(delivered);
    }

    /// Waits until the engine has completed everything.
    pub(crate) fn settle(&mut self) {
        let delivered = self.engine.settle(self.now);
        self.delivered.extend(delivered);
    }

    /// Sends requests at once and returns their responses.
    pub(crate) fn request(&mut self, requests: Vec<Request>) -> Vec<Response> {
        let ids: Vec<RequestId> = self.send(requests);
        self.settle();
        ids.into_iter().map(|id| self.response(id)).collect()
    }

    /// Sends requests at once and returns their ids.
    pub(crate) fn send(&mut self, mut requests: Vec<Request>) -> Vec<RequestId> {
        for request in &mut requests {
            self.next_number += 1;
            let id = match request {
                Request::Append(append) => &mut append.request_id,
                Request::Read(read) => &mut read.request_id,
            };
            id.number = self.next_number;
        }
        let ids = requests.iter().map(Request::id).collect();
        self.handle(Input::Requested {
            requests,
            at: self.wall,
        });
        ids
    }

    /// The only response with this id.
    pub(crate) fn response(&self, id: RequestId) -> Response {
        let mut responses = self.delivered.iter().filter_map(|delivery| match delivery {
            Delivery::Response(of, response) if *of == id => Some(response.clone()),
            Delivery::Response(..) | Delivery::Committed(_) => None,
        });
        let response = responses.next().expect("a response");
        assert_eq!(responses.next(), None, "one response");
        response
    }

    pub(crate) fn publish(&mut self, append: Append) -> Response {
        self.request(vec![Request::Append(append)]).remove(0)
    }

    /// Publishes, and returns the epoch, the offset, and whether it was a repeat.
    pub(crate) fn publish_ok(&mut self, append: Append) -> (ChannelEpoch, u64, bool) {
        match self.publish(append) {
            Response::Appended {
                epoch,
                offset,
                is_duplicate,
                ..
            } => (epoch, offset, is_duplicate),
            other @ (Response::Read(_) | Response::Rejected(_)) => panic!("{other:?}"),
        }
    }

    pub(crate) fn rejection(&mut self, append: Append) -> Rejection {
        match self.publish(append) {
            Response::Rejected(rejection) => rejection,
            other @ (Response::Appended { .. } | Response::Read(_)) => panic!("{other:?}"),
        }
    }

    /// Publishes several payloads and returns the offsets.
    pub(crate) fn fill(&mut self, channel: &str, count: usize) -> Vec<u64> {
        (1..=count)
            .map(|number| {
                self.publish_ok(append(channel, &format!("{channel} {number}")))
                    .1
            })
            .collect()
    }

    pub(crate) fn read(&mut self, read: Read) -> ReadResponse {
        match self.request(vec![Request::Read(read)]).remove(0) {
            Response::Read(response) => response,
            other @ (Response::Appended { .. } | Response::Rejected(_)) => panic!("{other:?}"),
        }
    }

    /// The publications of a page, the offset before it, and whether there is more.
    pub(crate) fn page(&mut self, request: Read) -> (u64, Vec<Record>, bool) {
        match self.read(request).page {
            Page::Records {
                previous,
                records,
                has_more,
            } => (previous, records, has_more),
            Page::Unrecoverable => panic!("unrecoverable"),
        }
    }

    pub(crate) fn is_recoverable(&mut self, channel: &str, epoch: ChannelEpoch, at: u64) -> bool {
        let from = ReadFrom::After { epoch, offset: at };
        self.read(read(channel, from, 10)).page != Page::Unrecoverable
    }

    /// The payloads of all visible publications.
    pub(crate) fn visible(&mut self, channel: &str) -> Vec<String> {
        let (_, records, has_more) = self.page(read(channel, ReadFrom::Oldest, usize::MAX));
        assert!(!has_more);
        let text = |record: Record| String::from_utf8(record.data.to_vec()).unwrap();
        records.into_iter().map(text).collect()
    }

    pub(crate) fn epoch(&mut self, channel: &str) -> ChannelEpoch {
        self.read(read(channel, ReadFrom::Oldest, 0)).epoch
    }

    pub(crate) fn high_watermark(&mut self, channel: &str) -> u64 {
        self.read(read(channel, ReadFrom::Oldest, 0)).high_watermark
    }

    /// Lets time pass on both clocks, and ticks at each deadline of the engine.
    pub(crate) fn advance(&mut self, time: Duration) {
        let (end, wall) = (self.now + time, self.wall);
        let start = self.now;
        let wall_at = |now: Instant| {
            let passed = u64::try_from((now - start).as_millis()).unwrap();
            Timestamp::from_millis(wall.as_millis() + passed)
        };
        while let Some(at) = self.engine.next_deadline().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.wall = wall_at(self.now);
            self.handle(Input::Tick { at: self.wall });
        }
        (self.now, self.wall) = (end, wall_at(end));
        self.settle();
    }

    pub(crate) fn health(&self) -> Health {
        self.engine.health()
    }

    pub(crate) fn close(&mut self) {
        self.handle(Input::CloseRequested);
        self.settle();
    }
}

pub(crate) fn append(channel: &str, data: &str) -> Append {
    Append {
        request_id: RequestId {
            shard: 0,
            number: 0,
        },
        channel: channel.into(),
        data: Bytes::copy_from_slice(data.as_bytes()),
        kind: PayloadKind::Json,
        retention: RetentionClass::Kept,
        publisher: Publisher::default(),
        idempotency_key: None,
        may_create_channel: true,
    }
}

pub(crate) fn idempotent(channel: &str, data: &str, user: &str, key: &str) -> Append {
    Append {
        publisher: Publisher {
            user: Bytes::copy_from_slice(user.as_bytes()),
            client: Bytes::new(),
        },
        idempotency_key: Some(Bytes::copy_from_slice(key.as_bytes())),
        ..append(channel, data)
    }
}

pub(crate) fn read(channel: &str, from: ReadFrom, limit: usize) -> Read {
    Read {
        request_id: RequestId {
            shard: 0,
            number: 0,
        },
        channel: channel.into(),
        from,
        limit,
        bytes_max: 1 << 20,
    }
}

pub(crate) fn offsets(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.offset).collect()
}
