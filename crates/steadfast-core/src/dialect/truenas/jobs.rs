//! Jobs: methods that run for longer than a call, from their call to their end.
//!
//! The reply to the call of a job is its id, or the result when the job has ended; see [`JobReply`]. What happens in between
//! the server reports as changes of the collection `core.get_jobs`, also before the reply. Ids count from 1 again after a
//! restart of the server, and then belong to other jobs. So after each lost or replaced connection, which the shell reports
//! also without changes, the machine requests the entry of each job, and compares its method, its arguments and the time of its
//! start with what it has seen before. A job that it has not seen is compared with its call. An abort waits for this
//! comparison, so that it does not hit another job.
//!
//! The machine has no I/O: the shell makes the calls of [`Output::Call`], and passes on replies and changes.

mod view;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::mem;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use steadfast_machine::{Instant, Machine};

use self::view::{Identity, JobView};
use super::ApiError;
use super::collection::Change;
use super::extended_json::DateTime;
use crate::dialect::jsonrpc::{CallError, Class};

/// The most jobs without an end; a further one is not started.
pub const JOBS_MAX: usize = 256;
/// How often the entry of a job is requested while changes arrive: they may be incomplete.
const POLL_INTERVAL: Duration = Duration::from_secs(30);
/// How often it is requested while no changes arrive.
const POLL_INTERVAL_WITHOUT_CHANGES: Duration = Duration::from_secs(5);
/// The most jobs of which the newest change is kept while the reply with an id is awaited.
const EARLY_MAX: usize = 64;

/// A job of the application, numbered by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobKey(pub u64);

/// A call of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallToken(u64);

/// What the server replies to the call of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JobReply {
    /// The id of the job, at once: the default of the server, and the only possibility before release 25.10.
    #[default]
    Id,
    /// The result, when the job has ended: with `legacy_jobs` false in `core.set_options`. The id is learnt from the changes,
    /// which name the request; so the shell reports its id with [`Input::Sent`].
    Result,
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobProgress {
    /// Whether it has been started: equal jobs wait for each other.
    pub is_running: bool,
    /// From 0 to 100, as the server says.
    pub percent: u8,
    /// What it does at present, for humans; at most 4 KiB, possibly empty.
    pub description: String,
}

/// How a job ended.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobEnd {
    /// It has this result, raw JSON.
    Success(Bytes),
    /// It failed, or the server rejected the call.
    Failed(ApiError),
    /// It was aborted, by this client or another one.
    Aborted,
    /// The call was not executed: there is no job.
    NotStarted(CallError),
    /// The connection was lost before the id was known: the job may have been started, and may run.
    Unknown,
    /// The server does not know the job any more, or its id belongs to another one: it was restarted, or has forgotten the
    /// job. The job may have ended in any way.
    Lost,
}

impl fmt::Debug for JobEnd {
    /// Without the content of the result.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success(result) => write!(f, "Success({} bytes)", result.len()),
            Self::Failed(error) => write!(f, "Failed({error:?})"),
            Self::Aborted => f.write_str("Aborted"),
            Self::NotStarted(error) => write!(f, "NotStarted({error:?})"),
            Self::Unknown => f.write_str("Unknown"),
            Self::Lost => f.write_str("Lost"),
        }
    }
}

/// What the application did, and what the server said.
#[derive(Clone, Debug)]
pub enum Input {
    /// The application starts a job.
    StartRequested {
        /// The number that the shell has given it.
        key: JobKey,
        /// The name of the method.
        method: String,
        /// The parameters, a JSON array; empty for none.
        params: Bytes,
    },
    /// The application aborts a job.
    AbortRequested(JobKey),
    /// The application no longer waits for a job, which continues.
    Withdrawn(JobKey),
    /// The call was sent with this id of a request; only for [`JobReply::Result`].
    Sent {
        /// The call that was sent.
        token: CallToken,
        /// The id as it was written.
        message_id: Value,
    },
    /// The reply to a call.
    Replied {
        /// The call that has ended.
        token: CallToken,
        /// The result as raw JSON, or why there is none.
        outcome: Result<Bytes, CallError>,
    },
    /// A change of the collection `core.get_jobs`.
    Changed(Bytes),
    /// Changes arrive from now on; others may have been missed before. Reported after each connect and each gap.
    ChangesBegan,
    /// No changes arrive.
    ChangesInterrupted,
    /// The session has a connection; without a loss before it, another one than before.
    Connected,
    /// The session has lost its connection, or may have without a notice.
    ConnectionLost,
    /// Time has passed.
    Tick,
}

