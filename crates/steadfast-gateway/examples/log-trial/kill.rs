//! The trial: starts a writer, kills it at a seeded moment, sometimes spoils what no record needs, and compares what a
//! reader then finds with everything that was asked and acknowledged.

mod books;
mod spoil;

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use steadfast_machine::{Generator, Seed};

use self::books::{Books, Found};
use crate::records::{Failure, print};

/// A directory is used for so many cycles, so that reading all of it each time stays short.
const CYCLES_PER_DIRECTORY: u64 = 25;

/// The writer is killed after so many acknowledgements at most.
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
        let path = directory.path().to_str().ok_or("a path that is no text")?;
        let mut books = Books::default();
        for cycle in first..cycles.min(first + CYCLES_PER_DIRECTORY) {
            one_cycle(path, cycle, seed, &mut books, &mut totals)
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
         kills_in_flight={kills_in_flight} torn_tails={torn} garbage_tails={garbage} \
         unreserved={unreserved} repeats={repeats} repeats_found_stored={duplicates} segments_max={segments_max}\n"
    ));
    if acknowledged == 0 || kills_in_flight == 0 {
        return Err(
            "nothing was proved: no record was acknowledged, or none was in flight at a kill"
                .into(),
        );
    }
    Ok(())
}

fn one_cycle(
    directory: &str,
    cycle: u64,
    seed: u64,
    books: &mut Books,
    totals: &mut Totals,
) -> Result<(), Failure> {
    let mut generator = Seed::new(seed ^ cycle.wrapping_mul(0x9E37_79B9)).generator();
    write_and_kill(directory, cycle, &mut generator, books, totals)?;
    match generator.below(4) {
        0 => totals.garbage += u64::from(spoil::append_garbage(directory, &mut generator)?),
        1 => totals.unreserved += u64::from(spoil::remove_reserved(directory)?),
        _ => {}
    }
    read_and_compare(directory, &mut generator, books, totals)
}

/// Runs the writer until it has acknowledged a seeded number of records, then kills it.
fn write_and_kill(
    directory: &str,
    cycle: u64,
    generator: &mut Generator,
    books: &mut Books,
    totals: &mut Totals,
) -> Result<(), Failure> {
    let repeats = books.open_questions();
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
        let line = lines.next()?.ok_or("the writer ended by itself")?;
        acknowledged += u64::from(line.starts_with("ack "));
        totals.duplicates += u64::from(line.ends_with("duplicate=true"));
        books.on_writer(&line)?;
    }
    writer.kill()?;
    while let Some(line) = lines.next()? {
        acknowledged += u64::from(line.starts_with("ack "));
        totals.duplicates += u64::from(line.ends_with("duplicate=true"));
        books.on_writer(&line)?;
    }
    writer.wait()?;
    let in_flight = books.in_flight();
    totals.acknowledged += acknowledged;
    totals.in_flight += in_flight;
    totals.kills_in_flight += u64::from(in_flight > 0);
    Ok(())
}

/// Lets a reader print the whole log, and ends it by a kill or in peace.
fn read_and_compare(
    directory: &str,
    generator: &mut Generator,
    books: &mut Books,
    totals: &mut Totals,
) -> Result<(), Failure> {
    let (mut reader, mut lines) = start(&["read", directory])?;
    let mut found = Found::default();
    loop {
        let line = lines.next()?.ok_or("the reader ended by itself")?;
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
    books.compare(found)?;
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

fn start(arguments: &[&str]) -> Result<(Child, Said), Failure> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().ok_or("no standard output")?;
    Ok((child, Said(BufReader::new(stdout))))
}

/// What a child said, in whole lines: one that was cut by the kill was never said.
struct Said(BufReader<ChildStdout>);

impl Said {
    fn next(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.strip_suffix('\n').map(str::to_owned))
    }
}
