//! The thread that reads the lines of a driver, within limits: nothing that a driver writes makes the lab allocate more
//! than a line, or handle more than a plausible number of events.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_machine::{Instant, convert};

use super::DriverId;
use super::line::DriverLine;
use crate::runner::inbox::{HarnessMessage, MessagePayload};

/// The longest line: several times the largest payload of a scenario.
pub(crate) const LINE_BYTES_MAX: usize = 64 << 10;
/// The most lines in one second, many times what 1,000 clients cause.
const LINES_PER_SECOND_MAX: u64 = 100_000;
/// The most bytes in one second.
const BYTES_PER_SECOND_MAX: u64 = 32 << 20;

/// Sends each line with its instant, then [`DriverLine::Ended`]. After a line above a limit, nothing more is read: the
/// driver blocks, or receives an error when it writes.
pub(super) fn read(
    id: DriverId,
    output: impl Read,
    clock: Clock,
    inbox: &SyncSender<HarnessMessage>,
) {
    let mut output = BufReader::new(output);
    let mut limit = RateLimit::default();
    let mut text = Vec::new();
    loop {
        text.clear();
        let read = read_line(&mut output, &mut text);
        let at = clock.now();
        let line = match read {
            Ok(Some(LineLength::Within)) => match limit.count(at, text.len()) {
                Ok(()) => DriverLine::parse(&String::from_utf8_lossy(&text)),
                Err(limit) => DriverLine::AboveLimit(limit),
            },
            Ok(Some(LineLength::Above)) => {
                DriverLine::AboveLimit(format!("a line of more than {LINE_BYTES_MAX} bytes"))
            }
            Ok(None) | Err(_) => DriverLine::Ended,
        };
        let is_last = matches!(line, DriverLine::Ended | DriverLine::AboveLimit(_));
        let payload = MessagePayload::Driver(id, line);
        // The inbox is closed once the run has ended.
        if inbox.send(HarnessMessage { at, payload }).is_err() || is_last {
            return;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineLength {
    Within,
    Above,
}

/// Reads up to the end of a line, without it; `None` at the end of the output. Not more than a line of the greatest
/// length is kept.
fn read_line(output: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<Option<LineLength>> {
    let limit = LINE_BYTES_MAX + 1;
    let allowed = convert::to_u64(limit);
    let length = output.by_ref().take(allowed).read_until(b'\n', text)?;
    if text.last() == Some(&b'\n') {
        text.pop();
        return Ok(Some(LineLength::Within));
    }
    Ok(match length {
        0 => None,
        _ if length == limit => Some(LineLength::Above),
        // The last line has no end.
        _ => Some(LineLength::Within),
    })
}

/// Counts lines and bytes of the present second.
#[derive(Debug, Default)]
struct RateLimit {
    since: Instant,
    lines: u64,
    bytes: u64,
}

impl RateLimit {
    /// Counts a line; an error describes the limit that it exceeds.
    fn count(&mut self, at: Instant, length: usize) -> Result<(), String> {
        if at - self.since >= Duration::from_secs(1) {
            *self = Self {
                since: at,
                ..Self::default()
            };
        }
        self.lines += 1;
        self.bytes = self.bytes.saturating_add(convert::to_u64(length));
        if self.lines > LINES_PER_SECOND_MAX {
            return Err(format!(
                "more than {LINES_PER_SECOND_MAX} lines in a second"
            ));
        }
        if self.bytes > BYTES_PER_SECOND_MAX {
            return Err(format!(
                "more than {BYTES_PER_SECOND_MAX} bytes in a second"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_up_to_the_greatest_length_and_no_further() {
        let longest = "x".repeat(LINE_BYTES_MAX);
        let input = format!("a\n\n{longest}\nx{longest}\n");
        let mut input = input.as_bytes();
        let mut next = || {
            let mut text = Vec::new();
            let length = read_line(&mut input, &mut text).unwrap();
            (length, text.len())
        };

        assert_eq!(next(), (Some(LineLength::Within), 1));
        assert_eq!(next(), (Some(LineLength::Within), 0));
        assert_eq!(next(), (Some(LineLength::Within), LINE_BYTES_MAX));
        assert_eq!(next(), (Some(LineLength::Above), LINE_BYTES_MAX + 1));
    }

    #[test]
    fn the_last_line_needs_no_end() {
        let mut input = b"a".as_slice();
        let mut text = Vec::new();

        let first = read_line(&mut input, &mut text).unwrap();
        let second = read_line(&mut input, &mut text).unwrap();

        assert_eq!((first, second), (Some(LineLength::Within), None));
    }

    #[test]
    fn a_burst_above_the_rate_is_rejected_and_a_new_second_begins_at_zero() {
        let mut limit = RateLimit::default();
        let at = Instant::START + Duration::from_secs(5);

        for _ in 0..LINES_PER_SECOND_MAX {
            limit.count(at, 10).unwrap();
        }

        limit.count(at, 10).unwrap_err();
        limit.count(at + Duration::from_secs(1), 10).unwrap();
        let bytes = usize::try_from(BYTES_PER_SECOND_MAX).unwrap();
        limit.count(at + Duration::from_secs(1), bytes).unwrap_err();
    }
}
