//! A painter: an ordinary client that draws a random line, and records its deliveries and acknowledgements.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use steadfast::error::BuildError;
use steadfast::{Client, PublishOutcome, SessionEvent, Subscription, SubscriptionEvent};
use steadfast_clock::Clock;
use steadfast_machine::convert;
use tokio::sync::broadcast;
use tokio::time::{MissedTickBehavior, interval};

use super::CHANNEL;
use super::board::{COLORS, SIDE};
use super::live::LiveStats;

/// The time between two strokes.
const STROKE_EVERY: Duration = Duration::from_millis(250);
/// The maximum number of strokes in one direction before the line turns.
const STRAIGHT_MAX: u32 = 12;

/// Starts a painter; the first has the number 0.
pub(super) fn start(url: &str, number: usize, stats: Arc<LiveStats>) -> Result<(), BuildError> {
    let name = format!("painter {}", number + 1);
    let (client, driver) = Client::builder(url)?
        .name("painter")
        .data(&json!({ "name": name }))?
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
        let (x, y) = brush.step();
        let stroke = json!({"x": x, "y": y, "color": brush.color, "by": name});
        // If the client's queue is full while the gateway is down, the stroke is dropped.
        let Ok(receipt) = client.publish(CHANNEL, &stroke) else {
            continue;
        };
        stats.record_publish(number);
        let stats = Arc::clone(&stats);
        tokio::spawn(async move {
            let offset = match receipt.await {
                PublishOutcome::Acknowledged { position, .. } => Some(position.offset),
                PublishOutcome::Expired
                | PublishOutcome::Dropped(_)
                | PublishOutcome::Interrupted { .. } => None,
            };
            stats.record_outcome(number, offset);
        });
    }
}

/// A random line that wraps around at the edges of the canvas.
struct Brush {
    x: usize,
    y: usize,
    color: usize,
    direction: u64,
    left: u64,
    random: steadfast_machine::Generator,
}

impl Brush {
    fn new(number: usize) -> Self {
        let seed = convert::to_u64(number) ^ Clock::wall().as_millis();
        Self {
            x: (number * 13 + 7) % SIDE,
            y: (number * 29 + 11) % SIDE,
            // Bright colours first; the first six painters leave black and white to the users.
            color: (number * 2 + 4) % COLORS.len(),
            direction: 0,
            left: 0,
            random: steadfast_machine::Seed::new(seed).generator(),
        }
    }

    fn step(&mut self) -> (usize, usize) {
        if self.left == 0 {
            self.left = 1 + self.random.below(u64::from(STRAIGHT_MAX));
            self.direction = self.random.below(8);
        }
        self.left -= 1;
        let (right, down) = match self.direction {
            0 => (1, 0),
            1 => (1, 1),
            2 => (0, 1),
            3 => (SIDE - 1, 1),
            4 => (SIDE - 1, 0),
            5 => (SIDE - 1, SIDE - 1),
            6 => (0, SIDE - 1),
            _ => (1, SIDE - 1),
        };
        self.x = (self.x + right) % SIDE;
        self.y = (self.y + down) % SIDE;
        (self.x, self.y)
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
                | SessionEvent::Closed,
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
            SubscriptionEvent::Publication(publication) => {
                stats.record_delivery(number, publication.offset);
            }
            SubscriptionEvent::Join(_) | SubscriptionEvent::Leave(_) => {}
            SubscriptionEvent::Unsubscribed { .. } => return,
        }
    }
}
