//! The one future that owns a session: waits for whatever happens first, tells it, and carries its orders out.
//!
//! It holds no decision about retries, queues or limits. Each turn takes a bounded number of requests, so that a busy
//! application cannot starve the socket.

mod line;

use std::collections::BTreeMap;
use std::iter;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use steadfast_core::Session;
use steadfast_core::event::{SessionSnapshot, SessionState};
use steadfast_core::io::{
    Call, CallError, CallId, CallResult, ConnectionLoss, Delivery, Input, Output, PublicationId,
    Publish, SubscribeOptions, SubscriptionId,
};
use steadfast_machine::{Instant, Machine};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Sleep;

use self::line::Line;
use crate::builder::defaults;
use crate::clock::Clock;
use crate::connector::Connector;
use crate::dial_limit::DialLimit;
use crate::endpoint::Endpoint;
use crate::events::Events;
use crate::feed::Queue;

/// Requests that are taken in one turn.
const COMMANDS_PER_TURN: usize = 256;
/// Turns in one poll; then the runtime has its turn.
const TURNS_PER_POLL: usize = 64;
/// The longest sleep; a session without any deadline wakes up to nothing.
const SLEEP_MAX: Duration = Duration::from_hours(1);

/// What a handle asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Publish(Publish, oneshot::Sender<Delivery>),
    Call(
        CallId,
        Call,
        Instant,
        oneshot::Sender<Result<CallResult, CallError>>,
    ),
    Subscribe(SubscriptionId, SubscribeOptions, Arc<Queue>),
    Unsubscribe(SubscriptionId),
    Kick,
    Revive,
    Close(Duration),
}

/// What a driver is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) session: Session,
    pub(crate) clock: Clock,
    pub(crate) connector: Connector,
    pub(crate) dial_limit: DialLimit,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) inbox: mpsc::Receiver<Command>,
    pub(crate) state: watch::Sender<SessionSnapshot>,
    pub(crate) events: Events,
    pub(crate) wake: Arc<Notify>,
}

/// The future that does the work of a [`crate::Client`]. It ends when the session is closed: because the application
/// wanted it, or because the last handle is gone.
///
/// With it everything ends: receipts and calls are told what is known of them, subscriptions have no next item. Dropping
/// it does the same at once.
#[derive(Debug)]
pub struct Driver {
    parts: Parts,
    line: Line,
    askers: Askers,
    /// Made when it is first needed, inside the runtime; armed for this instant.
    sleep: Option<(Instant, Pin<Box<Sleep>>)>,
    wait: Pin<Box<WaitForWake>>,
    phase: Life,
}

/// Who waits for what the session says.
#[derive(Debug, Default)]
struct Askers {
    publications: BTreeMap<PublicationId, oneshot::Sender<Delivery>>,
    calls: BTreeMap<CallId, oneshot::Sender<Result<CallResult, CallError>>>,
    subscriptions: BTreeMap<SubscriptionId, Arc<Queue>>,
    /// Somebody said how long a drain may take.
    is_close_wanted: bool,
}

impl Askers {
    /// Notes who asks and gives what the session is told.
    fn note(&mut self, command: Command) -> Input {
        match command {
            Command::Publish(publish, receipt) => {
                self.publications.insert(publish.id, receipt);
                Input::PublishRequested(publish)
            }
            Command::Call(id, call, deadline, answer) => {
                self.calls.insert(id, answer);
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
            Command::Kick => Input::ReconnectRequested,
            Command::Revive => Input::RestartRequested,
            Command::Close(drain) => {
                self.is_close_wanted = true;
                Input::CloseRequested { drain }
            }
        }
    }
}

/// The wait for readers that made room.
struct WaitForWake(Pin<Box<dyn Future<Output = ()> + Send>>);

impl std::fmt::Debug for WaitForWake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WaitForWake")
    }
}

