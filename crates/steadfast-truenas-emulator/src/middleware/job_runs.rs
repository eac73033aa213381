//! Jobs from their call to their end: events, progress, replies.

use serde_json::{Value, json};

use super::Middleware;
use super::calls::{Due, Outcome};
use crate::connection::Call;
use crate::errors::{CallError, Errno};
use crate::jobs::JobState;
use crate::storage::POOL;

/// How much each step of a job adds to its progress, in percent.
const STEP_PERCENT: u64 = 25;
/// Steps of a job.
const STEPS: u32 = 4;
/// The most calls of one `core.bulk`.
const BULK_MAX: usize = 10_000;

impl Middleware {
    /// Starts the job of a call. Its events may precede the reply.
    pub(super) fn call_job(&mut self, call: &Call) -> Outcome {
        if let Err(error) = self.check_job(call) {
            return Outcome::Done(Err(error));
        }
        let id = self.start_job(call, &call.method, &call.params);
        let connection = self.connections.get(&call.connection);
        if connection.is_none_or(|it| it.options.legacy_jobs) {
            return Outcome::Done(Ok(json!(id)));
        }
        if let Some(job) = self.jobs.get_mut(id) {
            job.callers.push(call.clone());
        }
        Outcome::AtEndOfJob
    }

    fn check_job(&self, call: &Call) -> Result<(), CallError> {
        let first = call.params.first();
        match call.method.as_str() {
            "core.job_wait" => {
                let id = first.and_then(Value::as_u64);
                let id = id.ok_or_else(|| CallError::required("id"))?;
                self.jobs.get(id).map(|_| ()).ok_or_else(|| no_job(id))
            }
            "core.bulk" => {
                let calls = call.params.get(1).and_then(Value::as_array);
                match (first.and_then(Value::as_str), calls) {
                    (Some(_), Some(calls)) if calls.len() <= BULK_MAX => Ok(()),
                    (Some(_), Some(_)) => {
                        let text = "too many calls for the emulator";
                        Err(CallError::invalid("params", text, Errno::Invalid))
                    }
                    _ => Err(CallError::required("params")),
                }
            }
            _ => {
                let name = first.and_then(Value::as_str);
                let name = name.ok_or_else(|| CallError::required("name"))?;
                if name == POOL {
                    return Ok(());
                }
                let text = format!("Pool {name} does not exist");
                Err(CallError::invalid("name", text, Errno::NoEntry))
            }
        }
    }

    /// Creates a job, or adds the request to an equal job that waits, and returns the id.
    fn start_job(&mut self, call: &Call, method: &str, params: &[Value]) -> u64 {
        let waiting = self.jobs.equal(method, params, JobState::Waiting);
        let of_user = waiting.filter(|id| {
            let job = self.jobs.get(*id);
            job.is_some_and(|job| Some(job.username.as_str()) == call.username.as_deref())
        });
        if let Some(id) = of_user {
            if let Some(job) = self.jobs.get_mut(id) {
                job.message_ids.extend(call.id.clone());
            }
            self.job_event("changed", id);
            return id;
        }
        let now = self.wall();
        let id = self.jobs.create(call, method, params, now);
        self.job_event("added", id);
        self.schedule.add(self.now, Due::Job(id));
        id
    }

    /// The next step of a job.
    pub(super) fn continue_job(&mut self, id: u64) {
        let Some(job) = self.jobs.get(id) else {
            return;
        };
        match job.state {
            JobState::Waiting => {
                let running = self
                    .jobs
                    .equal(&job.method, &job.arguments, JobState::Running);
                if running.is_none() {
                    self.run_job(id);
                }
            }
            JobState::Running => self.advance_job(id),
            JobState::Success | JobState::Failed | JobState::Aborted => {}
        }
    }

    fn run_job(&mut self, id: u64) {
        let now = self.wall();
        let Some(job) = self.jobs.get_mut(id) else {
            return;
        };
        job.state = JobState::Running;
        job.started_at = now;
        let job = job.clone();
        self.job_event("changed", id);
        match job.method.as_str() {
            "core.job_wait" => {
                let target = job.arguments.first().and_then(Value::as_u64);
                let target = target.and_then(|target| self.jobs.get(target));
                if let Some(target) = target.filter(|target| target.state.is_ended()).cloned() {
                    self.end_job(id, target.state, target.result, target.error);
                }
            }
            "core.bulk" => {
                let result = self.run_bulk(&job.username, &job.arguments);
                self.end_job(id, JobState::Success, result, None);
            }
            _ => self.schedule_step(id),
        }
    }

