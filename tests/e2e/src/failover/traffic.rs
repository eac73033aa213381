//! What a client publishes and receives during a run, all of it recorded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use steadfast::centrifuge::{Client, Item, Position, SendError, SubscriptionEvent};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// The channel of a run.
pub(super) const CHANNEL: &str = "orders";
/// Between two publications.
const INTERVAL: Duration = Duration::from_millis(20);

/// A publication with its number, and what its receipt said.
pub(super) type Outcome = (u64, Result<Position, SendError>);

/// What the subscription delivered, as far as the ledger needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    /// Active, without a gap: publications after this position follow.
    Active(Position),
    /// Publications are missing; those after this position follow.
    Gap(Position),
    /// A publication: its offset and its number.
    Publication(u64, u64),
    /// Something that must not happen.
    Unexpected(String),
}

/// A client's publications and its subscription to them.
#[derive(Debug)]
pub(super) struct Traffic {
    is_stopped: Arc<AtomicBool>,
    publisher: JoinHandle<Result<Vec<JoinHandle<Outcome>>>>,
    acknowledged: watch::Receiver<u64>,
    delivered: Record,
    subscriber: JoinHandle<()>,
}

/// What was delivered so far.
#[derive(Clone, Debug, Default)]
struct Record(Arc<Mutex<Vec<Delivered>>>);

impl Record {
    fn lock(&self) -> MutexGuard<'_, Vec<Delivered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn contains(&self, last: Option<u64>) -> bool {
        self.lock()
            .iter()
            .rev()
            .any(|it| matches!(it, Delivered::Publication(_, number) if Some(*number) == last))
    }
}

impl Traffic {
    /// Subscribes, and publishes until [`Self::stop`].
    pub(super) fn start(client: &Client) -> Self {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let (count, acknowledged) = watch::channel(0);
        let delivered = Record::default();
        Self {
            publisher: tokio::spawn(publish(client.clone(), Arc::clone(&is_stopped), count)),
            subscriber: tokio::spawn(subscribe(client.clone(), delivered.clone())),
            is_stopped,
            acknowledged,
            delivered,
        }
    }

    /// Waits until this many more publications are acknowledged.
    pub(super) async fn await_acknowledgements(&mut self, more: u64, max: Duration) -> Result<()> {
        let goal = *self.acknowledged.borrow() + more;
        let reached = self.acknowledged.wait_for(|count| *count >= goal);
        let reached = timeout(max, reached).await;
        reached.with_context(|| format!("no {more} acknowledgements in {max:?}"))??;
        Ok(())
    }

    /// Stops publishing, waits for all outcomes, and until the subscription has delivered the last stored publication.
    pub(super) async fn stop(self, max: Duration) -> Result<(Vec<Outcome>, Vec<Delivered>)> {
        self.is_stopped.store(true, Ordering::Relaxed);
        let receipts = timeout(max, self.publisher).await???;
        let mut outcomes = Vec::with_capacity(receipts.len());
        for receipt in receipts {
            let outcome = timeout(max, receipt).await;
            outcomes.push(outcome.context("a receipt has no outcome")??);
        }
        let last = outcomes.iter().rev().find(|(_, outcome)| outcome.is_ok());
        let last = last.map(|(number, _)| *number);
        let seen = async {
            while !self.delivered.contains(last) {
                sleep(INTERVAL).await;
            }
        };
        let seen = timeout(max, seen).await;
        self.subscriber.abort();
        ensure!(seen.is_ok(), "publication {last:?} was not delivered");
        let delivered = self.delivered.lock().clone();
        Ok((outcomes, delivered))
    }
}

/// Publishes consecutive numbers; waits while the outbox is full.
async fn publish(
    client: Client,
    is_stopped: Arc<AtomicBool>,
    count: watch::Sender<u64>,
) -> Result<Vec<JoinHandle<Outcome>>> {
    let mut receipts = Vec::new();
    for number in 0.. {
        if is_stopped.load(Ordering::Relaxed) {
            break;
        }
        let receipt = client.message(CHANNEL, &number).send().await?;
        let count = count.clone();
        receipts.push(tokio::spawn(async move {
            let outcome = receipt.await.map(|it| it.position);
            if outcome.is_ok() {
                count.send_modify(|count| *count += 1);
            }
            (number, outcome)
        }));
        sleep(INTERVAL).await;
    }
    Ok(receipts)
}

async fn subscribe(client: Client, delivered: Record) {
    let mut subscription = client.subscribe(CHANNEL);
    while let Some(event) = subscription.next().await {
        let event = match event {
            SubscriptionEvent::Subscribed { position }
            | SubscriptionEvent::Resumed { position } => Delivered::Active(position),
            SubscriptionEvent::Gap { to, .. } => Delivered::Gap(to),
            SubscriptionEvent::Item(Item::Publication(it)) => {
                match std::str::from_utf8(&it.data).map(str::parse) {
                    Ok(Ok(number)) => Delivered::Publication(it.offset, number),
                    _ => Delivered::Unexpected(format!("{it:?}")),
                }
            }
            event @ (SubscriptionEvent::Interrupted { .. }
            | SubscriptionEvent::Item(_)
            | SubscriptionEvent::Unsubscribed(_)
            | _) => Delivered::Unexpected(format!("{event:?}")),
        };
        delivered.lock().push(event);
    }
}
