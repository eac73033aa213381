//! A background worker: takes jobs, publishes their results, and decides by the outcome what happens to each job.
//!
//! A job is a line of the standard input. Its result is published to the channel `results`, with a key that is made from
//! the job and not from the attempt: if the worker is started again with the same jobs within two minutes, the gateway
//! stores no result twice.
//!
//! | outcome | what the worker does |
//! | --- | --- |
//! | acknowledged | the job is done |
//! | `Expired`, `OutboxFull`: not stored | publishes the result again, three times in total |
//! | `Interrupted`: may be stored | reports the job: only its owner knows whether a second result does harm |
//! | `Rejected`, `Unsendable`: never stored | reports the job |
//! | `Failed`: the session has ended | reports the job, and takes no further ones |
//!
//! At the end of the input, and on Ctrl-C, it takes no further jobs, waits up to 20 s for the outcomes of those in progress,
//! and exits: with code 0 if all jobs that were taken are done. Start a gateway with `steadfast serve`, then:
//!
//! ```sh
//! seq 1 1000 | cargo run -p steadfast --example background_worker -- ws://127.0.0.1:8000
//! ```

use std::error::Error;
use std::io::{self, BufRead as _};
use std::pin::pin;
use std::thread;
use std::time::Duration;

use serde_json::json;
use steadfast::SessionState;
use steadfast::centrifuge::{Client, SendError};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

/// The most jobs in progress: more than the 64 publications in flight, so that the connection is never idle.
const JOBS_MAX: usize = 128;
/// How often a result is published before its job is reported.
const ATTEMPTS_MAX: u32 = 3;
/// A result that could not be sent within this time has the outcome `Expired`.
const TTL: Duration = Duration::from_secs(30);
/// The longest wait for the outcomes of the jobs in progress when the worker ends.
const DRAIN: Duration = Duration::from_secs(20);

/// The jobs in progress, and how many have ended.
#[derive(Default)]
struct Jobs {
    running: JoinSet<Result<(), String>>,
    done: u64,
    undone: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let url = std::env::args().nth(1);
    let url = url.ok_or("usage: background_worker GATEWAY_URL")?;
    let client = Client::builder(&url)?.connect()?;
    let (mut input, mut jobs) = (read_jobs(), Jobs::default());
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    let mut state = client.state();
    loop {
        tokio::select! {
            job = input.recv(), if jobs.running.len() < JOBS_MAX => {
                let Some(job) = job else { break };
                jobs.running.spawn(publish_result(client.clone(), job));
            }
            Some(ended) = jobs.running.join_next() => jobs.count(ended?),
            _ = state.wait_for(|it| it.state == SessionState::Failed) => break,
            _ = &mut interrupted => break,
        }
    }
    match timeout(DRAIN, jobs.finish()).await {
        Ok(finished) => finished?,
        Err(_elapsed) => tracing::warn!(jobs = jobs.running.len(), "outcomes are missing"),
    }
    // Each result without an outcome now gets one: `Closed`, or `Interrupted` if it may be stored.
    client.close(Duration::ZERO).await?;
    jobs.finish().await?;
    tracing::info!(done = jobs.done, undone = jobs.undone, "worker ended");
    if jobs.undone == 0 {
        Ok(())
    } else {
        Err("some jobs are not done".into())
    }
}

impl Jobs {
    /// Waits until no job is in progress.
    async fn finish(&mut self) -> Result<(), JoinError> {
        while let Some(ended) = self.running.join_next().await {
            self.count(ended?);
        }
        Ok(())
    }

    fn count(&mut self, ended: Result<(), String>) {
        match ended {
            Ok(()) => self.done += 1,
            Err(text) => {
                self.undone += 1;
                tracing::error!("{text}");
            }
        }
    }
}

/// Publishes the result of a job, again if it was certainly not stored. Returns why the job is not done.
async fn publish_result(client: Client, job: String) -> Result<(), String> {
    let result = json!({ "job": job, "length": job.len() });
    let mut attempt = 1;
    loop {
        let message = client.message("results", &result).key(format!("job-{job}"));
        // `send` waits while the outbox is full.
        let receipt = message.ttl(TTL).send().await;
        let receipt = receipt.map_err(|error| format!("job {job} is not published: {error}"))?;
        match receipt.await {
            Ok(_acknowledgement) => return Ok(()),
            Err(SendError::Expired | SendError::OutboxFull) if attempt < ATTEMPTS_MAX => {
                attempt += 1;
            }
            Err(error) if error.maybe_applied() => {
                return Err(format!("job {job} may be stored: {error}"));
            }
            Err(error) => return Err(format!("job {job} is not stored: {error}")),
        }
    }
}

/// The lines of the standard input. The thread that reads them does not keep the process from ending.
fn read_jobs() -> mpsc::Receiver<String> {
    let (sender, jobs) = mpsc::channel(JOBS_MAX);
    thread::spawn(move || {
        for job in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(job).is_err() {
                return;
            }
        }
    });
    jobs
}