/// What the shell must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Make a call, and report its outcome.
    Call {
        /// The number of the call, for its reply.
        token: CallToken,
        /// The name of the method.
        method: String,
        /// The parameters, a JSON array; empty for none.
        params: Bytes,
        /// What executing it twice does.
        class: Class,
    },
    /// Report how far a job is.
    Progressed(JobKey, JobProgress),
    /// Report how a job ended; nothing follows for it.
    Ended(JobKey, JobEnd),
}

/// A job without an end.
#[derive(Debug)]
struct Job {
    method: String,
    /// The parameters as they were sent, until the first view of the job is known.
    sent: Value,
    /// The call that starts it, until its reply.
    start: Option<CallToken>,
    /// The id of the request that starts it.
    message_id: Option<Value>,
    id: Option<u64>,
    /// What was seen of it.
    identity: Option<Identity>,
    /// The newest start of a job that was seen before its call: it starts at the same time or later.
    starts_after: Option<DateTime>,
    /// No connection was lost since it was seen the last time, or since its call if it was not seen.
    is_confirmed: bool,
    is_aborting: bool,
    progress: Option<JobProgress>,
    poll: Option<CallToken>,
    /// When its entry is requested next, unless it is being requested.
    poll_at: Instant,
}

/// What a call is for.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    Start(JobKey),
    Poll(JobKey),
    Abort,
}

/// The jobs of one session that have no end.
#[derive(Debug)]
pub struct Jobs {
    reply: JobReply,
    tracked: BTreeMap<JobKey, Job>,
    calls: BTreeMap<CallToken, Purpose>,
    next_token: u64,
    is_connected: bool,
    are_changes_arriving: bool,
    /// The newest start of a job that was seen.
    newest_start: Option<DateTime>,
    /// The newest change of each job whose id may be that of a call without a reply, the oldest first.
    early: VecDeque<JobView>,
    outputs: VecDeque<Output>,
}

