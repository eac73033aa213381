//! The driver of the state machine: owns it with its clock, and executes its outputs with sockets and the session.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use steadfast::SessionSnapshot;
use steadfast::jsonrpc::SubscriptionEvent;
use steadfast_clock::Clock;
use steadfast_machine::Machine as _;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::access::Access;
use super::outbox::Outbox;
use super::{ServeError, connection};
use crate::io::{CallEnd, CallNumber, DisconnectReason, Input, Output, ProgramId, SessionState};
use crate::machine::Bridge;
use crate::policy::Policy;
use crate::upstream::{self, Upstream};

/// Inputs of all programs and of the session that the driver has not handled; at the limit, sockets are not read.
const INPUTS_MAX: usize = 256;
/// The pause after a failed accept: most likely the limit of open files is reached.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long programs may take to read the last messages at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// The notifications of the server that belong to subscriptions.
const NOTIFICATIONS: [&str; 2] = ["collection_update", "notify_unsubscribed"];

/// A connected program.
#[derive(Debug)]
struct Peer {
    messages: mpsc::Sender<Bytes>,
    task: AbortHandle,
}

/// The driver of a bridge.
#[derive(Debug)]
pub(super) struct Driver {
    clock: Clock,
    bridge: Bridge,
    upstream: Upstream,
    policy: Policy,
    socket: UnixListener,
    port: Option<(TcpListener, Access)>,
    peers: BTreeMap<ProgramId, Peer>,
    last_program: u64,
    inputs: mpsc::Sender<Input>,
    received: mpsc::Receiver<Input>,
    programs: JoinSet<()>,
    calls: JoinSet<(CallNumber, CallEnd)>,
    topics: BTreeMap<crate::io::TopicNumber, AbortHandle>,
    /// Tasks that receive events of the server; dropping the set ends them.
    feeds: JoinSet<()>,
    has_stopped: bool,
}

/// What the driver has to do next.
enum Step {
    Input(Input),
    CallEnded(CallNumber, CallEnd),
    SessionChanged,
    Local(io::Result<UnixStream>),
    Port(io::Result<TcpStream>),
    Timer,
    Shutdown,
    Ended,
}

impl Driver {
    pub(super) fn new(
        upstream: Upstream,
        policy: Policy,
        socket: UnixListener,
        port: Option<(TcpListener, Access)>,
    ) -> Self {
        let clock = Clock::start();
        let (inputs, received) = mpsc::channel(INPUTS_MAX);
        Self {
            bridge: Bridge::new(policy, upstream.user(), clock.now()),
            clock,
            upstream,
            policy,
            socket,
            port,
            peers: BTreeMap::new(),
            last_program: 0,
            inputs,
            received,
            programs: JoinSet::new(),
            calls: JoinSet::new(),
            topics: BTreeMap::new(),
            feeds: JoinSet::new(),
            has_stopped: false,
        }
    }

    pub(super) async fn run(
        mut self,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let mut state = self.upstream.state();
        let mut failure = None;
        for method in NOTIFICATIONS {
            let subscription = self.upstream.notifications(method);
            let feed = receive_notifications(method, subscription, self.inputs.clone());
            self.feeds.spawn(feed);
        }
        tokio::pin!(shutdown);
        let mut is_shutting_down = false;
        while !self.has_stopped {
            let shutdown = async {
                if is_shutting_down {
                    std::future::pending::<()>().await;
                }
                (&mut shutdown).await;
            };
            match self.next(&mut state, shutdown).await {
                Step::Input(input) => self.handle(input),
                Step::CallEnded(call, end) => self.handle(Input::CallEnded { call, end }),
                Step::SessionChanged => {
                    let snapshot = state.borrow_and_update().clone();
                    failure = self.on_session(&snapshot).or(failure);
                }
                Step::Local(stream) => self.accept_local(stream).await,
                Step::Port(stream) => self.accept_port(stream).await,
                Step::Timer => self.handle(Input::Ticked),
                Step::Shutdown => {
                    is_shutting_down = true;
                    tracing::info!("the bridge ends: calls in flight may end, others are rejected");
                    self.handle(Input::StopRequested);
                }
                Step::Ended => {}
            }
        }
        self.end().await;
        failure.map_or(Ok(()), |cause| Err(ServeError::SessionFailed(cause)))
    }

