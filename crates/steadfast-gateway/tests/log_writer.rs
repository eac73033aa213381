//! The writer thread and the cores' handles, around a machine that does only what each test needs.

#[path = "log_writer/plain.rs"]
mod plain;

use std::num::NonZeroU16;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use steadfast_gateway::clock::Clock;
use steadfast_gateway::log::{
    CloseError, CoreLog, LogError, LogService, LogSetup, LogStatus, RingLimits, Store,
};
use steadfast_hub::io::{LogEvent, PresenceDetail, ShardMessage, ShardPresence};
use steadfast_hub::log::io::{Append, Publisher, Rejection, Request, RequestId, Response};
use steadfast_protocol::message::{ChannelName, ClientInfo};

use self::plain::Plain;

/// Long enough for a machine that is busy with everything else; no test waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn every_core_sees_a_commit_and_only_the_asking_one_its_answer_behind_it() {
    let (service, mut cores) = memory(2, Plain::default());

    append(&mut cores[0], 7);
    cores[0].flush();

    let seen = wait_for(&mut cores[0], 2);
    assert!(matches!(&seen[..], [
        LogEvent::Committed(first),
        LogEvent::Response { number: 7, response: Response::Appended { offset: 1, .. } },
    ] if first.record.offset == 1));
    let seen = wait_for(&mut cores[1], 1);
    assert!(matches!(&seen[..], [LogEvent::Committed(_)]));
    assert_eq!(service.close(PATIENCE), Ok(()));
}

#[test]
fn everything_asked_in_one_turn_is_one_group_with_one_sync() {
    let (groups, told) = channel();
    let (_service, mut cores) = memory(1, Plain::default().telling(groups));

    for number in 0..100 {
        append(&mut cores[0], number);
    }
    cores[0].flush();
    wait_for(&mut cores[0], 200);

    assert_eq!(told.try_iter().collect::<Vec<_>>(), [100]);
}

#[test]
fn notes_reach_all_cores_and_an_answer_to_a_question_only_the_core_that_asked() {
    let (_service, mut cores) = memory(3, Plain::default());

    cores[2].tell(question(1));
    cores[2].flush();
    wait_for(&mut cores[0], 1);
    cores[0].tell(told(1, 9));
    cores[0].flush();
    wait_for(&mut cores[1], 2);
    cores[0].tell(question(2));
    cores[0].flush();

    assert_eq!(numbers(wait_for(&mut cores[0], 1)), ["asked 2"]);
    assert_eq!(numbers(wait_for(&mut cores[1], 1)), ["asked 2"]);
    assert_eq!(numbers(wait_for(&mut cores[2], 2)), ["asked 1", "asked 2"]);
}

#[test]
fn a_core_that_does_not_read_never_stops_the_log_and_is_told_what_it_missed() {
    let ring = RingLimits {
        entries: 10,
        ..RingLimits::DEFAULT
    };
    let setup = LogSetup {
        ring,
        ..setup(Store::Memory, 2)
    };
    let (_service, mut cores) = LogService::start(&setup, Plain::default()).unwrap();

    for number in 0..100 {
        append(&mut cores[0], number);
        cores[0].flush();
        wait_for(&mut cores[0], 2);
    }

    let mut events = Vec::new();
    let taken = cores[1].take(&mut events, 1000);
    assert!(!taken.more);
    assert!(events.len() <= 11);
    assert_eq!(events[0], LogEvent::Lagged);
    assert!(matches!(events.last(), Some(LogEvent::Committed(last)) if last.record.offset == 100));
}

#[test]
fn a_batch_that_found_no_room_is_handed_over_without_another_turn() {
    let (open_gate, gate) = channel();
    let (_service, mut cores) = memory(1, Plain::default().waiting(gate));
    let mut turns = 0;

    // The machine stands still, so the channel fills up and the last batches are kept.
    for number in 0..3000 {
        append(&mut cores[0], number);
        cores[0].flush();
        turns += 1;
    }
    drop(open_gate);
    let seen = wait_for(&mut cores[0], 2 * turns);

    let answered = seen.iter().filter_map(|event| match event {
        LogEvent::Response { number, .. } => Some(*number),
        LogEvent::Committed(_) | LogEvent::Message(_) | LogEvent::Lagged => None,
    });
    assert!(answered.eq(0..3000));
}

