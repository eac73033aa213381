//! What holds for the exchange between an engine's thread and the shards, whichever engine it is.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use steadfast_engine::order::OrderLimits;
use steadfast_engine::{EngineEvent, Health, Rejection, Response};
use steadfast_gateway::engine::{CloseError, EngineService, EngineSetup, RING_LIMITS, ShardEngine};
use tempfile::TempDir;

use crate::shard::{append, take, wait_for};
use crate::stub_engine::StubEngine;
use crate::stub_log::StubLog;
use crate::{TEST_TIMEOUT, log, memory, setup};

/// How the state machine behaves at a request.
enum Behaviour {
    Normal,
    /// Blocks until the sender is dropped.
    Blocking(Receiver<()>),
    Panicking,
}

/// An engine that was started.
struct Started {
    service: EngineService,
    shards: Vec<ShardEngine>,
    /// Removed after the test.
    _directory: Option<TempDir>,
}

/// Starts one kind of engine.
type StartFn = fn(&EngineSetup, Behaviour) -> Started;

fn start_log(setup: &EngineSetup, behaviour: Behaviour) -> Started {
    let machine = match behaviour {
        Behaviour::Normal => StubLog::default(),
        Behaviour::Blocking(gate) => StubLog::default().blocking(gate),
        Behaviour::Panicking => StubLog::default().panicking(),
    };
    let directory = tempfile::tempdir().unwrap();
    let (service, shards) = log::start(setup, directory.path(), machine).unwrap();
    Started {
        service,
        shards,
        _directory: Some(directory),
    }
}

fn start_memory(setup: &EngineSetup, behaviour: Behaviour) -> Started {
    let machine = StubEngine::new(setup.clock);
    let machine = match behaviour {
        Behaviour::Normal => machine,
        Behaviour::Blocking(gate) => machine.blocking(gate),
        Behaviour::Panicking => machine.panicking(),
    };
    let (service, shards) = memory::start(setup, machine);
    Started {
        service,
        shards,
        _directory: None,
    }
}