    async fn next(
        &mut self,
        state: &mut tokio::sync::watch::Receiver<SessionSnapshot>,
        shutdown: impl Future<Output = ()>,
    ) -> Step {
        let deadline = self.bridge.poll_timeout();
        let wait = deadline.map(|at| at.saturating_since(self.clock.now()));
        let port = async {
            match &self.port {
                Some((listener, _)) => listener.accept().await.map(|(stream, _)| stream),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(input) = self.received.recv() => Step::Input(input),
            Some(ended) = self.calls.join_next() => match ended {
                Ok((call, end)) => Step::CallEnded(call, end),
                // Only a call that panicked has no outcome; its deadline is that of the session.
                Err(_) => Step::Ended,
            },
            Ok(()) = state.changed() => Step::SessionChanged,
            accepted = self.socket.accept() => Step::Local(accepted.map(|(stream, _)| stream)),
            accepted = port => Step::Port(accepted),
            () = sleep(wait.unwrap_or(Duration::MAX)), if wait.is_some() => Step::Timer,
            () = shutdown => Step::Shutdown,
            // Forgets what has ended.
            Some(_) = self.programs.join_next() => Step::Ended,
            Some(_) = self.feeds.join_next() => Step::Ended,
        }
    }

    /// Returns why the session has failed, if it has. The client library logs what happens to it.
    fn on_session(&mut self, snapshot: &SessionSnapshot) -> Option<String> {
        let state = upstream::state_of(snapshot);
        let cause = snapshot.cause.as_ref().map(upstream::reason_of);
        let failure = (state == SessionState::Failed).then(|| cause.clone().unwrap_or_default());
        self.handle(Input::Session {
            state,
            connection: snapshot.epoch.0,
            cause,
        });
        failure
    }

    async fn accept_local(&mut self, accepted: io::Result<UnixStream>) {
        let Ok(stream) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            return;
        };
        let process = stream.peer_cred().ok().and_then(|it| it.pid());
        let (messages, outbox) = self.outbox();
        let program = outbox.program;
        tracing::debug!(program = program.0, process, "program connected");
        let task = self.programs.spawn(connection::serve_local(stream, outbox));
        self.open(program, Peer { messages, task });
    }

    async fn accept_port(&mut self, accepted: io::Result<TcpStream>) {
        let (Ok(stream), Some((_, access))) = (accepted, &self.port) else {
            sleep(ACCEPT_PAUSE).await;
            return;
        };
        let access = access.clone();
        let (messages, outbox) = self.outbox();
        let program = outbox.program;
        tracing::debug!(program = program.0, "program connected to the port");
        let task = self
            .programs
            .spawn(connection::serve_port(stream, access, outbox));
        self.open(program, Peer { messages, task });
    }

    fn outbox(&mut self) -> (mpsc::Sender<Bytes>, Outbox) {
        self.last_program += 1;
        // The state machine sends no more than this before the program has read some.
        let (sender, messages) = mpsc::channel(self.policy.send_messages_max.max(1));
        let outbox = Outbox {
            program: ProgramId(self.last_program),
            messages,
            driver: self.inputs.clone(),
        };
        (sender, outbox)
    }

    fn open(&mut self, program: ProgramId, peer: Peer) {
        self.peers.insert(program, peer);
        self.handle(Input::Opened { program });
    }

    fn handle(&mut self, input: Input) {
        if let Input::Left { program } = &input {
            self.peers.remove(program);
        }
        self.bridge.handle(self.clock.now(), input);
        while let Some(output) = self.bridge.poll_output() {
            self.execute(output);
        }
    }

