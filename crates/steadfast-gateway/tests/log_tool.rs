//! Tests of `verify` and `repair` on the files of a real log: what they find, what they keep, and how an interrupted
//! repair continues.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use steadfast_clock::Clock;
use steadfast_engine::{
    Append, ChannelEpoch, EngineEvent, Page, Publisher, Read, ReadFrom, ReadResponse, Request,
    RequestId, Response, RetentionClass,
};
use steadfast_gateway::engine::log::tool::{self, RepairOutcome, Verification};
use steadfast_gateway::engine::log::{self, LogError};
use steadfast_gateway::engine::{EngineService, EngineSetup, RING_LIMITS, ShardEngine};
use steadfast_log::Log;
use steadfast_log::policy::{LogPolicy, LogSettings};
use steadfast_machine::ByteSize;
use steadfast_protocol::message::{ChannelName, PayloadKind};

/// Far longer than any response takes.
const TEST_TIMEOUT: Duration = Duration::from_mins(1);

/// Enough for several segments of 64 KiB.
const RECORDS: u64 = 300;

#[test]
fn an_intact_log_passes_verification_and_repair_changes_no_byte_of_it() {
    let directory = filled();
    let before = contents(directory.path());

    let found = verify(directory.path()).unwrap();
    let repaired = repair(directory.path()).unwrap();

    assert!(found.corruptions.is_empty() && found.report.is_clean);
    assert!(
        found.report.records >= RECORDS && found.report.channels == 1,
        "{:?}",
        found.report
    );
    assert_eq!(repaired, RepairOutcome::Intact(found));
    assert_eq!(contents(directory.path()), before);
}

#[test]
fn corruption_is_found_with_its_location_and_the_rest_is_kept_under_new_epochs() {
    let directory = filled();
    let epoch = history(directory.path()).epoch;
    let original = corrupt(directory.path(), 2);

    let found = verify(directory.path()).unwrap();
    let rejected = start(directory.path()).unwrap_err();
    let repaired = repair(directory.path()).unwrap();

    assert_eq!(found.corruptions.len(), 1, "{:?}", found.corruptions);
    assert_eq!(found.corruptions[0].segment.0, 2);
    assert!(
        rejected.to_string().contains("segment 2 at byte "),
        "{rejected}"
    );
    assert!(
        rejected.help().contains("steadfast log repair"),
        "{}",
        rejected.help()
    );
    let RepairOutcome::Repaired {
        report, originals, ..
    } = repaired
    else {
        panic!("{repaired:?}")
    };
    // The corrupt bytes are within one record of about a kilobyte, or across two.
    assert!(
        report.kept >= RECORDS - 2 && report.kept < RECORDS,
        "{report:?}"
    );
    assert_eq!(originals, directory.path().join("damaged-1"));
    assert_eq!(
        std::fs::read(originals.join("0000000000000002.segment")).unwrap(),
        original
    );
    assert!(verify(directory.path()).unwrap().corruptions.is_empty());
    let after = history(directory.path());
    assert_eq!(after.high_watermark, report.kept);
    assert_ne!(after.epoch, epoch);
}

#[test]
fn after_an_interrupted_repair_the_log_refuses_to_open_and_the_next_repair_continues() {
    let directory = filled();
    let path = directory.path();
    corrupt(path, 1);
    let RepairOutcome::Repaired {
        report, originals, ..
    } = repair(path).unwrap()
    else {
        panic!("no repair")
    };
    // As if the repair had been killed before the lowest new segment was installed.
    let lowest = segments(path)[0].clone();
    let waiting = path.join("repaired-1");
    std::fs::create_dir(&waiting).unwrap();
    std::fs::rename(&lowest, waiting.join(lowest.file_name().unwrap())).unwrap();
    for old in segments(&originals) {
        std::fs::hard_link(&old, path.join(old.file_name().unwrap())).unwrap();
    }

    let rejected = start(path).unwrap_err();
    let repaired = repair(path).unwrap();

    assert!(
        matches!(rejected, LogError::RepairPending { .. }),
        "{rejected}"
    );
    assert!(matches!(repaired, RepairOutcome::Intact(_)), "{repaired:?}");
    assert_eq!(history(path).high_watermark, report.kept);
    assert!(!waiting.exists());
    let is_new = |path: &PathBuf| !originals.join(path.file_name().unwrap()).exists();
    assert!(segments(path).iter().all(is_new), "the old names are gone");
}

#[test]
fn a_locked_directory_can_be_verified_but_not_repaired_and_one_that_does_not_exist_is_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let (_service, _core) = start(directory.path()).unwrap();
    let absent = directory.path().join("absent");

    assert_eq!(verify(directory.path()).unwrap().corruptions, []);
    assert!(matches!(
        repair(directory.path()),
        Err(LogError::Locked { .. })
    ));
    assert!(matches!(verify(&absent), Err(LogError::NotFound { .. })));
    assert!(matches!(repair(&absent), Err(LogError::NotFound { .. })));
    assert!(!absent.exists());
}

