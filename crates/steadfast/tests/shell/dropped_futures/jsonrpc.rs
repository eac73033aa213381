//! The same for clients of JSON-RPC: the futures of calls and notifications are dropped after each number of polls, before
//! and after there is a connection.

use std::net::TcpListener;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use steadfast::jsonrpc::{CallError, CallRequest, Client, Driver, Error};
use steadfast::{SessionPhase, defaults};
use tokio::task::yield_now;
use tower::{Service as _, ServiceExt as _};

use super::connection::{self, Connection};
use super::driven::Driven;
use super::scripted_peer::Script;
use super::steps::{Steps, poll_once};
use super::{PAUSES, POLLS_MAX};

/// The method of the future that is dropped.
const DROPPED: &str = "dropped";
/// The method after it, which arrives after everything before it.
const FENCE: &str = "fence";
/// The most calls that may be pending, and the most notifications that may be queued.
const CAPACITY: usize = 2;

/// Where the client is while the future is polled and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between two attempts.
    Waiting,
    /// The server replies to calls.
    Ready,
    /// The application has closed the client.
    Closed,
}

/// A future of the public API; its result is whether it succeeded.
struct Case {
    /// How the public API names it.
    name: &'static str,
    start: for<'a> fn(&'a Client) -> Pin<Box<dyn Future<Output = bool> + 'a>>,
}

const CASES: [Case; 6] = [
    Case {
        name: "steadfast::Client::request",
        start: |it| Box::pin(async { it.request::<u8>(DROPPED, &()).await == Ok(1) }),
    },
    Case {
        name: "steadfast::jsonrpc::MethodRequest::request",
        start: |it| Box::pin(async { it.method(DROPPED).request::<u8>(&()).await == Ok(1) }),
    },
    Case {
        name: "steadfast::jsonrpc::MethodRequest::request_raw",
        start: |it| {
            Box::pin(async { it.method(DROPPED).request_raw(Bytes::new()).await == Ok("1".into()) })
        },
    },
    Case {
        name: SERVICE,
        start: |it| Box::pin(async { it.service().call(dropped()).await == Ok("1".into()) }),
    },
    // With the wait for a place.
    Case {
        name: SERVICE,
        start: |it| Box::pin(async { it.service().oneshot(dropped()).await == Ok("1".into()) }),
    },
    Case {
        name: "steadfast::Client::notify",
        start: |it| Box::pin(async { it.notify(DROPPED, &()).await.is_ok() }),
    },
];

const SERVICE: &str = "Future for steadfast::jsonrpc::CallFuture";

fn dropped() -> CallRequest {
    CallRequest::raw(DROPPED, Bytes::new())
}

/// The futures that this module drops, as the public API names them.
pub(super) fn names() -> impl Iterator<Item = String> {
    CASES.iter().map(|it| it.name.to_owned())
}

#[tokio::test]
async fn calls_and_notifications_over_json_rpc_can_be_dropped() {
    for case in &CASES {
        let mut has_completed = false;
        for state in [State::Waiting, State::Ready, State::Closed] {
            for polls in 0..=POLLS_MAX {
                for pause in PAUSES {
                    has_completed |= drop_after(case, state, polls, pause).await;
                }
            }
        }
        assert!(has_completed, "{}", case.name);
    }
}

/// Drops a future after some polls with pauses, and checks the client. Returns whether it has succeeded.
async fn drop_after(case: &Case, state: State, polls: usize, pause: usize) -> bool {
    let label = format!("{} in {state:?}: {polls} polls, {pause} steps", case.name);
    let mut world = World::enter(state).await;
    let client = world.client.clone();
    let driver_polls = world.driver_polls;
    let mut succeeded = None;
    {
        let mut future = (case.start)(&client);
        for _ in 0..polls {
            if let Poll::Ready(it) = poll_once(future.as_mut()).await {
                succeeded = Some(it);
                break;
            }
            for _ in 0..pause {
                world.step().await;
            }
        }
    }
    if state == State::Closed {
        assert_ne!(succeeded, Some(true), "{label}");
        let late = world.complete(client.request::<u8>("late", &())).await;
        assert_eq!(late, Err(Error::Call(CallError::Closed)), "{label}");
        assert_eq!(world.received, Vec::<String>::new(), "{label}");
        return false;
    }
    // A command reaches the server only through a driver that was polled after it.
    let is_sent = state == State::Ready && world.driver_polls > driver_polls;
    world.heal();
    let fence = world.complete(client.request::<u8>(FENCE, &())).await;
    assert_eq!(fence, Ok(1), "{label}");
    let received = world.received.iter().filter(|it| *it == DROPPED).count();
    let is_notification = case.name.ends_with("notify");
    if succeeded == Some(true) {
        assert_eq!(received, 1, "{label}");
    } else if polls == 0 || (!is_sent && !is_notification) {
        assert_eq!(received, 0, "{label}");
    } else {
        assert!(received <= 1, "{label}");
    }
    has_whole_capacity(&mut world, &label).await;
    succeeded == Some(true)
}

