//! A gateway that skips recovery: a client that resubscribes with a position is reported as recovered, and receives only
//! the first and the last of the publications that it missed.
//!
//! Those two are kept because the hub itself detects a page that does not begin or end at the expected offset.

use std::collections::BTreeSet;
use std::convert::Infallible;

use anyhow::Result;
use steadfast_engine::{Engine, Health, Page, Read, ReadFrom, Request, RequestId, Response};
use steadfast_log::Log;
use steadfast_log::io::{Input, Output};
use steadfast_machine::{Instant, Machine};

/// The log, without the middle of each read after a position.
#[derive(Debug)]
struct SkipsRecovery {
    log: Log,
    /// Pending reads with a position.
    reads_after_position: BTreeSet<RequestId>,
}

impl Machine for SkipsRecovery {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        if let Input::Requested { requests, .. } = &input {
            for request in requests {
                if let Request::Read(Read {
                    request_id,
                    from: ReadFrom::After { .. },
                    ..
                }) = request
                {
                    self.reads_after_position.insert(*request_id);
                }
            }
        }
        self.log.handle(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        let mut output = self.log.poll_output()?;
        if let Output::Respond {
            request_id,
            response: Response::Read(response),
        } = &mut output
            && self.reads_after_position.remove(request_id)
            && let Page::Records { records, .. } = &mut response.page
            && let Some(last) = records.len().checked_sub(1)
            && last > 1
        {
            records.drain(1..last);
        }
        Some(output)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.log.poll_timeout()
    }
}

impl Engine for SkipsRecovery {
    fn health(&self) -> Health {
        self.log.health()
    }
}

fn main() -> Result<Infallible> {
    steadfast_known_bad::serve(|log| SkipsRecovery {
        log,
        reads_after_position: BTreeSet::new(),
    })
}
