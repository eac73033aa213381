//! The future that drives a session: waits for inputs, passes them to the session, and executes its outputs.
//!
//! It makes no decisions about retries, queues or limits. Each loop iteration receives a bounded number of commands, so
//! that a busy application cannot starve the socket.

mod computations;
mod log;
mod redirects;
mod transport_slot;
mod transports;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_core::Session;
use steadfast_core::dialect::Dialect;
use steadfast_core::event::{
    ConnectionErrorKind, DisconnectCause, SessionEvent, SessionPhase, SessionSnapshot, SessionState,
};
use steadfast_core::io::{Attempt, ConnectionLoss, Input, Output, SubscriptionId};
use steadfast_machine::{Instant, Machine};
use tokio::sync::{oneshot, watch};
use tokio::time::Sleep;

use self::computations::Computations;
use self::redirects::Redirects;
use self::transport_slot::Target;
use self::transports::Transports;
use crate::connector::Connector;
use crate::credentials::CredentialsSlot;
use crate::defaults;
use crate::dial_limit::DialLimit;
use crate::endpoint::Endpoint;
use crate::events::Events;
use crate::exchange::{Command, Completion, Exchange, Outcomes, Received};
#[cfg(feature = "truenas")]
use crate::login_limit::LoginCost;
use crate::subscription::QueueSender;

/// Maximum number of commands that are received in one loop iteration.
const COMMANDS_PER_ITERATION: usize = 256;
/// Maximum number of loop iterations in one poll; then the future yields to the runtime.
const ITERATIONS_PER_POLL: usize = 64;
/// The longest sleep, also for a session without a deadline.
const SLEEP_MAX: Duration = Duration::from_hours(1);

/// The parts of a driver.
#[derive(Debug)]
pub(crate) struct Parts<D: Dialect> {
    pub(crate) session: Session<D>,
    pub(crate) clock: Clock,
    pub(crate) connector: Arc<Connector>,
    pub(crate) dial_limit: DialLimit,
    #[cfg(feature = "truenas")]
    pub(crate) login_cost: Option<LoginCost>,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) exchange: Arc<Exchange<D>>,
    pub(crate) state: watch::Sender<SessionSnapshot>,
    pub(crate) events: Events,
    pub(crate) credentials: CredentialsSlot,
}

/// The future that runs the session of a [`Client`](crate::Client). It completes when the session is closed: by the
/// application, or because the last handle was dropped.
///
/// When the future completes, receipts and calls get the outcome that is known, and subscriptions end. Dropping the
/// future does the same immediately.
///
/// ```no_run
/// use std::time::Duration;
/// use steadfast::centrifuge::Client;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let (client, driver) = Client::builder("ws://127.0.0.1:8000")?.build()?;
/// let work = async move {
///     client.publish("news", &"hello")?.await?;
///     client.close(Duration::ZERO).await?;
///     Ok::<(), Box<dyn std::error::Error>>(())
/// };
/// // Polled in the same task; the driver ends when the session is closed.
/// let (outcome, ()) = tokio::join!(work, driver);
/// outcome
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a client does nothing until its driver is spawned or polled"]
pub struct Driver<D: Dialect> {
    parts: Parts<D>,
    transports: Transports,
    computations: Computations,
    redirects: Redirects,
    /// The index of the endpoint of the present attempt or connection, for the log.
    endpoint: usize,
    waiters: Waiters<D>,
    received: Received<D>,
    outcomes: Outcomes<D>,
    /// The timer and its instant; created on first use, inside the runtime.
    sleep: Option<(Instant, Pin<Box<Sleep>>)>,
    phase: DriverPhase,
}

/// The receivers of the session's events, and of its end.
#[derive(Debug)]
struct Waiters<D: Dialect> {
    subscriptions: BTreeMap<SubscriptionId, QueueSender<D>>,
    /// Callers of `close`.
    closing: Vec<oneshot::Sender<()>>,
    /// A handle has requested the close, with its own drain time.
    is_close_requested: bool,
}

impl<D: Dialect> Default for Waiters<D> {
    fn default() -> Self {
        Self {
            subscriptions: BTreeMap::new(),
            closing: Vec::new(),
            is_close_requested: false,
        }
    }
}

