//! One client: it connects, sends requests, detects the loss of its connection, and connects again.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::client::backoff::Backoff;
use crate::client::bug::Bug;
use crate::client::connection::{Cause, Connection, Received};
use crate::client::liveness::{Due, Liveness};
use crate::client::report;

/// How long after the loss of a connection its socket is closed, if the peer does not complete the closing handshake.
const CLOSE_WAIT: Duration = Duration::from_millis(1_500);

/// The attempts of a client that gives up.
const ATTEMPTS_MAX: u32 = 5;
/// The id of the login; the lab counts its commands from 1.
const LOGIN_ID: u64 = 0;

/// What a client needs to connect.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) host: String,
    pub(super) path: String,
    pub(super) connect: Duration,
    pub(super) ping: Duration,
    pub(super) pong: Duration,
    /// The message that is sent first on each connection; the client is connected with its reply.
    pub(super) login: Option<String>,
    pub(super) bug: Option<Bug>,
}

/// A request of the lab.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: u64,
    /// The message of the protocol.
    pub(super) text: String,
    pub(super) timeout: Duration,
}

/// A request that was sent and has no reply.
#[derive(Debug)]
struct Pending {
    text: String,
    until: Instant,
}

/// A connection that was lost and is being closed.
#[derive(Debug)]
struct Former {
    number: u64,
    /// Keeps the socket open until then.
    _connection: Connection,
    closed_at: Instant,
}

/// What happens first on an open connection.
enum Happened {
    Received(Received),
    Requested(Option<Request>),
    TimePassed,
}

/// One client of the driver, over all its connections.
#[derive(Debug)]
pub(super) struct Session {
    name: String,
    /// The number of the client in the order of their creation.
    number: usize,
    settings: Settings,
    backoff: Backoff,
    /// How many connections there were.
    connections: u64,
    former: Option<Former>,
    pending: BTreeMap<u64, Pending>,
}

impl Session {
    pub(super) fn new(name: &str, number: usize, settings: Settings) -> Self {
        Self {
            name: name.to_owned(),
            number,
            backoff: Backoff::new(settings.bug),
            settings,
            connections: 0,
            former: None,
            pending: BTreeMap::new(),
        }
    }

    /// Keeps the client connected until the channel of its requests is closed.
    pub(super) async fn run(mut self, mut requests: Receiver<Request>) {
        while let Some(mut connection) = self.establish(&mut requests).await {
            self.connections += 1;
            report::event(&self.name, "connected");
            let Some(cause) = self.serve(&mut connection, &mut requests).await else {
                return;
            };
            report::lost(&self.name, cause);
            self.settle_lost();
            // The peer of a half-open connection is silent: the closing handshake takes until its time limit.
            self.former = (cause == "timeout").then(|| Former {
                number: self.connections,
                _connection: connection,
                closed_at: Instant::now() + CLOSE_WAIT,
            });
        }
    }

    fn has(&self, bug: Bug) -> bool {
        self.settings.bug == Some(bug)
    }

    /// Tries to connect until it succeeds; `None` when the client is closed.
    async fn establish(&mut self, requests: &mut Receiver<Request>) -> Option<Connection> {
        let mut is_first = self.connections == 0;
        let mut failed = 0;
        loop {
            if !is_first {
                while_rejecting(sleep(self.backoff.next()), requests).await?;
            }
            is_first = false;
            report::event(&self.name, "attempting");
            match while_rejecting(self.attempt(), requests).await? {
                Ok(connection) => return Some(connection),
                Err(reason) => report::attempt_failed(&self.name, &reason),
            }
            failed += 1;
            if self.has(Bug::GivesUpAfterFive) && self.connections > 0 && failed == ATTEMPTS_MAX {
                report::gave_up(&self.name);
                while_rejecting(std::future::pending::<()>(), requests).await?;
            }
            if self.has(Bug::AbandonsReconnect) && self.connections > 0 && self.number % 2 == 1 {
                while_rejecting(std::future::pending::<()>(), requests).await?;
            }
        }
    }

    async fn attempt(&mut self) -> Result<Connection, String> {
        let limit = self.settings.connect;
        let began = Instant::now();
        let stream = timeout(limit, TcpStream::connect(&self.settings.host)).await;
        let stream = stream.map_err(|_elapsed| "timeout")?;
        let stream = stream.map_err(|error| error.to_string())?;
        if self.has(Bug::GrowthUndoneOnConnect) {
            self.backoff.reset();
        }
        let left = limit.saturating_sub(began.elapsed());
        let upgrade = Connection::upgrade(stream, &self.settings.host, &self.settings.path);
        let upgraded = timeout(left, upgrade).await.map_err(|_elapsed| "timeout")?;
        let mut connection = upgraded.map_err(|error| format!("{error:#}"))?;
        let left = limit.saturating_sub(began.elapsed());
        let logged_in = timeout(left, self.log_in(&mut connection)).await;
        logged_in.map_err(|_elapsed| "timeout")??;
        Ok(connection)
    }

