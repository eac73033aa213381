//! `steadfast log`: looks at a data directory, or rescues what is valid in a damaged one.
//!
//! Standard output tells what was found or done; a damaged log is a failure of `verify`, not of `repair`.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use steadfast_gateway::error::ServeError;
use steadfast_gateway::log::damage_text;
use steadfast_gateway::log::tool::{self, RepairReport, Repaired, Verification};

use crate::args::{Log, LogDirectory};
use crate::exit::Failure;
use crate::output;

/// Looks or repairs.
///
/// # Errors
///
/// When the directory cannot be used, or `verify` finds damage.
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
        format!("the log in {directory} is damaged"),
        format!(
            "A gateway refuses to start with it. Keep what is readable with: steadfast log repair {directory}\n\
             Repair keeps the damaged files and changes the channel epochs, so that clients reload."
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
        0 => "whole".to_owned(),
        1 => "damaged in 1 place".to_owned(),
        count => format!("damaged in {count} places"),
    };
    let end = match report.torn {
        _ if report.clean => "clean".to_owned(),
        None => "not clean: the process ended without closing the log".to_owned(),
        Some(torn) => format!(
            "not clean: an unfinished write in segment {} is cut at byte {} by the next start",
            torn.segment.0, torn.at
        ),
    };
    let mut text = format!(
        "{directory} is {state}\n  segments  {}\n  bytes     {}\n  records   {}\n  channels  {}\n  keys      {} in the window\n  \
         end       {end}",
        report.segments, report.bytes, report.records, report.channels, report.keys
    );
    for damage in &found.damages {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  damage    {}", damage_text(damage));
    }
    text
}

fn verification_json(directory: &Path, found: &Verification) -> Value {
    let report = &found.report;
    let torn = report
        .torn
        .map(|torn| json!({ "segment": torn.segment.0, "at_bytes": torn.at }));
    let damages: Vec<Value> = found
        .damages
        .iter()
        .map(|damage| {
            json!({
                "segment": damage.segment.0,
                "at_bytes": damage.at,
                "text": damage_text(damage),
            })
        })
        .collect();
    json!({
        "directory": directory.display().to_string(),
        "is_whole": found.damages.is_empty(),
        "segments": report.segments,
        "bytes": report.bytes,
        "records": report.records,
        "channels": report.channels,
        "keys": report.keys,
        "is_clean": report.clean,
        "torn_tail": torn,
        "damages": damages,
    })
}

fn repaired_text(directory: &Path, repaired: &Repaired) -> String {
    let directory = directory.display();
    match repaired {
        Repaired::Whole(_) => format!("{directory} is whole: nothing was changed"),
        Repaired::Rescued {
            report, originals, ..
        } => format!(
            "{directory} is repaired\n  kept      {} publications in {} channels, in {} segments\n  \
             lost      {} places of together {} bytes; {} publications without the name of their channel\n  \
             originals {}, which can be deleted\n  \
             clients   reload, since every channel epoch is new",
            report.kept,
            report.channels,
            report.segments,
            report.gaps,
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
                "kept": kept,
                "nameless": nameless,
                "gaps": gaps,
                "gap_bytes": gap_bytes,
                "channels": channels,
                "segments": segments,
                "originals": originals.display().to_string(),
            })
        }
    }
}
