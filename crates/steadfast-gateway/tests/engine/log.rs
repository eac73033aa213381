//! Tests of the writer thread and its files, with a state machine that does only what each test needs.

use std::path::Path;
use std::sync::mpsc::channel;

use steadfast_engine::{EngineEvent, Health, Rejection, Response};
use steadfast_gateway::engine::log::{self, LogError};
use steadfast_gateway::engine::{CloseError, EngineService, EngineSetup, ShardEngine};

use crate::shard::{append, wait_for};
use crate::stub_log::StubLog;
use crate::{TEST_TIMEOUT, setup};

#[test]
fn all_requests_of_one_loop_iteration_are_one_batch_with_one_sync() {
    let (batches, reported) = channel();
    let directory = tempfile::tempdir().unwrap();
    let machine = StubLog::default().reporting_batches(batches);
    let (_service, mut shards) = start(&setup(1), directory.path(), machine).unwrap();

    for number in 0..100 {
        append(&mut shards[0], number);
    }
    shards[0].flush();
    wait_for(&mut shards[0], 200);

    assert_eq!(reported.try_iter().collect::<Vec<_>>(), [100]);
}

#[test]
fn an_unclean_shutdown_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let machine = StubLog::default().ending_unclean();
    let (service, _shards) = start(&setup(1), directory.path(), machine).unwrap();

    assert_eq!(service.close(TEST_TIMEOUT), Err(CloseError::Unclean));
}

#[test]
fn a_failed_write_reaches_the_state_machine_and_its_write_failure_the_health() {
    let directory = tempfile::tempdir().unwrap();
    let (service, mut shards) = start(&setup(1), directory.path(), StubLog::default()).unwrap();
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

    let (_service, _shards) = start(&setup(1), &directory, StubLog::default()).unwrap();

    let segment = std::fs::metadata(directory.join("0000000000000001.segment")).unwrap();
    assert_eq!(segment.len(), StubLog::SEGMENT_BYTES);
    assert!(
        segment.blocks() * 512 >= StubLog::SEGMENT_BYTES,
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

    let (_service, _shards) = start(
        &setup(1),
        directory.path(),
        StubLog::default().reporting_found(found),
    )
    .unwrap();

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
    let (first, _shards) = start(&setup(1), directory.path(), StubLog::default()).unwrap();

    let rejected = start(&setup(1), directory.path(), StubLog::default()).unwrap_err();

    let expected = format!(
        "the data directory {} is in use by process {}",
        directory.path().display(),
        std::process::id()
    );
    assert_eq!(rejected.to_string(), expected);
    assert!(matches!(rejected, LogError::Locked { .. }));
    assert!(rejected.help().contains("Stop process"));
    first.close(TEST_TIMEOUT).unwrap();
    assert!(start(&setup(1), directory.path(), StubLog::default()).is_ok());
}

#[test]
fn a_path_that_is_not_a_directory_is_rejected() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let rejected = |path: &Path| start(&setup(1), path, StubLog::default()).unwrap_err();

    assert!(matches!(rejected(&file), LogError::NotADirectory { .. }));
    assert!(matches!(
        rejected(&file.join("below")),
        LogError::NotADirectory { .. }
    ));
}

/// Starts a log in this directory.
pub(crate) fn start(
    setup: &EngineSetup,
    directory: &Path,
    machine: StubLog,
) -> Result<(EngineService, Vec<ShardEngine>), LogError> {
    let (service, shards, _) = log::start(setup, directory, machine)?;
    Ok((service, shards))
}
