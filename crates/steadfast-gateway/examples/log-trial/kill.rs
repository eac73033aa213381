//! The trial: starts a writer, kills it at a seeded moment, sometimes adds artifacts of a crash, and compares what a
//! reader then finds with everything that was requested and acknowledged.

mod crash_artifacts;
mod ledger;

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use steadfast_machine::{Generator, Seed};

use self::ledger::{Found, Ledger};
use crate::records::{Failure, print};

/// The number of cycles per directory; it limits the time of each complete read.
const CYCLES_PER_DIRECTORY: u64 = 25;

/// The maximum number of acknowledgements after which the writer is killed.
const ACKS_MAX: u64 = 1500;

#[derive(Debug, Default)]
struct Totals {
    acknowledged: u64,
    in_flight: u64,
    kills_in_flight: u64,
    torn: u64,
    garbage: u64,
    unreserved: u64,
    repeats: u64,
    duplicates: u64,
    segments_max: u64,
}

pub(crate) fn run(cycles: &str, seed: &str) -> Result<(), Failure> {
    let (cycles, seed): (u64, u64) = (cycles.parse()?, seed.parse()?);
    let mut totals = Totals::default();
    for first in (0..cycles).step_by(usize::try_from(CYCLES_PER_DIRECTORY)?) {
        let directory = tempfile::tempdir()?;
        let path = directory.path().to_str().ok_or("path is not UTF-8")?;
        let mut ledger = Ledger::default();
        for cycle in first..cycles.min(first + CYCLES_PER_DIRECTORY) {
            one_cycle(path, cycle, seed, &mut ledger, &mut totals)
                .map_err(|error| format!("seed {seed}, cycle {cycle}: {error}"))?;
        }
    }
    let Totals {
        acknowledged,
        in_flight,
        kills_in_flight,
        torn,
        ..
    } = totals;
    let Totals {
        garbage,
        unreserved,
        repeats,
        duplicates,
        segments_max,
        ..
    } = totals;
    print(&format!(
        "cycles={cycles} acknowledged={acknowledged} lost=0 reordered=0 twice=0 in_flight_at_kills={in_flight} \
         kills_in_flight={kills_in_flight} torn_writes={torn} garbage_tails={garbage} \
         unreserved={unreserved} repeats={repeats} repeats_found_stored={duplicates} segments_max={segments_max}\n"
    ));
    if acknowledged == 0 || kills_in_flight == 0 {
        return Err(
            "inconclusive: no record was acknowledged, or none was in flight at a kill".into(),
        );
    }
    Ok(())
}

fn one_cycle(
    directory: &str,
    cycle: u64,
    seed: u64,
    ledger: &mut Ledger,
    totals: &mut Totals,
) -> Result<(), Failure> {
    let mut generator = Seed::new(seed ^ cycle.wrapping_mul(0x9E37_79B9)).generator();
    write_and_kill(directory, cycle, &mut generator, ledger, totals)?;
    match generator.below(4) {
        0 => {
            totals.garbage +=
                u64::from(crash_artifacts::append_garbage(directory, &mut generator)?);
        }
        1 => totals.unreserved += u64::from(crash_artifacts::remove_reserved(directory)?),
        _ => {}
    }
    read_and_compare(directory, &mut generator, ledger, totals)
}

/// Runs the writer until it has acknowledged a seeded number of records, then kills it.
fn write_and_kill(
    directory: &str,
    cycle: u64,
    generator: &mut Generator,
    ledger: &mut Ledger,
    totals: &mut Totals,
) -> Result<(), Failure> {
    let repeats = ledger.take_unresolved();
    totals.repeats += u64::try_from(repeats.len())?;
    let (mut writer, mut lines) = start(&["write", directory, &cycle.to_string()])?;
    let mut stdin = writer.stdin.take().ok_or("no standard input")?;
    for name in &repeats {
        writeln!(stdin, "{}", name.text())?;
    }
    drop(stdin);
    let acks = generator.below(ACKS_MAX);
    let mut acknowledged = 0;
    while acknowledged < acks {
        let line = lines.next()?.ok_or("the writer exited unexpectedly")?;
        acknowledged += u64::from(line.starts_with("ack "));
        totals.duplicates += u64::from(line.ends_with("duplicate=true"));
        ledger.on_writer(&line)?;
    }
    writer.kill()?;
    while let Some(line) = lines.next()? {
        acknowledged += u64::from(line.starts_with("ack "));
        totals.duplicates += u64::from(line.ends_with("duplicate=true"));
        ledger.on_writer(&line)?;
    }
    writer.wait()?;
    let in_flight = ledger.in_flight();
    totals.acknowledged += acknowledged;
    totals.in_flight += in_flight;
    totals.kills_in_flight += u64::from(in_flight > 0);
    Ok(())
}

/// Makes a reader print the complete log, and kills it or closes it cleanly.
fn read_and_compare(
    directory: &str,
    generator: &mut Generator,
    ledger: &mut Ledger,
    totals: &mut Totals,
) -> Result<(), Failure> {
    let (mut reader, mut lines) = start(&["read", directory])?;
    let mut found = Found::default();
    loop {
        let line = lines.next()?.ok_or("the reader exited unexpectedly")?;
        if line == "done" {
            break;
        }
        if let Some(opened) = line.strip_prefix("opened ") {
            totals.torn += u64::from(opened.contains("torn=true"));
            let segments = crate::records::fields(opened)
                .get("segments")
                .map_or("0", |count| *count)
                .parse()?;
            totals.segments_max = totals.segments_max.max(segments);
        }
        found.on_reader(&line)?;
    }
    ledger.compare(found)?;
    if generator.below(2) == 0 {
        reader.kill()?;
    } else {
        let mut stdin = reader.stdin.take().ok_or("no standard input")?;
        writeln!(stdin, "close")?;
        if lines.next()?.as_deref() != Some("closed") {
            return Err("the reader did not close".into());
        }
    }
    reader.wait()?;
    Ok(())
}

fn start(arguments: &[&str]) -> Result<(Child, ChildOutput), Failure> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().ok_or("no standard output")?;
    Ok((child, ChildOutput(BufReader::new(stdout))))
}

/// The output of a child process, in complete lines: a line that was truncated by the kill does not count.
struct ChildOutput(BufReader<ChildStdout>);

impl ChildOutput {
    fn next(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.strip_suffix('\n').map(str::to_owned))
    }
}
