//! Supervises the gateway process: starts it, kills it on request, and restarts it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

use super::gateway_process::{GatewayCommand, GatewayProcess};
use super::live::{GatewayState, LiveStats};
use super::probe;
use crate::output;

/// The delay from an exit to the next start: long enough to be visible on the page. After failed starts it is multiplied
/// by their number.
const RESTART_DELAY: Duration = Duration::from_secs(1);
/// After this many failed starts in a row, the next one would fail too.
const FAILED_STARTS_MAX: u32 = 3;

/// Controls the gateway process.
#[derive(Debug)]
pub(super) struct Supervisor {
    requests: mpsc::Sender<SupervisorRequest>,
    progress: watch::Receiver<Progress>,
    stats: Arc<LiveStats>,
}

#[derive(Debug)]
enum SupervisorRequest {
    Kill,
    Stop(oneshot::Sender<()>),
}

/// How far the gateway has come since the start of the demo.
#[derive(Debug)]
enum Progress {
    Starting,
    /// It was ready at least once.
    Started,
    /// It failed to start too often, and is not started again.
    GaveUp(String),
}

impl Supervisor {
    pub(super) fn start(gateway: GatewayCommand, stats: Arc<LiveStats>) -> Self {
        let (requests, receiver) = mpsc::channel(4);
        let (sender, progress) = watch::channel(Progress::Starting);
        let runner = Runner {
            gateway,
            stats: Arc::clone(&stats),
            requests: receiver,
            progress: sender,
            failed_starts: 0,
        };
        tokio::spawn(runner.run());
        Self {
            requests,
            progress,
            stats,
        }
    }

    /// Kills the gateway. Returns `false` when it is already down. Reports from now on say that it is down.
    pub(super) fn kill(&self) -> bool {
        let is_killed =
            self.stats.is_running() && self.requests.try_send(SupervisorRequest::Kill).is_ok();
        if is_killed {
            self.stats.record_kill();
            self.stats.set_gateway_state(GatewayState::Down, None);
        }
        is_killed
    }

    /// Waits until the gateway is ready for the first time, or returns why it cannot be started.
    pub(super) async fn started(&self) -> Result<(), String> {
        let mut progress = self.progress.clone();
        match progress
            .wait_for(|progress| !matches!(progress, Progress::Starting))
            .await
            .as_deref()
        {
            Ok(Progress::GaveUp(reason)) => Err(reason.clone()),
            // The sender is dropped when the supervisor was stopped.
            Ok(Progress::Starting | Progress::Started) | Err(_) => Ok(()),
        }
    }

    /// Waits until the gateway cannot be started, and returns why.
    pub(super) async fn gave_up(&self) -> String {
        let mut progress = self.progress.clone();
        if let Ok(progress) = progress
            .wait_for(|progress| matches!(progress, Progress::GaveUp(_)))
            .await
            && let Progress::GaveUp(reason) = &*progress
        {
            return reason.clone();
        }
        // It was stopped.
        std::future::pending().await
    }

    /// Stops the gateway gracefully.
    pub(super) async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        let stop = SupervisorRequest::Stop(done);
        if self.requests.send(stop).await.is_ok() {
            // An error means that the supervisor has already stopped.
            let _ = stopped.await;
        }
    }
}

struct Runner {
    gateway: GatewayCommand,
    stats: Arc<LiveStats>,
    requests: mpsc::Receiver<SupervisorRequest>,
    progress: watch::Sender<Progress>,
    /// Since the gateway was last ready.
    failed_starts: u32,
}

/// How a gateway process ended.
enum End {
    /// It was killed on request, or exited after it was ready.
    Exited,
    /// It exited before it was ready.
    FailedStart { status: String, error: String },
    /// The supervisor was stopped.
    Stopped(Option<oneshot::Sender<()>>),
}

impl Runner {
    async fn run(mut self) {
        loop {
            let end = self.run_gateway().await;
            self.stats.set_gateway_state(GatewayState::Down, None);
            match end {
                End::Exited => self.failed_starts = 0,
                End::FailedStart { status, error } => {
                    self.failed_starts += 1;
                    if self.failed_starts == FAILED_STARTS_MAX {
                        self.give_up(&status, &error);
                        return;
                    }
                    output::message(&format!(
                        "the gateway failed to start: {status}; it is started again"
                    ));
                }
                End::Stopped(done) => return confirm(done),
            }
            let delay = RESTART_DELAY * self.failed_starts.max(1);
            tokio::select! {
                () = sleep(delay) => {}
                done = stop_requested(&mut self.requests) => return confirm(done),
            }
        }
    }

    async fn run_gateway(&mut self) -> End {
        self.stats.set_gateway_state(GatewayState::Starting, None);
        let mut process = match self.gateway.spawn() {
            Ok(process) => process,
            Err(error) => {
                return End::FailedStart {
                    status: error.to_string(),
                    error: String::new(),
                };
            }
        };
        let ready = tokio::select! {
            ready = process.until_ready() => ready,
            done = stop_requested(&mut self.requests) => return stop(&mut process, done).await,
        };
        if let Err(status) = ready {
            let error = process.last_error();
            return End::FailedStart { status, error };
        }
        self.stats.set_gateway_state(GatewayState::Up, process.id());
        self.progress.send_replace(Progress::Started);
        tokio::select! {
            // A request to kill the gateway must not be left for its successor.
            biased;
            request = self.requests.recv() => match request {
                Some(SupervisorRequest::Kill) => {
                    process.kill().await;
                    End::Exited
                }
                Some(SupervisorRequest::Stop(done)) => stop(&mut process, Some(done)).await,
                None => stop(&mut process, None).await,
            },
            never = probe::watch_responses(self.gateway.address(), &self.stats) => match never {},
            status = process.until_exit() => {
                let log = self.gateway.log();
                output::message(&format!("the gateway exited: {status}; see {}", log.display()));
                End::Exited
            }
        }
    }

    fn give_up(&self, status: &str, error: &str) {
        let log = self.gateway.log();
        let mut reason =
            format!("the gateway failed to start {FAILED_STARTS_MAX} times in a row: {status}");
        for line in error.lines() {
            reason.push_str("\n  ");
            reason.push_str(line);
        }
        reason.push_str("\n  log: ");
        reason.push_str(&log.display().to_string());
        self.progress.send_replace(Progress::GaveUp(reason));
    }
}

/// Waits for a request to stop; a kill is not possible while the gateway is down. `None` when nothing can be requested.
async fn stop_requested(
    requests: &mut mpsc::Receiver<SupervisorRequest>,
) -> Option<oneshot::Sender<()>> {
    loop {
        match requests.recv().await {
            Some(SupervisorRequest::Kill) => {}
            Some(SupervisorRequest::Stop(done)) => return Some(done),
            None => return None,
        }
    }
}

async fn stop(process: &mut GatewayProcess, done: Option<oneshot::Sender<()>>) -> End {
    process.stop().await;
    End::Stopped(done)
}

fn confirm(done: Option<oneshot::Sender<()>>) {
    if let Some(done) = done {
        // An error means that the requester no longer waits.
        let _ = done.send(());
    }
}