#[test]
fn after_the_end_every_request_is_refused_and_nothing_waits_for_ever() {
    let (service, mut cores) = memory(1, Plain::default());

    assert_eq!(service.close(PATIENCE), Ok(()));
    append(&mut cores[0], 5);
    cores[0].flush();

    let seen = wait_for(&mut cores[0], 1);
    assert!(matches!(
        &seen[..],
        [LogEvent::Response {
            number: 5,
            response: Response::Rejected(Rejection::Closing),
        }]
    ));
}

#[test]
fn what_was_asked_before_the_end_is_still_done() {
    let (service, mut cores) = memory(1, Plain::default());

    append(&mut cores[0], 1);
    cores[0].flush();
    assert_eq!(service.close(PATIENCE), Ok(()));

    let seen = wait_for(&mut cores[0], 2);
    assert!(matches!(
        seen[1],
        LogEvent::Response {
            number: 1,
            response: Response::Appended { .. }
        }
    ));
}

#[test]
fn an_end_without_its_clean_mark_and_one_that_takes_too_long_are_told_apart() {
    let (unclean, _cores) = memory(1, Plain::default().ending_unclean());
    let (open_gate, gate) = channel::<()>();
    let (slow, mut cores) = memory(1, Plain::default().waiting(gate));
    append(&mut cores[0], 1);
    cores[0].flush();

    assert_eq!(unclean.close(PATIENCE), Err(CloseError::Unclean));
    assert_eq!(
        slow.close(Duration::from_millis(10)),
        Err(CloseError::TimedOut)
    );
    drop(open_gate);
}

#[test]
fn a_machine_that_panics_poisons_the_log_and_the_cores_are_refused() {
    let (service, mut cores) = memory(1, Plain::default().panicking());

    append(&mut cores[0], 1);
    cores[0].flush();
    let seen = loop {
        append(&mut cores[0], 2);
        cores[0].flush();
        let seen = take(&mut cores[0]);
        if !seen.is_empty() {
            break seen;
        }
        std::thread::yield_now();
    };

    assert!(matches!(
        seen[0],
        LogEvent::Response {
            response: Response::Rejected(Rejection::WriteFailed),
            ..
        }
    ));
    assert_eq!(service.status(), LogStatus::Poisoned);
    assert_eq!(service.close(PATIENCE), Err(CloseError::WriterGone));
}

#[test]
fn a_write_that_fails_reaches_the_machine_and_its_poison_the_status() {
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(Store::Directory(directory.path().to_path_buf()), 1);
    let (service, mut cores) = LogService::start(&setup, Plain::default()).unwrap();
    assert_eq!(service.status(), LogStatus::Ready);

    // The file is gone under the log's feet before it was ever opened.
    std::fs::remove_file(directory.path().join("0000000000000001.segment")).unwrap();
    append(&mut cores[0], 1);
    cores[0].flush();

    let seen = wait_for(&mut cores[0], 1);
    assert!(matches!(
        seen[0],
        LogEvent::Response {
            response: Response::Rejected(Rejection::WriteFailed),
            ..
        }
    ));
    assert_eq!(service.status(), LogStatus::Poisoned);
}

