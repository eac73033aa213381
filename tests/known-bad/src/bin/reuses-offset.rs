//! A gateway that reuses an offset: after a restart, the first idempotent publication of a channel gets the offset of
//! the publication before it.
//!
//! The record in the log is correct; the subscribers and the publisher receive the wrong offset.

use std::collections::BTreeMap;
use std::convert::Infallible;

use anyhow::Result;
use bytes::Bytes;
use steadfast_engine::{Append, Engine, Health, Request, RequestId, Response};
use steadfast_log::Log;
use steadfast_log::io::{Input, Output};
use steadfast_machine::{Instant, Machine};
use steadfast_protocol::message::ChannelName;

/// The publication of a channel whose offset is changed.
#[derive(Debug)]
enum Target {
    /// The publication is selected, and is identified by its request and its payload.
    Selected { request_id: RequestId, data: Bytes },
    /// The offset was changed, or could not be: the channel is new and has no earlier offset.
    Finished,
}

/// The log, with one wrong offset per channel.
#[derive(Debug)]
struct ReusesOffset {
    log: Log,
    targets: BTreeMap<ChannelName, Target>,
}

impl Machine for ReusesOffset {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        if let Input::Requested { requests, .. } = &input {
            for request in requests {
                if let Request::Append(Append {
                    request_id,
                    channel,
                    data,
                    idempotency_key: Some(_),
                    ..
                }) = request
                {
                    let target = self.targets.entry(channel.clone());
                    target.or_insert_with(|| Target::Selected {
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
            let is_target = matches!(
                self.targets.get(&committed.channel),
                Some(Target::Selected { data, .. }) if *data == record.data
            );
            if is_target && record.offset > 1 {
                record.offset -= 1;
            }
        }
        if let Output::Respond {
            request_id: responded,
            response,
        } = &mut output
            && let Some(channel) = self.target_of(*responded)
        {
            self.change_offset(&channel, response);
        }
        Some(output)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.log.poll_timeout()
    }
}

impl Engine for ReusesOffset {
    fn health(&self) -> Health {
        self.log.health()
    }
}

impl ReusesOffset {
    fn target_of(&self, responded: RequestId) -> Option<ChannelName> {
        let mut targets = self.targets.iter();
        let is_target = |target: &Target| matches!(target, Target::Selected { request_id, .. } if *request_id == responded);
        let found = targets.find(|(_, target)| is_target(target));
        found.map(|(channel, _)| channel.clone())
    }

    /// Returns the wrong offset to the publisher too. A repeat already has an offset, so the next publication is
    /// selected instead.
    fn change_offset(&mut self, channel: &ChannelName, response: &mut Response) {
        match response {
            Response::Appended {
                offset,
                is_duplicate: false,
                ..
            } => {
                if *offset > 1 {
                    *offset -= 1;
                }
                self.targets.insert(channel.clone(), Target::Finished);
            }
            Response::Appended { .. } => {
                self.targets.remove(channel);
            }
            Response::Rejected(_) => {
                self.targets.remove(channel);
            }
            Response::Read(_) => {}
        }
    }
}

fn main() -> Result<Infallible> {
    steadfast_known_bad::serve(|log| ReusesOffset {
        log,
        targets: BTreeMap::new(),
    })
}
