//! Tests of the writer thread and the shards' handles, with a state machine that does only what each test needs.

#[path = "log_writer/stub_machine.rs"]
mod stub_machine;

use std::num::NonZeroU16;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_engine::order::OrderLimits;
use steadfast_engine::{
    Append, EngineEvent, Health, PayloadKind, Publisher, Rejection, Request, RequestId, Response,
    RetentionClass,
};
use steadfast_gateway::engine::log::{self, LogError, Store};
use steadfast_gateway::engine::{CloseError, EngineService, EngineSetup, RING_LIMITS, ShardEngine};
use steadfast_protocol::message::ChannelName;

use self::stub_machine::StubMachine;

/// Long enough for a busy machine; no test waits for it to expire.
const TEST_TIMEOUT: Duration = Duration::from_secs(30);

#[test]
fn every_shard_receives_a_commit_and_only_the_requesting_one_its_response_after_it() {
    let (service, mut shards) = memory(2, StubMachine::default());

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

#[test]
fn all_requests_of_one_loop_iteration_are_one_batch_with_one_sync() {
    let (batches, reported) = channel();
    let (_service, mut shards) = memory(1, StubMachine::default().reporting_batches(batches));

    for number in 0..100 {
        append(&mut shards[0], number);
    }
    shards[0].flush();
    wait_for(&mut shards[0], 200);

    assert_eq!(reported.try_iter().collect::<Vec<_>>(), [100]);
}

#[test]
fn a_shard_that_does_not_read_never_blocks_the_log_and_is_notified_that_it_lagged() {
    let ring = OrderLimits {
        entries: 10,
        ..RING_LIMITS
    };
    let setup = Setup {
        engine: EngineSetup { ring, ..engine(2) },
        store: Store::Memory,
    };
    let (_service, mut shards) = start(&setup, StubMachine::default()).unwrap();

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

#[test]
fn a_submission_to_a_full_channel_is_sent_later_without_another_iteration() {
    let (open_gate, gate) = channel();
    let (_service, mut shards) = memory(1, StubMachine::default().blocking(gate));
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

#[test]
fn after_the_close_every_request_is_rejected_and_no_shard_waits_indefinitely() {
    let (service, mut shards) = memory(1, StubMachine::default());

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

#[test]
fn requests_before_the_close_are_still_completed() {
    let (service, mut shards) = memory(1, StubMachine::default());

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

#[test]
fn an_unclean_shutdown_and_a_timeout_are_different_errors() {
    let (unclean, _shards) = memory(1, StubMachine::default().ending_unclean());
    let (open_gate, gate) = channel::<()>();
    let (slow, mut shards) = memory(1, StubMachine::default().blocking(gate));
    append(&mut shards[0], 1);
    shards[0].flush();

    assert_eq!(unclean.close(TEST_TIMEOUT), Err(CloseError::Unclean));
    assert_eq!(
        slow.close(Duration::from_millis(10)),
        Err(CloseError::TimedOut)
    );
    drop(open_gate);
}

#[test]
fn after_a_panic_of_the_state_machine_requests_are_rejected_as_after_a_write_failure() {
    let (service, mut shards) = memory(1, StubMachine::default().panicking());

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
    assert_eq!(service.close(TEST_TIMEOUT), Err(CloseError::ThreadExited));
}

#[test]
fn a_failed_write_reaches_the_state_machine_and_its_write_failure_the_health() {
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(Store::Directory(directory.path().to_path_buf()), 1);
    let (service, mut shards) = start(&setup, StubMachine::default()).unwrap();
    assert_eq!(service.health(), Health::Serving);

    // The file is removed before the log opens it.
    std::fs::remove_file(directory.path().join("0000000000000001.segment")).unwrap();
    append(&mut shards[0], 1);
    shards[0].flush();

    let seen = wait_for(&mut shards[0], 1);
    assert!(matches!(
        seen[0],
        EngineEvent::Response {
            response: Response::Rejected(Rejection::WriteFailed),
            ..
        }
    ));
    assert_eq!(service.health(), Health::WriteFailed);
}

#[test]
fn a_segment_is_created_complete_with_its_blocks_and_for_its_owner_only() {
    use std::os::unix::fs::MetadataExt;
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("new/data");

    let setup = setup(Store::Directory(directory.clone()), 1);
    let (_service, _shards) = start(&setup, StubMachine::default()).unwrap();

    let segment = std::fs::metadata(directory.join("0000000000000001.segment")).unwrap();
    assert_eq!(segment.len(), StubMachine::SEGMENT_BYTES);
    assert!(
        segment.blocks() * 512 >= StubMachine::SEGMENT_BYTES,
        "{} blocks",
        segment.blocks()
    );
    assert_eq!(segment.mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn a_start_finds_the_segments_in_order_and_removes_incomplete_ones() {
    let directory = tempfile::tempdir().unwrap();
    for name in [
        "0000000000000010.segment",
        "0000000000000009.segment",
        "notes.txt",
    ] {
        std::fs::write(directory.path().join(name), b"abc").unwrap();
    }
    let partial = directory.path().join("0000000000000011.segment.partial");
    std::fs::write(&partial, b"").unwrap();
    let (found, reported) = channel();

    let setup = setup(Store::Directory(directory.path().to_path_buf()), 1);
    let (_service, _shards) = start(&setup, StubMachine::default().reporting_found(found)).unwrap();

    let found = reported.recv().unwrap();
    assert_eq!(
        found
            .iter()
            .map(|segment| (segment.number.0, segment.bytes))
            .collect::<Vec<_>>(),
        [(9, 3), (10, 3)]
    );
    assert!(!partial.exists());
    assert!(directory.path().join("notes.txt").exists());
}

#[test]
fn a_directory_in_use_is_rejected_with_the_process_id_until_its_log_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(Store::Directory(directory.path().to_path_buf()), 1);
    let (first, _shards) = start(&setup, StubMachine::default()).unwrap();

    let rejected = start(&setup, StubMachine::default()).unwrap_err();

    let expected = format!(
        "the data directory {} is in use by process {}",
        directory.path().display(),
        std::process::id()
    );
    assert_eq!(rejected.to_string(), expected);
    assert!(matches!(rejected, LogError::Locked { .. }));
    assert!(rejected.help().contains("Stop process"));
    first.close(TEST_TIMEOUT).unwrap();
    assert!(start(&setup, StubMachine::default()).is_ok());
}

#[test]
fn a_path_that_is_not_a_directory_is_rejected() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let start = |path: &Path| {
        start(
            &setup(Store::Directory(path.to_path_buf()), 1),
            StubMachine::default(),
        )
        .unwrap_err()
    };

    assert!(matches!(start(&file), LogError::NotADirectory { .. }));
    assert!(matches!(
        start(&file.join("below")),
        LogError::NotADirectory { .. }
    ));
}

/// What a test starts a log with.
struct Setup {
    engine: EngineSetup,
    store: Store,
}

fn start(
    setup: &Setup,
    machine: StubMachine,
) -> Result<(EngineService, Vec<ShardEngine>), LogError> {
    let (service, shards, _) = log::start(&setup.engine, &setup.store, machine)?;
    Ok((service, shards))
}

fn memory(shards: u16, machine: StubMachine) -> (EngineService, Vec<ShardEngine>) {
    start(&setup(Store::Memory, shards), machine).expect("memory always opens")
}

fn setup(store: Store, shards: u16) -> Setup {
    Setup {
        engine: engine(shards),
        store,
    }
}

fn engine(shards: u16) -> EngineSetup {
    EngineSetup {
        shards: NonZeroU16::new(shards).expect("at least one shard"),
        ring: RING_LIMITS,
        clock: Clock::start(),
    }
}

fn append(shard: &mut ShardEngine, number: u64) {
    shard.request(Request::Append(Append {
        request_id: RequestId {
            shard: shard.shard(),
            number,
        },
        channel: ChannelName::from("news"),
        data: number.to_string().into(),
        kind: PayloadKind::Json,
        retention: RetentionClass::Kept,
        publisher: Publisher::default(),
        idempotency_key: None,
    }));
}

/// Takes events until there are `count`.
fn wait_for(shard: &mut ShardEngine, count: usize) -> Vec<EngineEvent> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime starts");
    runtime.block_on(async {
        let mut events = Vec::new();
        while events.len() < count {
            tokio::time::timeout(TEST_TIMEOUT, shard.ready())
                .await
                .expect("the log responds");
            shard.take(&mut events, count);
        }
        events
    })
}

fn take(shard: &mut ShardEngine) -> Vec<EngineEvent> {
    let mut events = Vec::new();
    shard.take(&mut events, usize::MAX);
    events
}
