//! HTTP requests over a connection that stays open, one after another, as a client that polls does.
//!
//! Each client has one connection. A request that is due while another one is in flight waits for it, and the wait is part
//! of its latency. A request that has no response in time ends the connection, since the response would be taken for that
//! of the next request.

mod connection;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};
use steadfast_clock::Clock;
use steadfast_machine::Instant;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use self::connection::{Connection, Loss, Outcome, Target};
use super::{
    Adapter, CLIENTS_MAX, lost, rejected, server_error, succeeded, text, timed_out, timers,
    write_line,
};

/// Requests of one client that wait for the one in flight.
const QUEUE_MAX: usize = 10_000;
/// The time limit of a connection attempt, unless the scenario sets another one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The range of the delay before the first attempt after a failed one, which doubles with each further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// The longest range of the delay.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// All clients that send HTTP requests.
#[derive(Debug)]
pub(super) struct HttpPoll {
    clock: Clock,
    clients: BTreeMap<String, mpsc::Sender<Request>>,
}

impl HttpPoll {
    pub(super) fn new() -> Self {
        Self {
            clock: Clock::start(),
            clients: BTreeMap::new(),
        }
    }
}

/// A request that was passed to a client.
#[derive(Debug)]
struct Request {
    /// The id of the command.
    id: Value,
    /// A method and a path.
    op: String,
    key: String,
    body: String,
    deadline: Instant,
}

impl Adapter for HttpPoll {
    fn execute(&mut self, id: &Value, command: &Value) -> Option<Value> {
        let name = text(command, "client");
        match (text(command, "do"), self.clients.get(name)) {
            ("open", None) if self.clients.len() < CLIENTS_MAX => {
                let target = match Target::parse(text(command, "url")) {
                    Ok(target) => target,
                    Err(error) => return Some(rejected(id, &error)),
                };
                let (sender, requests) = mpsc::channel(QUEUE_MAX);
                let client = Client {
                    clock: self.clock,
                    name: name.to_owned(),
                    target,
                    connect_timeout: timers::timer(command, "connect_ms")
                        .unwrap_or(CONNECT_TIMEOUT),
                    requests,
                };
                tokio::spawn(client.run());
                self.clients.insert(name.to_owned(), sender);
                Some(succeeded(id, &json!({})))
            }
            ("request", Some(client)) => {
                let request = match Request::read(id, command, self.clock.now()) {
                    Ok(request) => request,
                    Err(error) => return Some(rejected(id, error)),
                };
                match client.try_send(request) {
                    Ok(()) => None,
                    Err(_) => Some(rejected(
                        id,
                        "too many requests wait, or the client is closed",
                    )),
                }
            }
            ("close", Some(_)) => {
                self.clients.remove(name);
                Some(succeeded(id, &json!({})))
            }
            (other, _) => Some(rejected(id, &format!("`{other}` is not possible"))),
        }
    }
}

impl Request {
    fn read(id: &Value, command: &Value, now: Instant) -> Result<Self, &'static str> {
        let limit = command.get("timeout_ms").and_then(Value::as_u64);
        let limit = limit.ok_or("`timeout_ms` is missing")?;
        let op = text(command, "op");
        if op.split_once(' ').is_none() {
            return Err("the operation must be a method and a path, for example `GET /status`");
        }
        let body = command.get("data").map(Value::to_string);
        Ok(Self {
            id: id.clone(),
            op: op.to_owned(),
            key: text(command, "key").to_owned(),
            body: body.unwrap_or_default(),
            deadline: now + Duration::from_millis(limit),
        })
    }
}

/// A client and its task.
struct Client {
    clock: Clock,
    name: String,
    target: Target,
    connect_timeout: Duration,
    requests: mpsc::Receiver<Request>,
}

impl Client {
    /// Connects, and connects again after each loss, until the client is closed.
    async fn run(mut self) {
        let mut failures = 0_u32;
        loop {
            self.line("attempting", json!({}));
            match self.connect().await {
                Ok(connection) => {
                    failures = 0;
                    self.line("opened", json!({}));
                    self.line("connected", json!({}));
                    match self.serve(connection).await {
                        Some(loss) => self.line("lost", loss.fields()),
                        None => return,
                    }
                }
                Err(reason) => {
                    self.line("attempt_failed", json!({"reason": reason}));
                    failures = failures.saturating_add(1);
                }
            }
            if failures > 0 && !self.reject_for(backoff(failures)).await {
                return;
            }
        }
    }

