//! The writer: four threads that append as fast as the log acknowledges, until they are killed.
//!
//! It prints `ask` lines before it asks and `ack` lines once it is answered. First it repeats the keyed records that it
//! is told on standard input, of which nobody knows whether they were stored.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::BufRead;

use bytes::Bytes;
use steadfast_gateway::log::CoreLog;
use steadfast_hub::io::LogEvent;
use steadfast_hub::log::io::{Append, Publisher, Request, RequestId, Response};
use steadfast_protocol::message::ChannelName;

use crate::records::{Failure, Name, hash, open, print};

const THREADS: u16 = 4;

/// Records that one thread has in flight.
const IN_FLIGHT: usize = 16;

/// What one thread knows.
struct Appender {
    log: CoreLog,
    cycle: u64,
    next: u64,
    repeats: Vec<Name>,
    asked: BTreeMap<u64, Name>,
    /// The newest offset of each channel that this core was shown.
    shown: BTreeMap<String, u64>,
}

pub(crate) fn run(directory: &str, cycle: &str) -> Result<(), Failure> {
    let cycle = cycle.parse()?;
    let mut repeats = Vec::new();
    for line in std::io::stdin().lock().lines() {
        repeats.push(Name::parse(&line?).ok_or("not a name")?);
    }
    let (_service, cores) = open(directory, THREADS)?;
    print("ready\n");
    let threads: Vec<_> = cores
        .into_iter()
        .map(|log| {
            // All repeats go through one thread, each once.
            let repeats = if log.core() == 0 {
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

fn appender(log: CoreLog, cycle: u64, repeats: Vec<Name>) -> Appender {
    Appender {
        log,
        cycle,
        next: 0,
        repeats,
        asked: BTreeMap::new(),
        shown: BTreeMap::new(),
    }
}

impl Appender {
    fn run(mut self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        loop {
            self.ask()?;
            runtime.block_on(self.log.ready());
            self.listen()?;
        }
    }

    fn ask(&mut self) -> Result<(), Failure> {
        let mut lines = String::new();
        while self.asked.len() < IN_FLIGHT {
            let (name, what) = match self.repeats.pop() {
                Some(name) => (name, "repeat"),
                None => (self.next_name(), "ask"),
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
            self.asked.insert(number, name);
            self.log.ask(append(self.log.core(), number, name, payload));
        }
        // The trial must know of a record before the log does.
        print(&lines);
        self.log.flush();
        Ok(())
    }

    fn next_name(&self) -> Name {
        Name {
            cycle: self.cycle,
            thread: u64::from(self.log.core()),
            number: self.next,
        }
    }

    fn listen(&mut self) -> Result<(), Failure> {
        let mut lines = String::new();
        let mut events = Vec::new();
        while self.log.take(&mut events, 256).more {}
        for event in events {
            match event {
                LogEvent::Committed(committed) => {
                    self.show(committed.channel.as_str(), committed.record.offset)?;
                }
                LogEvent::Response {
                    number,
                    response: answer,
                } => {
                    lines.push_str(&self.answered(number, &answer)?);
                }
                LogEvent::Message(_) => return Err("nobody told anything".into()),
                LogEvent::Lagged => self.shown.clear(),
            }
        }
        print(&lines);
        Ok(())
    }

    fn show(&mut self, channel: &str, offset: u64) -> Result<(), Failure> {
        match self.shown.insert(channel.to_owned(), offset) {
            Some(before) if offset != before + 1 => {
                Err(format!("{channel} was shown {before} and then {offset}").into())
            }
            Some(_) | None => Ok(()),
        }
    }

    fn answered(&mut self, number: u64, answer: &Response) -> Result<String, Failure> {
        let name = self.asked.remove(&number).ok_or("an answer to nothing")?;
        match answer {
            Response::Appended {
                epoch,
                offset,
                is_duplicate: duplicate,
            } => {
                let shown = self.shown.get(&name.channel());
                if !duplicate && shown.is_some_and(|shown| shown < offset) {
                    return Err(
                        format!("{} was acknowledged before it was shown", name.text()).into(),
                    );
                }
                Ok(format!(
                    "ack name={} offset={offset} epoch={epoch} duplicate={duplicate}\n",
                    name.text()
                ))
            }
            Response::Rejected(refusal) => {
                Err(format!("{} was refused: {refusal:?}", name.text()).into())
            }
            Response::Read(_) => Err("an answer to another question".into()),
        }
    }
}

pub(crate) fn append(core: u16, number: u64, name: Name, data: Bytes) -> Request {
    Request::Append(Append {
        request_id: RequestId {
            shard: core,
            number,
        },
        channel: ChannelName::from(name.channel().as_str()),
        data,
        publisher: Publisher::default(),
        idempotency_key: name.is_keyed().then(|| Bytes::from(name.text())),
    })
}
