//! Every future of the library is dropped at every point, in every state of a client: afterwards nothing is executed
//! that its caller gave up, no outcome is lost or repeated, and no space is lost.
//!
//! A future is polled up to [`POLLS_MAX`] times, with pauses in which driver and server make some progress, and is
//! dropped. Then the client becomes ready, and its whole capacity must be usable.

mod cases;
mod checks;
mod connection;
mod driven;
mod driver;
mod jsonrpc;
mod scripted_peer;
mod steps;
mod truenas;
mod websocket;
mod world;

use std::collections::BTreeSet;
use std::task::Poll;

use self::cases::{
    ANY_CALL, CASES, CLOSE, Case, Completed, HISTORY, MESSAGE_RECEIPT, NEXT, OWNED_RECEIPT,
    OWNED_SUBSCRIPTION, PRESENCE, PRESENCE_STATS, READY, RECEIPT, RPC, SEND, SEND_MESSAGE, STREAM,
};
use self::checks::Checked;
use self::steps::{Steps as _, poll_once};
use self::world::{State, World};
use crate::public_api::futures;

/// A future that completes needs fewer polls.
const POLLS_MAX: usize = 4;
/// How many steps follow each poll: first the driver, then the server, and so on.
const PAUSES: [usize; 6] = [0, 1, 2, 3, 4, 6];
/// In a state in which steps change nothing, and which takes up to [`steadfast::defaults::DIAL_JITTER`] to leave.
const PAUSES_IN_QUEUE: [usize; 1] = [2];

#[test]
fn every_future_of_the_public_api_is_dropped() {
    let mut covered: BTreeSet<String> = CASES.iter().map(|it| it.name.to_owned()).collect();
    covered.insert(driver::NAME.to_owned());
    covered.extend(jsonrpc::names());
    covered.extend(truenas::names());
    covered.extend(websocket::names());

    assert_eq!(futures(), covered);
}

/// Drops the future of a case at each point in each state. In a client that is ready it must complete at some point.
async fn explore(case: &Case) {
    for state in State::ALL {
        let mut has_completed = false;
        for polls in 0..=POLLS_MAX {
            for pause in pauses(state, polls) {
                let label = format!("{} in {state:?}: {polls} polls, {pause} steps", case.name);
                has_completed |= drop_after(case, state, polls, pause, label).await;
            }
        }
        assert!(has_completed || state != State::Ready, "{}", case.name);
    }
}

fn pauses(state: State, polls: usize) -> impl Iterator<Item = usize> {
    let pauses = if state == State::DialQueued {
        PAUSES_IN_QUEUE.as_slice()
    } else {
        PAUSES.as_slice()
    };
    // Before the first poll there is nothing to pause after.
    let count = if polls == 0 { 1 } else { pauses.len() };
    pauses.iter().copied().take(count)
}

/// Drops a future after some polls, and checks the client. Returns whether it has completed.
async fn drop_after(case: &Case, state: State, polls: usize, pause: usize, label: String) -> bool {
    let (mut world, mut handles) = World::enter(state).await;
    let driver_polls = world.driver_polls();
    let mut completed = None;
    {
        let mut future = (case.start)(&mut handles);
        for _ in 0..polls {
            if let Poll::Ready(it) = poll_once(future.as_mut()).await {
                completed = Some(it);
                break;
            }
            for _ in 0..pause {
                world.step().await;
            }
        }
    }
    let has_completed = completed.is_some();
    // Commands reach the server only through a driver that was polled after them.
    let was_sent = state.is_connected() && polls > 0 && world.driver_polls() > driver_polls;
    let is_closed = state == State::Closed
        || matches!(completed, Some(Completed::Closed))
        || (case.name == CLOSE.name && polls > 0 && state != State::FullQueue);
    let mut checked = Checked {
        world,
        handles,
        label,
    };
    checked.dropped(completed, was_sent, is_closed).await;
    has_completed
}

#[tokio::test]
async fn waits_for_readiness_can_be_dropped() {
    explore(&READY).await;
}

#[tokio::test]
async fn calls_can_be_dropped() {
    for case in [ANY_CALL, RPC, HISTORY, PRESENCE, PRESENCE_STATS] {
        explore(&case).await;
    }
}

#[tokio::test]
async fn a_close_can_be_dropped_and_takes_effect_once_it_was_polled() {
    explore(&CLOSE).await;
}

#[tokio::test]
async fn waits_for_space_can_be_dropped() {
    for case in [SEND, SEND_MESSAGE] {
        explore(&case).await;
    }
}

#[tokio::test]
async fn waits_for_events_can_be_dropped() {
    for case in [NEXT, STREAM, OWNED_SUBSCRIPTION] {
        explore(&case).await;
    }
}

#[tokio::test]
async fn waits_for_outcomes_can_be_dropped() {
    for case in [MESSAGE_RECEIPT, RECEIPT, OWNED_RECEIPT] {
        explore(&case).await;
    }
}
