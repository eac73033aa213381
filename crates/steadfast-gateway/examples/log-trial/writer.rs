//! The writer: four threads that append as fast as the log acknowledges, until they are killed.
//!
//! The writer prints `request` lines before it sends requests, and `ack` lines for the responses. First it repeats the
//! records that it reads from standard input: they have idempotency keys, and their outcome is unknown.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::BufRead;

use bytes::Bytes;
use steadfast_engine::{
    Append, EngineEvent, Publisher, Request, RequestId, Response, RetentionClass,
};
use steadfast_gateway::engine::ShardEngine;
use steadfast_protocol::message::{ChannelName, PayloadKind};

use crate::records::{Failure, Name, hash, open, print};

const THREADS: u16 = 4;

/// The number of records that one thread has in flight.
const IN_FLIGHT: usize = 16;

/// The state of one thread.
struct Appender {
    log: ShardEngine,
    cycle: u64,
    next: u64,
    repeats: Vec<Name>,
    requested: BTreeMap<u64, Name>,
    /// For each channel, the newest offset that this shard has received.
    delivered: BTreeMap<String, u64>,
}

pub(crate) fn run(directory: &str, cycle: &str) -> Result<(), Failure> {
    let cycle = cycle.parse()?;
    let mut repeats = Vec::new();
    for line in std::io::stdin().lock().lines() {
        repeats.push(Name::parse(&line?).ok_or("not a name")?);
    }
    let (_service, shards, _) = open(directory, THREADS)?;
    print("ready\n");
    let threads: Vec<_> = shards
        .into_iter()
        .map(|log| {
            // One thread sends all repeats, each once.
            let repeats = if log.shard() == 0 {
                std::mem::take(&mut repeats)
            } else {
                Vec::new()
            };
            std::thread::spawn(move || appender(log, cycle, repeats).run())
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_panic| "a thread panicked")??;
    }
    Ok(())
}

fn appender(log: ShardEngine, cycle: u64, repeats: Vec<Name>) -> Appender {
    Appender {
        log,
        cycle,
        next: 0,
        repeats,
        requested: BTreeMap::new(),
        delivered: BTreeMap::new(),
    }
}

impl Appender {
    fn run(mut self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        loop {
            self.request()?;
            runtime.block_on(self.log.ready());
            self.receive()?;
        }
    }

    fn request(&mut self) -> Result<(), Failure> {
        let mut lines = String::new();
        while self.requested.len() < IN_FLIGHT {
            let (name, what) = match self.repeats.pop() {
                Some(name) => (name, "repeat"),
                None => (self.next_name(), "request"),
            };
            let payload = name.payload();
            writeln!(
                lines,
                "{what} name={} channel={} hash={:016x}",
                name.text(),
                name.channel(),
                hash(&payload)
            )?;
            let number = self.next;
            self.next += 1;
            self.requested.insert(number, name);
            self.log
                .request(append(self.log.shard(), number, name, payload));
        }
        // The trial must receive the line before the log receives the request.
        print(&lines);
        self.log.flush();
        Ok(())
    }

    fn next_name(&self) -> Name {
        Name {
            cycle: self.cycle,
            thread: u64::from(self.log.shard()),
            number: self.next,
        }
    }

    fn receive(&mut self) -> Result<(), Failure> {
        let mut lines = String::new();
        let mut events = Vec::new();
        while self.log.take(&mut events, 256).has_more {}
        for event in events {
            match event {
                EngineEvent::Committed(committed) => {
                    self.on_commit(committed.channel.as_str(), committed.record.offset)?;
                }
                EngineEvent::Response { number, response } => {
                    lines.push_str(&self.on_response(number, &response)?);
                }
                EngineEvent::Lagged => self.delivered.clear(),
            }
        }
        print(&lines);
        Ok(())
    }

    fn on_commit(&mut self, channel: &str, offset: u64) -> Result<(), Failure> {
        match self.delivered.insert(channel.to_owned(), offset) {
            Some(before) if offset != before + 1 => {
                Err(format!("{channel} delivered {before} and then {offset}").into())
            }
            Some(_) | None => Ok(()),
        }
    }

    fn on_response(&mut self, number: u64, response: &Response) -> Result<String, Failure> {
        let name = self
            .requested
            .remove(&number)
            .ok_or("a response without a request")?;
        match response {
            Response::Appended {
                epoch,
                offset,
                is_duplicate,
                ..
            } => {
                let delivered = self.delivered.get(&name.channel());
                if !is_duplicate && delivered.is_some_and(|delivered| delivered < offset) {
                    return Err(format!(
                        "{} was acknowledged before it was delivered",
                        name.text()
                    )
                    .into());
                }
                Ok(format!(
                    "ack name={} offset={offset} epoch={epoch} duplicate={is_duplicate}\n",
                    name.text()
                ))
            }
            Response::Rejected(rejection) => {
                Err(format!("{} was rejected: {rejection:?}", name.text()).into())
            }
            Response::Read(_) => Err("a response to another request".into()),
        }
    }
}

pub(crate) fn append(shard: u16, number: u64, name: Name, data: Bytes) -> Request {
    Request::Append(Append {
        request_id: RequestId { shard, number },
        channel: ChannelName::from(name.channel().as_str()),
        data,
        kind: PayloadKind::Json,
        retention: RetentionClass::Kept,
        publisher: Publisher::default(),
        idempotency_key: name.has_idempotency_key().then(|| Bytes::from(name.text())),
        may_create_channel: true,
    })
}
