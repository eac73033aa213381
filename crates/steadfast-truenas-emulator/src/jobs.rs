//! The jobs of one start of the middleware: a table whose ids begin at 1 with each start.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use steadfast_machine::Timestamp;

use crate::connection::Call;
use crate::io::ConnectionId;

/// The most jobs; the oldest that has ended is forgotten.
const JOBS_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub(crate) struct Jobs {
    last: u64,
    jobs: BTreeMap<u64, Job>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobState {
    Waiting,
    Running,
    Success,
    Failed,
    Aborted,
}

#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) method: String,
    pub(crate) arguments: Vec<Value>,
    /// The ids of the requests that started it: several, because equal waiting jobs are one.
    pub(crate) message_ids: Vec<Value>,
    pub(crate) username: String,
    pub(crate) state: JobState,
    pub(crate) percent: u64,
    pub(crate) started_at: Timestamp,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) result: Value,
    pub(crate) error: Option<String>,
    /// The calls that get their reply at its end.
    pub(crate) callers: Vec<Call>,
}

impl JobState {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Running => "RUNNING",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
            Self::Aborted => "ABORTED",
        }
    }

    pub(crate) const fn is_ended(self) -> bool {
        match self {
            Self::Waiting | Self::Running => false,
            Self::Success | Self::Failed | Self::Aborted => true,
        }
    }
}

impl Jobs {
    /// Creates a job that waits, for the user of the call, and returns its id.
    pub(crate) fn create(
        &mut self,
        call: &Call,
        method: &str,
        arguments: &[Value],
        now: Timestamp,
    ) -> u64 {
        if self.jobs.len() >= JOBS_MAX {
            let ended = self.jobs.values().find(|job| job.state.is_ended());
            if let Some(id) = ended.map(|job| job.id) {
                self.jobs.remove(&id);
            }
        }
        self.last += 1;
        let job = Job {
            id: self.last,
            method: method.to_owned(),
            arguments: arguments.to_vec(),
            message_ids: call.id.iter().cloned().collect(),
            username: call.username.clone().unwrap_or_default(),
            state: JobState::Waiting,
            percent: 0,
            started_at: now,
            finished_at: None,
            result: Value::Null,
            error: None,
            callers: Vec::new(),
        };
        self.jobs.insert(self.last, job);
        self.last
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Job> {
        self.jobs.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut Job> {
        self.jobs.get_mut(&id)
    }

    /// The first job with these arguments in this state: equal jobs run one after the other.
    pub(crate) fn equal(&self, method: &str, arguments: &[Value], state: JobState) -> Option<u64> {
        let mut jobs = self.jobs.values();
        let equal = jobs
            .find(|job| job.method == method && job.arguments == arguments && job.state == state);
        equal.map(|job| job.id)
    }

    /// The `core.job_wait` jobs that run until this job ends.
    pub(crate) fn waiting_for(&self, id: u64) -> Vec<u64> {
        let jobs = self.jobs.values().filter(|job| {
            job.method == "core.job_wait"
                && job.state == JobState::Running
                && job.arguments.first().and_then(Value::as_u64) == Some(id)
        });
        jobs.map(|job| job.id).collect()
    }

    /// The jobs of a user: other users do not see them.
    pub(crate) fn visible_to(&self, username: &str) -> Vec<Value> {
        let jobs = self.jobs.values().filter(|job| job.username == username);
        jobs.map(Job::to_json).collect()
    }

    /// Forgets the callers on a connection that has ended; their jobs continue.
    pub(crate) fn forget_callers(&mut self, connection: ConnectionId) {
        for job in self.jobs.values_mut() {
            job.callers.retain(|call| call.connection != connection);
        }
    }
}

impl Job {
    pub(crate) fn to_json(&self) -> Value {
        let date = |at: Timestamp| json!({"$date": at.as_millis()});
        let is_started = self.state != JobState::Waiting;
        json!({
            "id": self.id,
            "message_ids": self.message_ids,
            "method": self.method,
            "arguments": self.arguments,
            "transient": false,
            "description": null,
            "abortable": true,
            "logs_path": null,
            "logs_excerpt": null,
            "progress": {
                "percent": self.percent,
                "description": if is_started { self.method.as_str() } else { "" },
                "extra": null,
            },
            "result": self.result,
            "result_encoding_error": null,
            "error": self.error,
            "exception": self.error,
            "exc_info": self.exc_info(),
            "state": self.state.name(),
            "time_started": is_started.then(|| date(self.started_at)),
            "time_finished": self.finished_at.map(date),
            "credentials": {
                "type": "LOGIN_PASSWORD",
                "data": {"username": self.username, "login_at": date(self.started_at)},
            },
        })
    }

    fn exc_info(&self) -> Value {
        match &self.error {
            None => Value::Null,
            Some(error) => json!({"repr": error, "type": "CallError", "errno": 22, "extra": null}),
        }
    }
}
