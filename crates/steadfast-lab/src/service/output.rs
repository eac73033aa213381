//! The output of an instance: every line with the instant at which it arrived, in a file of limited size.
//!
//! A service that floods its output must not fill the disk: the file keeps the beginning and the end, and says how much
//! is missing between them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, PipeReader, PipeWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use steadfast_clock::Clock;
use steadfast_machine::Instant;

use crate::evidence;

/// Bytes of the beginning that are kept.
const HEAD_MAX: usize = 8 << 20;
/// Bytes of the end that are kept, in memory until the run ends.
const TAIL_MAX: usize = 4 << 20;
/// Longest line; a longer one becomes several.
const LINE_MAX: usize = 16 << 10;
/// Last lines that an error shows.
const RECENT_MAX: usize = 20;
/// Bytes of a line that an error shows.
const RECENT_LINE_MAX: usize = 500;

/// The output of an instance, of all its processes after one another.
#[derive(Clone, Debug)]
pub(super) struct Output {
    state: Arc<Mutex<State>>,
    clock: Clock,
}

#[derive(Debug)]
struct State {
    file: File,
    path: PathBuf,
    head_len: usize,
    tail: VecDeque<Vec<u8>>,
    tail_len: usize,
    cut: Cut,
    recent: VecDeque<String>,
    /// The text that a readiness probe waits for.
    awaited: Option<String>,
    is_seen: bool,
    /// Why lines could not be written, if that happened.
    failure: Option<String>,
}

/// What is missing between the beginning and the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cut {
    lines: u64,
    bytes: u64,
}

impl Output {
    /// Creates the file.
    pub(super) fn create(folder: &Path, clock: Clock) -> io::Result<Self> {
        let path = folder.join(evidence::FILE);
        let state = State {
            file: File::create(&path)?,
            path,
            head_len: 0,
            tail: VecDeque::new(),
            tail_len: 0,
            cut: Cut::default(),
            recent: VecDeque::new(),
            awaited: None,
            is_seen: false,
            failure: None,
        };
        Ok(Self {
            state: Arc::new(Mutex::new(state)),
            clock,
        })
    }

