//! The driver is dropped after each number of polls: everything that waits for it ends, and its permit to dial is free.

use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use steadfast::SessionState;
use steadfast::error::RequestError;
use tokio::task::yield_now;

use super::steps::{Steps as _, poll_once};
use super::world::{State, World};

/// How the public API names it.
pub(super) const NAME: &str = "Future for steadfast::Driver";

/// After half of these steps the client is in its state; then a queued dial gets its permit.
const STEPS_MAX: usize = 32;

#[tokio::test]
async fn a_driver_can_be_dropped() {
    for state in State::ALL {
        for steps in 0..=STEPS_MAX {
            drop_after(state, steps).await;
        }
    }
}

async fn drop_after(state: State, steps: usize) {
    let label = format!("{state:?}: {steps} steps");
    let (mut world, mut handles) = World::start(state);
    let client = world.client.clone();
    let mut call = Box::pin(client.rpc("call", &1));
    let called = poll_once(call.as_mut()).await;
    world.drive();
    for step in 0..steps {
        if step == STEPS_MAX / 2 {
            world.release();
        }
        world.step().await;
    }

    world.drop_driver();
    // Until then the runtime reports nothing as ready to a task that has worked for long.
    yield_now().await;

    let receipts = [handles.receipt.take(), handles.second_receipt.take()];
    for mut receipt in receipts.into_iter().flatten() {
        let outcome = poll_once(Pin::new(&mut receipt)).await;
        assert!(outcome.is_ready(), "{label}");
    }
    assert!(
        called.is_ready() || poll_once(call.as_mut()).await.is_ready(),
        "{label}"
    );
    loop {
        let next = poll_once(pin!(handles.subscription.next())).await;
        assert!(next.is_ready(), "{label}");
        if next == Poll::Ready(None) {
            break;
        }
    }
    let late = client.publish("news", &1);
    assert!(
        matches!(late, Err(RequestError::Closed)),
        "{label}: {late:?}"
    );
    let closed = poll_once(pin!(client.close(Duration::ZERO))).await;
    assert_eq!(closed, Poll::Ready(Ok(())), "{label}");
    assert_eq!(
        client.state().borrow().state,
        SessionState::Disconnected,
        "{label}"
    );
    world.replace_client().await;
    let has_one = |it: &World| it.peer.open_connections() == 1;
    world
        .until("the end of the first connection", has_one)
        .await;
}