impl<D: Dialect> Waiters<D> {
    /// Registers the receiver of a command's result and returns the input for the session.
    fn register(&mut self, now: Instant, command: Command<D>) -> Input<D> {
        match command {
            Command::Send(outgoing) => Input::SendRequested(outgoing),
            Command::Call(id, call, timeout) => {
                let deadline = now + timeout;
                Input::CallRequested { id, call, deadline }
            }
            Command::Subscribe(id, options, queue) => {
                self.subscriptions.insert(id, queue);
                Input::SubscribeRequested { id, options }
            }
            Command::Unsubscribe(id) => {
                self.subscriptions.remove(&id);
                Input::UnsubscribeRequested { id }
            }
            Command::SetCredentials(credentials) => Input::CredentialsReplaced(credentials),
            Command::ReconnectNow => Input::ReconnectRequested,
            Command::Restart => Input::RestartRequested,
            Command::Migrate(endpoint) => Input::MigrateRequested { endpoint },
            Command::Close(drain, closed) => {
                self.is_close_requested = true;
                self.closing.retain(|it| !it.is_closed());
                self.closing.push(closed);
                Input::CloseRequested { drain }
            }
        }
    }
}

/// The phase of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DriverPhase {
    /// Not polled yet; the session is not open.
    New,
    Running,
    /// All handles were dropped.
    Orphaned,
}

/// The result of a loop iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Some work was done, and there may be more.
    Busy,
    /// There is no work until the next wake-up.
    Idle,
    /// The session is closed.
    Finished,
}

impl<D: Dialect> Driver<D> {
    pub(crate) fn new(parts: Parts<D>) -> Self {
        Self {
            parts,
            transports: Transports::default(),
            computations: Computations::default(),
            redirects: Redirects::default(),
            endpoint: 0,
            waiters: Waiters::default(),
            received: Received::default(),
            outcomes: Outcomes::default(),
            sleep: None,
            phase: DriverPhase::New,
        }
    }

    fn iterate(&mut self, context: &mut Context<'_>) -> Progress {
        let mut is_busy = self.receive_commands(context);
        is_busy |= self.poll_readers();
        if let Some(input) = self.parts.credentials.poll(context) {
            self.handle_input(input);
            is_busy = true;
        }
        while let Some(input) = self.computations.poll(context) {
            self.handle_input(input);
            is_busy = true;
        }
        let now = self.parts.clock.now();
        let session = &mut self.parts.session;
        is_busy |= self
            .transports
            .poll(context, &mut |input| session.handle(now, input));
        is_busy |= self.poll_timer(context);
        self.execute_outputs();
        // A session that was opened is disconnected only when it is closed, and is never opened again: a driver that
        // continued would accept commands that get no reply.
        if self.parts.session.snapshot().state == SessionState::Disconnected {
            return Progress::Finished;
        }
        if is_busy {
            Progress::Busy
        } else {
            Progress::Idle
        }
    }

    /// Passes the pending commands to the session together, so that they share messages.
    fn receive_commands(&mut self, context: &Context<'_>) -> bool {
        if self.phase == DriverPhase::Orphaned {
            return false;
        }
        let now = self.parts.clock.now();
        let Parts {
            session, exchange, ..
        } = &mut self.parts;
        let received = &mut self.received;
        let is_busy = exchange.receive(received, COMMANDS_PER_ITERATION, context);
        // A caller that gave up a call and then makes another one needs no space for both.
        let withdrawn = received.withdrawn.drain(..);
        let withdrawn = withdrawn.map(|id| Input::CallWithdrawn { id });
        let commands = received.commands.drain(..);
        let commands = commands.map(|command| self.waiters.register(now, command));
        session.handle_all(now, withdrawn.chain(commands));
        if received.is_orphaned {
            self.phase = DriverPhase::Orphaned;
            if !self.waiters.is_close_requested {
                let drain = defaults::DRAIN_TIMEOUT;
                self.handle_input(Input::CloseRequested { drain });
            }
            return true;
        }
        is_busy
    }

