//! `verify` and `repair` on the files of a real log: what they find, what they keep, and what an interruption leaves.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use steadfast_gateway::clock::Clock;
use steadfast_gateway::log::tool::{Repaired, repair, verify};
use steadfast_gateway::log::{CoreLog, LogError, LogService, LogSetup, RingLimits, Store};
use steadfast_hub::epoch::ChannelEpoch;
use steadfast_hub::io::LogEvent;
use steadfast_hub::log::Log;
use steadfast_hub::log::io::{
    Append, Page, Publisher, Read, ReadFrom, ReadResponse, Request, RequestId, Response,
};
use steadfast_hub::policy::log::{LogPolicy, LogSettings};
use steadfast_machine::ByteSize;
use steadfast_protocol::message::ChannelName;

/// Far longer than any answer takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// Enough for several segments of 64 KiB.
const RECORDS: u64 = 300;

#[test]
fn a_whole_log_verifies_and_repair_leaves_every_byte_of_it() {
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
    assert_eq!(repaired, Repaired::Whole(found));
    assert_eq!(contents(directory.path()), before);
}

#[test]
fn damage_is_found_by_place_and_the_rest_is_kept_under_new_epochs() {
    let directory = filled();
    let epoch = history(directory.path()).epoch;
    let original = damage(directory.path(), 2);

    let found = verify(directory.path()).unwrap();
    let refused = start(directory.path()).unwrap_err();
    let repaired = repair(directory.path()).unwrap();

    assert_eq!(found.corruptions.len(), 1, "{:?}", found.corruptions);
    assert_eq!(found.corruptions[0].segment.0, 2);
    assert!(
        refused.to_string().contains("segment 2 at byte "),
        "{refused}"
    );
    assert!(
        refused.advice().contains("steadfast log repair"),
        "{}",
        refused.advice()
    );
    let Repaired::Rescued {
        report, originals, ..
    } = repaired
    else {
        panic!("{repaired:?}")
    };
    // The bytes that were spoilt lie in one record of about a kilobyte, or across two.
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
    assert_eq!(after.top, report.kept);
    assert_ne!(after.epoch, epoch);
}

#[test]
fn an_interrupted_repair_refuses_to_start_and_the_next_one_goes_on() {
    let directory = filled();
    let path = directory.path();
    damage(path, 1);
    let Repaired::Rescued {
        report, originals, ..
    } = repair(path).unwrap()
    else {
        panic!("no repair")
    };
    // As if it had been killed before the lowest new segment was in place.
    let lowest = segments(path)[0].clone();
    let waiting = path.join("repaired-1");
    std::fs::create_dir(&waiting).unwrap();
    std::fs::rename(&lowest, waiting.join(lowest.file_name().unwrap())).unwrap();
    for old in segments(&originals) {
        std::fs::hard_link(&old, path.join(old.file_name().unwrap())).unwrap();
    }

    let refused = start(path).unwrap_err();
    let repaired = repair(path).unwrap();

    assert!(matches!(refused, LogError::Damaged { .. }), "{refused}");
    assert!(matches!(repaired, Repaired::Whole(_)), "{repaired:?}");
    assert_eq!(history(path).top, report.kept);
    assert!(!waiting.exists());
    let is_new = |path: &PathBuf| !originals.join(path.file_name().unwrap()).exists();
    assert!(segments(path).iter().all(is_new), "the old names are gone");
}

#[test]
fn a_running_gateway_and_a_directory_that_is_not_there_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (_service, _core) = start(directory.path()).unwrap();
    let absent = directory.path().join("absent");

    assert!(matches!(
        verify(directory.path()),
        Err(LogError::Locked { .. })
    ));
    assert!(matches!(
        repair(directory.path()),
        Err(LogError::Locked { .. })
    ));
    assert!(matches!(verify(&absent), Err(LogError::Missing { .. })));
    assert!(matches!(repair(&absent), Err(LogError::Missing { .. })));
    assert!(!absent.exists());
}

