//! Tests of the thread that owns an engine without storage.

use std::sync::mpsc::channel;

use steadfast_engine::{EngineEvent, Response};
use steadfast_gateway::engine::{EngineService, EngineSetup, ShardEngine, memory};

use crate::shard::{append, take, wait_for};
use crate::stub_engine::StubEngine;
use crate::{TEST_TIMEOUT, setup};

#[test]
fn many_requests_take_several_turns_and_each_delivers_its_results_before_the_next() {
    let setup = setup(1);
    let (turns, reported) = channel();
    let (open_gate, gate) = channel();
    let machine = StubEngine::new(setup.clock)
        .reporting_turns(turns)
        .blocking(gate);
    let (_service, mut shards) = start(&setup, machine);
    for number in 0..1000 {
        append(&mut shards[0], number);
    }
    shards[0].flush();

    open_gate.send(()).unwrap();
    let first = wait_for(&mut shards[0], 512);
    let first_turns: Vec<usize> = reported.try_iter().collect();
    drop(open_gate);
    let others = wait_for(&mut shards[0], 2000 - 512);

    assert_eq!(first_turns, [256]);
    assert_eq!(reported.try_iter().collect::<Vec<_>>(), [256, 256, 232]);
    let acknowledged = [first, others].concat().into_iter();
    let numbers = acknowledged.filter_map(|event| match event {
        EngineEvent::Response {
            number,
            response: Response::Appended { .. },
        } => Some(number),
        EngineEvent::Response { .. } | EngineEvent::Committed(_) | EngineEvent::Lagged => None,
    });
    assert!(numbers.eq(0..1000));
}

#[test]
fn requests_of_several_turns_before_the_close_are_still_completed() {
    let setup = setup(1);
    let (service, mut shards) = start(&setup, StubEngine::new(setup.clock));
    for number in 0..1000 {
        append(&mut shards[0], number);
    }
    shards[0].flush();

    assert_eq!(service.close(TEST_TIMEOUT), Ok(()));

    let events = take(&mut shards[0]);
    let is_acknowledgement = |event: &&EngineEvent| {
        matches!(
            event,
            EngineEvent::Response {
                response: Response::Appended { .. },
                ..
            }
        )
    };
    assert_eq!(events.iter().filter(is_acknowledgement).count(), 1000);
}

#[test]
fn the_engine_is_woken_at_its_deadline_without_a_request() {
    let setup = setup(1);
    let (ticks, reported) = channel();

    let machine = StubEngine::new(setup.clock).reporting_tick(ticks);
    let (_service, _shards) = start(&setup, machine);

    assert_eq!(reported.recv_timeout(TEST_TIMEOUT), Ok(()));
}

/// Starts the thread of the engine.
pub(crate) fn start(setup: &EngineSetup, machine: StubEngine) -> (EngineService, Vec<ShardEngine>) {
    memory::start(setup, machine).expect("a thread starts")
}
