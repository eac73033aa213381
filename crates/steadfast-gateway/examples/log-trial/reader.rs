//! The reader: prints every record of every channel, then `done`, and closes the log when standard input says `close`.

use std::fmt::Write;
use std::time::Duration;

use steadfast_engine::{
    EngineEvent, Page, Read, ReadFrom, ReadResponse, Record, Request, RequestId, Response,
};
use steadfast_gateway::engine::ShardEngine;
use steadfast_protocol::message::ChannelName;

use crate::records::{CHANNELS, Failure, Name, hash, open, print};

pub(crate) fn run(directory: &str) -> Result<(), Failure> {
    let (service, mut shards, report) = open(directory, 1)?;
    let log = shards.first_mut().ok_or("no shard")?;
    print(&format!(
        "opened clean={} torn={} epochs_changed={} segments={} records={}\n",
        report.is_clean,
        report.torn_write.is_some(),
        report.has_new_epochs,
        report.segments,
        report.records
    ));
    for channel in 0..CHANNELS {
        print_channel(log, &format!("channel-{channel}"))?;
    }
    print("done\n");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    if line.trim() == "close" {
        service.close(Duration::from_secs(30))?;
        print("closed\n");
    }
    Ok(())
}

/// Returns the number of records in all channels.
pub(crate) fn count(log: &mut ShardEngine) -> Result<u64, Failure> {
    let mut sum = 0;
    for channel in 0..CHANNELS {
        read_all(log, &format!("channel-{channel}"), |records| {
            sum += u64::try_from(records.len())?;
            Ok(())
        })?;
    }
    Ok(sum)
}

fn print_channel(log: &mut ShardEngine, channel: &str) -> Result<(), Failure> {
    let end = read_all(log, channel, |records| {
        let mut lines = String::new();
        for record in records {
            let name = Name::of_payload(&record.data).map_or_else(|| "none".into(), Name::text);
            let (offset, hash) = (record.offset, hash(&record.data));
            writeln!(
                lines,
                "record channel={channel} offset={offset} name={name} hash={hash:016x}"
            )?;
        }
        print(&lines);
        Ok(())
    })?;
    print(&format!(
        "channel channel={channel} high_watermark={} epoch={}\n",
        end.high_watermark, end.epoch
    ));
    Ok(())
}

/// Passes all records of a channel to `show` page by page; returns the last response.
fn read_all(
    log: &mut ShardEngine,
    channel: &str,
    mut show: impl FnMut(&[Record]) -> Result<(), Failure>,
) -> Result<ReadResponse, Failure> {
    let mut from = ReadFrom::Oldest;
    loop {
        let response = read(log, channel, from)?;
        let Page::Records {
            records, has_more, ..
        } = &response.page
        else {
            return Err(format!("{channel}: publications are no longer available").into());
        };
        show(records)?;
        match records.last() {
            Some(last) if *has_more => {
                from = ReadFrom::After {
                    epoch: response.epoch,
                    offset: last.offset,
                }
            }
            Some(_) | None => return Ok(response),
        }
    }
}

fn read(log: &mut ShardEngine, channel: &str, from: ReadFrom) -> Result<ReadResponse, Failure> {
    let request_id = RequestId {
        shard: log.shard(),
        number: 1,
    };
    let channel = ChannelName::from(channel);
    log.request(Request::Read(Read {
        request_id,
        channel,
        from,
        limit: 1000,
        bytes_max: 1 << 20,
    }));
    log.flush();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut events = Vec::new();
    while events.is_empty() {
        runtime.block_on(log.ready());
        log.take(&mut events, 1);
    }
    match events.pop() {
        Some(EngineEvent::Response {
            number: 1,
            response: Response::Read(response),
        }) => Ok(response),
        other => Err(format!("unexpected response to the read: {other:?}").into()),
    }
}
