//! A painter: an ordinary client that draws a motif, and records its deliveries and acknowledgements.

mod motif;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use steadfast::centrifuge::{Acknowledgement, Client, Item, Subscription, SubscriptionEvent};
use steadfast::error::BuildError;
use steadfast::{BackoffRange, BackoffSettings, SessionEvent, defaults};
use tokio::sync::broadcast;
use tokio::time::{MissedTickBehavior, interval};

use self::motif::Brush;
use super::CHANNEL;
use super::live::LiveStats;

/// The time between two strokes.
const STROKE_EVERY: Duration = Duration::from_millis(250);
/// The delay between two attempts to connect: at most 0.85 s, also after many kills in a row. The gateway runs on the
/// same machine and is restarted within about a second, and the demo has at most 100 painters, so that shorter delays
/// than the library's defaults, which suit thousands of clients of a remote server, do not overload it.
pub(super) const BACKOFF: BackoffSettings = defaults::BACKOFF
    .range(BackoffRange::proportional(
        50,
        Duration::from_millis(400),
        Duration::from_millis(800),
    ))
    .going_away_jitter(Duration::from_millis(800))
    .retry_after_max(Duration::from_secs(1));

/// Starts a painter; the first has the number 0.
pub(super) fn start(url: &str, number: usize, stats: Arc<LiveStats>) -> Result<(), BuildError> {
    let name = format!("painter {}", number + 1);
    let (client, driver) = Client::builder(url)?
        .name("painter")
        .data(&json!({ "name": name }))?
        .backoff(BACKOFF)
        .build()?;
    tokio::spawn(watch_state(number, client.clone(), Arc::clone(&stats)));
    tokio::spawn(watch_events(number, client.events(), Arc::clone(&stats)));
    let subscription = client.subscribe(CHANNEL);
    tokio::spawn(watch_deliveries(number, subscription, Arc::clone(&stats)));
    tokio::spawn(driver);
    tokio::spawn(paint(client, number, name, stats));
    Ok(())
}

async fn paint(client: Client, number: usize, name: String, stats: Arc<LiveStats>) {
    let mut ticks = interval(STROKE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut brush = Brush::new(number);
    loop {
        ticks.tick().await;
        let Some((cell, color)) = brush.step() else {
            return;
        };
        // A background stroke never replaces what a user drew, in whatever order the two arrive.
        let stroke =
            json!({"x": cell.x, "y": cell.y, "color": color, "by": name, "background": true});
        // If the client's queue is full while the gateway is down, the stroke is dropped.
        let Ok(receipt) = client.publish(CHANNEL, &stroke) else {
            continue;
        };
        stats.record_publish(number);
        let stats = Arc::clone(&stats);
        tokio::spawn(async move {
            let offset = match receipt.await {
                Ok(Acknowledgement { position, .. }) => Some(position.offset),
                Err(_) => None,
            };
            stats.record_outcome(number, offset);
        });
    }
}

async fn watch_state(number: usize, client: Client, stats: Arc<LiveStats>) {
    let mut state = client.state();
    loop {
        let snapshot = state.borrow_and_update().clone();
        let next = snapshot.next_attempt_at;
        let delay = next.map(|at| at.saturating_since(client.now()));
        stats.update_session(number, snapshot.state, snapshot.attempt, delay);
        if state.changed().await.is_err() {
            return;
        }
    }
}

async fn watch_events(
    number: usize,
    mut events: broadcast::Receiver<SessionEvent>,
    stats: Arc<LiveStats>,
) {
    loop {
        match events.recv().await {
            Ok(SessionEvent::Lost { cause, .. }) => stats.record_disconnect(number, &cause),
            Ok(
                SessionEvent::Attempting { .. }
                | SessionEvent::Waiting { .. }
                | SessionEvent::Connected { .. }
                | SessionEvent::Ready { .. }
                | SessionEvent::Failed { .. }
                | SessionEvent::Closed
                | _,
            )
            | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

async fn watch_deliveries(number: usize, mut subscription: Subscription, stats: Arc<LiveStats>) {
    while let Some(event) = subscription.next().await {
        match event {
            SubscriptionEvent::Subscribed { position } => {
                stats.record_subscribed(number, position.offset, false);
            }
            SubscriptionEvent::Resumed { position } => {
                stats.record_subscribed(number, position.offset, true);
            }
            SubscriptionEvent::Gap { from, to } => stats.record_gap(number, from.as_ref(), &to),
            SubscriptionEvent::Item(Item::Publication(publication)) => {
                stats.record_delivery(number, publication.offset);
            }
            SubscriptionEvent::Unsubscribed(_) => return,
            SubscriptionEvent::Item(Item::Join(_) | Item::Leave(_)) | _ => {}
        }
    }
}
