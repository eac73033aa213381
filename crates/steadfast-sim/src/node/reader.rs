//! Reads of the simulation itself, with a disk that completes each operation at once. They require an engine without
//! pending operations.

use steadfast_engine::io as engine_io;
use steadfast_engine::{ChannelEpoch, Page, Read, ReadFrom, Record, Request, RequestId, Response};
use steadfast_log::Log;
use steadfast_log::io as log_io;
use steadfast_machine::{Instant, Machine, Timestamp};
use steadfast_protocol::message::ChannelName;

use super::disk::Disk;
use super::engine::GatewayEngine;

/// The shard number in requests of the simulation itself; no hub has this number.
const READER_SHARD: u16 = u16::MAX;

/// The result of one read of a channel.
#[derive(Debug)]
pub(crate) struct ReadOutcome {
    pub(crate) epoch: ChannelEpoch,
    pub(crate) high_watermark: u64,
    pub(crate) records: Vec<Record>,
    pub(crate) is_complete: bool,
}

/// The time of a read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadTime {
    pub(crate) now: Instant,
    pub(crate) at: Timestamp,
}

/// Reads a page of a channel.
pub(crate) fn read_page(
    engine: &mut GatewayEngine,
    disk: &Disk,
    time: ReadTime,
    channel: &str,
    from: ReadFrom,
    limit: usize,
) -> Option<ReadOutcome> {
    let read = Read {
        request_id: RequestId {
            shard: READER_SHARD,
            number: 0,
        },
        channel: ChannelName::from(channel),
        from,
        limit,
        bytes_max: 1 << 20,
    };
    let Response::Read(response) = respond(engine, disk, time, Request::Read(read))? else {
        return None;
    };
    let (records, is_complete) = match response.page {
        Page::Records {
            records, has_more, ..
        } => (records, !has_more),
        Page::Unrecoverable => (Vec::new(), false),
    };
    Some(ReadOutcome {
        epoch: response.epoch,
        high_watermark: response.high_watermark,
        records,
        is_complete,
    })
}

/// Returns the response to a request.
fn respond(
    engine: &mut GatewayEngine,
    disk: &Disk,
    time: ReadTime,
    request: Request,
) -> Option<Response> {
    let ReadTime { now, at } = time;
    let requests = vec![request];
    match engine {
        GatewayEngine::Log(log) => {
            log.handle(now, log_io::Input::Requested { requests, at });
            response_of_log(log, disk, now)
        }
        GatewayEngine::Memory(engine) => {
            engine.handle(now, engine_io::Input::Requested { requests, at });
            match engine.poll_output() {
                Some(engine_io::Output::Respond { response, .. }) => Some(response),
                other => unreachable!("an idle engine must not return {other:?}"),
            }
        }
    }
}

/// The response of an idle log, after the reads of the disk that it needs.
fn response_of_log(log: &mut Log, disk: &Disk, now: Instant) -> Option<Response> {
    while let Some(output) = log.poll_output() {
        match output {
            log_io::Output::Read {
                read,
                segment,
                at,
                len,
            } => {
                let bytes = disk.read(segment, at, len);
                log.handle(now, log_io::Input::ReadDone { read, bytes });
            }
            log_io::Output::Respond { response, .. } => return Some(response),
            other @ (log_io::Output::Reserve { .. }
            | log_io::Output::Write { .. }
            | log_io::Output::Sync { .. }
            | log_io::Output::Remove { .. }
            | log_io::Output::Claim
            | log_io::Output::Opened(_)
            | log_io::Output::Corrupt(_)
            | log_io::Output::Commit(_)
            | log_io::Output::Notify(_)
            | log_io::Output::Closed) => unreachable!("an idle log must not return {other:?}"),
        }
    }
    None
}
