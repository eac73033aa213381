//! What an instance printed during a part of a run, from the files that the run left.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use steadfast_faults::topology::Instance;
use steadfast_machine::Instant;

/// The file with the output of an instance, in the directory of the instance.
pub(crate) const FILE: &str = "service.log";
/// The beginning of the line that says how much is missing.
pub(crate) const CUT: &str = "--- cut";

/// The bytes of a line that are returned: the stamp, and about as much as a page shows.
const LINE_BYTES_MAX: u64 = 4 << 10;

/// Lines of an instance with the instants at which the lab received them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpt {
    /// Each line, without its end; at most 4 KiB of it.
    pub lines: Vec<(Instant, String)>,
    /// Lines of the same time that were not returned because there were too many.
    pub omitted: u64,
}

/// Which of too many lines are returned, and how many at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The first ones.
    First(usize),
    /// The last ones.
    Last(usize),
}

/// The path of the output of an instance in the directory of a run or of its control run.
pub fn path(instance: &Instance) -> String {
    format!("{}-{}/{FILE}", instance.service, instance.number)
}

/// Returns the lines that an instance printed in a part of its run, in their order. `folder` is that of the run or of its
/// control run.
///
/// # Errors
///
/// When the file of the instance cannot be read.
pub fn lines(
    folder: &Path,
    instance: &Instance,
    during: &Range<Instant>,
    keep: Keep,
) -> io::Result<Excerpt> {
    lines_of(&folder.join(path(instance)), during, keep)
}

/// The same for a file.
pub(crate) fn lines_of(file: &Path, during: &Range<Instant>, keep: Keep) -> io::Result<Excerpt> {
    let mut lines = VecDeque::new();
    let mut omitted = 0;
    let mut file = BufReader::new(File::open(file)?);
    while let Some(line) = next_line(&mut file)? {
        let line = String::from_utf8_lossy(&line);
        let Some((at, text)) = parse(&line).filter(|(at, _)| during.contains(at)) else {
            continue;
        };
        match keep {
            Keep::First(max) if lines.len() >= max => omitted += 1,
            Keep::First(_) => lines.push_back((at, text.to_owned())),
            Keep::Last(max) => {
                lines.push_back((at, text.to_owned()));
                if lines.len() > max {
                    lines.pop_front();
                    omitted += 1;
                }
            }
        }
    }
    Ok(Excerpt {
        lines: lines.into(),
        omitted,
    })
}

/// The beginning of the next line, without its end; `None` at the end of the file.
fn next_line(file: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if file
        .by_ref()
        .take(LINE_BYTES_MAX)
        .read_until(b'\n', &mut line)?
        == 0
    {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else {
        file.skip_until(b'\n')?;
    }
    Ok(Some(line))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_and_the_next_one_is_complete() {
        let long = "x".repeat(100_000);
        let mut file = format!("0.000001 {long}\n0.000002 short\n0.000003 end").into_bytes();
        file.insert(20, 0xff);
        let mut file = file.as_slice();

        let lengths: Vec<usize> =
            std::iter::from_fn(|| next_line(&mut file).unwrap().map(|it| it.len())).collect();

        assert_eq!(lengths, [4_096, 14, 12]);
    }
}
