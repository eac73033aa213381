//! A disk that is full and gets free space again, on a small file system that only this process uses.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use steadfast_engine::Health;
use steadfast_engine::{EngineEvent, Rejection, Response};
use steadfast_gateway::engine::ShardEngine;

use crate::reader;
use crate::records::{Failure, Name, open, print};
use crate::writer::append;

/// More appends than fit on any small file system.
const APPENDS_MAX: u64 = 1_000_000;

pub(crate) fn run(directory: &str) -> Result<(), Failure> {
    let filler = Path::new(directory).with_file_name("filler");
    let (service, mut shards, _) = open(directory, 1)?;
    let log = shards.first_mut().ok_or("no shard")?;

    fill(&filler)?;
    let stored = append_until(log, 0, |response| {
        *response == Response::Rejected(Rejection::NoSpace)
    })?;
    let health = service.health();
    if health != Health::Full {
        return Err(format!("the health is {health:?} on the full disk").into());
    }
    let readable = reader::count(log)?;
    if readable != stored {
        return Err(format!(
            "{stored} records were acknowledged, but {readable} can be read on the full disk"
        )
        .into());
    }
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        if name.to_string_lossy().ends_with(".partial") {
            return Err("the failed reservation left its partial file".into());
        }
    }

    std::fs::remove_file(&filler)?;
    append_until(log, stored, |response| {
        matches!(response, Response::Appended { .. })
    })?;
    let (health, recovered) = (service.health(), reader::count(log)?);
    if health != Health::Serving || recovered != stored + 1 {
        return Err(format!(
            "with free space again the health is {health:?} and {recovered} records can be read"
        )
        .into());
    }
    service.close(Duration::from_secs(30))?;
    print(&format!(
        "full stored={stored} readable={readable} recovered={recovered}\n"
    ));
    Ok(())
}

/// Fills all free space.
fn fill(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    loop {
        match file.write(&[1; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Appends one record at a time until the expected response; returns the number of records that were stored before.
fn append_until(
    log: &mut ShardEngine,
    first: u64,
    is_expected: impl Fn(&Response) -> bool,
) -> Result<u64, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut stored = 0;
    for number in first..first + APPENDS_MAX {
        let name = Name {
            cycle: 0,
            thread: 0,
            number,
        };
        log.request(append(log.shard(), number, name, name.payload()));
        log.flush();
        let response = loop {
            runtime.block_on(log.ready());
            let mut events = Vec::new();
            log.take(&mut events, usize::MAX);
            if let Some(EngineEvent::Response { response, .. }) = events.pop() {
                break response;
            }
        };
        if is_expected(&response) {
            return Ok(stored);
        }
        match response {
            Response::Appended { .. } => stored += 1,
            Response::Rejected(Rejection::NoSpace) => {}
            other @ (Response::Rejected(_) | Response::Read(_)) => {
                return Err(format!("unexpected response {other:?}").into());
            }
        }
    }
    Err(format!("no expected response to {APPENDS_MAX} appends").into())
}