/// As many calls and notifications as a new client permits are accepted, and no more.
async fn has_whole_capacity(world: &mut World, label: &str) {
    world.script = Script::Accept;
    let client = world.client.clone();
    let mut calls: Vec<_> = (0..=CAPACITY)
        .map(|_| Box::pin(client.request::<u8>("space", &())))
        .collect();
    let mut refused = Vec::new();
    for _ in 0..10 {
        for call in &mut calls {
            if refused.is_empty()
                && let Poll::Ready(result) = poll_once(call.as_mut()).await
            {
                refused.push(result);
            }
        }
        world.step().await;
    }
    let busy = Err(Error::Call(CallError::Busy));
    assert_eq!(refused, [busy], "{label}");
    drop(calls);
}

/// A client with its driver and its server, of which each works only when the test lets it.
#[derive(Debug)]
struct World {
    client: Client,
    driver: Driven<Driver>,
    driver_polls: usize,
    is_turn_of_driver: bool,
    listener: TcpListener,
    script: Script,
    connections: Vec<Connection>,
    /// The methods that have arrived.
    received: Vec<String>,
}

impl World {
    /// Brings a client into a state.
    async fn enter(state: State) -> Self {
        let listener = connection::listen();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let builder = Client::builder(&url).unwrap().calls_max(CAPACITY);
        let builder = builder.outbox(defaults::OUTBOX.messages_max(CAPACITY));
        let (client, driver) = builder.build().unwrap();
        let script = if state == State::Waiting {
            Script::Refuse
        } else {
            Script::Serve
        };
        let mut world = Self {
            client: client.clone(),
            driver: Driven::new(driver),
            driver_polls: 0,
            is_turn_of_driver: false,
            listener,
            script,
            connections: Vec::new(),
            received: Vec::new(),
        };
        let first = if state == State::Waiting {
            SessionPhase::Waiting
        } else {
            SessionPhase::Ready
        };
        let is_in = |it: &Self| it.client.state().borrow().phase == first;
        world.until("the phase", is_in).await;
        if state == State::Closed {
            let closed = world.complete(client.close(Duration::ZERO)).await;
            assert_eq!(closed, Ok(()));
        }
        world
    }

    /// Removes what keeps the client from being ready.
    fn heal(&mut self) {
        self.script = Script::Serve;
        self.client.reconnect_now();
    }

    /// Accepts connections, and replies to the calls on each.
    fn serve(&mut self) {
        while let Some(connection) = Connection::accept(&self.listener) {
            if self.script > Script::Refuse {
                self.connections.push(connection);
            }
        }
        if self.script < Script::Serve {
            return;
        }
        let received = &mut self.received;
        self.connections.retain_mut(|connection| {
            let is_open = connection.read();
            if !connection.is_upgraded {
                connection.upgrade();
                return is_open;
            }
            let Some(messages) = connection.messages() else {
                return false;
            };
            for message in messages {
                let request: Value = serde_json::from_slice(&message).unwrap();
                let method = request.get("method").and_then(Value::as_str);
                received.push(method.unwrap().to_owned());
                if let Some(id) = request.get("id") {
                    let reply = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":1}}"#);
                    connection.send(reply.as_bytes());
                }
            }
            is_open
        });
    }
}

impl Steps for World {
    async fn step(&mut self) {
        self.is_turn_of_driver = !self.is_turn_of_driver;
        if self.is_turn_of_driver {
            self.driver.poll();
            self.driver_polls += 1;
        } else {
            self.serve();
            // The runtime learns what has arrived at the sockets of the driver.
            yield_now().await;
        }
    }
}