/// Runs every test with each kind of engine.
macro_rules! with_each_engine {
    ($( $test:ident, )+) => {
        mod of_log {
            $( #[test] fn $test() { super::$test(super::start_log); } )+
        }
        mod of_memory {
            $( #[test] fn $test() { super::$test(super::start_memory); } )+
        }
    };
}

with_each_engine! {
    an_engine_serves_as_soon_as_it_is_started,
    every_shard_receives_a_commit_and_only_the_requesting_one_its_response_after_it,
    a_shard_that_does_not_read_never_blocks_the_engine_and_is_notified_that_it_lagged,
    a_submission_to_a_full_channel_is_sent_later_without_another_iteration,
    after_the_close_every_request_is_rejected_and_no_shard_waits_indefinitely,
    requests_before_the_close_are_still_completed,
    a_close_that_takes_too_long_times_out,
    after_a_panic_of_the_state_machine_requests_are_rejected_as_after_a_write_failure,
}

fn an_engine_serves_as_soon_as_it_is_started(start: StartFn) {
    let started = start(&setup(1), Behaviour::Normal);

    assert_eq!(started.service.health(), Health::Serving);
    assert!(!started.service.has_panicked());
}

fn every_shard_receives_a_commit_and_only_the_requesting_one_its_response_after_it(start: StartFn) {
    let Started {
        service,
        mut shards,
        _directory,
    } = start(&setup(2), Behaviour::Normal);

    append(&mut shards[0], 7);
    shards[0].flush();

    let seen = wait_for(&mut shards[0], 2);
    assert!(matches!(&seen[..], [
        EngineEvent::Committed(first),
        EngineEvent::Response { number: 7, response: Response::Appended { offset: 1, .. } },
    ] if first.record.offset == 1));
    let seen = wait_for(&mut shards[1], 1);
    assert!(matches!(&seen[..], [EngineEvent::Committed(_)]));
    assert_eq!(service.close(TEST_TIMEOUT), Ok(()));
}

fn a_shard_that_does_not_read_never_blocks_the_engine_and_is_notified_that_it_lagged(
    start: StartFn,
) {
    let ring = OrderLimits {
        entries: 10,
        ..RING_LIMITS
    };
    let setup = EngineSetup { ring, ..setup(2) };
    let mut started = start(&setup, Behaviour::Normal);
    let shards = &mut started.shards;

    for number in 0..100 {
        append(&mut shards[0], number);
        shards[0].flush();
        wait_for(&mut shards[0], 2);
    }

    let mut events = Vec::new();
    let taken = shards[1].take(&mut events, 1000);
    assert!(!taken.has_more);
    assert!(events.len() <= 11);
    assert_eq!(events[0], EngineEvent::Lagged);
    assert!(
        matches!(events.last(), Some(EngineEvent::Committed(last)) if last.record.offset == 100)
    );
}

fn a_submission_to_a_full_channel_is_sent_later_without_another_iteration(start: StartFn) {
    let (open_gate, gate) = channel();
    let mut started = start(&setup(1), Behaviour::Blocking(gate));
    let shards = &mut started.shards;
    let mut iterations = 0;

    // The state machine is blocked, so the channel fills up and the last submissions are retained.
    for number in 0..3000 {
        append(&mut shards[0], number);
        shards[0].flush();
        iterations += 1;
    }
    drop(open_gate);
    let seen = wait_for(&mut shards[0], 2 * iterations);

    let responses = seen.iter().filter_map(|event| match event {
        EngineEvent::Response { number, .. } => Some(*number),
        EngineEvent::Committed(_) | EngineEvent::Lagged => None,
    });
    assert!(responses.eq(0..3000));
}

fn after_the_close_every_request_is_rejected_and_no_shard_waits_indefinitely(start: StartFn) {
    let Started {
        service,
        mut shards,
        _directory,
    } = start(&setup(1), Behaviour::Normal);

    assert_eq!(service.close(TEST_TIMEOUT), Ok(()));
    append(&mut shards[0], 5);
    shards[0].flush();

    let seen = wait_for(&mut shards[0], 1);
    assert!(matches!(
        &seen[..],
        [EngineEvent::Response {
            number: 5,
            response: Response::Rejected(Rejection::Closing),
        }]
    ));
}

fn requests_before_the_close_are_still_completed(start: StartFn) {
    let Started {
        service,
        mut shards,
        _directory,
    } = start(&setup(1), Behaviour::Normal);

    append(&mut shards[0], 1);
    shards[0].flush();
    assert_eq!(service.close(TEST_TIMEOUT), Ok(()));

    let seen = wait_for(&mut shards[0], 2);
    assert!(matches!(
        seen[1],
        EngineEvent::Response {
            number: 1,
            response: Response::Appended { .. }
        }
    ));
}

fn after_a_panic_of_the_state_machine_requests_are_rejected_as_after_a_write_failure(
    start: StartFn,
) {
    let Started {
        service,
        mut shards,
        _directory,
    } = start(&setup(1), Behaviour::Panicking);

    append(&mut shards[0], 1);
    shards[0].flush();
    let seen = loop {
        append(&mut shards[0], 2);
        shards[0].flush();
        let seen = take(&mut shards[0]);
        if !seen.is_empty() {
            break seen;
        }
        std::thread::yield_now();
    };

    assert!(matches!(
        seen[0],
        EngineEvent::Response {
            response: Response::Rejected(Rejection::WriteFailed),
            ..
        }
    ));
    assert_eq!(service.health(), Health::WriteFailed);
    assert!(service.has_panicked());
    assert_eq!(service.close(TEST_TIMEOUT), Err(CloseError::ThreadExited));
}

fn a_close_that_takes_too_long_times_out(start: StartFn) {
    let (open_gate, gate) = channel::<()>();
    let Started {
        service,
        mut shards,
        _directory,
    } = start(&setup(1), Behaviour::Blocking(gate));
    append(&mut shards[0], 1);
    shards[0].flush();

    let closed = service.close(Duration::from_millis(10));

    assert!(matches!(closed, Err(CloseError::TimedOut { .. })));
    drop(open_gate);
}