#[test]
fn an_interrupted_repair_never_overwrites_or_removes_what_a_later_fix_has_put_in_place() {
    for step in ["a new segment exists", "an old segment was replaced"] {
        let directory = filled();
        let path = directory.path();
        let intact = contents(path);
        corrupt(path, 1);
        repair(path).unwrap();
        // As if the repair had been killed before its last step, and an operator had restored the segments.
        let waiting = path.join("repaired-1");
        std::fs::create_dir(&waiting).unwrap();
        for new in segments(path) {
            let name = new.file_name().unwrap();
            if step == "a new segment exists" {
                std::fs::copy(&new, waiting.join(name)).unwrap();
            } else {
                std::fs::remove_file(&new).unwrap();
            }
        }
        for (name, bytes) in &intact {
            std::fs::write(name, bytes).unwrap();
        }
        let before = contents(path);

        let refused = repair(path).unwrap_err();

        assert!(
            matches!(refused, LogError::RepairOutdated { .. }),
            "{refused}"
        );
        assert!(refused.help().contains("rm -r "), "{}", refused.help());
        assert_eq!(contents(path), before, "{step}");
        assert!(matches!(start(path), Err(LogError::RepairPending { .. })));
    }
}

#[test]
fn a_directory_without_segments_has_no_log_and_nothing_is_created_in_it() {
    let directory = tempfile::tempdir().unwrap();

    let verified = verify(directory.path());
    let repaired = repair(directory.path());
    let backed_up = tool::back_up(directory.path(), &directory.path().join("x"), &mut |_| {});

    assert!(
        matches!(verified, Err(LogError::NoLog { .. })),
        "{verified:?}"
    );
    assert!(
        matches!(repaired, Err(LogError::NoLog { .. })),
        "{repaired:?}"
    );
    assert!(
        matches!(backed_up, Err(LogError::NoLog { .. })),
        "{backed_up:?}"
    );
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_restored_backup_has_every_publication_under_new_epochs_and_the_backup_is_not_opened() {
    let directory = filled();
    let (backup, restored) = (directory.path().join("b"), directory.path().join("r"));
    let original = history(directory.path());

    let found = tool::back_up(directory.path(), &backup, &mut |_| {}).unwrap();
    let refused = start(&backup).unwrap_err();
    tool::restore(&backup, &restored, &mut |_| {}).unwrap();
    let after = history(&restored);

    assert!(found.corruptions.is_empty() && found.report.records >= RECORDS);
    assert!(matches!(refused, LogError::IsBackup { .. }), "{refused}");
    assert!(
        refused.help().contains("steadfast log restore"),
        "{}",
        refused.help()
    );
    assert_eq!(after.high_watermark, original.high_watermark);
    assert_ne!(after.epoch, original.epoch);
    assert_eq!(history(&restored).epoch, after.epoch, "they change once");
    assert_eq!(history(directory.path()).epoch, original.epoch);
}

#[test]
fn a_copy_that_did_not_finish_is_refused_by_everything_that_would_use_it() {
    let directory = filled();
    let (backup, other) = (directory.path().join("b"), directory.path().join("o"));
    let mut copied = 0;
    // The copy is interrupted as by a kill: everything that it has done so far is kept.
    let interrupted = std::panic::catch_unwind(|| {
        tool::back_up(directory.path(), &backup, &mut |progress| {
            assert!(progress.done_bytes < 200_000, "the test interrupts here");
        })
    });
    assert!(interrupted.is_err());
    for name in segments(&backup) {
        copied += std::fs::metadata(name).unwrap().len();
    }
    assert!(copied > 0);

    let refusals = [
        verify(&backup).map(drop),
        repair(&backup).map(drop),
        start(&backup).map(drop),
        tool::restore(&backup, &other, &mut |_| {}).map(drop),
    ];

    for refused in refusals {
        assert!(
            matches!(refused, Err(LogError::Incomplete { .. })),
            "{refused:?}"
        );
    }
    assert!(!other.exists());
    let again = tool::back_up(directory.path(), &backup, &mut |_| {});
    assert!(matches!(again, Err(LogError::NotEmpty { .. })), "{again:?}");
}

#[test]
fn a_corrupt_log_is_not_backed_up() {
    let directory = filled();
    let backup = directory.path().join("b");
    corrupt(directory.path(), 2);

    let refused = tool::back_up(directory.path(), &backup, &mut |_| {});

    assert!(
        matches!(refused, Err(LogError::Corrupt { .. })),
        "{refused:?}"
    );
    assert!(matches!(verify(&backup), Err(LogError::Incomplete { .. })));
}

#[test]
fn a_last_or_an_earlier_segment_that_is_cut_at_any_sector_is_refused() {
    let directory = filled();
    let segments = segments(directory.path());
    let with_records = segments.len() - 2;
    for segment in [
        &segments[1],
        &segments[with_records],
        &segments[with_records + 1],
    ] {
        let bytes = std::fs::read(segment).unwrap();
        for len in (0..bytes.len()).step_by(512) {
            std::fs::write(segment, &bytes[..len]).unwrap();

            let found = verify(directory.path()).unwrap();

            assert_eq!(
                found.corruptions.len(),
                1,
                "{} of {len} bytes",
                segment.display()
            );
            if len % 8192 == 0 {
                let refused = start(directory.path());
                assert!(matches!(refused, Err(LogError::Corrupt { .. })), "{len}");
            }
        }
        std::fs::write(segment, &bytes).unwrap();
    }
    assert_eq!(history(directory.path()).high_watermark, RECORDS);
}

fn verify(path: &Path) -> Result<Verification, LogError> {
    tool::verify(path, &mut |_| {})
}

fn repair(path: &Path) -> Result<RepairOutcome, LogError> {
    tool::repair(path, &mut |_| {})
}

/// Returns a directory with a log that was closed cleanly.
fn filled() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let (service, mut shard) = start(directory.path()).expect("an empty directory opens");
    for number in 0..RECORDS {
        shard.request(Request::Append(Append {
            request_id: RequestId { shard: 0, number },
            channel: ChannelName::from("news"),
            data: Bytes::from(format!("\"{number}{}\"", "x".repeat(1000))),
            kind: PayloadKind::Json,
            retention: RetentionClass::Kept,
            publisher: Publisher::default(),
            idempotency_key: None,
            may_create_channel: true,
        }));
    }
    shard.flush();
    let mut responses = 0;
    while responses < RECORDS {
        for event in wait(&mut shard) {
            match event {
                EngineEvent::Response {
                    response: Response::Appended { .. },
                    ..
                } => responses += 1,
                EngineEvent::Committed(_) => {}
                EngineEvent::Response { .. } | EngineEvent::Lagged => {
                    panic!("{event:?}")
                }
            }
        }
    }
    service.close(TEST_TIMEOUT).expect("a clean shutdown");
    directory
}

