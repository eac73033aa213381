//! What an instance printed during a part of a run, from the files that the run left.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::time::Duration;

use steadfast_faults::topology::Instance;
use steadfast_machine::Instant;

/// The file with the output of an instance, in the directory of the instance.
pub(crate) const FILE: &str = "service.log";
/// The beginning of the line that says how much is missing.
pub(crate) const CUT: &str = "--- cut";

/// Lines of an instance with the instants at which the lab received them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpt {
    /// Each line, without its end.
    pub lines: Vec<(Instant, String)>,
    /// Lines of the same time that were not returned because there were too many.
    pub omitted: u64,
}

/// Returns the lines that an instance printed between two instants of its run, both included: the first `max` of them.
/// `folder` is that of the run or of its control run.
///
/// # Errors
///
/// When the file of the instance cannot be read.
pub fn lines(
    folder: &Path,
    instance: &Instance,
    from: Instant,
    to: Instant,
    max: usize,
) -> io::Result<Excerpt> {
    let name = format!("{}-{}", instance.service, instance.number);
    lines_of(&folder.join(name), from, to, max)
}

/// The same for the directory of an instance.
pub(crate) fn lines_of(
    folder: &Path,
    from: Instant,
    to: Instant,
    max: usize,
) -> io::Result<Excerpt> {
    let mut excerpt = Excerpt::default();
    for line in BufReader::new(File::open(folder.join(FILE))?).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        let Some((at, text)) = parse(&line).filter(|(at, _)| (from..=to).contains(at)) else {
            continue;
        };
        if excerpt.lines.len() < max {
            excerpt.lines.push((at, text.to_owned()));
        } else {
            excerpt.omitted += 1;
        }
    }
    Ok(excerpt)
}

/// The beginning of a line: seconds since the start of the run.
pub(crate) fn stamp(at: Instant) -> String {
    let since = at - Instant::START;
    format!("{:>5}.{:06} ", since.as_secs(), since.subsec_micros())
}

fn parse(line: &str) -> Option<(Instant, &str)> {
    let (stamp, text) = line.trim_start_matches(' ').split_once(' ')?;
    let (seconds, micros) = stamp.split_once('.')?;
    let (seconds, micros) = (seconds.parse().ok()?, micros.parse().ok()?);
    let since = Duration::from_secs(seconds).checked_add(Duration::from_micros(micros))?;
    Some((Instant::START + since, text))
}
