//! A painter: an ordinary client that draws a line which wanders, and keeps the books of what it was promised.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use steadfast::clock::Clock;
use steadfast::error::BuildError;
use steadfast::{Client, Delivery, SessionEvent, Subscription, SubscriptionEvent};
use tokio::sync::broadcast;
use tokio::time::{MissedTickBehavior, interval};

use super::CHANNEL;
use super::board::{COLORS, SIDE};
use super::live::Live;

/// Between two strokes.
const STROKE_EVERY: Duration = Duration::from_millis(250);
/// Strokes in one direction before the line turns, at the most.
const STRAIGHT_MAX: u32 = 12;

/// Starts a painter with this number.
pub(super) fn start(url: &str, number: usize, live: Arc<Live>) -> Result<(), BuildError> {
    let name = format!("painter {}", number + 1);
    let (client, driver) = Client::builder(url)?
        .name("painter")
        .data(&json!({ "name": name }))?
        .build()?;
    tokio::spawn(tell_state(number, client.clone(), Arc::clone(&live)));
    tokio::spawn(tell_events(number, client.events(), Arc::clone(&live)));
    let subscription = client.subscribe(CHANNEL);
    tokio::spawn(read(number, subscription, Arc::clone(&live)));
    tokio::spawn(driver);
    tokio::spawn(paint(client, number, name, live));
    Ok(())
}

async fn paint(client: Client, number: usize, name: String, live: Arc<Live>) {
    let mut ticks = interval(STROKE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut brush = Brush::new(number);
    loop {
        ticks.tick().await;
        let (x, y) = brush.step();
        let stroke = json!({"x": x, "y": y, "color": brush.color, "by": name});
        // What finds no room while the gateway is away is not drawn, and not promised to anyone.
        let Ok(receipt) = client.publish(CHANNEL, &stroke) else {
            continue;
        };
        live.sent(number);
        let live = Arc::clone(&live);
        tokio::spawn(async move {
            let offset = match receipt.await {
                Delivery::Acknowledged { position, .. } => Some(position.offset),
                Delivery::Expired | Delivery::Dropped(_) | Delivery::Interrupted { .. } => None,
            };
            live.settled(number, offset);
        });
    }
}

/// A line that wanders over the canvas and comes back in at the other side.
struct Brush {
    x: usize,
    y: usize,
    color: usize,
    direction: u64,
    left: u64,
    draw: steadfast_machine::Generator,
}

impl Brush {
    fn new(number: usize) -> Self {
        let seed = u64::try_from(number).unwrap_or(0) ^ Clock::wall().as_millis();
        Self {
            x: (number * 13 + 7) % SIDE,
            y: (number * 29 + 11) % SIDE,
            // Bright ones first; black and white are for people.
            color: (number * 2 + 4) % COLORS.len(),
            direction: 0,
            left: 0,
            draw: steadfast_machine::Seed::new(seed).generator(),
        }
    }

    fn step(&mut self) -> (usize, usize) {
        if self.left == 0 {
            self.left = 1 + self.draw.below(u64::from(STRAIGHT_MAX));
            self.direction = self.draw.below(8);
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

async fn tell_state(number: usize, client: Client, live: Arc<Live>) {
    let mut state = client.state();
    loop {
        let snapshot = state.borrow_and_update().clone();
        let until = snapshot.next_attempt_at;
        let wait = until.map(|at| at.saturating_since(client.now()));
        live.session(number, snapshot.state, snapshot.attempt, wait);
        if state.changed().await.is_err() {
            return;
        }
    }
}

async fn tell_events(
    number: usize,
    mut events: broadcast::Receiver<SessionEvent>,
    live: Arc<Live>,
) {
    loop {
        match events.recv().await {
            Ok(SessionEvent::Lost { cause, .. }) => live.lost(number, &cause),
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

async fn read(number: usize, mut subscription: Subscription, live: Arc<Live>) {
    while let Some(feed) = subscription.next().await {
        match feed {
            SubscriptionEvent::Subscribed { position } => {
                live.stands(number, position.offset, false)
            }
            SubscriptionEvent::Resumed { position } => live.stands(number, position.offset, true),
            SubscriptionEvent::Gap { from, to } => live.missed(number, from.as_ref(), &to),
            SubscriptionEvent::Publication(publication) => live.handed(number, publication.offset),
            SubscriptionEvent::Join(_) | SubscriptionEvent::Leave(_) => {}
            SubscriptionEvent::Unsubscribed { .. } => return,
        }
    }
}
