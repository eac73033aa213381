//! The gateway as a child process: its arguments, its readiness, its end, and the errors that it printed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::probe;

/// How long the gateway may take to exit after SIGTERM; then it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How many of the last lines that the gateway logged are shown when none of them is an error.
const LINES_SHOWN: usize = 5;
/// The maximum number of bytes of the gateway's log that are read after a failed start.
const LOG_READ_MAX: u64 = 16 << 10;

/// The settings that have no argument.
const CONFIGURATION: &str = "\
# Written by `steadfast demo` at each start; the other settings are arguments of the process.
[client]
anonymous_info = true
";

/// How the gateway is started.
#[derive(Debug)]
pub(super) struct GatewayCommand {
    program: PathBuf,
    /// The directory of the demo, which this process has locked.
    directory: PathBuf,
    address: SocketAddr,
}

/// A started gateway.
#[derive(Debug)]
pub(super) struct GatewayProcess {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
    /// The length of the log when the process was started.
    log_start: u64,
}

impl GatewayCommand {
    /// Writes the configuration file.
    pub(super) fn new(program: PathBuf, directory: &Path, address: SocketAddr) -> io::Result<Self> {
        let command = Self {
            program,
            directory: directory.to_owned(),
            address,
        };
        fs::write(command.configuration(), CONFIGURATION)?;
        Ok(command)
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    fn configuration(&self) -> PathBuf {
        self.directory.join("gateway.toml")
    }

    /// The file with everything that the gateways of this directory logged.
    pub(super) fn log(&self) -> PathBuf {
        self.directory.join("gateway.log")
    }

    /// Starts the gateway through `lab launch`, which kills the gateway when this process exits for any reason.
    pub(super) fn spawn(&self) -> io::Result<GatewayProcess> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())?;
        let log_start = log.metadata()?.len();
        let child = Command::new(&self.program)
            .args(["lab", "launch", "--parent"])
            .arg(std::process::id().to_string())
            .arg("--")
            .arg(&self.program)
            .args(["serve", "--shards", "1", "--config"])
            .arg(self.configuration())
            .args(["--address", &self.address.ip().to_string()])
            .args(["--port", &self.address.port().to_string()])
            .arg("--data")
            .arg(self.directory.join("log"))
            .current_dir(&self.directory)
            // A terminal sends the SIGINT of Ctrl-C to the demo only, which then stops the gateway with one SIGTERM; a
            // second signal would end the gateway at once.
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(GatewayProcess {
            child,
            address: self.address,
            log: self.log(),
            log_start,
        })
    }
}

impl GatewayProcess {
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until the gateway serves, or returns why it exited instead.
    pub(super) async fn until_ready(&mut self) -> Result<(), String> {
        tokio::select! {
            () = probe::until_ready(self.address) => Ok(()),
            reason = self.until_exit() => Err(reason),
        }
    }

    /// Waits for the exit and returns its status.
    pub(super) async fn until_exit(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Kills the gateway with SIGKILL and waits for its exit.
    pub(super) async fn kill(&mut self) {
        // An error means that it has already exited.
        let _ = self.child.kill().await;
    }

    /// Stops the gateway gracefully; kills it after [`STOP_TIMEOUT`].
    pub(super) async fn stop(&mut self) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id.and_then(rustix::process::Pid::from_raw) {
            // An error means that it has already exited.
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        if timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            self.kill().await;
        }
    }

    /// Returns the error that this process printed, or else its last log lines.
    pub(super) fn last_error(&self) -> String {
        let mut text = Vec::new();
        let read = File::open(&self.log).and_then(|mut log| {
            let end = log.metadata()?.len();
            let start = self.log_start.max(end.saturating_sub(LOG_READ_MAX));
            log.seek(SeekFrom::Start(start))?;
            log.take(LOG_READ_MAX).read_to_end(&mut text)
        });
        if let Err(error) = read {
            return format!("failed to read {}: {error}", self.log.display());
        }
        last_error(&String::from_utf8_lossy(&text))
    }
}

/// The lines from the last error on; without an error, the last lines.
fn last_error(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let error = lines.iter().rposition(|line| line.starts_with("error: "));
    let first = error.unwrap_or_else(|| lines.len().saturating_sub(LINES_SHOWN));
    lines.get(first..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_failed_start_is_shown_with_its_causes_and_hint() {
        let log = "\
            2026-01-01T00:00:00Z  INFO steadfast: starting\n\
            error: cannot use the data directory log\n  because: it is locked\nStop the other process.\n";

        assert_eq!(
            last_error(log),
            "error: cannot use the data directory log\n  because: it is locked\nStop the other process."
        );
    }

    #[test]
    fn without_an_error_the_last_lines_are_shown() {
        assert_eq!(last_error("1\n2\n3\n4\n5\n6\n"), "2\n3\n4\n5\n6");
        assert_eq!(last_error(""), "");
    }
}
