//! A gateway that skips recovery: whoever comes back with a position is told that nothing is missing, and is sent only
//! the two ends of what it missed.
//!
//! The ends are kept because the hub itself notices a page that does not begin or end where it must.

use std::collections::BTreeSet;
use std::convert::Infallible;

use anyhow::Result;
use steadfast_hub::log::Log;
use steadfast_hub::log::io::{
    Input, Output, Page, Read, ReadFrom, Request, RequestId, Response, Timer,
};
use steadfast_machine::{Instant, Machine};

/// The log, with the middle of each read behind a position gone.
#[derive(Debug)]
struct SkipsRecovery {
    log: Log,
    /// Reads behind a position that are not answered yet.
    behind: BTreeSet<RequestId>,
}

impl Machine for SkipsRecovery {
    type Input = Input;
    type Output = Output;
    type Timer = Timer;

    fn handle(&mut self, now: Instant, input: Input) {
        if let Input::Requested {
            requests: batch, ..
        } = &input
        {
            for request in batch {
                if let Request::Read(Read {
                    request_id,
                    from: ReadFrom::After { .. },
                    ..
                }) = request
                {
                    self.behind.insert(*request_id);
                }
            }
        }
        self.log.handle(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        let mut output = self.log.poll_output()?;
        if let Output::Respond {
            request_id,
            response: Response::Read(answer),
        } = &mut output
            && self.behind.remove(request_id)
            && let Page::Records { records, .. } = &mut answer.page
            && let Some(last) = records.len().checked_sub(1)
            && last > 1
        {
            records.drain(1..last);
        }
        Some(output)
    }

    fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.log.poll_timeout()
    }
}

fn main() -> Result<Infallible> {
    steadfast_gym::serve(|log| SkipsRecovery {
        log,
        behind: BTreeSet::new(),
    })
}
