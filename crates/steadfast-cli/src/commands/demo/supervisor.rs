//! Runs the gateway as a child process: starts it, kills it on request, and restarts it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::live::{GatewayState, LiveStats};
use crate::output;

/// The delay from an exit to the next start: long enough to be visible on the page.
const RESTART_DELAY: Duration = Duration::from_secs(1);
/// The interval between two readiness checks of a starting gateway.
const READY_CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// The timeout of one readiness check.
const READY_CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the gateway may take to exit after SIGTERM; then it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Controls the gateway process.
#[derive(Debug)]
pub(super) struct Supervisor {
    requests: mpsc::Sender<SupervisorRequest>,
    stats: Arc<LiveStats>,
}

#[derive(Debug)]
enum SupervisorRequest {
    Kill,
    Stop(oneshot::Sender<()>),
}

impl Supervisor {
    pub(super) fn start(
        program: &Path,
        directory: &Path,
        url: &str,
        stats: Arc<LiveStats>,
    ) -> Self {
        let (requests, receiver) = mpsc::channel(4);
        let runner = Runner {
            program: program.to_owned(),
            directory: directory.to_owned(),
            authority: authority(url),
            stats: Arc::clone(&stats),
        };
        tokio::spawn(runner.run(receiver));
        Self { requests, stats }
    }

    /// Kills the gateway. Returns `false` when it is already down.
    pub(super) fn kill(&self) -> bool {
        self.stats.is_up() && self.requests.try_send(SupervisorRequest::Kill).is_ok()
    }

    /// Stops the gateway gracefully.
    pub(super) async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self
            .requests
            .send(SupervisorRequest::Stop(done))
            .await
            .is_ok()
        {
            // An error means that the gateway took too long, or that the supervisor has already stopped.
            let _ = timeout(STOP_TIMEOUT, stopped).await;
        }
    }
}

fn authority(url: &str) -> String {
    let rest = url.strip_prefix("ws://").unwrap_or(url);
    rest.split('/').next().unwrap_or(rest).to_owned()
}

struct Runner {
    program: PathBuf,
    directory: PathBuf,
    authority: String,
    stats: Arc<LiveStats>,
}

impl Runner {
    async fn run(self, mut requests: mpsc::Receiver<SupervisorRequest>) {
        loop {
            self.stats.set_gateway_state(GatewayState::Starting, None);
            let mut child = match self.spawn() {
                Ok(child) => child,
                Err(error) => {
                    output::message(&format!("failed to start the gateway: {error}"));
                    sleep(RESTART_DELAY).await;
                    continue;
                }
            };
            let id = child.id();
            tokio::select! {
                () = self.until_ready() => self.stats.set_gateway_state(GatewayState::Up, id),
                _ = child.wait() => {}
            }
            tokio::select! {
                status = child.wait() => {
                    self.stats.set_gateway_state(GatewayState::Down, None);
                    let reason = status.map_or_else(|error| error.to_string(), |it| it.to_string());
                    let log = self.directory.join("gateway.log");
                    output::message(&format!("the gateway exited: {reason}; see {}", log.display()));
                }
                request = requests.recv() => match request {
                    Some(SupervisorRequest::Kill) => {
                        // Sends SIGKILL and waits for the exit; an error means that the child has already exited.
                        let _ = child.kill().await;
                        self.stats.record_kill();
                        self.stats.set_gateway_state(GatewayState::Down, None);
                    }
                    Some(SupervisorRequest::Stop(done)) => {
                        stop(&mut child).await;
                        let _ = done.send(());
                        return;
                    }
                    None => return stop(&mut child).await,
                }
            }
            sleep(RESTART_DELAY).await;
        }
    }

    /// Starts the gateway through `lab launch`, which kills the gateway when this process exits for any reason.
    fn spawn(&self) -> std::io::Result<Child> {
        let parent = std::process::id().to_string();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.directory.join("gateway.log"))?;
        Command::new(&self.program)
            .args(["lab", "launch", "--parent", &parent, "--"])
            .arg(&self.program)
            .args(["serve", "--config", "gateway.toml"])
            // These variables configure this process, not the gateway.
            .env_remove("PORT")
            .env_remove("STEADFAST_ADDRESS")
            .env_remove("STEADFAST_DATA")
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
    }

    async fn until_ready(&self) {
        while !matches!(
            timeout(READY_CHECK_TIMEOUT, self.is_ready()).await,
            Ok(Ok(true))
        ) {
            sleep(READY_CHECK_INTERVAL).await;
        }
    }

    async fn is_ready(&self) -> std::io::Result<bool> {
        let mut socket = TcpStream::connect(&self.authority).await?;
        let request = format!(
            "GET /readyz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.authority
        );
        socket.write_all(request.as_bytes()).await?;
        let mut status = [0; 12];
        socket.read_exact(&mut status).await?;
        Ok(status == *b"HTTP/1.1 200")
    }
}

async fn stop(child: &mut Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(id) = id.and_then(rustix::process::Pid::from_raw) {
        // An error means that the child has already exited.
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    }
    if timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}
