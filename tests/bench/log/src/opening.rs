//! The time to open a log after its process was killed, compared with a plain read of the same files with a checksum.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;

use crate::args::Args;
use crate::engine::{Engine, Record, Steadfast, policy};

/// Records in one batch while the log is filled.
const BATCH_RECORDS: usize = 2048;

/// Payload of each record. The framing of the records makes the log slightly larger than requested.
const PAYLOAD_BYTES: usize = 256;

/// The measured times to open the log and to read its files.
#[derive(Debug)]
pub(crate) struct Opening {
    /// Total size of all segment files.
    pub(crate) bytes: u64,
    pub(crate) records: u64,
    pub(crate) opens: Vec<Duration>,
    pub(crate) reads: Vec<Duration>,
}

pub(crate) fn run(args: &Args) -> Result<Option<Opening>> {
    if args.open_bytes == 0 {
        return Ok(None);
    }
    let directory = tempfile::tempdir_in(&args.directory)?;
    // The fill process aborts without a clean shutdown, so each open below must read every byte.
    let status = Command::new(std::env::current_exe()?)
        .arg("fill")
        .arg(directory.path())
        .arg(args.open_bytes.to_string())
        .stdout(Stdio::null())
        .status()?;
    ensure!(
        status.code().is_none(),
        "the fill process exited instead of aborting: {status}"
    );
    let mut opening = Opening {
        bytes: 0,
        records: 0,
        opens: Vec::new(),
        reads: Vec::new(),
    };
    for _ in 0..args.repeats {
        let start = Instant::now();
        opening.bytes = read_all(directory.path())?;
        opening.reads.push(start.elapsed());
        opening.records = reopen(directory.path(), &mut opening.opens)?;
    }
    Ok(Some(opening))
}

/// Opens the log in a separate process, which then aborts, so that no open finds a cleanly closed log.
fn reopen(directory: &Path, opens: &mut Vec<Duration>) -> Result<u64> {
    let output = Command::new(std::env::current_exe()?)
        .arg("fill")
        .arg(directory)
        .arg("0")
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut words = text.split_whitespace().map(str::parse::<u64>);
    let nanos = words.next().context("the fill process printed no time")??;
    let records = words
        .next()
        .context("the fill process printed no number of records")??;
    ensure!(records > 0, "the log is empty");
    opens.push(Duration::from_nanos(nanos));
    Ok(records)
}

/// Opens the log, prints the time for this and the number of records, appends `bytes` of records, and aborts.
pub(crate) fn fill_and_abort(directory: &Path, bytes: u64) -> Result<()> {
    let start = Instant::now();
    // The log size is large enough that no segment is removed while the log is filled.
    let mut log = Steadfast::open_with(directory, policy(1 << 40)?)?;
    let took = start.elapsed();
    crate::print(&format!("{} {}\n", took.as_nanos(), log.records()))?;
    let payload = Bytes::from(vec![b'7'; PAYLOAD_BYTES]);
    let mut written = 0;
    let mut durable = Vec::new();
    while written < bytes {
        let batch: Vec<Record> = (0..64_u16)
            .cycle()
            .take(BATCH_RECORDS)
            .map(|writer| Record {
                writer,
                payload: payload.clone(),
            })
            .collect();
        log.submit(batch)?;
        durable.clear();
        while durable.len() < BATCH_RECORDS {
            log.acknowledged(&mut durable)?;
        }
        written += u64::try_from(BATCH_RECORDS * PAYLOAD_BYTES)?;
    }
    std::process::abort()
}

/// Reads every segment once, 1 MiB at a time, and computes its CRC32. Returns the total size in bytes.
fn read_all(directory: &Path) -> Result<u64> {
    let mut sum = 0;
    let mut buffer = vec![0; 1 << 20];
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path
            .extension()
            .is_none_or(|extension| extension != "segment")
        {
            continue;
        }
        let mut file = File::open(&path)?;
        let mut checksum = crc32fast::Hasher::new();
        loop {
            let count = file.read(&mut buffer)?;
            let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else {
                break;
            };
            checksum.update(read);
            sum += u64::try_from(count)?;
        }
        std::hint::black_box(checksum.finalize());
    }
    Ok(sum)
}
