//! The log on a disk that does not complete what a test holds back.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use steadfast_engine::{
    EngineEvent, Page, Read, ReadFrom, ReadResponse, Request, RequestId, Response,
};
use steadfast_gateway::engine::log::{self, disk::Disk};
use steadfast_gateway::engine::{CloseError, EngineService, EngineSetup, ShardEngine};
use steadfast_log::Log;
use steadfast_log::policy::{LogPolicy, LogSettings};

use crate::shard::{append, wait_for};
use crate::{TEST_TIMEOUT, setup};

#[test]
fn reads_are_served_while_a_sync_does_not_return_and_the_publication_is_acknowledged_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let gate = Arc::new(Gate::default());
    let (service, mut shards) = start(&setup(1), directory.path(), &gate);
    let shard = &mut shards[0];
    append(shard, 1);
    shard.flush();
    wait_for(shard, 2);

    gate.close();
    append(shard, 2);
    shard.flush();
    gate.wait_until_blocked();
    history(shard, 3);
    shard.flush();
    let read = wait_for(shard, 1);
    gate.open();
    let after = wait_for(shard, 2);

    assert_eq!(payloads(&read), ["1"]);
    assert!(matches!(after[0], EngineEvent::Committed(_)), "{after:?}");
    assert!(matches!(
        after[1],
        EngineEvent::Response {
            number: 2,
            response: Response::Appended { offset: 2, .. }
        }
    ));
    service.close(TEST_TIMEOUT).unwrap();
}

#[test]
fn a_close_during_a_stuck_sync_says_how_many_requests_have_no_response() {
    let directory = tempfile::tempdir().unwrap();
    let gate = Arc::new(Gate::default());
    let (service, mut shards) = start(&setup(1), directory.path(), &gate);
    gate.close();
    for number in 1..=3 {
        append(&mut shards[0], number);
    }
    shards[0].flush();
    gate.wait_until_blocked();

    let closed = service.close(Duration::from_millis(1));

    assert_eq!(closed, Err(CloseError::TimedOut { pending: 3 }));
    gate.open();
    assert_eq!(wait_for(&mut shards[0], 6).len(), 6);
}

/// Blocks syncs while it is closed.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    is_closed: bool,
    is_blocked: bool,
}

impl Gate {
    fn close(&self) {
        self.state.lock().unwrap().is_closed = true;
    }

    fn open(&self) {
        self.state.lock().unwrap().is_closed = false;
        self.changed.notify_all();
    }

    /// Waits while the gate is closed.
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        if state.is_closed {
            state.is_blocked = true;
            self.changed.notify_all();
        }
        drop(self.changed.wait_while(state, |state| state.is_closed));
    }

    fn wait_until_blocked(&self) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |state| !state.is_blocked));
    }
}

impl Disk for Gate {
    fn sync(&self, file: &File) -> io::Result<()> {
        self.pass();
        file.sync_data()
    }
}

fn start(
    setup: &EngineSetup,
    directory: &Path,
    gate: &Arc<Gate>,
) -> (EngineService, Vec<ShardEngine>) {
    let policy = LogPolicy::new(LogSettings::for_tests()).unwrap();
    let machine = Log::new(policy, setup.clock.now());
    let disk: Arc<dyn Disk> = Arc::<Gate>::clone(gate);
    let (service, shards, _) = log::start_on(setup, directory, machine, &disk).unwrap();
    (service, shards)
}

fn history(shard: &mut ShardEngine, number: u64) {
    shard.request(Request::Read(Read {
        request_id: RequestId { shard: 0, number },
        channel: "news".into(),
        from: ReadFrom::Oldest,
        limit: 10,
        bytes_max: 1_000,
    }));
}

fn payloads(events: &[EngineEvent]) -> Vec<String> {
    let [
        EngineEvent::Response {
            response:
                Response::Read(ReadResponse {
                    page: Page::Records { records, .. },
                    ..
                }),
            ..
        },
    ] = events
    else {
        panic!("{events:?}")
    };
    let text = |record: &steadfast_engine::Record| String::from_utf8(record.data.to_vec()).unwrap();
    records.iter().map(text).collect()
}