    /// Sends the login, and waits for its reply; nothing else is in flight yet.
    async fn log_in(&self, connection: &mut Connection) -> Result<(), String> {
        let Some(login) = &self.settings.login else {
            return Ok(());
        };
        connection.send(login).await?;
        loop {
            let received = connection.read().await;
            for message in &received.messages {
                let reply: Value = serde_json::from_slice(message).unwrap_or_default();
                if reply.get("id").and_then(Value::as_u64) == Some(LOGIN_ID) {
                    let is_accepted = reply.get("result").is_some();
                    return is_accepted.then_some(()).ok_or_else(|| "login".to_owned());
                }
            }
            if let Some(cause) = received.end {
                return Err(cause.to_owned());
            }
        }
    }

    /// Serves an open connection until it is lost; `None` when the client is closed.
    async fn serve(
        &mut self,
        connection: &mut Connection,
        requests: &mut Receiver<Request>,
    ) -> Option<Cause> {
        let Settings {
            ping, pong, bug, ..
        } = self.settings;
        let mut liveness = Liveness::new(ping, pong, bug);
        for pending in self.pending.values() {
            if let Err(cause) = connection.send(&pending.text).await {
                return Some(cause);
            }
        }
        loop {
            let deadline = self.deadline(&liveness);
            let outcome = match next(connection, requests, deadline).await {
                Happened::Requested(None) => return None,
                Happened::Requested(Some(request)) => {
                    let sent = self.send(connection, request).await;
                    liveness.on_sent();
                    sent
                }
                Happened::Received(received) => {
                    liveness.on_received();
                    self.take(connection, received).await
                }
                Happened::TimePassed => {
                    self.settle_late();
                    match (self.is_closed_by_former(), liveness.due()) {
                        (true, _) => Err("unknown"),
                        (false, Some(Due::Lost)) => Err("timeout"),
                        (false, Some(Due::Ping)) => connection.ping().await,
                        (false, None) => Ok(()),
                    }
                }
            };
            if let Err(cause) = outcome {
                return Some(cause);
            }
        }
    }

    fn deadline(&self, liveness: &Liveness) -> Instant {
        let late = self.pending.values().map(|it| it.until);
        let closed = self.former.as_ref().map(|it| it.closed_at);
        let all = late.chain(closed);
        all.fold(liveness.deadline(), Instant::min)
    }

    async fn send(&mut self, connection: &mut Connection, request: Request) -> Result<(), Cause> {
        let Request { id, text, timeout } = request;
        let until = Instant::now() + timeout;
        let sent = connection.send(&text).await;
        self.pending.insert(id, Pending { text, until });
        sent
    }

    async fn take(&mut self, connection: &mut Connection, received: Received) -> Result<(), Cause> {
        for message in received.messages {
            let reply: Value = serde_json::from_slice(&message).unwrap_or_default();
            let id = reply.get("id").and_then(Value::as_u64);
            if let Some(id) = id.filter(|id| self.pending.remove(id).is_some()) {
                report::done(id);
                // The link is stable once it carried a request and its reply.
                self.backoff.reset();
            }
        }
        connection.write_bytes(&received.replies).await?;
        received.end.map_or(Ok(()), Err)
    }

    /// Responds to the requests whose reply can no longer arrive.
    fn settle_lost(&mut self) {
        if self.has(Bug::ResendsLostRequests) {
            return;
        }
        let is_called_unsent = self.has(Bug::LostReportedAsNotSent);
        let kind = if is_called_unsent { "rejected" } else { "lost" };
        for id in std::mem::take(&mut self.pending).into_keys() {
            report::error(id, kind, "the connection was lost");
        }
    }

    /// Responds to the requests whose time limit has passed.
    fn settle_late(&mut self) {
        let now = Instant::now();
        self.pending.retain(|id, pending| {
            let is_late = pending.until <= now;
            if is_late {
                report::error(*id, "timeout", "no reply within the time limit");
            }
            !is_late
        });
    }

    /// Closes the former connection when it is time; returns whether that ends the present one.
    fn is_closed_by_former(&mut self) -> bool {
        let now = Instant::now();
        let closed = self.former.take_if(|it| it.closed_at <= now);
        closed
            .is_some_and(|it| self.has(Bug::OldSocketEndsSession) || it.number == self.connections)
    }
}

/// Waits for a future while there is no connection: requests are rejected. `None` when the client is closed.
async fn while_rejecting<T>(
    future: impl Future<Output = T>,
    requests: &mut Receiver<Request>,
) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| {
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        while let Poll::Ready(request) = requests.poll_recv(context) {
            let Some(request) = request else {
                return Poll::Ready(None);
            };
            report::error(request.id, "rejected", "not connected");
        }
        Poll::Pending
    })
    .await
}

/// Waits for what happens first.
async fn next(
    connection: &mut Connection,
    requests: &mut Receiver<Request>,
    deadline: Instant,
) -> Happened {
    let mut read = pin!(connection.read());
    let mut passed = pin!(sleep_until(deadline));
    poll_fn(|context| {
        if let Poll::Ready(received) = read.as_mut().poll(context) {
            return Poll::Ready(Happened::Received(received));
        }
        if passed.as_mut().poll(context).is_ready() {
            return Poll::Ready(Happened::TimePassed);
        }
        requests.poll_recv(context).map(Happened::Requested)
    })
    .await
}
