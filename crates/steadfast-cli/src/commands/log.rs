//! `steadfast log`: checks or repairs the log in a data directory.
//!
//! The result is printed on standard output. For a corrupt log, `verify` fails; `repair` succeeds.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use steadfast_gateway::error::ServeError;
use steadfast_gateway::log::damage_text;
use steadfast_gateway::log::tool::{self, RepairReport, Repaired, Verification};

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
    if found.damages.is_empty() {
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
    let state = match found.damages.len() {
        0 => "intact".to_owned(),
        1 => "corrupt: 1 corrupt range".to_owned(),
        count => format!("corrupt: {count} corrupt ranges"),
    };
    let shutdown = match report.torn {
        _ if report.clean => "clean".to_owned(),
        None => "unclean: the process ended without closing the log".to_owned(),
        Some(torn) => format!(
            "unclean: incomplete record in segment {} at byte {}, truncated at the next start",
            torn.segment.0, torn.at
        ),
    };
    let mut text = format!(
        "{directory} is {state}\n  segments   {}\n  bytes      {}\n  records    {}\n  channels   {}\n  \
         keys       {} idempotency keys in the deduplication window\n  shutdown   {shutdown}",
        report.segments, report.bytes, report.records, report.channels, report.keys
    );
    for damage in &found.damages {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  corrupt    {}", damage_text(damage));
    }
    text
}

fn verification_json(directory: &Path, found: &Verification) -> Value {
    let report = &found.report;
    let torn = report
        .torn
        .map(|torn| json!({ "segment": torn.segment.0, "at_bytes": torn.at }));
    let corruptions: Vec<Value> = found
        .damages
        .iter()
        .map(|damage| {
            json!({
                "segment": damage.segment.0,
                "at_bytes": damage.at,
                "description": damage_text(damage),
            })
        })
        .collect();
    json!({
        "directory": directory.display().to_string(),
        "is_intact": found.damages.is_empty(),
        "segments": report.segments,
        "bytes": report.bytes,
        "records": report.records,
        "channels": report.channels,
        "idempotency_keys": report.keys,
        "is_shutdown_clean": report.clean,
        "torn_write": torn,
        "corruptions": corruptions,
    })
}

fn repaired_text(directory: &Path, repaired: &Repaired) -> String {
    let directory = directory.display();
    match repaired {
        Repaired::Whole(_) => format!("{directory} is intact: nothing was changed"),
        Repaired::Rescued {
            report, originals, ..
        } => format!(
            "{directory} is repaired\n  kept       {} publications in {} channels, in {} segments\n  \
             dropped    {} corrupt {} ({} bytes in total), and {} publications without a channel name\n  \
             originals  kept in {}, which can be deleted\n  \
             epochs     all channel epochs are new: clients reload their state",
            report.kept,
            report.channels,
            report.segments,
            report.gaps,
            if report.gaps == 1 { "range" } else { "ranges" },
            report.gap_bytes,
            report.nameless,
            originals.display()
        ),
    }
}

fn repaired_json(directory: &Path, repaired: &Repaired) -> Value {
    let directory = directory.display().to_string();
    match repaired {
        Repaired::Whole(_) => json!({ "directory": directory, "is_changed": false }),
        Repaired::Rescued {
            report, originals, ..
        } => {
            let RepairReport {
                kept,
                nameless,
                gaps,
                gap_bytes,
                channels,
                segments,
            } = report;
            json!({
                "directory": directory,
                "is_changed": true,
                "publications_kept": kept,
                "without_channel_name": nameless,
                "corrupt_ranges": gaps,
                "corrupt_bytes": gap_bytes,
                "channels": channels,
                "segments": segments,
                "originals_directory": originals.display().to_string(),
            })
        }
    }
}
