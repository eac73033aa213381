//! Responses that the tests expect of the engine, with numbers of publications as offsets.

use bytes::Bytes;
use steadfast_engine::{
    Page, Publisher, ReadResponse, Record, Rejection, Response, RetentionClass,
};
use steadfast_protocol::message::PayloadKind;

use crate::script::{EPOCH, WALL};

/// The response to the first append of a publication.
pub(crate) const fn appended(number: u64) -> Response {
    Response::Appended {
        epoch: EPOCH,
        offset: number,
        is_duplicate: false,
        creates_channel: number == 1,
    }
}

/// The response to an append whose idempotency key is known.
pub(crate) const fn repeated(number: u64) -> Response {
    Response::Appended {
        epoch: EPOCH,
        offset: number,
        is_duplicate: true,
        creates_channel: false,
    }
}

/// The response to a read that only checks the channel, whose history is complete.
pub(crate) const fn checked(high_watermark: u64) -> Response {
    read(
        high_watermark,
        Page::Records {
            previous: 0,
            records: Vec::new(),
            has_more: high_watermark > 0,
        },
    )
}

/// A complete response to a read: the channel's high watermark and the publications read.
pub(crate) fn page(high_watermark: u64, numbers: &[u64]) -> Response {
    response_with(high_watermark, numbers, false)
}

/// A response that was truncated by a limit.
pub(crate) fn first_page(high_watermark: u64, numbers: &[u64]) -> Response {
    response_with(high_watermark, numbers, true)
}

fn response_with(high_watermark: u64, numbers: &[u64], has_more: bool) -> Response {
    let first = numbers.first();
    let records = numbers.iter().map(|number| record(*number)).collect();
    read(
        high_watermark,
        Page::Records {
            previous: first.map_or(high_watermark, |first| first - 1),
            records,
            has_more,
        },
    )
}

pub(crate) const fn unrecoverable(high_watermark: u64) -> Response {
    read(high_watermark, Page::Unrecoverable)
}

pub(crate) const fn rejected(rejection: Rejection) -> Response {
    Response::Rejected(rejection)
}

const fn read(high_watermark: u64, page: Page) -> Response {
    Response::Read(ReadResponse {
        epoch: EPOCH,
        high_watermark,
        page,
    })
}

/// A publication of another shard at the start of the script.
pub(crate) fn record(number: u64) -> Record {
    Record {
        offset: number,
        data: Bytes::from(payload(number)),
        kind: PayloadKind::Json,
        retention: RetentionClass::Kept,
        publisher: Publisher::default(),
        at: WALL,
    }
}

/// The payload of a publication of another shard.
pub(crate) fn payload(number: u64) -> String {
    format!(r#"{{"n":{number}}}"#)
}
