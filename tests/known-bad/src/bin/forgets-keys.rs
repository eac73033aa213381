//! A gateway that forgets its idempotency keys at a restart: the keys are in its memory, and not in the log.
//!
//! The acknowledgements are delayed, which is permitted, so that at every kill the records of some unacknowledged
//! publications are durable. A repeat of such a publication is stored a second time.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use steadfast_engine::{Append, Engine, Health, Request, RequestId, Response};
use steadfast_log::Log;
use steadfast_log::io::{Input, Output};
use steadfast_machine::{Instant, Machine};
use steadfast_protocol::message::ChannelName;

/// Delay of acknowledgements: several ticks of the load.
const DELAY: Duration = Duration::from_millis(100);

/// Identifies a repeat: user, channel, key.
type Scope = (Bytes, ChannelName, Bytes);

/// The state of a key.
#[derive(Debug)]
enum KeyState {
    /// The publication is in flight; the repeats with these ids wait for the same response.
    Waiting(Vec<RequestId>),
    /// The response to the first publication.
    Responded(Response),
}

/// The log, which never receives an idempotency key.
#[derive(Debug)]
struct ForgetsKeys {
    log: Log,
    now: Instant,
    known: BTreeMap<Scope, KeyState>,
    /// The scopes of requests in flight.
    in_flight: BTreeMap<RequestId, Scope>,
    /// Responses with the time of their delivery, in order.
    delayed: VecDeque<(Instant, RequestId, Response)>,
}

impl Machine for ForgetsKeys {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        self.now = now;
        let input = match input {
            Input::Requested { requests, at } => {
                let requests = requests
                    .into_iter()
                    .filter_map(|it| self.admit(it))
                    .collect();
                Input::Requested { requests, at }
            }
            Input::Found { .. }
            | Input::ForgetRequested { .. }
            | Input::Written
            | Input::Synced
            | Input::Reserved { .. }
            | Input::ReadDone { .. }
            | Input::Failed { .. }
            | Input::CloseRequested
            | Input::Tick { .. } => input,
        };
        self.log.handle(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        while let Some(output) = self.log.poll_output() {
            let Output::Respond {
                request_id,
                response,
            } = output
            else {
                return Some(output);
            };
            if matches!(response, Response::Read(_)) {
                return Some(Output::Respond {
                    request_id,
                    response,
                });
            }
            self.on_response(request_id, response);
        }
        let (due, _, _) = self.delayed.front()?;
        if *due > self.now {
            return None;
        }
        let (_, request_id, response) = self.delayed.pop_front()?;
        Some(Output::Respond {
            request_id,
            response,
        })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let due = self.delayed.front().map(|(due, _, _)| *due);
        due.into_iter().chain(self.log.poll_timeout()).min()
    }
}

impl Engine for ForgetsKeys {
    fn health(&self) -> Health {
        self.log.health()
    }
}

impl ForgetsKeys {
    fn new(log: Log) -> Self {
        Self {
            log,
            now: Instant::default(),
            known: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            delayed: VecDeque::new(),
        }
    }

    /// Responds to repeats from memory, and removes the key from all other requests.
    fn admit(&mut self, request: Request) -> Option<Request> {
        let Request::Append(append) = request else {
            return Some(request);
        };
        let Some(key) = append.idempotency_key.clone() else {
            return Some(Request::Append(append));
        };
        let scope = (append.publisher.user.clone(), append.channel.clone(), key);
        match self.known.get_mut(&scope) {
            Some(KeyState::Waiting(request_ids)) => {
                request_ids.push(append.request_id);
                None
            }
            Some(KeyState::Responded(response)) => {
                let response = repeated(response);
                self.delay(append.request_id, response);
                None
            }
            None => {
                self.in_flight.insert(append.request_id, scope.clone());
                self.known.insert(scope, KeyState::Waiting(Vec::new()));
                Some(Request::Append(Append {
                    idempotency_key: None,
                    ..append
                }))
            }
        }
    }

    fn on_response(&mut self, request_id: RequestId, response: Response) {
        self.delay(request_id, response.clone());
        let Some(scope) = self.in_flight.remove(&request_id) else {
            return;
        };
        if let Some(KeyState::Waiting(request_ids)) = self.known.remove(&scope) {
            for request_id in request_ids {
                self.delay(request_id, repeated(&response));
            }
        }
        if matches!(response, Response::Appended { .. }) {
            self.known.insert(scope, KeyState::Responded(response));
        }
    }

    fn delay(&mut self, request_id: RequestId, response: Response) {
        self.delayed
            .push_back((self.now + DELAY, request_id, response));
    }
}

/// Converts the response to a request into the response to a repeat of that request.
fn repeated(response: &Response) -> Response {
    let mut response = response.clone();
    if let Response::Appended { is_duplicate, .. } = &mut response {
        *is_duplicate = true;
    }
    response
}

fn main() -> Result<Infallible> {
    steadfast_known_bad::serve(ForgetsKeys::new)
}