fn start(path: &Path) -> Result<(EngineService, ShardEngine), LogError> {
    let clock = Clock::start();
    let setup = EngineSetup {
        shards: NonZeroU16::MIN,
        ring: RING_LIMITS,
        clock,
    };
    let machine = Log::new(policy(), clock.now());
    let (service, mut shards, _) = log::start(&setup, path, machine)?;
    Ok((service, shards.remove(0)))
}

fn policy() -> LogPolicy {
    let settings = LogSettings {
        segment_bytes: ByteSize::from_kib(64),
        log_bytes: ByteSize::from_mib(64),
        ..LogSettings::for_tests()
    };
    LogPolicy::new(settings).expect("valid settings")
}

/// Reads the channel from its start and checks that it has no gaps.
fn history(path: &Path) -> History {
    let (service, mut shard) = start(path).expect("an intact log opens");
    let mut from = ReadFrom::Oldest;
    let mut newest = 0;
    let history = loop {
        let response = read(&mut shard, from);
        let Page::Records {
            records, has_more, ..
        } = response.page
        else {
            panic!("unrecoverable")
        };
        for record in records {
            assert_eq!(record.offset, newest + 1);
            newest = record.offset;
        }
        if !has_more {
            assert_eq!(response.high_watermark, newest);
            break History {
                epoch: response.epoch,
                high_watermark: newest,
            };
        }
        from = ReadFrom::After {
            epoch: response.epoch,
            offset: newest,
        };
    };
    service.close(TEST_TIMEOUT).expect("a clean shutdown");
    history
}

struct History {
    epoch: ChannelEpoch,
    high_watermark: u64,
}

fn read(shard: &mut ShardEngine, from: ReadFrom) -> ReadResponse {
    let request_id = RequestId {
        shard: 0,
        number: 1,
    };
    let channel = ChannelName::from("news");
    shard.request(Request::Read(Read {
        request_id,
        channel,
        from,
        limit: 100,
        bytes_max: 1 << 20,
    }));
    shard.flush();
    match wait(shard).pop() {
        Some(EngineEvent::Response {
            response: Response::Read(response),
            ..
        }) => response,
        other => panic!("{other:?}"),
    }
}

fn wait(shard: &mut ShardEngine) -> Vec<EngineEvent> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(TEST_TIMEOUT, shard.ready())
            .await
            .expect("the log responds");
        let mut events = Vec::new();
        shard.take(&mut events, usize::MAX);
        events
    })
}

/// Overwrites bytes in the middle of a segment, and returns the changed content of the segment.
fn corrupt(directory: &Path, number: u64) -> Vec<u8> {
    let path = directory.join(format!("{number:016}.segment"));
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .expect("the segment exists");
    file.write_all_at(b"spoilt", 30_000)
        .expect("the segment is writable");
    std::fs::read(path).expect("the segment is readable")
}

fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |path: PathBuf| {
        (
            path.clone(),
            std::fs::read(path).expect("the segment is readable"),
        )
    };
    segments(directory).into_iter().map(read).collect()
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("the directory is readable");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut segments: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "segment"))
        .collect();
    segments.sort();
    segments
}