#[test]
fn a_segment_is_created_whole_with_its_blocks_and_for_its_owner_only() {
    use std::os::unix::fs::MetadataExt;
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("new/data");

    let setup = setup(Store::Directory(directory.clone()), 1);
    let (_service, _cores) = LogService::start(&setup, Plain::default()).unwrap();

    let segment = std::fs::metadata(directory.join("0000000000000001.segment")).unwrap();
    assert_eq!(segment.len(), Plain::SEGMENT_BYTES);
    assert!(
        segment.blocks() * 512 >= Plain::SEGMENT_BYTES,
        "{} blocks",
        segment.blocks()
    );
    assert_eq!(segment.mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn a_start_finds_the_segments_in_order_and_removes_what_a_crash_left_half_made() {
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
    let (found, told) = channel();

    let setup = setup(Store::Directory(directory.path().to_path_buf()), 1);
    let (_service, _cores) =
        LogService::start(&setup, Plain::default().telling_found(found)).unwrap();

    let found = told.recv().unwrap();
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
fn a_directory_in_use_is_refused_by_name_until_its_log_has_ended() {
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(Store::Directory(directory.path().to_path_buf()), 1);
    let (first, _cores) = LogService::start(&setup, Plain::default()).unwrap();

    let refused = LogService::start(&setup, Plain::default()).unwrap_err();

    let expected = format!(
        "the data directory {} is in use by process {}",
        directory.path().display(),
        std::process::id()
    );
    assert_eq!(refused.to_string(), expected);
    assert!(matches!(refused, LogError::Locked { .. }));
    assert!(refused.advice().contains("Stop process"));
    first.close(PATIENCE).unwrap();
    assert!(LogService::start(&setup, Plain::default()).is_ok());
}

#[test]
fn a_path_that_is_no_directory_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let start = |path: &Path| {
        LogService::start(
            &setup(Store::Directory(path.to_path_buf()), 1),
            Plain::default(),
        )
        .unwrap_err()
    };

    assert!(matches!(start(&file), LogError::NotADirectory { .. }));
    assert!(matches!(
        start(&file.join("below")),
        LogError::NotADirectory { .. }
    ));
}

fn memory(cores: u16, machine: Plain) -> (LogService, Vec<CoreLog>) {
    LogService::start(&setup(Store::Memory, cores), machine).expect("memory always opens")
}

fn setup(store: Store, cores: u16) -> LogSetup {
    let cores = NonZeroU16::new(cores).expect("at least one core");
    LogSetup {
        store,
        cores,
        ring: RingLimits::DEFAULT,
        clock: Clock::start(),
    }
}

fn append(core: &mut CoreLog, number: u64) {
    core.ask(Request::Append(Append {
        request_id: RequestId {
            shard: core.core(),
            number,
        },
        channel: ChannelName::from("news"),
        data: number.to_string().into(),
        publisher: Publisher::default(),
        idempotency_key: None,
    }));
}

fn question(number: u64) -> ShardMessage {
    ShardMessage::PresenceQuery {
        shard: 2,
        number,
        channel: ChannelName::from("news"),
        detail: PresenceDetail::Clients,
    }
}

fn told(core: u16, number: u64) -> ShardMessage {
    ShardMessage::PresenceResponse {
        shard: core,
        number,
        presence: ShardPresence::Clients(vec![ClientInfo::default()]),
    }
}

fn numbers(events: Vec<LogEvent>) -> Vec<String> {
    let name = |event| match event {
        LogEvent::Message(ShardMessage::PresenceQuery { number, .. }) => format!("asked {number}"),
        LogEvent::Message(ShardMessage::PresenceResponse { number, .. }) => {
            format!("told {number}")
        }
        other @ (LogEvent::Committed(_)
        | LogEvent::Response { .. }
        | LogEvent::Message(_)
        | LogEvent::Lagged) => panic!("not expected: {other:?}"),
    };
    events.into_iter().map(name).collect()
}

/// Takes until so many events are there.
fn wait_for(core: &mut CoreLog, count: usize) -> Vec<LogEvent> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime starts");
    runtime.block_on(async {
        let mut events = Vec::new();
        while events.len() < count {
            tokio::time::timeout(PATIENCE, core.ready())
                .await
                .expect("the log answers");
            core.take(&mut events, count);
        }
        events
    })
}

fn take(core: &mut CoreLog) -> Vec<LogEvent> {
    let mut events = Vec::new();
    core.take(&mut events, usize::MAX);
    events
}