impl Jobs {
    /// No jobs, at a server with this kind of reply, and no connection yet.
    pub const fn new(reply: JobReply) -> Self {
        Self {
            reply,
            tracked: BTreeMap::new(),
            calls: BTreeMap::new(),
            next_token: 0,
            is_connected: false,
            are_changes_arriving: false,
            newest_start: None,
            early: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The number of jobs without an end.
    pub fn len(&self) -> usize {
        self.tracked.len()
    }

    /// Whether there is no job without an end.
    pub fn is_empty(&self) -> bool {
        self.tracked.is_empty()
    }

    fn start(&mut self, now: Instant, key: JobKey, method: String, params: Bytes) {
        if self.tracked.len() >= JOBS_MAX {
            let end = JobEnd::NotStarted(CallError::Busy);
            self.outputs.push_back(Output::Ended(key, end));
            return;
        }
        let sent = serde_json::from_slice(&params).unwrap_or_else(|_| Value::Array(Vec::new()));
        let token = self.call(Purpose::Start(key), &method, params, Class::Write);
        let job = Job {
            method,
            sent,
            start: Some(token),
            message_id: None,
            id: None,
            identity: None,
            starts_after: self.newest_start,
            is_confirmed: true,
            is_aborting: false,
            progress: None,
            poll: None,
            poll_at: now,
        };
        self.tracked.insert(key, job);
    }

    fn call(&mut self, purpose: Purpose, method: &str, params: Bytes, class: Class) -> CallToken {
        let token = CallToken(self.next_token);
        self.next_token += 1;
        self.calls.insert(token, purpose);
        self.outputs.push_back(Output::Call {
            token,
            method: method.to_owned(),
            params,
            class,
        });
        token
    }

    fn end(&mut self, key: JobKey, end: JobEnd) {
        if self.tracked.remove(&key).is_some() {
            self.outputs.push_back(Output::Ended(key, end));
        }
        self.forget_early();
    }

    /// Changes are only kept while an id is awaited.
    fn forget_early(&mut self) {
        if self.tracked.values().all(|job| job.id.is_some()) {
            self.early = VecDeque::new();
        }
    }

    fn replied(&mut self, now: Instant, token: CallToken, outcome: Result<Bytes, CallError>) {
        match self.calls.remove(&token) {
            Some(Purpose::Start(key)) => self.start_replied(now, key, outcome),
            Some(Purpose::Poll(key)) => self.poll_replied(now, key, token, outcome),
            // The end of the job says whether it was aborted.
            Some(Purpose::Abort) | None => {}
        }
    }

    fn start_replied(&mut self, now: Instant, key: JobKey, outcome: Result<Bytes, CallError>) {
        let Some(job) = self.tracked.get_mut(&key) else {
            return;
        };
        job.start = None;
        let error = match outcome {
            Ok(reply) => return self.started(now, key, reply),
            Err(error) => error,
        };
        // The job is known: its changes and its entry say how it ends, whatever happened to the call.
        if job.id.is_some() && !matches!(error, CallError::Rejected(_)) {
            return;
        }
        let end = match error {
            CallError::Rejected(error) => JobEnd::Failed(ApiError::from(&error)),
            CallError::Interrupted { maybe_executed } | CallError::TimedOut { maybe_executed }
                if maybe_executed =>
            {
                JobEnd::Unknown
            }
            CallError::UnexpectedReply | CallError::ResultTooLarge { .. } => JobEnd::Unknown,
            CallError::Interrupted { .. }
            | CallError::TimedOut { .. }
            | CallError::Unsendable(_)
            | CallError::Busy
            | CallError::ServerBusy
            | CallError::Closed
            | CallError::Failed(_) => JobEnd::NotStarted(error),
        };
        self.end(key, end);
    }

    fn started(&mut self, now: Instant, key: JobKey, reply: Bytes) {
        match self.reply {
            JobReply::Result => self.end(key, JobEnd::Success(reply)),
            JobReply::Id => match serde_json::from_slice(&reply) {
                Ok(id) => self.identified(now, key, id),
                // The method is no job: it has been executed, and this is its result.
                Err(_) => self.end(key, JobEnd::Success(reply)),
            },
        }
    }

    /// The id of a job is known. What was seen of it before counts; otherwise its entry is requested, so that it can be
    /// recognized later.
    fn identified(&mut self, now: Instant, key: JobKey, id: u64) {
        let Some(job) = self.tracked.get_mut(&key) else {
            return;
        };
        job.id = Some(id);
        job.poll_at = now;
        if let Some(view) = self.early.iter().find(|view| view.id == id).cloned() {
            self.see(now, key, view);
        }
        self.forget_early();
        self.abort_if_confirmed(key);
    }

    fn poll_replied(
        &mut self,
        now: Instant,
        key: JobKey,
        token: CallToken,
        outcome: Result<Bytes, CallError>,
    ) {
        let interval = self.poll_interval();
        // The reply to a call from before an interruption says nothing about the server of now.
        let Some(job) = self
            .tracked
            .get_mut(&key)
            .filter(|it| it.poll == Some(token))
        else {
            return;
        };
        job.poll = None;
        job.poll_at = now + interval;
        if matches!(outcome, Err(CallError::Closed)) {
            // There is no other connection: it is never known what becomes of the job.
            return self.end(key, JobEnd::Unknown);
        }
        let Some(views) = outcome.ok().and_then(|list| JobView::parse_list(&list)) else {
            return;
        };
        match views.into_iter().find(|view| Some(view.id) == job.id) {
            Some(view) => self.see(now, key, view),
            None => self.end(key, JobEnd::Lost),
        }
    }

    fn changed(&mut self, now: Instant, params: &Bytes) {
        let fields = Change::parse(params).and_then(|change| change.fields);
        let Some(view) = fields.and_then(|fields| JobView::parse(&fields)) else {
            return;
        };
        self.newest_start = self.newest_start.max(view.identity.started_at);
        let mut jobs = self.tracked.iter();
        if let Some((key, _)) = jobs.find(|(_, job)| job.id == Some(view.id)) {
            let keys: Vec<JobKey> = [*key]
                .into_iter()
                .chain(self.others(*key, view.id))
                .collect();
            for key in keys {
                self.see(now, key, view.clone());
            }
            return;
        }
        let mut jobs = self.tracked.iter();
        let named = jobs.find(|(_, job)| {
            let id = job.message_id.as_ref().filter(|_| job.id.is_none());
            id.is_some_and(|id| view.message_ids.contains(id))
        });
        if let Some(key) = named.map(|(key, _)| *key) {
            self.keep_early(view.clone());
            let id = view.id;
            self.identified(now, key, id);
        } else if self.tracked.values().any(|job| job.id.is_none()) {
            self.keep_early(view);
        }
    }

    /// Equal jobs that wait are one, so that several of the application have the same id.
    fn others(&self, first: JobKey, id: u64) -> Vec<JobKey> {
        let jobs = self.tracked.iter();
        let others = jobs.filter(|(key, job)| **key != first && job.id == Some(id));
        others.map(|(key, _)| *key).collect()
    }

    fn keep_early(&mut self, view: JobView) {
        self.early.retain(|it| it.id != view.id);
        if self.early.len() >= EARLY_MAX {
            self.early.pop_front();
        }
        self.early.push_back(view);
    }

    /// The job with this id looks like this.
    fn see(&mut self, now: Instant, key: JobKey, view: JobView) {
        let interval = self.poll_interval();
        let Some(job) = self.tracked.get_mut(&key) else {
            return;
        };
        let is_same = match &job.identity {
            Some(identity) => identity.continues_as(&view.identity),
            None => job.could_be(&view.identity),
        };
        if !is_same {
            let was_seen = job.identity.is_some();
            self.end(key, JobEnd::Lost);
            if was_seen {
                self.restarted();
            }
            return;
        }
        self.newest_start = self.newest_start.max(view.identity.started_at);
        job.identity = Some(view.identity);
        job.is_confirmed = true;
        job.poll_at = job.poll_at.max(now + interval);
        if let Some(end) = view.end {
            return self.end(key, end);
        }
        // A reply may be older than a change that has arrived.
        let is_newer = job.progress.as_ref().is_none_or(|before| {
            let order = |it: &JobProgress| (it.is_running, it.percent);
            *before != view.progress && order(before) <= order(&view.progress)
        });
        if is_newer {
            job.progress = Some(view.progress.clone());
            self.outputs
                .push_back(Output::Progressed(key, view.progress));
        }
        self.abort_if_confirmed(key);
    }

    const fn poll_interval(&self) -> Duration {
        if self.are_changes_arriving {
            POLL_INTERVAL
        } else {
            POLL_INTERVAL_WITHOUT_CHANGES
        }
    }

    fn abort(&mut self, key: JobKey) {
        if let Some(job) = self.tracked.get_mut(&key) {
            job.is_aborting = true;
        }
        self.abort_if_confirmed(key);
    }

    fn abort_if_confirmed(&mut self, key: JobKey) {
        let Some(job) = self.tracked.get_mut(&key) else {
            return;
        };
        if let Some(id) = job.id
            && job.is_confirmed
            && job.is_aborting
        {
            job.is_aborting = false;
            let params = Bytes::from(format!("[{id}]"));
            self.call(Purpose::Abort, "core.job_abort", params, Class::Write);
        }
    }

    /// An id may belong to another job now: each entry is requested at once.
    fn interrupted(&mut self, now: Instant) {
        self.forget_changes();
        for job in self.tracked.values_mut() {
            job.poll = None;
            job.poll_at = now;
        }
    }

    /// What was seen before says nothing about the server of now.
    fn forget_changes(&mut self) {
        self.early.clear();
        for job in self.tracked.values_mut() {
            job.is_confirmed = false;
        }
    }

    /// An id belongs to another job, so that the server was restarted, or it is another server: a job that was not seen
    /// before cannot be recognized there.
    fn restarted(&mut self) {
        let jobs = self.tracked.iter();
        let unknown =
            jobs.filter(|(_, job)| job.id.is_some() && job.identity.is_none() && !job.is_confirmed);
        let unknown: Vec<JobKey> = unknown.map(|(key, _)| *key).collect();
        for key in unknown {
            self.end(key, JobEnd::Lost);
        }
    }

    fn connected(&mut self, now: Instant) {
        // Another connection has replaced the one before, which has replied to the requests until then.
        if mem::replace(&mut self.is_connected, true) {
            self.interrupted(now);
        }
    }

    fn changes_interrupted(&mut self, now: Instant) {
        self.are_changes_arriving = false;
        if self.is_connected {
            self.interrupted(now);
        } else {
            // The entries were requested at the loss, which was reported before.
            self.forget_changes();
        }
    }

    /// Changes arrive. If they did before, some may be missing, and the connection may be another one.
    fn began(&mut self, now: Instant) {
        if self.are_changes_arriving {
            self.interrupted(now);
        }
        self.are_changes_arriving = true;
        for job in self.tracked.values_mut() {
            job.poll_at = now;
        }
    }

    fn poll_due(&mut self, now: Instant) {
        let jobs = self.tracked.iter();
        let due = jobs.filter(|(_, job)| job.next_poll().is_some_and(|at| now >= at));
        let due: Vec<(JobKey, Option<u64>)> = due.map(|(key, job)| (*key, job.id)).collect();
        for (key, id) in due {
            let Some(id) = id else {
                continue;
            };
            let params = Bytes::from(format!(r#"[[["id","=",{id}]]]"#));
            let token = self.call(Purpose::Poll(key), "core.get_jobs", params, Class::Read);
            if let Some(job) = self.tracked.get_mut(&key) {
                job.poll = Some(token);
            }
        }
    }
}

impl Job {
    /// When its entry is requested next.
    const fn next_poll(&self) -> Option<Instant> {
        match (self.id, self.poll) {
            (Some(_), None) => Some(self.poll_at),
            (Some(_), Some(_)) | (None, _) => None,
        }
    }

    /// Whether a job that was not seen before can be this one. On the connection of its call it is, if its method is the same;
    /// after a loss it has to have the arguments that were sent, and must not have been started before the call.
    fn could_be(&self, identity: &Identity) -> bool {
        let is_early = identity.started_at.is_some() && identity.started_at < self.starts_after;
        self.method == identity.method
            && (self.is_confirmed || (identity.has_arguments(&self.sent) && !is_early))
    }
}

impl Machine for Jobs {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::StartRequested {
                key,
                method,
                params,
            } => self.start(now, key, method, params),
            Input::AbortRequested(key) => self.abort(key),
            Input::Withdrawn(key) => {
                self.tracked.remove(&key);
                self.forget_early();
            }
            Input::Sent { token, message_id } => {
                let mut jobs = self.tracked.values_mut();
                if let Some(job) = jobs.find(|job| job.start == Some(token)) {
                    job.message_id = Some(message_id);
                }
            }
            Input::Replied { token, outcome } => self.replied(now, token, outcome),
            Input::Changed(params) => self.changed(now, &params),
            Input::ChangesBegan => self.began(now),
            Input::ChangesInterrupted => self.changes_interrupted(now),
            Input::Connected => self.connected(now),
            Input::ConnectionLost => {
                self.is_connected = false;
                self.interrupted(now);
            }
            Input::Tick => {}
        }
        self.poll_due(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.tracked.values().filter_map(Job::next_poll).min()
    }
}

#[cfg(test)]
mod tests;
