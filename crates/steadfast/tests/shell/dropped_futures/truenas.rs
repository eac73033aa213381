//! The same for jobs and collections of TrueNAS, whose futures wait for a task: each is dropped after each number of polls,
//! at an emulated server.

#[path = "../../truenas_jobs/nas.rs"]
mod nas;

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use steadfast::truenas::{Collection, CollectionEvent, Job, JobEnd, Jobs, collection};
use tokio::task::yield_now;

use self::nas::{Nas, policy, within};
use super::POLLS_MAX;
use super::steps::poll_once;

const SCRUB: &str = "pool.scrub.scrub";
const START: &str = "steadfast::truenas::Jobs::start";
const ABORT: &str = "steadfast::truenas::Job::abort";

/// What an application has of a client.
struct Handles {
    jobs: Jobs,
    job: Job,
    changes: Collection,
}

/// A future that was started.
type Waiting<'a> = Pin<Box<dyn Future<Output = Option<CollectionEvent>> + 'a>>;

/// A future of the public API. It returns the event of a collection, if that is what it waits for.
struct Case {
    /// How the public API names it.
    name: &'static str,
    start: for<'a> fn(&'a mut Handles) -> Waiting<'a>,
}

const CASES: [Case; 6] = [
    Case {
        name: START,
        start: |it| {
            Box::pin(async {
                drop(it.jobs.start(SCRUB, &["tank"]).await);
                None
            })
        },
    },
    Case {
        name: ABORT,
        start: |it| {
            Box::pin(async {
                it.job.abort().await;
                None
            })
        },
    },
    Case {
        name: "steadfast::truenas::Job::end",
        start: |it| {
            Box::pin(async {
                it.job.end().await;
                None
            })
        },
    },
    Case {
        name: "steadfast::truenas::Job::next_progress",
        start: |it| {
            Box::pin(async {
                it.job.next_progress().await;
                None
            })
        },
    },
    Case {
        name: "steadfast::truenas::Collection::next",
        start: |it| Box::pin(it.changes.next()),
    },
    Case {
        name: "Stream for steadfast::truenas::Collection",
        start: |it| {
            use futures_core::Stream as _;
            let changes = &mut it.changes;
            Box::pin(std::future::poll_fn(move |context| {
                Pin::new(&mut *changes).poll_next(context)
            }))
        },
    },
];

/// The futures that this module drops, as the public API names them.
pub(super) fn names() -> impl Iterator<Item = String> {
    CASES.iter().map(|it| it.name.to_owned())
}

#[tokio::test]
async fn waits_for_jobs_and_collections_can_be_dropped() {
    for case in &CASES {
        for polls in 0..=POLLS_MAX {
            drop_after(case, polls).await;
        }
    }
}

/// Drops a future after some polls; afterwards the job has its end and the collection its first event.
async fn drop_after(case: &Case, polls: usize) {
    let label = format!("{} after {polls} polls", case.name);
    let mut policy = policy();
    policy.job_time = Duration::from_millis(50);
    let nas = Nas::start(policy).await;
    let client = nas.client();
    let jobs = Jobs::spawn(client.clone());
    let job = jobs.start(SCRUB, &["tank"]).await.expect("requested");
    let changes = collection(&client, "pool.query");
    let mut handles = Handles { jobs, job, changes };
    let mut received = None;
    {
        let mut future = (case.start)(&mut handles);
        for _ in 0..polls {
            if let Poll::Ready(event) = poll_once(future.as_mut()).await {
                received = event;
                break;
            }
            yield_now().await;
        }
    }

    let first = match received {
        Some(event) => event,
        None => within(handles.changes.next()).await.expect("an event"),
    };
    assert_eq!(first, CollectionEvent::Began, "{label}");
    let end = within(handles.job.end()).await;
    let can_be_aborted = case.name == ABORT && polls > 0;
    let is_expected =
        matches!(end, JobEnd::Success(_)) || (can_be_aborted && end == JobEnd::Aborted);
    assert!(is_expected, "{label}: {end:?}");
    while within(handles.job.next_progress()).await.is_some() {}
    let mut other = handles.jobs.start(SCRUB, &["tank"]).await.expect("space");
    nas.post("cut-connections").await;
    let other = within(other.end()).await;
    assert!(
        matches!(other, JobEnd::Success(_) | JobEnd::Unknown),
        "{label}: {other:?}"
    );
}
