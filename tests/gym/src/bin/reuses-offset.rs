//! A gateway that reuses an offset: after a restart, the first keyed publication of a channel is given the place of
//! the last one before.
//!
//! The record in the log is right; subscribers and publisher are told the wrong place.

use std::collections::BTreeMap;
use std::convert::Infallible;

use anyhow::Result;
use bytes::Bytes;
use steadfast_hub::log::Log;
use steadfast_hub::log::io::{Append, Input, Output, Request, RequestId, Response, Timer};
use steadfast_machine::{Instant, Machine};
use steadfast_protocol::message::ChannelName;

/// The publication of a channel whose place is falsified.
#[derive(Debug)]
enum Victim {
    /// Chosen; its payload tells it from others.
    Chosen { request_id: RequestId, data: Bytes },
    /// Done, or never to be: the channel is new and there is no place before.
    Past,
}

/// The log, with one place of each channel falsified.
#[derive(Debug)]
struct ReusesOffset {
    log: Log,
    victims: BTreeMap<ChannelName, Victim>,
}

impl Machine for ReusesOffset {
    type Input = Input;
    type Output = Output;
    type Timer = Timer;

    fn handle(&mut self, now: Instant, input: Input) {
        if let Input::Requested {
            requests: batch, ..
        } = &input
        {
            for request in batch {
                if let Request::Append(Append {
                    request_id,
                    channel,
                    data,
                    idempotency_key: Some(_),
                    ..
                }) = request
                {
                    let victim = self.victims.entry(channel.clone());
                    victim.or_insert_with(|| Victim::Chosen {
                        request_id: *request_id,
                        data: data.clone(),
                    });
                }
            }
        }
        self.log.handle(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        let mut output = self.log.poll_output()?;
        if let Output::Commit(committed) = &mut output {
            let record = &mut committed.record;
            let is_victim = matches!(
                self.victims.get(&committed.channel),
                Some(Victim::Chosen { data, .. }) if *data == record.data
            );
            if is_victim && record.offset > 1 {
                record.offset -= 1;
            }
        }
        if let Output::Respond {
            request_id: answered,
            response: answer,
        } = &mut output
            && let Some(channel) = self.victim_of(*answered)
        {
            self.falsify(&channel, answer);
        }
        Some(output)
    }

    fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.log.poll_timeout()
    }
}

impl ReusesOffset {
    fn victim_of(&self, answered: RequestId) -> Option<ChannelName> {
        let mut victims = self.victims.iter();
        let is_it = |victim: &Victim| matches!(victim, Victim::Chosen { request_id, .. } if *request_id == answered);
        let found = victims.find(|(_, victim)| is_it(victim));
        found.map(|(channel, _)| channel.clone())
    }

    /// Tells the publisher the wrong place too. A repeat has its place from before: the next one is chosen instead.
    fn falsify(&mut self, channel: &ChannelName, answer: &mut Response) {
        match answer {
            Response::Appended {
                offset,
                is_duplicate: false,
                ..
            } => {
                if *offset > 1 {
                    *offset -= 1;
                }
                self.victims.insert(channel.clone(), Victim::Past);
            }
            Response::Appended { .. } => {
                self.victims.remove(channel);
            }
            Response::Rejected(_) => {
                self.victims.remove(channel);
            }
            Response::Read(_) => {}
        }
    }
}

fn main() -> Result<Infallible> {
    steadfast_gym::serve(|log| ReusesOffset {
        log,
        victims: BTreeMap::new(),
    })
}
