//! `steadfast log`: checks or repairs the log in a data directory.
//!
//! The result is printed on standard output. For a corrupt log, `verify` fails; `repair` succeeds.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use steadfast_gateway::engine::log::corruption_text;
use steadfast_gateway::engine::log::tool::{self, RepairOutcome, RepairReport, Verification};
use steadfast_gateway::error::ServeError;

use crate::args::{Log, LogDirectory};
use crate::exit::Failure;
use crate::output;

/// Verifies or repairs the log.
///
/// # Errors
///
/// When the directory cannot be used, or `verify` finds corruption.
pub(crate) fn run(arguments: &Log) -> Result<(), Failure> {
    match arguments {
        Log::Verify(arguments) => verify(arguments),
        Log::Repair(arguments) => repair(arguments),
    }
}

fn verify(arguments: &LogDirectory) -> Result<(), Failure> {
    let directory = &arguments.directory;
    let found = tool::verify(directory).map_err(ServeError::from)?;
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
    let repaired = tool::repair(directory).map_err(ServeError::from)?;
    if arguments.json {
        output::print(&repaired_json(directory, &repaired).to_string());
    } else {
        output::print(&repaired_text(directory, &repaired));
    }
    Ok(())
}

fn verification_text(directory: &Path, found: &Verification) -> String {
    let report = &found.report;
    let directory = directory.display();
    let state = match found.corruptions.len() {
        0 => "intact".to_owned(),
        1 => "corrupt: 1 corrupt range".to_owned(),
        count => format!("corrupt: {count} corrupt ranges"),
    };
    let shutdown = match report.torn_write {
        _ if report.is_clean => "clean".to_owned(),
        None => "unclean: the process ended without closing the log".to_owned(),
        Some(torn) => format!(
            "unclean: incomplete record in segment {} at byte {}, truncated at the next start",
            torn.segment.0, torn.at
        ),
    };
    let mut text = format!(
        "{directory} is {state}\n  segments   {}\n  bytes      {}\n  records    {}\n  channels   {}\n  \
         keys       {} idempotency keys in the deduplication window\n  shutdown   {shutdown}",
        report.segments, report.bytes, report.records, report.channels, report.idempotency_keys
    );
    for corruption in &found.corruptions {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  corrupt    {}", corruption_text(corruption));
    }
    text
}

fn verification_json(directory: &Path, found: &Verification) -> Value {
    let report = &found.report;
    let torn = report
        .torn_write
        .map(|torn| json!({ "segment": torn.segment.0, "at_bytes": torn.at }));
    let corruptions: Vec<Value> = found
        .corruptions
        .iter()
        .map(|corruption| {
            json!({
                "segment": corruption.segment.0,
                "at_bytes": corruption.at,
                "description": corruption_text(corruption),
            })
        })
        .collect();
    json!({
        "directory": directory.display().to_string(),
        "is_intact": found.corruptions.is_empty(),
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