    fn schedule_step(&mut self, id: u64) {
        let at = self.now + self.policy.job_time / STEPS;
        self.schedule.add(at, Due::Job(id));
    }

    fn advance_job(&mut self, id: u64) {
        let Some(job) = self.jobs.get_mut(id) else {
            return;
        };
        job.percent += STEP_PERCENT;
        if job.percent >= 100 {
            if Self::take_one(&mut self.failing_jobs, &job.method) {
                let error = Some("[EFAULT] a test requested this failure".to_owned());
                self.end_job(id, JobState::Failed, Value::Null, error);
            } else {
                self.end_job(id, JobState::Success, Value::Null, None);
            }
        } else {
            self.job_event("changed", id);
            self.schedule_step(id);
        }
    }

    /// Ends a job: the last event, the replies of its callers, and what waits for its end.
    fn end_job(&mut self, id: u64, state: JobState, result: Value, error: Option<String>) {
        let now = self.wall();
        let Some(job) = self.jobs.get_mut(id) else {
            return;
        };
        job.state = state;
        job.finished_at = Some(now);
        job.result = result;
        job.error = error;
        if state == JobState::Success {
            job.percent = 100;
        }
        let callers = std::mem::take(&mut job.callers);
        let job = job.clone();
        self.job_event("changed", id);
        if self.policy.repeats_last_job_event {
            self.job_event("changed", id);
        }
        for caller in callers {
            let reply = match &job.error {
                None => Ok(job.result.clone()),
                Some(error) => Err(CallError::failed(Errno::Invalid, error)),
            };
            self.finish(&caller, &reply);
        }
        for waiter in self.jobs.waiting_for(id) {
            self.end_job(waiter, state, job.result.clone(), job.error.clone());
        }
        let next = self
            .jobs
            .equal(&job.method, &job.arguments, JobState::Waiting);
        if let Some(next) = next {
            self.schedule.add(self.now, Due::Job(next));
        }
    }

    pub(super) fn abort_job(&mut self, call: &Call) -> Result<Value, CallError> {
        let id = call.params.first().and_then(Value::as_u64);
        let id = id.ok_or_else(|| CallError::required("id"))?;
        let job = self.jobs.get(id).ok_or_else(|| no_job(id))?;
        if Some(job.username.as_str()) != call.username.as_deref() {
            return Err(CallError::failed(Errno::Access, "Not authorized"));
        }
        if !job.state.is_ended() {
            let error = Some("Aborted".to_owned());
            self.end_job(id, JobState::Aborted, Value::Null, error);
        }
        Ok(Value::Null)
    }

    /// Calls a method with each list of parameters. A job is only started; the original waits for its end.
    fn run_bulk(&mut self, username: &str, arguments: &[Value]) -> Value {
        let method = arguments.first().and_then(Value::as_str);
        let method = method.unwrap_or_default().to_owned();
        let calls = arguments.get(1).and_then(Value::as_array).cloned();
        let calls = calls.unwrap_or_default();
        let results = calls.into_iter().map(|params| {
            let params = params.as_array().cloned().unwrap_or_default();
            let call = Call {
                connection: crate::io::ConnectionId::new(u64::MAX),
                id: None,
                method: method.clone(),
                params,
                username: Some(username.to_owned()),
                entry: None,
            };
            if method == "pool.scrub.scrub" {
                let started = self.check_job(&call);
                let started = started.map(|()| self.start_job(&call, &method, &call.params));
                return match started {
                    Ok(id) => json!({"job_id": id, "error": null, "result": null}),
                    Err(error) => failed_item(&error),
                };
            }
            match self.run_plain(&call, &method, &call.params) {
                Ok(result) => json!({"job_id": null, "error": null, "result": result}),
                Err(error) => failed_item(&error),
            }
        });
        results.collect()
    }

    /// Sends the state of a job to the subscribers of its user.
    fn job_event(&mut self, msg: &str, id: u64) {
        if let Some(job) = self.jobs.get(id) {
            let (fields, user) = (job.to_json(), job.username.clone());
            self.send_event("core.get_jobs", msg, &json!(id), Some(fields), Some(&user));
        }
    }
}

fn failed_item(error: &CallError) -> Value {
    json!({"job_id": null, "error": error.reason(), "result": null})
}

fn no_job(id: u64) -> CallError {
    CallError::invalid("id", format!("Job {id} does not exist"), Errno::NoEntry)
}
