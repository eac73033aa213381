//! A server that rejects calls because the connection has too many: they are sent again, in order, within their deadlines.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use steadfast_core::dialect::jsonrpc::{CallError, Class, Feed, Input, JsonRpcSettings};

use crate::script::{CALL_TIMEOUT, Script, settings};

const CODE: i64 = -32_000;

fn with_code() -> JsonRpcSettings {
    settings().too_many_calls(CODE)
}

fn rejection(id: u64) -> String {
    format!(r#"{{"id":{id},"error":{{"code":{CODE},"message":"Maximum number of calls"}}}}"#)
}

/// A server that executes calls in order, has a limit of those without a reply, and rejects further ones at once.
struct Server {
    open_max: usize,
    /// The calls without a reply: their ids and their numbers.
    open: VecDeque<(u64, u64)>,
    /// The numbers of the calls that were executed, in order.
    executed: Vec<u64>,
    rejections: usize,
}

impl Server {
    const fn new(open_max: usize) -> Self {
        Self {
            open_max,
            open: VecDeque::new(),
            executed: Vec::new(),
            rejections: 0,
        }
    }

    /// Admits or rejects what the client has sent.
    fn read(&mut self, script: &mut Script) {
        for text in script.take_sent() {
            let id = number_after(&text, r#""id":"#);
            if self.open.len() < self.open_max {
                let number = number_after(&text, r#"["call ","#);
                self.executed.push(number);
                self.open.push_back((id, number));
            } else {
                self.rejections += 1;
                script.receive(&rejection(id));
            }
        }
    }

    /// Replies to the oldest call.
    fn reply(&mut self, script: &mut Script) {
        if let Some((id, number)) = self.open.pop_front() {
            script.receive(&format!(r#"{{"id":{id},"result":{number}}}"#));
        }
    }
}

fn number_after(text: &str, label: &str) -> u64 {
    let (_, rest) = text.split_once(label).expect("the label");
    let digits = rest.split(|it: char| !it.is_ascii_digit()).next();
    digits.and_then(|it| it.parse().ok()).expect("a number")
}

fn call(script: &mut Script, class: Class) -> u64 {
    let params = format!(r#"["call ",{}]"#, script.next_number());
    script.call("call", &params, class)
}

#[test]
fn calls_above_the_limit_of_the_server_are_executed_once_in_their_order() {
    for in_flight_max in [21, 64] {
        let mut script = Script::with_in_flight_max(with_code(), in_flight_max);
        let mut server = Server::new(20);
        script.dial();
        // They are sent before the server has read one of them.
        let calls: Vec<u64> = (0..60)
            .map(|index| {
                let classes = [Class::Read, Class::Idempotent, Class::Write];
                call(&mut script, classes[index % 3])
            })
            .collect();

        for _ in 0..200 {
            server.read(&mut script);
            server.reply(&mut script);
            script.advance(Duration::from_millis(10));
        }

        assert_eq!(server.executed, calls);
        let results = script.results.iter();
        let results: Vec<u64> = results
            .map(|(id, outcome)| outcome.as_ref().map_or(0, |_| *id))
            .collect();
        assert_eq!(results, calls);
        assert!(
            (1..=60).contains(&server.rejections),
            "{}",
            server.rejections
        );
    }
}

#[test]
fn a_server_that_rejects_all_calls_is_asked_seldom_and_they_end_at_their_deadline() {
    let mut script = Script::with_in_flight_max(with_code(), 8);
    script.dial();
    let mut server = Server::new(0);
    for class in [Class::Read, Class::Idempotent, Class::Write] {
        call(&mut script, class);
    }
    for _ in 0..CALL_TIMEOUT.as_millis() / 10 {
        server.read(&mut script);
        assert!(script.results.is_empty());
        script.receive_pong();
        script.advance(Duration::from_millis(10));
    }
    server.read(&mut script);

    let busy = |id: u64| (id, Err(CallError::ServerBusy));
    assert_eq!(script.results, [busy(1), busy(2), busy(3)]);
    assert!(
        (15..=25).contains(&server.rejections),
        "{}",
        server.rejections
    );
}

#[test]
fn a_rejected_call_that_is_in_flight_again_at_its_deadline_may_have_been_executed() {
    let mut script = Script::with_in_flight_max(with_code(), 8);
    script.dial();
    call(&mut script, Class::Write);
    script.receive(&rejection(1));
    script.take_sent();
    for _ in 0..60 {
        script.advance(Duration::from_secs(1));
        script.receive_pong();
    }

    assert_eq!(script.take_sent().len(), 1);
    assert_eq!(
        script.take_results(),
        ["1: TimedOut { maybe_executed: true }"]
    );
}

/// The first connection ended before the reply, the second one has rejected the repetition.
#[test]
fn a_rejection_says_nothing_about_an_earlier_connection() {
    let mut script = Script::with_in_flight_max(with_code(), 8);
    script.dial();
    call(&mut script, Class::Idempotent);
    script.lose();
    script.redial();
    let mut server = Server::new(0);
    for _ in 0..6_000 {
        server.read(&mut script);
        script.receive_pong();
        script.advance(Duration::from_millis(10));
    }

    assert_eq!(
        script.take_results(),
        ["1: TimedOut { maybe_executed: true }"]
    );
}

#[test]
fn only_an_error_with_the_code_and_without_data_means_too_many_calls() {
    let with_data = format!(r#"{{"id":1,"error":{{"code":{CODE},"message":"no","data":{{}}}}}}"#);
    for (settings, error) in [
        (with_code(), with_data),
        (settings(), rejection(1)),
        (settings().too_many_calls(CODE - 1), rejection(1)),
    ] {
        let mut script = Script::with_in_flight_max(settings, 8);
        script.dial();
        call(&mut script, Class::Read);
        script.receive(&error);
        assert!(matches!(
            script.results.as_slice(),
            [(1, Err(CallError::Rejected(_)))]
        ));
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Call(Class),
    Read,
    Reply,
    /// The server permits this many calls from now on.
    Limit(usize),
    Lose,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let class = prop_oneof![
        Just(Class::Read),
        Just(Class::Idempotent),
        Just(Class::Write)
    ];
    prop_oneof![
        6 => class.prop_map(Step::Call),
        6 => Just(Step::Read),
        4 => Just(Step::Reply),
        2 => (0..6_usize).prop_map(Step::Limit),
        1 => Just(Step::Lose),
        4 => (1..300_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_write_is_executed_at_most_once_and_a_call_that_ends_as_busy_never(
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut script = Script::with_in_flight_max(with_code(), 8);
        let mut server = Server::new(3);
        script.dial();
        let mut classes = BTreeMap::new();
        for step in steps {
            match step {
                Step::Call(class) => {
                    let number = call(&mut script, class);
                    classes.insert(number, class);
                }
                Step::Read => server.read(&mut script),
                Step::Reply => server.reply(&mut script),
                Step::Limit(open_max) => server.open_max = open_max,
                Step::Lose => {
                    server.open.clear();
                    script.lose();
                    script.redial();
                }
                Step::Wait(millis) => script.advance(Duration::from_millis(millis)),
            }
        }
        script.advance(CALL_TIMEOUT);

        let outcomes: BTreeSet<u64> = script.results.iter().map(|(id, _)| *id).collect();
        prop_assert_eq!(outcomes.len(), script.results.len(), "two outcomes");
        prop_assert!(classes.keys().all(|id| outcomes.contains(id)), "no outcome");
        for (id, outcome) in &script.results {
            let executed = server.executed.iter().filter(|it| *it == id).count();
            let is_write = classes.get(id) == Some(&Class::Write);
            prop_assert!(!is_write || executed <= 1, "{} was executed {} times", id, executed);
            let is_busy = matches!(outcome, Err(CallError::ServerBusy));
            prop_assert!(!is_busy || !is_write || executed == 0, "{} was executed", id);
            prop_assert!(outcome.is_err() || executed > 0, "{} was not executed", id);
        }
    }
}

#[test]
fn the_end_of_a_subscription_that_is_one_too_many_is_sent_again_after_the_next_response() {
    let mut script = Script::new(with_code());
    script.dial();
    let id = script.subscribe(Feed::subscription("subscribe", Bytes::new(), "unsubscribe"));
    script.receive(r#"{"id":1,"result":"s1"}"#);
    for n in 0..3 {
        script.call(&format!("m{n}"), "", Class::Write);
    }
    script.handle(Input::UnsubscribeRequested { id });
    script.take_sent();

    script.receive(&rejection(5));
    script.receive(&rejection(4));
    assert_eq!(script.take_sent(), [""; 0], "the server has too many calls");
    script.receive(r#"{"id":2,"result":1}"#);
    let again = script.take_sent();
    script.receive(&rejection(6));
    script.receive(r#"{"id":3,"result":1}"#);
    let third = script.take_sent();
    script.receive(r#"{"id":7,"result":true}"#);
    script.advance(Duration::from_secs(1));

    let end =
        |id| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"unsubscribe","params":["s1"]}}"#);
    assert_eq!(again, [end(6)]);
    assert_eq!(third, [end(7)]);
    let sent = script.take_sent();
    assert!(sent.len() == 1 && sent[0].contains("m2"), "{sent:?}");
}

#[test]
fn the_end_of_a_subscription_that_is_always_one_too_many_is_forgotten() {
    let mut script = Script::new(with_code());
    script.dial();
    let id = script.subscribe(Feed::subscription("subscribe", Bytes::new(), "unsubscribe"));
    script.receive(r#"{"id":1,"result":"s1"}"#);
    script.take_sent();
    script.handle(Input::UnsubscribeRequested { id });

    let mut ends = 0;
    loop {
        let sent = script.take_sent().join("");
        let Some((_, end)) = sent
            .split_once("\"id\":")
            .filter(|_| sent.contains("unsub"))
        else {
            break;
        };
        ends += 1;
        let id = end.split(',').next().expect("an id");
        script.receive(&rejection(id.parse().expect("a number")));
        // A response to something else.
        script.receive(r#"{"id":99999,"result":1}"#);
    }

    assert_eq!(ends, 100);
}