/// A directory with a log that was closed in peace.
fn filled() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let (service, mut core) = start(directory.path()).expect("an empty directory opens");
    for number in 0..RECORDS {
        core.ask(Request::Append(Append {
            request_id: RequestId { shard: 0, number },
            channel: ChannelName::from("news"),
            data: Bytes::from(format!("\"{number}{}\"", "x".repeat(1000))),
            publisher: Publisher::default(),
            idempotency_key: None,
        }));
    }
    core.flush();
    let mut answers = 0;
    while answers < RECORDS {
        for event in wait(&mut core) {
            match event {
                LogEvent::Response {
                    response: Response::Appended { .. },
                    ..
                } => answers += 1,
                LogEvent::Committed(_) => {}
                LogEvent::Response { .. } | LogEvent::Message(_) | LogEvent::Lagged => {
                    panic!("{event:?}")
                }
            }
        }
    }
    service.close(PATIENCE).expect("a clean end");
    directory
}

fn start(path: &Path) -> Result<(LogService, CoreLog), LogError> {
    let clock = Clock::start();
    let setup = LogSetup {
        store: Store::Directory(path.to_path_buf()),
        cores: NonZeroU16::MIN,
        ring: RingLimits::DEFAULT,
        clock,
    };
    let (service, mut cores) = LogService::start(&setup, Log::new(policy(), clock.now()))?;
    Ok((service, cores.remove(0)))
}

fn policy() -> LogPolicy {
    let settings = LogSettings {
        segment_bytes: ByteSize::from_kib(64),
        log_bytes: ByteSize::from_mib(64),
        ..LogSettings::for_tests()
    };
    LogPolicy::new(settings).expect("valid settings")
}

/// Reads the channel from its start and checks that it is dense.
fn history(path: &Path) -> History {
    let (service, mut core) = start(path).expect("a whole log opens");
    let mut from = ReadFrom::Oldest;
    let mut top = 0;
    let history = loop {
        let answer = read(&mut core, from);
        let Page::Records {
            records,
            has_more: more,
        } = answer.page
        else {
            panic!("unrecoverable")
        };
        for record in records {
            assert_eq!(record.offset, top + 1);
            top = record.offset;
        }
        if !more {
            assert_eq!(answer.high_watermark, top);
            break History {
                epoch: answer.epoch,
                top,
            };
        }
        from = ReadFrom::After {
            epoch: answer.epoch,
            offset: top,
        };
    };
    service.close(PATIENCE).expect("a clean end");
    history
}

struct History {
    epoch: ChannelEpoch,
    top: u64,
}

fn read(core: &mut CoreLog, from: ReadFrom) -> ReadResponse {
    let request_id = RequestId {
        shard: 0,
        number: 1,
    };
    let channel = ChannelName::from("news");
    core.ask(Request::Read(Read {
        request_id,
        channel,
        from,
        limit: 100,
        bytes_max: 1 << 20,
    }));
    core.flush();
    match wait(core).pop() {
        Some(LogEvent::Response {
            response: Response::Read(answer),
            ..
        }) => answer,
        other => panic!("{other:?}"),
    }
}

fn wait(core: &mut CoreLog) -> Vec<LogEvent> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE, core.ready())
            .await
            .expect("the log answers");
        let mut events = Vec::new();
        core.take(&mut events, usize::MAX);
        events
    })
}

/// Spoils bytes in the middle of a segment; what the segment is then.
fn damage(directory: &Path, number: u64) -> Vec<u8> {
    let path = directory.join(format!("{number:016}.segment"));
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .expect("the segment is there");
    file.write_all_at(b"spoilt", 30_000)
        .expect("it can be written");
    std::fs::read(path).expect("it can be read")
}

fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let read = |path: PathBuf| (path.clone(), std::fs::read(path).expect("it can be read"));
    segments(directory).into_iter().map(read).collect()
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("it can be listed");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut segments: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "segment"))
        .collect();
    segments.sort();
    segments
}
