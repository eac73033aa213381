//! Random programs, losses and ends: each request has exactly one response, and no limit is exceeded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use steadfast_bridge::{
    CallEnd, CallNumber, Input, Output, Policy, ProgramId, SessionState, TopicEvent,
};
use steadfast_protocol::jsonrpc::ErrorObject;

use super::world::World;

const POLICY: Policy = Policy {
    in_flight_max: 4,
    reserved_for_others: 1,
    queue_len_max: 3,
    programs_max: 3,
    topics_max: 2,
    subscriptions_max: 2,
    ..Policy::DEFAULT
};
const METHODS: [&str; 4] = ["m", "core.subscribe", "core.unsubscribe", "bridge.status"];

#[derive(Clone, Debug)]
enum Step {
    Open,
    /// A program, a method, and the name of a topic.
    Request(usize, usize, usize),
    Finish(usize),
    Leave(usize),
    /// A call in flight ends in one of six ways.
    End(usize, usize),
    Session(bool),
    Topic(u64, usize),
    Notify(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Open),
        12 => (0..3_usize, 0..4_usize, 0..3_usize).prop_map(|(a, b, c)| Step::Request(a, b, c)),
        1 => (0..3_usize).prop_map(Step::Finish),
        1 => (0..3_usize).prop_map(Step::Leave),
        8 => (0..4_usize, 0..6_usize).prop_map(|(a, b)| Step::End(a, b)),
        2 => any::<bool>().prop_map(Step::Session),
        3 => (1..4_u64, 0..4_usize).prop_map(|(a, b)| Step::Topic(a, b)),
        1 => (0..3_usize).prop_map(Step::Notify),
        1 => (1..40_u64).prop_map(Step::Pass),
    ]
}

/// What the test knows of a run.
struct Run {
    world: World,
    programs: Vec<ProgramId>,
    last_program: u64,
    last_request: u64,
    connection: u64,
    /// The requests of each program without a response.
    open: BTreeMap<ProgramId, BTreeSet<u64>>,
    in_flight: BTreeSet<CallNumber>,
    calls_seen: usize,
}

impl Run {
    fn new() -> Self {
        Self {
            world: World::connecting(POLICY),
            programs: vec![ProgramId(1), ProgramId(2)],
            last_program: 2,
            last_request: 0,
            connection: 0,
            open: BTreeMap::new(),
            in_flight: BTreeSet::new(),
            calls_seen: 0,
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Open => {
                self.last_program += 1;
                let program = ProgramId(self.last_program);
                self.programs.push(program);
                self.world.open(program);
            }
            Step::Request(program, method, topic) => self.request(program, method, topic),
            Step::Finish(at) => {
                if let Some(program) = self.program(at) {
                    self.world.handle(Input::Finished { program });
                }
            }
            Step::Leave(at) => {
                if let Some(program) = self.program(at) {
                    self.programs.retain(|it| *it != program);
                    self.open.remove(&program);
                    self.world.leave(program);
                    self.world.sent_to(program);
                }
            }
            Step::End(at, kind) => {
                let call = self.in_flight.iter().nth(at).copied();
                if let Some(call) = call.filter(|it| self.in_flight.remove(it)) {
                    self.world.end(call, end(kind));
                }
            }
            Step::Session(true) => {
                self.connection += 1;
                self.world.session(SessionState::Connected, self.connection);
            }
            Step::Session(false) => {
                self.world
                    .session(SessionState::Connecting, self.connection);
            }
            Step::Topic(topic, kind) => self.world.topic(topic, topic_event(kind)),
            Step::Notify(topic) => {
                let params = serde_json::json!({"collection": format!("topic-{topic}")});
                self.world.notify(&params);
            }
            Step::Pass(seconds) => self.world.pass(Duration::from_secs(seconds)),
        }
        self.check();
    }

    fn program(&self, at: usize) -> Option<ProgramId> {
        let newest = self.programs.iter().rev();
        newest.copied().nth(at)
    }

    fn request(&mut self, at: usize, method: usize, topic: usize) {
        let Some(program) = self.program(at) else {
            return;
        };
        self.last_request += 1;
        self.open
            .entry(program)
            .or_default()
            .insert(self.last_request);
        let params = serde_json::json!([format!("topic-{topic}")]);
        self.world
            .request(program, self.last_request, METHODS[method], &params);
    }

    /// Each response belongs to a request without one, and the limits hold.
    fn check(&mut self) {
        let new = &self.world.calls[self.calls_seen..];
        self.in_flight.extend(new.iter().map(|it| it.call));
        self.calls_seen = self.world.calls.len();
        assert!(self.in_flight.len() <= POLICY.in_flight_max);
        for program in self.programs.clone() {
            for message in self.world.sent_to(program) {
                if let Some(id) = message["id"].as_u64() {
                    let open = self.open.entry(program).or_default();
                    assert!(open.remove(&id), "a second response: {message}");
                }
            }
        }
        let disconnected = std::mem::take(&mut self.world.disconnected);
        for (program, reason) in disconnected {
            let open = self.open.remove(&program).unwrap_or_default();
            let lacks_responses = reason == steadfast_bridge::DisconnectReason::TooManyPrograms;
            assert!(open.is_empty() || lacks_responses, "{reason}: {open:?}");
            self.programs.retain(|it| *it != program);
            // It has read everything, and is sent nothing more.
            self.world.leave(program);
            assert_eq!(self.world.sent_to(program), Vec::<serde_json::Value>::new());
        }
    }
}

fn end(kind: usize) -> CallEnd {
    let maybe_executed = true;
    let error = ErrorObject::new(-32_001, "no");
    match kind {
        0 | 1 => CallEnd::Result(Bytes::from_static(b"1")),
        2 => CallEnd::Error(error),
        3 => CallEnd::Interrupted { maybe_executed },
        4 => CallEnd::TimedOut { maybe_executed },
        _ => CallEnd::NotSent("no".to_owned()),
    }
}

fn topic_event(kind: usize) -> TopicEvent {
    match kind {
        0 => TopicEvent::Started,
        1 => TopicEvent::Interrupted,
        2 => TopicEvent::Restarted,
        _ => TopicEvent::Ended(ErrorObject::new(-1, "no")),
    }
}

proptest! {
    #[test]
    fn each_request_of_a_program_that_stays_has_exactly_one_response(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut run = Run::new();
        for step in &steps {
            run.apply(step);
        }

        run.world.handle(Input::StopRequested);
        run.world.pass(POLICY.drain);
        run.check();

        prop_assert_eq!(run.world.others.last(), Some(&Output::Stopped));
        prop_assert!(run.programs.is_empty(), "{:?}", run.programs);
    }
}
