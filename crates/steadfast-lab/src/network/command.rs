//! Programs that configure the network: `ip`, `nft`, `ss` and `tc`.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use steadfast_clock::Clock;

/// Longest time of one call; all of them take milliseconds.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Interval at which a call is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// The most output of a call that is read.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

/// Runs a program with this input, and returns its output.
///
/// # Errors
///
/// What the program printed when it failed, or why it could not be started.
pub(crate) fn run(words: &[&str], input: &str) -> Result<String, String> {
    let shown = words.join(" ");
    let failed = |error: std::io::Error| format!("{shown}: {error}");
    let (program, arguments) = words.split_first().ok_or_else(|| "no program".to_owned())?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends early reports why below.
        drop(stdin.write_all(input.as_bytes()));
    }
    let readers = (reader(child.stdout.take()), reader(child.stderr.take()));
    let clock = Clock::start();
    let deadline = clock.now() + TIMEOUT;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        if clock.now() >= deadline {
            drop(child.kill());
            drop(child.wait());
            return Err(format!("{shown}: timed out after {TIMEOUT:?}"));
        }
        thread::park_timeout(POLL_INTERVAL);
    };
    let output = readers.0.join().unwrap_or_default();
    let errors = readers.1.join().unwrap_or_default();
    if status.success() {
        Ok(output)
    } else {
        Err(format!("{shown}: {}", errors.trim()))
    }
}

/// Reads an output to its end on a thread, so that no pipe fills.
fn reader(from: Option<impl std::io::Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(from) = from {
            drop(from.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes));
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
