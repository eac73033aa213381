//! The progress of a run of the lab on a real terminal: what is on its screen, during the run and afterwards.

#![cfg(test)]

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tempfile::TempDir;

/// One kill in a run of 5 s.
const SCENARIO: &str = r#"
schema = "lab/1"
name = "terminal"
about = "Kill the gateway once"

[service.gateway]
use = "builtin:gateway"
replicas = 1

[load.chat]
driver = "gateway-chat"
kinds = "steadfast"
clients = 2
to = "gateway"
send = { every = "100ms", size = 64, channels = 1 }

[run]
baseline = "1s"
duration = "2s"
quiet = "1s"
drain = "1s"
control = "off"

[[step]]
id = "kill"
at = "200ms"
do = "proc.kill"
on = "gateway:1"
then = { start_after = "1500ms" }

[[check]]
id = "no-message-lost"
that = "delivery.lost == 0"
"#;

#[test]
fn a_terminal_of_80_columns_shows_bars_and_keeps_only_messages() {
    let run = Run::on_terminal(80);

    let fault = run.shown("faults 0 of 1 healed, now proc.kill gateway:1");
    assert!(fault[0].starts_with("run [baseline"), "{fault:?}");
    assert!(fault[0].contains("|FAULTS"), "{fault:?}");
    assert!(fault[1].contains("delivered"), "{fault:?}");
    run.shown("faults 1 of 1 healed");
    run.assert_kept_only_messages();
}

#[test]
fn a_narrow_terminal_shows_the_same_without_bars() {
    let run = Run::on_terminal(40);

    let fault = run.shown("faults 0 of 1 healed, 1 in effect");
    assert!(fault[0].starts_with("run: faults, "), "{fault:?}");
    assert!(fault[1].starts_with("clients "), "{fault:?}");
    run.assert_kept_only_messages();
}

/// What a terminal received from a run.
struct Run {
    columns: u16,
    /// Each state of the last three lines, from top to bottom.
    states: Vec<[String; 3]>,
    screen: Vec<String>,
}

impl Run {
    fn on_terminal(columns: u16) -> Self {
        let folder = TempDir::new().unwrap();
        let scenario = folder.path().join("terminal.toml");
        fs::write(&scenario, SCENARIO).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
        command
            .args([
                "lab",
                "run",
                "terminal.toml",
                "--seed",
                "1",
                "--out",
                "runs",
            ])
            .current_dir(folder.path());
        let text = output_on_terminal(command, columns);
        let mut screen = Screen::default();
        let mut states = Vec::new();
        // Each status begins with the clearing of the previous one.
        for part in text.split_inclusive("\x1b[?7h") {
            screen.print(part);
            if let [.., first, second, third] = screen.lines.as_slice() {
                states.push([first.clone(), second.clone(), third.clone()]);
            }
        }
        Self {
            columns,
            states,
            screen: screen.lines,
        }
    }

    /// The first status whose last line is this text.
    fn shown(&self, last: &str) -> &[String; 3] {
        let state = self.states.iter().find(|state| state[2] == last);
        let state = state.unwrap_or_else(|| panic!("no `{last}` in {:?}", self.states));
        for line in state {
            assert!(line.chars().count() <= usize::from(self.columns), "{line}");
        }
        state
    }

    /// Every status was removed again; the messages about faults are still there.
    fn assert_kept_only_messages(&self) {
        let screen = self.screen.join("\n");
        for line in &self.screen {
            let is_status = ["clients ", "faults ", "run [", "run: "]
                .iter()
                .any(|start| line.starts_with(start));
            assert!(!is_status, "`{line}` was not removed:\n{screen}");
        }
        assert!(screen.contains("kill gateway:1"), "{screen}");
        assert!(screen.contains("Report as a page: "), "{screen}");
    }
}

/// Runs a command whose standard error is a terminal of this width, and returns everything that the terminal received.
fn output_on_terminal(mut command: Command, columns: u16) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&terminal, size).unwrap();
    let path = ptsname(&terminal, Vec::new()).unwrap();
    let stderr: OwnedFd =
        rustix::fs::open(&path, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let mut run = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::from(stderr))
        .spawn()
        .unwrap();
    // It has a copy of the terminal, which must be closed for the end of the output to be seen.
    drop(command);
    let mut terminal = File::from(terminal);
    let mut received = Vec::new();
    let mut part = [0; 4096];
    // Linux reports the end as an error.
    while let Ok(len @ 1..) = terminal.read(&mut part) {
        received.extend_from_slice(&part[..len]);
    }
    let status = run.wait().unwrap();
    let text = String::from_utf8(received).unwrap();
    // The verdict does not matter here; on a busy machine it is INCONCLUSIVE.
    assert!(matches!(status.code(), Some(0 | 2)), "{status}: {text}");
    text
}

/// The lines of a terminal that is as high as its output, with the control sequences that the display uses.
#[derive(Default)]
struct Screen {
    lines: Vec<String>,
    row: usize,
    column: usize,
}

impl Screen {
    fn print(&mut self, text: &str) {
        let mut rest = text.chars();
        while let Some(next) = rest.next() {
            self.lines
                .resize(self.lines.len().max(self.row + 1), String::new());
            match next {
                '\r' => self.column = 0,
                '\n' => self.row += 1,
                '\x1b' => {
                    assert_eq!(rest.next(), Some('['));
                    let is_parameter = |it: &char| it.is_ascii_digit() || *it == '?';
                    let parameters: String = rest.clone().take_while(is_parameter).collect();
                    let command = rest.nth(parameters.len());
                    self.control(&parameters, command);
                }
                next => {
                    // The display writes to lines that it has cleared.
                    assert_eq!(self.lines[self.row].chars().count(), self.column);
                    self.lines[self.row].push(next);
                    self.column += 1;
                }
            }
        }
    }

    fn control(&mut self, parameters: &str, command: Option<char>) {
        match (parameters, command) {
            (rows, Some('A')) => self.row -= rows.parse::<usize>().unwrap(),
            ("", Some('J')) => {
                self.lines.truncate(self.row + 1);
                self.lines[self.row].truncate(self.column);
            }
            // Wrapping is off while a status is written.
            ("?7", Some('l' | 'h')) => {}
            other => panic!("unknown sequence {other:?}"),
        }
    }
}