    fn line(&self, event: &str, fields: Value) {
        let mut line = json!({"event": event, "client": &self.name});
        if let (Some(line), Value::Object(fields)) = (line.as_object_mut(), fields) {
            line.extend(fields);
        }
        write_line(&line);
    }

    /// Attempts to connect, and rejects the requests that are due in the meantime.
    async fn connect(&mut self) -> Result<Connection, String> {
        let attempt = timeout(self.connect_timeout, Connection::open(&self.target));
        tokio::pin!(attempt);
        loop {
            tokio::select! {
                connected = &mut attempt => {
                    return match connected {
                        Ok(connected) => connected.map_err(|error| error.to_string()),
                        Err(_) => Err("timed out".to_owned()),
                    };
                }
                Some(request) = self.requests.recv() => {
                    write_line(&rejected(&request.id, "not connected"));
                }
            }
        }
    }

    /// Rejects the requests that are due during a delay; false when the client is closed.
    async fn reject_for(&mut self, delay: Duration) -> bool {
        let end = sleep(delay);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return true,
                request = self.requests.recv() => match request {
                    Some(request) => write_line(&rejected(&request.id, "not connected")),
                    None => return false,
                },
            }
        }
    }

    /// Sends requests until the connection is lost; `None` when the client is closed. What waits then was not sent.
    async fn serve(&mut self, mut connection: Connection) -> Option<Loss> {
        let mut queue: VecDeque<Request> = VecDeque::new();
        let loss = loop {
            let Some(request) = queue.pop_front() else {
                tokio::select! {
                    loss = connection.ended() => break loss,
                    request = self.requests.recv() => queue.push_back(request?),
                }
                continue;
            };
            if request.deadline <= self.clock.now() {
                write_line(&rejected(
                    &request.id,
                    "the time limit passed before it was sent",
                ));
                continue;
            }
            if let Err(loss) = self.exchange(&mut connection, request, &mut queue).await {
                break loss;
            }
        };
        for request in queue {
            write_line(&rejected(
                &request.id,
                "the connection was lost before it was sent",
            ));
        }
        Some(loss)
    }

    /// Sends a request and responds with its outcome; an error ends the connection.
    async fn exchange(
        &mut self,
        connection: &mut Connection,
        request: Request,
        queue: &mut VecDeque<Request>,
    ) -> Result<(), Loss> {
        let id = request.id.clone();
        match self.outcome(connection, request, queue).await {
            Some(Outcome::Response(status)) if status < 400 => {
                write_line(&succeeded(&id, &json!({})));
                Ok(())
            }
            Some(Outcome::Response(status)) => {
                write_line(&server_error(&id, u64::from(status), "HTTP status"));
                Ok(())
            }
            Some(Outcome::NotSent) => {
                write_line(&rejected(&id, "the connection ended before it was sent"));
                Err(connection.ended().await)
            }
            Some(Outcome::Lost) => {
                write_line(&lost(&id, "the connection ended before the response"));
                Err(connection.ended().await)
            }
            None => {
                write_line(&timed_out(&id));
                Err(Loss::Timeout)
            }
        }
    }

    /// The outcome of a request; `None` if its time limit passed. Requests that are due in the meantime are queued.
    async fn outcome(
        &mut self,
        connection: &mut Connection,
        request: Request,
        queue: &mut VecDeque<Request>,
    ) -> Option<Outcome> {
        let (op, key) = (&request.op, &request.key);
        let exchange = connection.exchange(&self.target, op, key, request.body);
        let deadline = sleep(request.deadline - self.clock.now());
        tokio::pin!(exchange, deadline);
        loop {
            tokio::select! {
                outcome = &mut exchange => return Some(outcome),
                () = &mut deadline => return None,
                Some(next) = self.requests.recv() => {
                    if queue.len() < QUEUE_MAX {
                        queue.push_back(next);
                    } else {
                        write_line(&rejected(&next.id, "too many requests wait"));
                    }
                }
            }
        }
    }
}

/// A random delay up to a range that doubles with each failure.
fn backoff(failures: u32) -> Duration {
    let doubled = BACKOFF_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let range = doubled.min(BACKOFF_MAX);
    let mut random = [0; 4];
    // Without random bytes the delay is the whole range.
    let share = match getrandom::fill(&mut random) {
        Ok(()) => u32::from_be_bytes(random),
        Err(_) => u32::MAX,
    };
    range.mul_f64(f64::from(share) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_stays_within_its_range() {
        for (failures, range) in [(1, 100), (2, 200), (3, 400), (6, 2_000), (u32::MAX, 2_000)] {
            for _ in 0..20 {
                assert!(backoff(failures) <= Duration::from_millis(range));
            }
        }
    }
}
