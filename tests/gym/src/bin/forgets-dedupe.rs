//! A gateway that forgets its keys over a restart: they are in its memory, and not in the log.
//!
//! Its answers to publishes are slow, which is lawful, so that a kill always finds some whose record is durable; the
//! repeat of such a one is published a second time.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use steadfast_hub::log::Log;
use steadfast_hub::log::io::{Append, Input, Output, Request, RequestId, Response, Timer};
use steadfast_machine::{Instant, Machine};
use steadfast_protocol::message::ChannelName;

/// How late answers to publishes are: several ticks of the load.
const LATE: Duration = Duration::from_millis(100);

/// What makes a repeat: user, channel, key.
type Scope = (Bytes, ChannelName, Bytes);

/// What is known of a key.
#[derive(Debug)]
enum Known {
    /// It is on its way; these repeats wait for the same answer.
    Waiting(Vec<RequestId>),
    /// It was answered so.
    Answered(Response),
}

/// The log, which is never shown a key.
#[derive(Debug)]
struct ForgetsDedupe {
    log: Log,
    now: Instant,
    known: BTreeMap<Scope, Known>,
    /// Which scope a request that is on its way belongs to.
    asked: BTreeMap<RequestId, Scope>,
    /// Answers and when they may leave, in order.
    held: VecDeque<(Instant, RequestId, Response)>,
}

impl Machine for ForgetsDedupe {
    type Input = Input;
    type Output = Output;
    type Timer = Timer;

    fn handle(&mut self, now: Instant, input: Input) {
        self.now = now;
        let input = match input {
            Input::Requested {
                requests: batch,
                at,
            } => {
                let batch = batch.into_iter().filter_map(|it| self.admit(it)).collect();
                Input::Requested {
                    requests: batch,
                    at,
                }
            }
            Input::Found { .. }
            | Input::Written
            | Input::Synced
            | Input::Reserved { .. }
            | Input::ReadDone { .. }
            | Input::Failed { .. }
            | Input::CloseRequested { .. }
            | Input::Tick { .. } => input,
        };
        self.log.handle(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        while let Some(output) = self.log.poll_output() {
            let Output::Respond {
                request_id,
                response: answer,
            } = output
            else {
                return Some(output);
            };
            if matches!(answer, Response::Read(_)) {
                return Some(Output::Respond {
                    request_id,
                    response: answer,
                });
            }
            self.on_answer(request_id, answer);
        }
        let (due, _, _) = self.held.front()?;
        if *due > self.now {
            return None;
        }
        let (_, request_id, answer) = self.held.pop_front()?;
        Some(Output::Respond {
            request_id,
            response: answer,
        })
    }

    fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        let due = self.held.front().map(|(due, _, _)| (*due, Timer::Sync));
        match (due, self.log.poll_timeout()) {
            (Some(ours), Some(theirs)) if theirs.0 < ours.0 => Some(theirs),
            (Some(ours), _) => Some(ours),
            (None, theirs) => theirs,
        }
    }
}

impl ForgetsDedupe {
    fn new(log: Log) -> Self {
        Self {
            log,
            now: Instant::default(),
            known: BTreeMap::new(),
            asked: BTreeMap::new(),
            held: VecDeque::new(),
        }
    }

    /// Answers repeats from memory, and takes the key from everything else.
    fn admit(&mut self, request: Request) -> Option<Request> {
        let Request::Append(append) = request else {
            return Some(request);
        };
        let Some(key) = append.idempotency_key.clone() else {
            return Some(Request::Append(append));
        };
        let scope = (append.publisher.user.clone(), append.channel.clone(), key);
        match self.known.get_mut(&scope) {
            Some(Known::Waiting(request_ids)) => {
                request_ids.push(append.request_id);
                None
            }
            Some(Known::Answered(answer)) => {
                let answer = repeated(answer);
                self.hold(append.request_id, answer);
                None
            }
            None => {
                self.asked.insert(append.request_id, scope.clone());
                self.known.insert(scope, Known::Waiting(Vec::new()));
                Some(Request::Append(Append {
                    idempotency_key: None,
                    ..append
                }))
            }
        }
    }

    fn on_answer(&mut self, request_id: RequestId, answer: Response) {
        self.hold(request_id, answer.clone());
        let Some(scope) = self.asked.remove(&request_id) else {
            return;
        };
        if let Some(Known::Waiting(request_ids)) = self.known.remove(&scope) {
            for request_id in request_ids {
                self.hold(request_id, repeated(&answer));
            }
        }
        if matches!(answer, Response::Appended { .. }) {
            self.known.insert(scope, Known::Answered(answer));
        }
    }

    fn hold(&mut self, request_id: RequestId, answer: Response) {
        self.held.push_back((self.now + LATE, request_id, answer));
    }
}

/// The answer to a repeat of what was answered so.
fn repeated(answer: &Response) -> Response {
    let mut answer = answer.clone();
    if let Response::Appended {
        is_duplicate: duplicate,
        ..
    } = &mut answer
    {
        *duplicate = true;
    }
    answer
}

fn main() -> Result<Infallible> {
    steadfast_gym::serve(ForgetsDedupe::new)
}