    fn execute(&mut self, output: Output) {
        match output {
            Output::Send { program, text } => self.send(program, text),
            Output::Disconnect { program, reason } => self.disconnect(program, reason),
            Output::Call {
                call,
                method,
                params,
                timeout,
            } => {
                let outcome = self.upstream.call(method, params, timeout);
                self.calls.spawn(async move { (call, outcome.await) });
            }
            Output::Subscribe { topic, name } => {
                let subscription = self.upstream.subscribe(&name);
                let feed = receive_topic(topic, subscription, self.inputs.clone());
                let task = self.feeds.spawn(feed);
                self.topics.insert(topic, task);
            }
            Output::Unsubscribe { topic } => {
                // Dropping the subscription ends it at the server.
                if let Some(task) = self.topics.remove(&topic) {
                    task.abort();
                }
            }
            Output::Stopped => self.has_stopped = true,
        }
    }

    fn send(&mut self, program: ProgramId, text: Bytes) {
        if let Some(peer) = self.peers.get(&program)
            && let Err(mpsc::error::TrySendError::Full(_)) = peer.messages.try_send(text)
        {
            // The state machine counts what is not written, so this never happens; without the message, replies would lack.
            peer.task.abort();
            self.peers.remove(&program);
            self.handle(Input::Left { program });
        }
    }

    fn disconnect(&mut self, program: ProgramId, reason: DisconnectReason) {
        let Some(peer) = self.peers.remove(&program) else {
            return;
        };
        match reason {
            // It would never read what is queued, or must not keep a socket open.
            DisconnectReason::SlowReader | DisconnectReason::TooManyPrograms => {
                tracing::warn!(program = program.0, %reason, "program disconnected");
                peer.task.abort();
            }
            DisconnectReason::Finished | DisconnectReason::Stopping => {
                tracing::debug!(program = program.0, %reason, "program disconnected");
            }
        }
        // Dropping the queue lets the task write the rest and end.
    }

    async fn end(mut self) {
        self.peers.clear();
        drop(self.received);
        let flushed = async { while self.programs.join_next().await.is_some() {} };
        // What is not written by then is lost with the connections.
        let _ = timeout(FLUSH_TIMEOUT, flushed).await;
        self.upstream.close().await;
    }
}

/// Hands on what happens to a subscription at the server.
async fn receive_topic(
    topic: crate::io::TopicNumber,
    mut subscription: steadfast::jsonrpc::Subscription,
    driver: mpsc::Sender<Input>,
) {
    while let Some(event) = subscription.next().await {
        let Some(event) = upstream::topic_event(event) else {
            continue;
        };
        let input = Input::Topic { topic, event };
        if driver.send(input).await.is_err() {
            return;
        }
    }
}

/// Hands on notifications of the server.
async fn receive_notifications(
    method: &'static str,
    mut subscription: steadfast::jsonrpc::Subscription,
    driver: mpsc::Sender<Input>,
) {
    let mut is_interrupted = false;
    while let Some(event) = subscription.next().await {
        let input = match event {
            SubscriptionEvent::Item(params) => Input::Notified {
                method: method.to_owned(),
                params,
            },
            SubscriptionEvent::Interrupted { .. } => {
                is_interrupted = true;
                continue;
            }
            // A gap after an interruption is reported for each subscription, once it is active again.
            SubscriptionEvent::Gap { .. } if !std::mem::take(&mut is_interrupted) => {
                Input::EventsDropped
            }
            SubscriptionEvent::Gap { .. }
            | SubscriptionEvent::Subscribed { .. }
            | SubscriptionEvent::Resumed { .. }
            | SubscriptionEvent::Unsubscribed(_)
            | _ => continue,
        };
        if driver.send(input).await.is_err() {
            return;
        }
    }
}
