//! The driver of the state machine: owns it with its clock, and executes its outputs with sockets and the session.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use steadfast::SessionSnapshot;
use steadfast_clock::Clock;
use steadfast_machine::Machine as _;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::ServeError;
use super::acceptor::Acceptor;
use super::access::Access;
use super::connection::{self, Admitted};
use super::feeds::Feeds;
use super::handshakes::Handshakes;
use super::outbox::Outbox;
use crate::io::{CallEnd, CallNumber, DisconnectReason, Input, Output, ProgramId, SessionState};
use crate::machine::Bridge;
use crate::policy::Policy;
use crate::upstream::{self, Upstream};

/// Inputs of all programs and of the session that the driver has not handled; at the limit, sockets are not read.
const INPUTS_MAX: usize = 256;
/// How long programs may take to read the last messages at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// A connected program.
#[derive(Debug)]
struct Peer {
    /// `None` once nothing else follows.
    messages: Option<mpsc::Sender<Bytes>>,
    task: AbortHandle,
}

/// The driver of a bridge.
#[derive(Debug)]
pub(super) struct Driver {
    clock: Clock,
    bridge: Bridge,
    upstream: Upstream,
    policy: Policy,
    socket: Acceptor<UnixListener>,
    port: Option<Port>,
    peers: BTreeMap<ProgramId, Peer>,
    last_program: u64,
    inputs: mpsc::Sender<Input>,
    received: mpsc::Receiver<Input>,
    programs: JoinSet<()>,
    calls: JoinSet<(CallNumber, CallEnd)>,
    feeds: Feeds,
    has_stopped: bool,
}

/// The loopback port.
#[derive(Debug)]
struct Port {
    listener: Acceptor<TcpListener>,
    handshakes: Handshakes,
}

/// What the loopback port has.
enum PortEvent {
    Connected(TcpStream),
    Admitted(Admitted),
}

impl Port {
    async fn next(port: &mut Option<Self>, clock: &Clock) -> PortEvent {
        let Some(port) = port else {
            return std::future::pending().await;
        };
        tokio::select! {
            stream = port.listener.next(clock) => PortEvent::Connected(stream),
            admitted = port.handshakes.next() => PortEvent::Admitted(admitted),
        }
    }
}

/// What the driver has to do next.
enum Step {
    Input(Input),
    CallEnded(CallNumber, CallEnd),
    SessionChanged,
    Local(UnixStream),
    Port(PortEvent),
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
            feeds: Feeds::new(&upstream),
            upstream,
            policy,
            socket: Acceptor::new(socket),
            port: port.map(|(listener, access)| Port {
                listener: Acceptor::new(listener),
                handshakes: Handshakes::new(access),
            }),
            peers: BTreeMap::new(),
            last_program: 0,
            inputs,
            received,
            programs: JoinSet::new(),
            calls: JoinSet::new(),
            has_stopped: false,
        }
    }

    pub(super) async fn run(
        mut self,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let mut state = self.upstream.state();
        let mut failure = None;
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
                Step::Local(stream) => self.open_local(stream),
                Step::Port(PortEvent::Connected(stream)) => self.begin_handshake(stream),
                Step::Port(PortEvent::Admitted(admitted)) => self.open_port(admitted),
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
        tokio::select! {
            Some(input) = self.received.recv() => Step::Input(input),
            Some(ended) = self.calls.join_next() => match ended {
                Ok((call, end)) => Step::CallEnded(call, end),
                // Only a call that panicked has no outcome; its deadline is that of the session.
                Err(_) => Step::Ended,
            },
            Ok(()) = state.changed() => Step::SessionChanged,
            input = self.feeds.next() => Step::Input(input),
            stream = self.socket.next(&self.clock) => Step::Local(stream),
            event = Port::next(&mut self.port, &self.clock) => Step::Port(event),
            () = sleep(wait.unwrap_or(Duration::MAX)), if wait.is_some() => Step::Timer,
            () = shutdown => Step::Shutdown,
            // Forgets what has ended.
            Some(_) = self.programs.join_next() => Step::Ended,
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

    fn open_local(&mut self, stream: UnixStream) {
        let process = stream.peer_cred().ok().and_then(|it| it.pid());
        let (sender, outbox) = self.outbox();
        let program = outbox.program;
        tracing::debug!(program = program.0, process, "program connected");
        let task = self.programs.spawn(connection::serve_local(stream, outbox));
        let messages = Some(sender);
        self.open(program, Peer { messages, task });
    }

    fn begin_handshake(&mut self, stream: TcpStream) {
        if let Some(port) = &mut self.port {
            port.handshakes.begin(stream);
        }
    }

    fn open_port(&mut self, admitted: Admitted) {
        let (sender, outbox) = self.outbox();
        let program = outbox.program;
        tracing::debug!(program = program.0, "program connected to the port");
        let task = self
            .programs
            .spawn(connection::serve_port(admitted, outbox));
        let messages = Some(sender);
        self.open(program, Peer { messages, task });
    }

    fn outbox(&mut self) -> (mpsc::Sender<Bytes>, Outbox) {
        self.last_program += 1;
        // The state machine sends no more than this before the program has read some.
        let (sender, messages) = mpsc::channel(self.policy.unsent_messages_max());
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
            tracing::debug!(program = program.0, "the connection of a program has ended");
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
                self.feeds.subscribe(topic, subscription);
            }
            Output::Unsubscribe { topic } => self.feeds.unsubscribe(topic),
            Output::Stopped => self.has_stopped = true,
        }
    }

    fn send(&mut self, program: ProgramId, text: Bytes) {
        if let Some(peer) = self.peers.get(&program)
            && let Some(messages) = &peer.messages
            && let Err(mpsc::error::TrySendError::Full(_)) = messages.try_send(text)
        {
            // The state machine counts what is not written, so this never happens; without the message, replies would lack.
            peer.task.abort();
            self.peers.remove(&program);
            self.handle(Input::Left { program });
        }
    }

    fn disconnect(&mut self, program: ProgramId, reason: DisconnectReason) {
        // Dropping the queue lets the task write the rest and end. Until then one that has finished counts, so that it can
        // still be disconnected.
        if reason == DisconnectReason::Finished
            && let Some(peer) = self.peers.get_mut(&program)
        {
            peer.messages = None;
            tracing::debug!(program = program.0, %reason, "program disconnected");
            return;
        }
        let Some(peer) = self.peers.remove(&program) else {
            return;
        };
        match reason {
            // It would never read what is queued.
            DisconnectReason::SlowReader | DisconnectReason::TooMuchUnread => {
                tracing::warn!(program = program.0, %reason, "program disconnected");
                peer.task.abort();
            }
            DisconnectReason::TooManyPrograms => {
                tracing::warn!(program = program.0, %reason, "program disconnected");
            }
            DisconnectReason::Finished | DisconnectReason::Stopping => {
                tracing::debug!(program = program.0, %reason, "program disconnected");
            }
        }
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
