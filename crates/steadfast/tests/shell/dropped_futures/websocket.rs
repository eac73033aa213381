//! The same for clients of any WebSocket server: the futures of messages and of the inbox are dropped after each number of
//! polls, in every state that matters to them.

mod world;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures_core::Stream as _;
use steadfast::error::RequestError;
use steadfast::websocket::{Event, Frame, Receipt, Sent};

use self::world::{FIRST, Handles, ITEMS, State, World};
use super::steps::{Steps as _, poll_once};
use super::{PAUSES, POLLS_MAX};

/// The message whose future is dropped.
const DROPPED: &str = "dropped";
/// The message after it, which arrives after everything before it.
const FENCE: &str = "fence";

/// What a future completed with.
enum Completed {
    Message(Result<Receipt, RequestError>),
    Event(Option<Event>),
}

/// A future of the public API.
struct Case {
    /// How the public API names it.
    name: &'static str,
    start: for<'a> fn(&'a mut Handles) -> Pin<Box<dyn Future<Output = Completed> + 'a>>,
}

const CASES: [Case; 4] = [
    Case {
        name: "steadfast::Client::send_text",
        start: |it| {
            let client = &it.client;
            Box::pin(async { Completed::Message(client.send_text(DROPPED).await) })
        },
    },
    Case {
        name: "steadfast::Client::send_binary",
        start: |it| {
            let client = &it.client;
            Box::pin(async { Completed::Message(client.send_binary(DROPPED).await) })
        },
    },
    Case {
        name: "steadfast::websocket::Inbox::next",
        start: |it| Box::pin(async { Completed::Event(it.inbox.next().await) }),
    },
    Case {
        name: "Stream for steadfast::websocket::Inbox",
        start: |it| {
            let inbox = &mut it.inbox;
            Box::pin(async {
                let event = poll_fn(|context| Pin::new(&mut *inbox).poll_next(context));
                Completed::Event(event.await)
            })
        },
    },
];

/// The futures that this module drops, as the public API names them.
pub(super) fn names() -> impl Iterator<Item = String> {
    CASES.iter().map(|it| it.name.to_owned())
}

#[tokio::test]
async fn messages_and_waits_for_events_of_any_server_can_be_dropped() {
    for case in &CASES {
        let mut has_completed = false;
        for state in State::ALL {
            for polls in 0..=POLLS_MAX {
                for pause in PAUSES {
                    has_completed |= drop_after(case, state, polls, pause).await;
                }
            }
        }
        assert!(has_completed, "{}", case.name);
    }
}

/// Drops a future after some polls with pauses, and checks the client. Returns whether it has completed.
async fn drop_after(case: &Case, state: State, polls: usize, pause: usize) -> bool {
    let label = format!("{} in {state:?}: {polls} polls, {pause} steps", case.name);
    let (mut world, mut handles) = World::enter(state).await;
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
    if state == State::Closed {
        everything_has_ended(&mut world, handles, completed, &label).await;
    } else {
        nothing_is_lost(&mut world, handles, completed, &label).await;
    }
    has_completed
}

/// Nothing is sent that was given up, no event is lost, and the outbox has its whole space.
async fn nothing_is_lost(
    world: &mut World,
    mut handles: Handles,
    completed: Option<Completed>,
    label: &str,
) {
    let (mut receipt, mut events) = (None, Vec::new());
    match completed {
        Some(Completed::Message(sent)) => receipt = Some(sent.expect("an open client")),
        Some(Completed::Event(event)) => events.push(event.expect("an open client")),
        None => {}
    }
    let expected = if receipt.is_some() {
        vec![FIRST, DROPPED, FENCE]
    } else {
        vec![FIRST, FENCE]
    };
    world.heal();
    let fence = world.complete(handles.client.send_text(FENCE)).await;
    let outcome = world.complete(fence.expect("space")).await;
    assert_eq!(outcome, Ok(Sent), "{label}");
    let has_fence = |it: &World| it.peer.received.iter().any(|it| it == FENCE);
    world.until("the last message", has_fence).await;
    assert_eq!(world.peer.received, expected, "{label}");
    for receipt in [receipt, handles.receipt.take()].into_iter().flatten() {
        assert_eq!(world.complete(receipt).await, Ok(Sent), "{label}");
    }

    while events.len() <= ITEMS.len() {
        let event = world.complete(handles.inbox.next()).await;
        events.push(event.expect("an open client"));
    }
    let items = ITEMS.map(|it| Event::Message(Frame::from(it)));
    let connected = Event::Connected { skipped: 0 };
    let all: Vec<Event> = std::iter::once(connected).chain(items).collect();
    assert!(events == all, "{label}: {events:?}");

    for _ in 0..world.state.messages_max() {
        let sent = handles.client.send_text_now("space");
        drop(sent.unwrap_or_else(|error| panic!("{label}: {error}")));
    }
    let full = handles.client.send_text_now("above");
    assert!(matches!(full, Err(RequestError::OutboxFull)), "{label}");
}

/// A closed client says so to each of its futures.
async fn everything_has_ended(
    world: &mut World,
    mut handles: Handles,
    completed: Option<Completed>,
    label: &str,
) {
    if let Some(Completed::Message(sent)) = completed {
        assert!(matches!(sent, Err(RequestError::Closed)), "{label}");
    }
    let late = world.complete(handles.client.send_text("late")).await;
    assert!(matches!(late, Err(RequestError::Closed)), "{label}");
    while world.complete(handles.inbox.next()).await.is_some() {}
    let closed = world.complete(handles.client.close(Duration::ZERO)).await;
    assert_eq!(closed, Ok(()), "{label}");
    assert!(
        !world.peer.received.iter().any(|it| it == DROPPED),
        "{label}"
    );
}
