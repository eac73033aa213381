//! The logs in the directory of a run, as evidence in its report.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use steadfast_faults::report::Report;
use steadfast_faults::report::html::{
    FAULT_LINES_MAX, FaultLog, LOG_LINES_MAX, LOGS_MAX, LogExcerpt, LogWindow, log_windows,
};
use steadfast_faults::topology::Instance;
use steadfast_lab::evidence::{self, Keep};

/// The folder with the logs of the run with faults.
const RUN: &str = "run";

/// The part of a log file that is read for its last lines.
const LOG_BYTES_MAX: u64 = 32 * 1024;

/// The deepest folder of a run with logs, below the run's directory: `run/gateway-1`.
const LOG_DEPTH_MAX: usize = 3;

/// What services printed around the faults that hit them. A log that cannot be read is left out: it is only evidence.
pub(super) fn of_faults(folder: &Path, report: &Report<'_>) -> Vec<FaultLog> {
    let topology = report.plan.topology();
    let windows = log_windows(report).into_iter();
    let found = windows.filter_map(|window| {
        let instance = topology.instance(window.instance)?;
        around(&folder.join(RUN), instance, window).ok()
    });
    found.collect()
}

fn around(folder: &Path, instance: &Instance, window: LogWindow) -> io::Result<FaultLog> {
    let read = |during, keep| evidence::lines(folder, instance, during, keep);
    let before = read(&window.before, Keep::Last(FAULT_LINES_MAX))?;
    let after = read(&window.after, Keep::First(FAULT_LINES_MAX))?;
    Ok(FaultLog {
        path: format!("{RUN}/{}", evidence::path(instance)),
        omitted: before.omitted.saturating_add(after.omitted),
        before: before.lines,
        after: after.lines,
        window,
    })
}

/// The last lines of each log of the run. A log that cannot be read is left out: it is only evidence.
pub(super) fn last_lines(folder: &Path) -> Vec<LogExcerpt> {
    let mut paths = Vec::new();
    find_logs(folder, RUN, LOG_DEPTH_MAX, &mut paths);
    paths.sort();
    let first = paths.iter().take(LOGS_MAX);
    let excerpts = first.filter_map(|path| excerpt(folder, path));
    // The page counts the logs that it does not show.
    let rest = paths.iter().skip(LOGS_MAX).map(|path| LogExcerpt {
        path: path.clone(),
        bytes: 0,
        lines: Vec::new(),
    });
    excerpts.chain(rest).collect()
}

fn find_logs(folder: &Path, below: &str, depth: usize, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder.join(below)) else {
        return;
    };
    for entry in entries.flatten() {
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
            continue;
        };
        let path = format!("{below}/{name}");
        let is_folder = entry.file_type().is_ok_and(|it| it.is_dir());
        if is_folder && depth > 1 {
            find_logs(folder, &path, depth - 1, found);
        } else if Path::new(&name).extension().is_some_and(|it| it == "log") {
            found.push(path);
        }
    }
}

fn excerpt(folder: &Path, path: &str) -> Option<LogExcerpt> {
    let mut file = File::open(folder.join(path)).ok()?;
    let bytes = file.metadata().ok()?.len();
    let skipped = bytes.saturating_sub(LOG_BYTES_MAX);
    file.seek(SeekFrom::Start(skipped)).ok()?;
    let mut end = Vec::new();
    file.take(LOG_BYTES_MAX).read_to_end(&mut end).ok()?;
    let end = String::from_utf8_lossy(&end);
    let mut lines: Vec<String> = end.lines().map(str::to_owned).collect();
    if skipped > 0 && !lines.is_empty() {
        // The first line is incomplete.
        lines.remove(0);
    }
    let first = lines.len().saturating_sub(LOG_LINES_MAX);
    Some(LogExcerpt {
        path: path.to_owned(),
        bytes,
        lines: lines.split_off(first),
    })
}
