//! A disk that is full and gets room again, on a small file system that this process has for itself.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use steadfast_gateway::log::{CoreLog, LogStatus};
use steadfast_hub::io::LogEvent;
use steadfast_hub::log::io::{Rejection, Response};

use crate::reader;
use crate::records::{Failure, Name, open, print};
use crate::writer::append;

/// More appends than any small file system could take.
const APPENDS_MAX: u64 = 1_000_000;

pub(crate) fn run(directory: &str) -> Result<(), Failure> {
    let filler = Path::new(directory).with_file_name("filler");
    let (service, mut cores) = open(directory, 1)?;
    let log = cores.first_mut().ok_or("no core")?;

    fill(&filler)?;
    let stored = append_until(log, 0, |answer| {
        *answer == Response::Rejected(Rejection::NoSpace)
    })?;
    let status = service.status();
    if status != LogStatus::NoSpace {
        return Err(format!("without room the status is {status:?}").into());
    }
    let readable = reader::count(log)?;
    if readable != stored {
        return Err(format!(
            "{stored} were acknowledged and {readable} can be read on the full disk"
        )
        .into());
    }
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        if name.to_string_lossy().ends_with(".partial") {
            return Err("the reservation that failed left its file".into());
        }
    }

    std::fs::remove_file(&filler)?;
    append_until(log, stored, |answer| {
        matches!(answer, Response::Appended { .. })
    })?;
    let (status, healed) = (service.status(), reader::count(log)?);
    if status != LogStatus::Ready || healed != stored + 1 {
        return Err(
            format!("with room again the status is {status:?} and {healed} can be read").into(),
        );
    }
    service.close(Duration::from_secs(30))?;
    print(&format!(
        "full stored={stored} readable={readable} after_healing={healed}\n"
    ));
    Ok(())
}

/// Takes all room there is.
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

/// Appends one record at a time until an answer is the one that is waited for; the number of records stored before.
fn append_until(
    log: &mut CoreLog,
    first: u64,
    is_it: impl Fn(&Response) -> bool,
) -> Result<u64, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut stored = 0;
    for number in first..first + APPENDS_MAX {
        let name = Name {
            cycle: 0,
            thread: 0,
            number,
        };
        log.ask(append(log.core(), number, name, name.payload()));
        log.flush();
        let answer = loop {
            runtime.block_on(log.ready());
            let mut events = Vec::new();
            log.take(&mut events, usize::MAX);
            if let Some(LogEvent::Response {
                response: answer, ..
            }) = events.pop()
            {
                break answer;
            }
        };
        if is_it(&answer) {
            return Ok(stored);
        }
        match answer {
            Response::Appended { .. } => stored += 1,
            Response::Rejected(Rejection::NoSpace) => {}
            other @ (Response::Rejected(_) | Response::Read(_)) => {
                return Err(format!("answered {other:?}").into());
            }
        }
    }
    Err("it never came to that".into())
}
