//! `steadfast log`: checks, copies or repairs the log in a data directory, or removes channels from it.
//!
//! The result is printed on standard output, and the progress of a long operation on standard error. For a corrupt log,
//! `verify` fails; `repair` succeeds.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use steadfast_clock::Clock;
use steadfast_gateway::engine::log::tool::{
    self, OpenReport, Progress, RepairOutcome, RepairReport, Verification,
};
use steadfast_gateway::error::ServeError;

use crate::args::{Log, LogBackup, LogDirectory, LogForget, LogRestore};
use crate::exit::Failure;
use crate::output;

/// How often the progress of an operation is printed.
const PROGRESS_PERIOD: Duration = Duration::from_secs(2);

/// Executes a command on the log.
///
/// # Errors
///
/// When a directory cannot be used, or the log is corrupt and the command is not its repair.
pub(crate) fn run(arguments: &Log) -> Result<(), Failure> {
    match arguments {
        Log::Verify(arguments) => verify(arguments),
        Log::Backup(arguments) => back_up(arguments),
        Log::Restore(arguments) => restore(arguments),
        Log::Repair(arguments) => repair(arguments),
        Log::Forget(arguments) => forget(arguments),
    }
}

fn verify(arguments: &LogDirectory) -> Result<(), Failure> {
    let directory = &arguments.directory;
    let found = tool::verify(directory, &mut progress("read")).map_err(ServeError::from)?;
    if arguments.json {
        output::print(&verification_json(directory, &found).to_string());
    } else {
        output::print(&verification_text(directory, &found));
    }
    if found.corruptions.is_empty() {
        return Ok(());
    }
    let directory = directory.display();
    Err(Failure::data_directory(
        format!("the log in {directory} is corrupt"),
        format!(
            "The gateway refuses to start with it. Copy all valid records to new segments: steadfast log repair {directory}\n\
             The repair keeps the damaged files and changes all channel epochs, so that clients reload their state."
        ),
    ))
}

fn repair(arguments: &LogDirectory) -> Result<(), Failure> {
    let directory = &arguments.directory;
    let repaired = tool::repair(directory, &mut progress("read")).map_err(ServeError::from)?;
    if arguments.json {
        output::print(&repaired_json(directory, &repaired).to_string());
    } else {
        output::print(&repaired_text(directory, &repaired));
    }
    Ok(())
}

fn back_up(arguments: &LogBackup) -> Result<(), Failure> {
    let (directory, target) = (&arguments.directory, &arguments.target);
    let found =
        tool::back_up(directory, target, &mut progress("copied")).map_err(ServeError::from)?;
    let next = format!(
        "steadfast log restore {} DIR copies it to a new data directory",
        target.display()
    );
    print_copy(target, &found, arguments.json, "backup", &next);
    Ok(())
}

fn restore(arguments: &LogRestore) -> Result<(), Failure> {
    let (backup, directory) = (&arguments.backup, &arguments.directory);
    let found =
        tool::restore(backup, directory, &mut progress("copied")).map_err(ServeError::from)?;
    let next = "all channel epochs change at the first start: clients reload their state";
    print_copy(directory, &found, arguments.json, "restored log", next);
    Ok(())
}

fn print_copy(target: &Path, copied: &Verification, json: bool, what: &str, next: &str) {
    let report = &copied.report;
    let target = target.display();
    output::print(&if json {
        json!({
            "directory": target.to_string(),
            "segments": report.segments,
            "bytes": report.bytes,
            "records": report.records,
            "channels": report.channels,
        })
        .to_string()
    } else {
        format!(
            "{target} is a complete {what}\n  segments   {}\n  bytes      {}\n  records    {}\n  channels   {}\n  \
             next       {next}",
            report.segments, report.bytes, report.records, report.channels
        )
    });
}

fn forget(arguments: &LogForget) -> Result<(), Failure> {
    let (directory, channels) = (&arguments.directory, &arguments.channels);
    let names: Vec<_> = channels.iter().map(|name| name.as_str().into()).collect();
    tool::forget(directory, &names, &mut progress("read")).map_err(ServeError::from)?;
    let directory = directory.display();
    output::print(&if arguments.json {
        json!({ "directory": directory.to_string(), "removed_channels": channels }).to_string()
    } else {
        let channels = channels.join(", ");
        format!(
            "removed from {directory}: {channels}\nThe next message to such a channel begins a new history."
        )
    });
    Ok(())
}

