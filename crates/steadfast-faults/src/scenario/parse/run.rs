//! Parses `[run]`: the durations of the phases.

use std::time::Duration;

use steadfast_toml::FileError;

use crate::scenario::model::{ControlRun, RunSettings};
use crate::scenario::table::Table;

const RUN: [&str; 7] = [
    "baseline",
    "duration",
    "quiet",
    "drain",
    "control",
    "stall",
    "ready_timeout",
];

const BASELINE: Duration = Duration::from_secs(5);
const QUIET: Duration = Duration::from_secs(10);
const DRAIN: Duration = Duration::from_secs(5);
/// The default stall limit: how soon a client with `LIVENESS_FAST` detects an unresponsive peer.
const STALL: Duration = Duration::from_secs(5);
const READY_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn run_settings(table: &Table<'_>) -> Result<RunSettings, FileError> {
    table.allow(&RUN)?;
    let control = table.one_of(
        "control",
        &[("before", ControlRun::Before), ("off", ControlRun::Off)],
    )?;
    Ok(RunSettings {
        baseline: bounded(table, "baseline")?.unwrap_or(BASELINE),
        duration: table.required("duration", bounded(table, "duration")?)?,
        quiet: bounded(table, "quiet")?.unwrap_or(QUIET),
        drain: bounded(table, "drain")?.unwrap_or(DRAIN),
        control: control.unwrap_or(ControlRun::Before),
        stall: bounded(table, "stall")?.unwrap_or(STALL),
        ready_timeout: bounded(table, "ready_timeout")?.unwrap_or(READY_TIMEOUT),
    })
}

/// The duration of a phase or a time limit, from 100 ms to 24 hours.
fn bounded(table: &Table<'_>, key: &str) -> Result<Option<Duration>, FileError> {
    const SHORTEST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_hours(24);
    let found = table.duration(key)?;
    match found.filter(|it| !(SHORTEST..=LONGEST).contains(it)) {
        None => Ok(found),
        Some(_) => Err(table.error(key, "must be from 100ms to 24h".to_owned(), None)),
    }
}
