//! Jobs from their call to their end.

use std::time::Duration;

use serde_json::Value;
use steadfast::SessionEvent;
use steadfast::jsonrpc::Class;
use steadfast::truenas::{Job, JobEnd, Jobs, JobsClosed, collection};
use steadfast_truenas_emulator::Policy;

use crate::nas::{Nas, policy, within};

const SCRUB: &str = "pool.scrub.scrub";
const TANK: [&str; 1] = ["tank"];

fn short() -> Policy {
    let mut policy = policy();
    policy.job_time = Duration::from_millis(100);
    policy.repeats_last_job_event = true;
    policy
}

/// Jobs that run for longer than a test.
fn long() -> Policy {
    let mut policy = policy();
    policy.job_time = Duration::from_hours(1);
    policy
}

async fn start(jobs: &Jobs) -> Job {
    jobs.start(SCRUB, &TANK).await.expect("requested")
}

/// A job that is known to run.
async fn running(jobs: &Jobs) -> Job {
    let mut job = start(jobs).await;
    while let Some(progress) = within(job.next_progress()).await {
        if progress.is_running {
            return job;
        }
    }
    panic!("it ended: {:?}", job.end().await);
}

#[tokio::test]
async fn a_job_reports_progress_and_its_result() {
    let nas = Nas::start(short()).await;
    let jobs = Jobs::spawn(nas.client());

    let mut job = start(&jobs).await;
    let mut percents = Vec::new();
    while let Some(progress) = within(job.next_progress()).await {
        percents.push(progress.percent);
    }

    assert!(!percents.is_empty() && percents.is_sorted(), "{percents:?}");
    let success = JobEnd::Success("null".into());
    assert_eq!(within(job.end()).await, success);
    assert_eq!(within(job.end()).await, success);
}

#[tokio::test]
async fn a_job_that_fails_and_one_that_is_rejected_have_their_errors() {
    let nas = Nas::start(short()).await;
    let jobs = Jobs::spawn(nas.client());

    nas.post(&format!("fail-job/{SCRUB}")).await;
    let failed = within(start(&jobs).await.end()).await;
    let mut rejected = jobs.start(SCRUB, &["none"]).await.expect("requested");
    let rejected = within(rejected.end()).await;

    let JobEnd::Failed(failed) = failed else {
        panic!("{failed:?}");
    };
    assert_eq!(failed.to_string(), "[EFAULT] a test requested this failure");
    let JobEnd::Failed(rejected) = rejected else {
        panic!("{rejected:?}");
    };
    assert_eq!(rejected.attributes.len(), 1);
}

#[tokio::test]
async fn a_job_can_be_aborted() {
    let nas = Nas::start(long()).await;
    let jobs = Jobs::spawn(nas.client());

    let mut job = running(&jobs).await;
    job.abort().await;

    assert_eq!(within(job.end()).await, JobEnd::Aborted);
}

#[tokio::test]
async fn a_job_continues_over_a_lost_connection() {
    let nas = Nas::start(long()).await;
    let client = nas.client();
    let jobs = Jobs::spawn(client.clone());

    let mut job = running(&jobs).await;
    nas.post("cut-connections").await;
    job.abort().await;

    assert_eq!(within(job.end()).await, JobEnd::Aborted);
    assert!(client.state().borrow().reconnects > 0);
}

/// After the restart another job has the same id.
#[tokio::test]
async fn after_a_restart_of_the_server_a_job_is_lost_and_another_one_with_its_id_is_not_aborted() {
    let nas = Nas::start(long()).await;
    let client = nas.client();
    let jobs = Jobs::spawn(client.clone());
    let mut job = running(&jobs).await;

    nas.post("restart").await;
    let other = client.method("core.job_wait").class(Class::Write);
    // The first id after a restart is that of the job before it.
    let _ = within(other.request_raw("[1]".into())).await;
    let mut same = start(&jobs).await;
    job.abort().await;

    assert_eq!(within(job.end()).await, JobEnd::Lost);
    same.abort().await;
    assert_eq!(within(same.end()).await, JobEnd::Aborted);
}

/// The application has the subscription to the changes, so that the jobs have none.
#[tokio::test]
async fn without_changes_a_job_is_lost_after_a_restart_and_another_one_with_its_id_is_not_aborted()
{
    let nas = Nas::start(long()).await;
    let client = nas.client();
    let _changes = collection(&client, "core.get_jobs");
    let jobs = Jobs::spawn(client.clone());
    let mut job = running(&jobs).await;
    let mut events = client.events();

    nas.post("restart").await;
    while !matches!(within(events.recv()).await, Ok(SessionEvent::Ready { .. })) {}
    let other = client.method("core.job_wait").class(Class::Write);
    // The first id after a restart is that of the job before it.
    let _ = within(other.request_raw("[1]".into())).await;
    let mut same = running(&jobs).await;
    job.abort().await;

    assert_eq!(within(job.end()).await, JobEnd::Lost);
    let all: Vec<Value> = within(client.request("core.get_jobs", &())).await.unwrap();
    let scrub = all
        .iter()
        .find(|it| it["method"] == SCRUB)
        .expect("an entry");
    assert_eq!(scrub["state"], "RUNNING", "the abort was not for this one");
    same.abort().await;
    assert_eq!(within(same.end()).await, JobEnd::Aborted);
}

#[tokio::test]
async fn a_job_whose_reply_is_lost_is_unknown() {
    let nas = Nas::start(short()).await;
    let jobs = Jobs::spawn(nas.client());

    nas.post(&format!("lose-reply/{SCRUB}")).await;
    let mut job = start(&jobs).await;

    assert_eq!(within(job.end()).await, JobEnd::Unknown);
}

#[tokio::test]
async fn after_the_client_was_closed_jobs_are_unknown_and_none_is_started() {
    let nas = Nas::start(long()).await;
    let client = nas.client();
    let jobs = Jobs::spawn(client.clone());
    let mut job = running(&jobs).await;

    client.close(Duration::ZERO).await.expect("closed");

    assert_eq!(within(job.end()).await, JobEnd::Unknown);
    assert_eq!(within(job.next_progress()).await, None);
    let error = within(jobs.start(SCRUB, &TANK)).await.map(drop);
    assert_eq!(error, Err(JobsClosed::Closed));
}

#[tokio::test]
async fn params_have_to_be_an_array() {
    let nas = Nas::start(short()).await;
    let jobs = Jobs::spawn(nas.client());
    let error = jobs.start(SCRUB, &"tank").await.map(drop);
    assert!(matches!(error, Err(JobsClosed::Params(_))));
}