/// How far the driver is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Not polled yet.
    New,
    Running,
    /// No handle is left.
    Orphaned,
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Something was done; there may be more.
    Busy,
    /// Nothing to do before something happens.
    Idle,
    /// It is over.
    Over,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        let wait = wait_for(Arc::clone(&parts.wake));
        Self {
            parts,
            line: Line::default(),
            askers: Askers::default(),
            sleep: None,
            wait,
            phase: Life::New,
        }
    }

    fn turn(&mut self, context: &mut Context<'_>) -> Turn {
        let mut is_busy = self.take_commands(context);
        if self.wait.0.as_mut().poll(context).is_ready() {
            self.wait = wait_for(Arc::clone(&self.parts.wake));
            is_busy = true;
        }
        is_busy |= self.look_at_readers();
        let now = self.parts.clock.now();
        let session = &mut self.parts.session;
        is_busy |= self
            .line
            .poll(context, &mut |input| session.handle(now, input));
        is_busy |= self.keep_time(context);
        self.carry_out();
        // Once opened, a session is only disconnected when it is closed, and nothing opens it again: a driver that went
        // on would take requests that nobody answers.
        if self.parts.session.snapshot().state == SessionState::Disconnected {
            return Turn::Over;
        }
        if is_busy { Turn::Busy } else { Turn::Idle }
    }

    /// What handles ask for goes to the session together, so that it shares messages.
    fn take_commands(&mut self, context: &mut Context<'_>) -> bool {
        if self.phase == Life::Orphaned {
            return false;
        }
        let now = self.parts.clock.now();
        let Parts { session, inbox, .. } = &mut self.parts;
        let (mut taken, mut is_over) = (0, false);
        let commands = iter::from_fn(|| match inbox.poll_recv(context) {
            Poll::Ready(Some(command)) => {
                taken += 1;
                Some(self.askers.note(command))
            }
            Poll::Ready(None) => {
                is_over = true;
                None
            }
            Poll::Pending => None,
        });
        session.handle_all(now, commands.take(COMMANDS_PER_TURN));
        if is_over {
            self.phase = Life::Orphaned;
            if !self.askers.is_close_wanted {
                let drain = defaults::DRAIN;
                self.tell(Input::CloseRequested { drain });
            }
        }
        is_over || taken > 0
    }

    fn tell(&mut self, input: Input) {
        let now = self.parts.clock.now();
        self.parts.session.handle(now, input);
    }

    /// What readers have taken since the last turn, and which of them are gone. True when the session was told
    /// something: what it has to say goes to a socket that was looked at already.
    fn look_at_readers(&mut self) -> bool {
        let now = self.parts.clock.now();
        let session = &mut self.parts.session;
        let mut is_busy = false;
        self.askers.subscriptions.retain(|id, queue| {
            let (id, items) = (*id, queue.take_count());
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

    /// Sleeps until the session's next deadline. True when something came of it.
    fn keep_time(&mut self, context: &mut Context<'_>) -> bool {
        let now = self.parts.clock.now();
        let deadline = match self.parts.session.poll_timeout() {
            Some((at, _)) if at <= now => {
                self.parts.session.handle(now, Input::Tick);
                return true;
            }
            Some((at, _)) => at.min(now + SLEEP_MAX),
            None => now + SLEEP_MAX,
        };
        // Deadlines mostly move away: a sleep that ends too early costs less than one that is armed for each byte.
        let must_arm = self.sleep.as_ref().is_none_or(|(at, _)| deadline < *at);
        if must_arm {
            let sleep = Box::pin(tokio::time::sleep(deadline.saturating_since(now)));
            self.sleep = Some((deadline, sleep));
        }
        let is_over = self
            .sleep
            .as_mut()
            .is_some_and(|(_, sleep)| sleep.as_mut().poll(context).is_ready());
        if is_over {
            self.sleep = None;
        }
        is_over
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.parts.session.poll_output() {
            match output {
                Output::Dial { attempt, endpoint } => {
                    if let Some(endpoint) = self.parts.endpoints.get(endpoint) {
                        let connector = &self.parts.connector;
                        let limit = &self.parts.dial_limit;
                        self.line.dial(attempt, connector, endpoint, limit);
                    }
                }
                Output::Abort { attempt } => self.line.abandon(attempt),
                Output::Transmit { attempt, message } => self.line.transmit(attempt, &message),
                Output::Probe { attempt } => self.line.probe(attempt),
                Output::Close {
                    attempt,
                    code,
                    reason,
                } => self.line.hang_up(attempt, code, reason),
                Output::Deliver { id, event: feed } => {
                    if let Some(queue) = self.askers.subscriptions.get(&id) {
                        queue.push(feed);
                    }
                }
                Output::CompletePublication { id, delivery } => {
                    if let Some(receipt) = self.askers.publications.remove(&id) {
                        // Nobody has to wait for a receipt.
                        let _ = receipt.send(delivery);
                    }
                }
                Output::CompleteCall { id, outcome } => {
                    if let Some(answer) = self.askers.calls.remove(&id) {
                        let _ = answer.send(outcome);
                    }
                }
                Output::Notify(event) => {
                    tracing::debug!(?event, "session");
                    self.publish_state();
                    self.parts.events.tell(event);
                }
            }
        }
        self.publish_state();
    }

    /// Ends what is still open, and tells everybody who asks what is known.
    fn finish(&mut self) {
        let at_once = || Input::CloseRequested {
            drain: Duration::ZERO,
        };
        self.parts.inbox.close();
        self.tell(at_once());
        let attempt = self.line.attempt();
        let loss = ConnectionLoss::Failed("the client has ended".to_owned());
        self.tell(Input::Lost { attempt, loss });
        // What comes now reaches a session without a connection, so that nothing of it counts as sent.
        while let Ok(command) = self.parts.inbox.try_recv() {
            let input = self.askers.note(command);
            self.tell(input);
        }
        self.tell(at_once());
        self.carry_out();
        for queue in self.askers.subscriptions.values() {
            queue.end();
        }
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

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.phase == Life::New {
            self.phase = Life::Running;
            self.tell(Input::OpenRequested);
            self.carry_out();
        }
        for _ in 0..TURNS_PER_POLL {
            match self.turn(context) {
                Turn::Busy => {}
                Turn::Idle => return Poll::Pending,
                Turn::Over => {
                    self.finish();
                    return Poll::Ready(());
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // A second panic in a session that panicked would end the process.
        if !std::thread::panicking() {
            return self.finish();
        }
        for queue in self.askers.subscriptions.values() {
            queue.end();
        }
    }
}

fn wait_for(wake: Arc<Notify>) -> Pin<Box<WaitForWake>> {
    let wait = async move { wake.notified().await };
    Box::pin(WaitForWake(Box::pin(wait)))
}