    /// The end of a pipe to which a new process writes, and the thread that reads it until all writers have closed it.
    /// From now on, a line with the awaited text counts.
    pub(super) fn begin(&self, awaited: Option<&str>) -> io::Result<(PipeWriter, JoinHandle<()>)> {
        let (reader, writer) = io::pipe()?;
        let mut state = self.lock();
        state.awaited = awaited.map(str::to_owned);
        state.is_seen = false;
        drop(state);
        let output = self.clone();
        let thread = thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || output.read(reader))?;
        Ok((writer, thread))
    }

    /// Whether a line with the awaited text was printed since the last start.
    pub(super) fn is_seen(&self) -> bool {
        self.lock().is_seen
    }

    /// The last lines, each indented on a line of its own.
    pub(super) fn recent(&self) -> String {
        let state = self.lock();
        if state.recent.is_empty() {
            return "it printed nothing".to_owned();
        }
        let lines = state.recent.iter().map(|line| format!("\n    {line}"));
        format!("its output:{}", lines.collect::<String>())
    }

    /// Writes what is kept of the end. Returns what was cut or failed, if anything.
    pub(super) fn finish(&self) -> Option<String> {
        let mut state = self.lock();
        let tail = std::mem::take(&mut state.tail);
        let cut = std::mem::take(&mut state.cut);
        let mut end = Vec::with_capacity(state.tail_len);
        if cut.lines > 0 {
            let (lines, bytes) = (cut.lines, cut.bytes);
            end.extend(format!("{}: {lines} lines, {bytes} bytes\n", evidence::CUT).as_bytes());
        }
        for line in tail {
            end.extend(line);
        }
        state.tail_len = 0;
        if let Err(error) = state.file.write_all(&end) {
            state.failure.get_or_insert_with(|| error.to_string());
        }
        let path = state.path.display();
        match &state.failure {
            Some(failure) => Some(format!("failed to write {path}: {failure}")),
            None => (cut.lines > 0).then(|| {
                format!(
                    "it printed too much: {} lines ({} bytes) are missing in the middle of {path}; \
                     log less, or to a file",
                    cut.lines, cut.bytes
                )
            }),
        }
    }

    fn read(&self, reader: PipeReader) {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        loop {
            let (used, is_complete) = match reader.fill_buf() {
                Ok([]) | Err(_) => break,
                Ok(bytes) => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let space = LINE_MAX.saturating_sub(line.len());
                    let length = end.map_or(bytes.len(), |end| end + 1).min(space);
                    let part = bytes.get(..length).unwrap_or_default();
                    line.extend(part);
                    (length, part.ends_with(b"\n") || line.len() >= LINE_MAX)
                }
            };
            reader.consume(used);
            if is_complete {
                self.lock().add(self.clock.now(), &line);
                line.clear();
            }
        }
        if !line.is_empty() {
            self.lock().add(self.clock.now(), &line);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it is locked leaves complete lines.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, at: Instant, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let text = String::from_utf8_lossy(line);
        if self
            .awaited
            .as_ref()
            .is_some_and(|it| text.contains(it.as_str()))
        {
            self.is_seen = true;
        }
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        let shown = text.chars().take(RECENT_LINE_MAX).collect();
        self.recent.push_back(shown);
        let mut entry = evidence::stamp(at).into_bytes();
        entry.extend(line);
        entry.push(b'\n');
        self.store(entry);
    }

    fn store(&mut self, entry: Vec<u8>) {
        if self.head_len + entry.len() <= HEAD_MAX && self.tail.is_empty() {
            self.head_len += entry.len();
            if let Err(error) = self.file.write_all(&entry) {
                self.failure.get_or_insert_with(|| error.to_string());
            }
            return;
        }
        self.tail_len += entry.len();
        self.tail.push_back(entry);
        while self.tail_len > TAIL_MAX {
            let Some(oldest) = self.tail.pop_front() else {
                return;
            };
            self.tail_len -= oldest.len();
            self.cut.lines += 1;
            self.cut.bytes += steadfast_machine::convert::to_u64(oldest.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::evidence::Keep;

    fn output(name: &str) -> (Output, PathBuf) {
        let folder = std::env::temp_dir().join(format!("lab-output-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        (Output::create(&folder, Clock::start()).unwrap(), folder)
    }

    #[test]
    fn a_flood_keeps_its_beginning_and_its_end() {
        let (output, folder) = output("flood");
        let (mut writer, thread) = output.begin(Some("line 3")).unwrap();
        let text = "x".repeat(1_000);
        for number in 0..20_000 {
            writeln!(writer, "line {number} {text}").unwrap();
        }
        drop(writer);
        thread.join().unwrap();

        let notice = output.finish().unwrap();

        assert!(output.is_seen());
        assert!(notice.starts_with("it printed too much: "), "{notice}");
        let written = std::fs::read_to_string(folder.join(evidence::FILE)).unwrap();
        assert!(written.len() <= HEAD_MAX + TAIL_MAX + 100);
        let lines: Vec<&str> = written.lines().collect();
        assert!(lines[0].contains(" line 0 "));
        assert!(lines[lines.len() - 1].contains(" line 19999 "));
        let cut = lines
            .iter()
            .find(|it| it.starts_with(evidence::CUT))
            .unwrap();
        let missing = 20_000 - (lines.len() - 1);
        assert!(cut.contains(&format!(": {missing} lines")), "{cut}");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_line_without_end_is_kept_in_parts() {
        let (output, folder) = output("long");
        let (mut writer, thread) = output.begin(None).unwrap();
        writer.write_all(&vec![b'y'; LINE_MAX * 2 + 5]).unwrap();
        drop(writer);
        thread.join().unwrap();

        assert_eq!(output.finish(), None);

        let written = std::fs::read_to_string(folder.join(evidence::FILE)).unwrap();
        assert_eq!(written.lines().count(), 3);
        assert_eq!(written.matches('y').count(), LINE_MAX * 2 + 5);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn lines_are_found_by_the_instant_of_their_arrival() {
        let (output, folder) = output("times");
        let at = |seconds| Instant::START + Duration::from_secs(seconds);
        for second in 0..10 {
            output
                .lock()
                .add(at(second), format!("at {second}\n").as_bytes());
        }
        assert_eq!(output.finish(), None);

        for (keep, expected) in [
            (Keep::First(2), ["at 3", "at 4"]),
            (Keep::Last(2), ["at 4", "at 5"]),
        ] {
            let file = folder.join(evidence::FILE);
            let found = evidence::lines_of(&file, &(at(3)..at(6)), keep).unwrap();

            let texts: Vec<&str> = found.lines.iter().map(|(_, text)| text.as_str()).collect();
            assert_eq!(texts, expected);
            assert_eq!(
                texts[1],
                format!("at {}", (found.lines[1].0 - at(0)).as_secs())
            );
            assert_eq!(found.omitted, 1);
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