/// Prints how far an operation is, if it takes long.
fn progress(done: &'static str) -> impl FnMut(Progress) {
    let clock = Clock::start();
    let mut printed = clock.now();
    move |progress| {
        let now = clock.now();
        if now.saturating_since(printed) >= PROGRESS_PERIOD {
            printed = now;
            let mebibytes = |bytes: u64| bytes >> 20;
            output::message(&format!(
                "{done} {} of {} MiB",
                mebibytes(progress.done_bytes),
                mebibytes(progress.total_bytes)
            ));
        }
    }
}

fn verification_text(directory: &Path, found: &Verification) -> String {
    let report = &found.report;
    let directory = directory.display();
    let state = match found.corruptions.len() {
        0 => "intact".to_owned(),
        1 => "corrupt: 1 corrupt range".to_owned(),
        count => format!("corrupt: {count} corrupt ranges"),
    };
    let mut text = format!(
        "{directory} is {state}\n  segments   {}\n  bytes      {}\n  records    {}\n  channels   {}\n  \
         keys       {} idempotency keys in the deduplication window",
        report.segments, report.bytes, report.records, report.channels, report.idempotency_keys
    );
    // The next start refuses a corrupt log, so that it truncates nothing.
    if found.corruptions.is_empty() {
        let _ = write!(text, "\n  shutdown   {}", shutdown_text(report));
    }
    for corruption in &found.corruptions {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  corrupt    {corruption}");
    }
    text
}

/// How the last gateway ended, and what the next start does about it.
fn shutdown_text(report: &OpenReport) -> String {
    match report.torn_write {
        _ if report.is_clean => "clean".to_owned(),
        None => "none: a gateway is using the log, or ended without closing it".to_owned(),
        Some(torn) => format!(
            "unclean: incomplete record in segment {} at byte {}, truncated at the next start",
            torn.segment.0, torn.at
        ),
    }
}

fn verification_json(directory: &Path, found: &Verification) -> Value {
    let report = &found.report;
    let is_intact = found.corruptions.is_empty();
    let torn = report.torn_write.filter(|_| is_intact);
    let torn = torn.map(|torn| json!({ "segment": torn.segment.0, "at_bytes": torn.at }));
    let corruptions: Vec<Value> = found
        .corruptions
        .iter()
        .map(|corruption| {
            json!({
                "segment": corruption.segment.0,
                "at_bytes": corruption.at,
                "description": corruption.to_string(),
            })
        })
        .collect();
    json!({
        "directory": directory.display().to_string(),
        "is_intact": is_intact,
        "segments": report.segments,
        "bytes": report.bytes,
        "records": report.records,
        "channels": report.channels,
        "idempotency_keys": report.idempotency_keys,
        "is_shutdown_clean": report.is_clean,
        "torn_write": torn,
        "corruptions": corruptions,
    })
}

fn repaired_text(directory: &Path, repaired: &RepairOutcome) -> String {
    let directory = directory.display();
    match repaired {
        RepairOutcome::Intact(_) => format!("{directory} is intact: nothing was changed"),
        RepairOutcome::Repaired {
            report, originals, ..
        } => format!(
            "{directory} is repaired\n  kept       {} publications in {} channels, in {} segments\n  \
             dropped    {} corrupt {} ({} bytes in total), and {} publications without a channel name\n  \
             originals  kept in {}, which can be deleted\n  \
             epochs     all channel epochs are new: clients reload their state",
            report.kept,
            report.channels,
            report.segments,
            report.corrupt_ranges,
            if report.corrupt_ranges == 1 {
                "range"
            } else {
                "ranges"
            },
            report.corrupt_bytes,
            report.unnamed,
            originals.display()
        ),
    }
}

fn repaired_json(directory: &Path, repaired: &RepairOutcome) -> Value {
    let directory = directory.display().to_string();
    match repaired {
        RepairOutcome::Intact(_) => json!({ "directory": directory, "is_changed": false }),
        RepairOutcome::Repaired {
            report, originals, ..
        } => {
            let RepairReport {
                kept,
                unnamed,
                corrupt_ranges,
                corrupt_bytes,
                channels,
                segments,
            } = report;
            json!({
                "directory": directory,
                "is_changed": true,
                "publications_kept": kept,
                "without_channel_name": unnamed,
                "corrupt_ranges": corrupt_ranges,
                "corrupt_bytes": corrupt_bytes,
                "channels": channels,
                "segments": segments,
                "originals_directory": originals.display().to_string(),
            })
        }
    }
}
