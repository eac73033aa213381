//! Jobs of an application: starts them, and reports their progress and their end.
//!
//! One task for each [`Jobs`] drives the state machine: it makes its calls, and passes on replies and the changes of
//! `core.get_jobs`. It ends with the last handle.

mod task;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use steadfast_core::dialect::truenas::jobs::{JobEnd, JobKey, JobProgress};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

use self::task::{Command, Reports, Task};
use crate::json;
use crate::jsonrpc::Client;

/// Requests of handles that the task has not handled yet; further ones wait.
const COMMANDS_MAX: usize = 64;

/// Starts jobs at a server, over one client. Clones share its task.
///
/// The server must reply to the call of a job with its id at once, as it does unless `core.set_options` has set
/// `legacy_jobs` to false. The client has one subscription to `core.get_jobs`; if the application has subscribed to it
/// already, the entries of the jobs are requested every 5 s instead.
///
/// ```no_run
/// use steadfast::truenas::{JobEnd, Jobs};
///
/// # async fn run(client: steadfast::jsonrpc::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let jobs = Jobs::spawn(client);
/// let mut scrub = jobs.start("pool.scrub.scrub", &["tank"]).await?;
/// while let Some(progress) = scrub.next_progress().await {
///     println!("{} %", progress.percent);
/// }
/// match scrub.end().await {
///     JobEnd::Success(_) => println!("no errors"),
///     other => println!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Jobs {
    commands: mpsc::Sender<Command>,
    next_key: Arc<AtomicU64>,
}

/// A job that was requested. Dropping it does not abort the job.
#[derive(Debug)]
pub struct Job {
    key: JobKey,
    commands: mpsc::Sender<Command>,
    progress: watch::Receiver<Option<JobProgress>>,
    end: oneshot::Receiver<JobEnd>,
    /// The end, once it is known.
    ended: Option<JobEnd>,
}

/// Why a job was not requested.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JobsClosed {
    /// The client is closed, or its runtime has ended.
    #[error("the client is closed")]
    Closed,
    /// The parameters are not an array.
    #[error("the params cannot be sent: {0}")]
    Params(String),
}

impl Jobs {
    /// Spawns the task on the current tokio runtime.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn spawn(client: Client) -> Self {
        let (commands, received) = mpsc::channel(COMMANDS_MAX);
        tokio::spawn(Task::new(client, received).run());
        Self {
            commands,
            next_key: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Requests a job; `params` is an array or a tuple. The call is never repeated after it was sent. At most
    /// [`JOBS_MAX`](super::JOBS_MAX) jobs without an end are followed; a further one ends as [`JobEnd::NotStarted`].
    ///
    /// # Errors
    ///
    /// The params cannot be sent, or the client is closed.
    pub async fn start(&self, method: &str, params: &impl Serialize) -> Result<Job, JobsClosed> {
        let params = json::to_bytes(params).map_err(|it| JobsClosed::Params(it.to_string()))?;
        if params.first() != Some(&b'[') {
            return Err(JobsClosed::Params("they are no array".to_owned()));
        }
        let key = JobKey(self.next_key.fetch_add(1, Ordering::Relaxed));
        let (progress, received_progress) = watch::channel(None);
        let (end, received_end) = oneshot::channel();
        let command = Command::Start {
            key,
            method: method.to_owned(),
            params,
            reports: Reports { progress, end },
        };
        let sent = self.commands.send(command).await;
        sent.map_err(|_error| JobsClosed::Closed)?;
        Ok(Job {
            key,
            commands: self.commands.clone(),
            progress: received_progress,
            end: received_end,
            ended: None,
        })
    }
}

impl Job {
    /// Waits for progress that was not returned yet, and returns the newest; `None` when the job has ended, or is no longer
    /// followed.
    ///
    /// Cancel-safe: progress that was not returned is returned by the next call.
    pub async fn next_progress(&mut self) -> Option<JobProgress> {
        loop {
            self.progress.changed().await.ok()?;
            let progress = self.progress.borrow_and_update().clone();
            if progress.is_some() {
                return progress;
            }
        }
    }

    /// Waits until the job has ended. If the client is closed before, the job ends here as [`JobEnd::Unknown`], and may run.
    ///
    /// Cancel-safe; after the end, it returns the end again.
    pub async fn end(&mut self) -> JobEnd {
        if let Some(ended) = &self.ended {
            return ended.clone();
        }
        let ended = (&mut self.end).await.unwrap_or(JobEnd::Unknown);
        self.ended = Some(ended.clone());
        ended
    }

    /// Requests that the server aborts the job; [`Self::end`] says whether it did. Has no effect on a job that has ended.
    ///
    /// After a lost connection it waits until the job is known to be the same. If the connection is lost while the request
    /// is on its way, it may be sent over the next one; it then hits another job only if the server was restarted in between
    /// and has used the id again.
    pub async fn abort(&self) {
        // Without a task there is nothing that an abort could be requested from.
        let _ = self.commands.send(Command::Abort(self.key)).await;
    }
}