    fn handle_input(&mut self, input: Input<D>) {
        let now = self.parts.clock.now();
        self.parts.session.handle(now, input);
    }

    /// Reports to the session how many events readers received since the last iteration, and which readers were
    /// dropped. Returns `true` when the session got an input: its outputs may need another poll of the socket.
    fn poll_readers(&mut self) -> bool {
        if !self.parts.exchange.take_reader_progress() {
            return false;
        }
        let now = self.parts.clock.now();
        let session = &mut self.parts.session;
        let mut is_busy = false;
        self.waiters.subscriptions.retain(|id, queue| {
            let (id, items) = (*id, queue.take_received_count());
            let is_abandoned = queue.is_abandoned();
            if is_abandoned {
                session.handle(now, Input::UnsubscribeRequested { id });
            } else if items > 0 {
                session.handle(now, Input::Consumed { id, items });
            }
            is_busy |= is_abandoned || items > 0;
            !is_abandoned
        });
        is_busy
    }

    /// Waits for the session's next deadline. Returns `true` when the deadline or the timer has expired.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> bool {
        let now = self.parts.clock.now();
        let deadline = match self.parts.session.poll_timeout() {
            Some(at) if at <= now => {
                self.parts.session.handle(now, Input::Tick);
                return true;
            }
            Some(at) => at.min(now + SLEEP_MAX),
            None => now + SLEEP_MAX,
        };
        // Deadlines mostly move later: an early wake-up costs less than arming the timer again for each byte.
        let must_arm = self.sleep.as_ref().is_none_or(|(at, _)| deadline < *at);
        if must_arm {
            let sleep = Box::pin(tokio::time::sleep(deadline.saturating_since(now)));
            self.sleep = Some((deadline, sleep));
        }
        let has_expired = self
            .sleep
            .as_mut()
            .is_some_and(|(_, sleep)| sleep.as_mut().poll(context).is_ready());
        if has_expired {
            self.sleep = None;
        }
        has_expired
    }

    fn execute_outputs(&mut self) {
        while let Some(output) = self.parts.session.poll_output() {
            match output {
                Output::Dial { attempt, endpoint } => self.dial(attempt, endpoint),
                Output::FetchCredentials { id, reason } => {
                    self.parts.credentials.begin(id, reason);
                }
                Output::Compute {
                    attempt,
                    id,
                    computation,
                } => self.computations.begin(attempt, id, computation),
                Output::Redirect { endpoint, urls } => self.redirect(endpoint, &urls),
                Output::Abort { attempt } => {
                    self.computations.forget(attempt);
                    self.transports.abort(attempt);
                }
                Output::Transmit { attempt, frame } => self.transports.transmit(attempt, &frame),
                Output::Probe { attempt } => self.transports.probe(attempt),
                Output::Close {
                    attempt,
                    code,
                    reason,
                } => self.transports.close(attempt, code, reason),
                Output::Deliver { id, event } => {
                    if let Some(queue) = self.waiters.subscriptions.get(&id) {
                        self.outcomes.publish(&self.parts.exchange);
                        queue.push(event);
                    }
                }
                Output::CompleteMessage { id, outcome } => {
                    self.outcomes.push(Completion::Message(id, outcome));
                }
                Output::CompleteCall { id, outcome } => {
                    self.outcomes.push(Completion::Call(id, outcome));
                }
                Output::Notify(event) => {
                    self.outcomes.publish(&self.parts.exchange);
                    self.notify(event);
                }
            }
        }
        self.outcomes.publish(&self.parts.exchange);
        self.publish_state();
    }

    fn dial(&mut self, attempt: Attempt, endpoint: usize) {
        let Parts {
            session,
            clock,
            connector,
            dial_limit,
            endpoints,
            ..
        } = &self.parts;
        let count = endpoints.len();
        if let Some(original) = endpoints.get(endpoint) {
            let endpoint = self.redirects.dial(endpoint, original);
            let plan = connector.plan(attempt, session.snapshot(), count, clock.now());
            let target = Target::new(connector, &endpoint, plan);
            #[cfg(feature = "truenas")]
            let target = target.with_login(self.parts.login_cost.as_ref());
            self.transports.dial(attempt, target, dial_limit);
        }
    }

    /// Dials another server instead of an endpoint from the next attempt on.
    fn redirect(&mut self, index: usize, urls: &[String]) {
        let Some(from) = self.parts.endpoints.get(index) else {
            return;
        };
        if let Some(to) = self.redirects.redirect(index, from, urls) {
            tracing::info!(url = %from, %to, "login redirected");
        } else {
            tracing::warn!(url = %from, "login redirected, but to no server that is as secure");
        }
    }

    fn notify(&mut self, event: SessionEvent) {
        if let SessionEvent::Attempting { endpoint, .. }
        | SessionEvent::Connected { endpoint, .. } = event
        {
            self.endpoint = endpoint;
        }
        if let SessionEvent::Connected { endpoint, .. } = event {
            self.redirects.connected(endpoint);
        }
        #[cfg(feature = "truenas")]
        if matches!(event, SessionEvent::LoginExpired { .. }) {
            self.charge_login();
        }
        log::session_event(
            &event,
            &self.parts.endpoints,
            self.endpoint,
            self.parts.clock.now(),
        );
        self.publish_state();
        self.parts.events.send(event);
    }

    /// A login over the open connection is not delayed, and counts at the server of the connection.
    #[cfg(feature = "truenas")]
    fn charge_login(&self) {
        if let Some(cost) = &self.parts.login_cost
            && let Some(host) = self.redirects.connected_host()
        {
            cost.charge(host);
        }
    }

    /// Closes the session and sends the known outcomes to all waiters.
    fn finish(&mut self) {
        let immediate_close = || Input::CloseRequested {
            drain: Duration::ZERO,
        };
        self.parts.exchange.close();
        self.handle_input(immediate_close());
        for attempt in self.transports.attempts() {
            let loss = ConnectionLoss::Failed {
                kind: ConnectionErrorKind::Other,
                text: "the client was closed".to_owned(),
            };
            self.handle_input(Input::Lost { attempt, loss });
        }
        // Remaining commands are handled without a connection, so that none of them counts as sent.
        let context = Context::from_waker(Waker::noop());
        while self
            .parts
            .exchange
            .receive(&mut self.received, COMMANDS_PER_ITERATION, &context)
        {
            let now = self.parts.clock.now();
            self.received.withdrawn.clear();
            for command in self.received.commands.drain(..) {
                self.parts
                    .session
                    .handle(now, self.waiters.register(now, command));
            }
        }
        self.handle_input(immediate_close());
        self.execute_outputs();
        self.end_waits();
    }

    /// Ends the waits that the session cannot end.
    fn end_waits(&mut self) {
        self.parts.exchange.end();
        self.waiters.subscriptions.clear();
        self.waiters.closing.clear();
    }

    fn publish_state(&self) {
        let snapshot = self.parts.session.snapshot();
        self.parts.state.send_if_modified(|published| {
            let is_new = published != snapshot;
            if is_new {
                published.clone_from(snapshot);
            }
            is_new
        });
    }
}

impl<D: Dialect + Unpin> Future for Driver<D>
where
    Session<D>: Unpin,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.phase == DriverPhase::New {
            self.phase = DriverPhase::Running;
            self.handle_input(Input::OpenRequested);
            self.execute_outputs();
        }
        for _ in 0..ITERATIONS_PER_POLL {
            match self.iterate(context) {
                Progress::Busy => {}
                Progress::Idle => return Poll::Pending,
                Progress::Finished => {
                    self.finish();
                    return Poll::Ready(());
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<D: Dialect> Drop for Driver<D> {
    fn drop(&mut self) {
        // A second panic during unwinding would abort the process.
        if !std::thread::panicking() {
            return self.finish();
        }
        self.parts.state.send_modify(|it| {
            it.state = SessionState::Disconnected;
            it.phase = SessionPhase::Idle;
            it.next_attempt_at = None;
            it.cause = Some(DisconnectCause::ConnectionFailed {
                kind: ConnectionErrorKind::Other,
                text: "the driver of the client panicked".to_owned(),
            });
        });
        self.end_waits();
    }
}
