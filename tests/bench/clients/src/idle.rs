//! Sessions with one subscription each that wait for something to happen.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::{StreamExt, TryStreamExt};
use load::order::{Library, Order, Word};
use steadfast::SubscriptionEvent;
use tokio::time::timeout;

/// The channel of all of them.
const CHANNEL: &str = "idle";
/// Sessions that are opened at a time, as in the rows of the server.
const CONCURRENCY: usize = 64;
/// A session that does not stand after this time has failed.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What an application keeps of a session.
enum Kept {
    Bare,
    Steadfast(steadfast::Client, steadfast::Subscription),
    Centrifuge(centrifuge::Client, centrifuge::Subscription),
}

/// The first word comes before the first session, the second with the last, the third when none was lost meanwhile.
pub(crate) async fn run(order: Order, sessions: u32) -> Result<()> {
    crate::say(&Word::Ready)?;
    crate::wait_for_line()?;
    let kept: Vec<Kept> = futures_util::stream::iter(0..sessions)
        .map(|_| async { timeout(TIMEOUT, open(order)).await? })
        .buffer_unordered(CONCURRENCY)
        .try_collect()
        .await?;
    crate::say(&Word::Opened)?;
    crate::wait_for_line()?;
    // Everything stays as it is until the memory is read.
    for kept in &kept {
        match kept {
            Kept::Bare => {}
            Kept::Steadfast(client, subscription) => {
                ensure!(
                    client.state().borrow().reconnects == 0,
                    "{subscription:?} was lost"
                );
            }
            Kept::Centrifuge(client, subscription) => {
                let connects = client.statistics().connects;
                ensure!(connects == 1, "{} was lost", subscription.channel());
            }
        }
    }
    crate::say(&Word::Ready)
}

async fn open(order: Order) -> Result<Kept> {
    Ok(match order.library {
        Library::Bare => {
            let socket = crate::bare::open(order.port, Some(CHANNEL)).await?;
            tokio::spawn(crate::bare::stay(socket));
            Kept::Bare
        }
        Library::Steadfast => {
            let client = crate::steadfast(order.port)?;
            let mut subscription = client.subscribe(CHANNEL);
            let first = subscription.next().await;
            ensure!(
                matches!(first, Some(SubscriptionEvent::Subscribed { .. })),
                "{first:?}"
            );
            Kept::Steadfast(client, subscription)
        }
        Library::Centrifuge => {
            let client = crate::centrifuge(order.port)?;
            let subscription = client
                .new_subscription(CHANNEL)
                .recoverable(true)
                .positioned(true)
                .build()?;
            subscription.subscribe();
            subscription.ready(None).await?;
            Kept::Centrifuge(client, subscription)
        }
        Library::SteadfastPublish => crate::refuse(order)?,
    })
}
