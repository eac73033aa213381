//! A bridge with programs, a session and a clock that the tests move.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use steadfast_bridge::{
    Bridge, CallEnd, CallNumber, DisconnectReason, Input, Output, Policy, ProgramId, SessionState,
    TopicEvent, TopicNumber,
};
use steadfast_machine::{Instant, Machine as _};

pub(crate) const A: ProgramId = ProgramId(1);
pub(crate) const B: ProgramId = ProgramId(2);
pub(crate) const C: ProgramId = ProgramId(3);

/// A call that the bridge made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) call: CallNumber,
    pub(crate) method: String,
    pub(crate) params: String,
    pub(crate) timeout: Duration,
}

pub(crate) struct World {
    pub(crate) bridge: Bridge,
    now: Instant,
    /// Messages to all programs as they were written.
    pub(crate) raw: Vec<String>,
    /// Messages to programs, in order.
    sent: Vec<(ProgramId, Value)>,
    pub(crate) calls: Vec<Made>,
    pub(crate) disconnected: Vec<(ProgramId, DisconnectReason)>,
    /// All other outputs in order.
    pub(crate) others: Vec<Output>,
}

impl World {
    /// A bridge with the programs A and B, and a connected session.
    pub(crate) fn connected(policy: Policy) -> Self {
        let mut world = Self::connecting(policy);
        world.session(SessionState::Connected, 1);
        world
    }

    /// A bridge with the programs A and B, and a session that is not connected.
    pub(crate) fn connecting(policy: Policy) -> Self {
        let mut world = Self {
            bridge: Bridge::new(policy, "admin", Instant::START),
            now: Instant::START,
            raw: Vec::new(),
            sent: Vec::new(),
            calls: Vec::new(),
            disconnected: Vec::new(),
            others: Vec::new(),
        };
        world.open(A);
        world.open(B);
        world
    }

    pub(crate) fn handle(&mut self, input: Input) {
        self.bridge.handle(self.now, input);
        while let Some(output) = self.bridge.poll_output() {
            match output {
                Output::Send { program, text } => {
                    self.raw.push(String::from_utf8(text.to_vec()).unwrap());
                    let text = serde_json::from_slice(&text).expect("JSON");
                    self.sent.push((program, text));
                }
                Output::Call {
                    call,
                    method,
                    params,
                    timeout,
                } => self.calls.push(Made {
                    call,
                    method,
                    params: String::from_utf8(params.to_vec()).unwrap(),
                    timeout,
                }),
                Output::Disconnect { program, reason } => self.disconnected.push((program, reason)),
                other @ (Output::Subscribe { .. }
                | Output::Unsubscribe { .. }
                | Output::Stopped) => self.others.push(other),
            }
        }
    }

    pub(crate) fn open(&mut self, program: ProgramId) {
        self.handle(Input::Opened { program });
    }

    pub(crate) fn leave(&mut self, program: ProgramId) {
        self.handle(Input::Left { program });
    }

    pub(crate) fn text(&mut self, program: ProgramId, text: &str) {
        let text = Bytes::copy_from_slice(text.as_bytes());
        self.handle(Input::Received { program, text });
    }

    /// A request with an id.
    pub(crate) fn request(&mut self, program: ProgramId, id: u64, method: &str, params: &Value) {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.text(program, &request.to_string());
    }

    /// A call without params.
    pub(crate) fn call(&mut self, program: ProgramId, id: u64, method: &str) {
        self.request(program, id, method, &json!([]));
    }

    pub(crate) fn session(&mut self, state: SessionState, connection: u64) {
        let cause = (state != SessionState::Connected).then(|| "it was unplugged".to_owned());
        self.handle(Input::Session {
            state,
            connection,
            cause,
        });
    }

    pub(crate) fn end(&mut self, call: CallNumber, end: CallEnd) {
        self.handle(Input::CallEnded { call, end });
    }

    pub(crate) fn succeed(&mut self, call: CallNumber) {
        self.end(call, CallEnd::Result(Bytes::from_static(b"true")));
    }

    pub(crate) fn topic(&mut self, number: u64, event: TopicEvent) {
        self.handle(Input::Topic {
            topic: TopicNumber(number),
            event,
        });
    }

    pub(crate) fn notify(&mut self, params: &Value) {
        self.handle(Input::Notified {
            params: params.to_string().into(),
        });
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.handle(Input::Ticked);
    }

    /// The messages to a program since the last time.
    pub(crate) fn sent_to(&mut self, program: ProgramId) -> Vec<Value> {
        let (own, others) = std::mem::take(&mut self.sent)
            .into_iter()
            .partition(|(to, _)| *to == program);
        self.sent = others;
        let own: Vec<(ProgramId, Value)> = own;
        own.into_iter().map(|(_, text)| text).collect()
    }

    /// The methods of all calls so far.
    pub(crate) fn methods(&self) -> Vec<&str> {
        self.calls.iter().map(|it| it.method.as_str()).collect()
    }

    pub(crate) fn status(&mut self) -> Value {
        self.call(A, 999, "bridge.status");
        let replies = self.sent_to(A);
        replies.last().unwrap()["result"].clone()
    }
}

/// What the tests compare of a response: its id and its result, or the code and the outcome of its error.
pub(crate) fn short(reply: &Value) -> Value {
    let error = &reply["error"];
    if error.is_null() {
        json!([reply["id"], reply["result"]])
    } else {
        let data = &error["data"];
        json!([
            reply["id"],
            error["code"],
            data["outcome"],
            data["maybe_executed"]
        ])
    }
}
