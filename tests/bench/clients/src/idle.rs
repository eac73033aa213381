//! Idle sessions with one subscription each.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::{StreamExt, TryStreamExt};
use load::job::{Job, Library, Report};
use steadfast::centrifuge::SubscriptionEvent;
use tokio::time::timeout;

/// The channel of all sessions.
const CHANNEL: &str = "idle";
/// Number of sessions that are opened concurrently, as in the rows of the servers.
const CONCURRENCY: usize = 64;
/// Maximum time to open a session.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The handles of a session that an application would hold.
enum IdleSession {
    Bare,
    Steadfast(
        steadfast::centrifuge::Client,
        steadfast::centrifuge::Subscription,
    ),
    Centrifuge(centrifuge::Client, centrifuge::Subscription),
}

/// Sends three reports: before the first session is opened, after the last one is open, and after the check that
/// none was lost in between.
pub(crate) async fn run(job: Job, sessions: u32) -> Result<()> {
    crate::report(&Report::Ready)?;
    crate::wait_for_line()?;
    let opened: Vec<IdleSession> = futures_util::stream::iter(0..sessions)
        .map(|_| async { timeout(TIMEOUT, open(job)).await? })
        .buffer_unordered(CONCURRENCY)
        .try_collect()
        .await?;
    crate::report(&Report::SessionsOpened)?;
    crate::wait_for_line()?;
    // The sessions stay open until the orchestrator has read the memory use.
    for session in &opened {
        match session {
            IdleSession::Bare => {}
            IdleSession::Steadfast(client, subscription) => {
                ensure!(
                    client.state().borrow().reconnects == 0,
                    "the session of {subscription:?} was lost"
                );
            }
            IdleSession::Centrifuge(client, subscription) => {
                let connects = client.statistics().connects;
                ensure!(
                    connects == 1,
                    "the session of {} was lost",
                    subscription.channel()
                );
            }
        }
    }
    crate::report(&Report::Ready)
}

async fn open(job: Job) -> Result<IdleSession> {
    Ok(match job.library {
        Library::Bare => {
            let socket = crate::bare::open(job.port, Some(CHANNEL)).await?;
            tokio::spawn(crate::bare::send_pongs(socket));
            IdleSession::Bare
        }
        Library::Steadfast => {
            let client = crate::steadfast(job.port)?;
            let mut subscription = client.subscribe(CHANNEL);
            let first = subscription.next().await;
            ensure!(
                matches!(first, Some(SubscriptionEvent::Subscribed { .. })),
                "unexpected first event: {first:?}"
            );
            IdleSession::Steadfast(client, subscription)
        }
        Library::Centrifuge => {
            let client = crate::centrifuge(job.port)?;
            let subscription = client
                .new_subscription(CHANNEL)
                .recoverable(true)
                .positioned(true)
                .build()?;
            subscription.subscribe();
            subscription.ready(None).await?;
            IdleSession::Centrifuge(client, subscription)
        }
        Library::SteadfastPublish => crate::unsupported(job)?,
    })
}
