//! The task of a [`Jobs`](super::Jobs): drives the state machine.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream as _;
use steadfast_clock::Clock;
use steadfast_core::dialect::jsonrpc::{CallError, Feed};
use steadfast_core::dialect::truenas::jobs::{
    self, CallToken, Input, JobEnd, JobKey, JobProgress, JobReply, Output,
};
use steadfast_core::event::{SessionEvent, SessionState};
use steadfast_core::io::{SubscribeOptions, SubscriptionEvent};
use steadfast_machine::Machine as _;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};

use crate::defaults;
use crate::jsonrpc::{Client, Subscription};

/// The collection whose changes report what jobs do.
const COLLECTION: &str = "core.get_jobs";

/// A request of a handle.
#[derive(Debug)]
pub(super) enum Command {
    Start {
        key: JobKey,
        method: String,
        params: Bytes,
        reports: Reports,
    },
    Abort(JobKey),
}

/// Where the progress and the end of a job are reported.
#[derive(Debug)]
pub(super) struct Reports {
    pub(super) progress: watch::Sender<Option<JobProgress>>,
    pub(super) end: oneshot::Sender<JobEnd>,
}

pub(super) struct Task {
    client: Client,
    commands: mpsc::Receiver<Command>,
    machine: jobs::Jobs,
    reports: BTreeMap<JobKey, Reports>,
    /// From the first job on.
    changes: Option<Subscription>,
    /// Changes have arrived over `changes`.
    has_begun: bool,
    calls: JoinSet<(CallToken, Result<Bytes, CallError>)>,
    /// The next event of the session; `None` if none follows.
    event: Option<NextEvent>,
    clock: Clock,
    timer: Option<Pin<Box<Sleep>>>,
}

/// An event of the session with the receiver of the next one.
type NextEvent = Pin<Box<dyn Future<Output = (Result<SessionEvent, RecvError>, Events)> + Send>>;
type Events = broadcast::Receiver<SessionEvent>;

/// Why the task wakes up.
enum Wake {
    Command(Command),
    Input(Input),
    /// The server ended the subscription, or there is another one.
    ChangesEnded,
    /// The session reports something.
    Event(SessionEvent),
    /// So many events were missed that the connection may have been lost.
    EventsMissed,
    /// The client is closed, or all handles were dropped.
    Released,
}

impl Task {
    pub(super) fn new(client: Client, commands: mpsc::Receiver<Command>) -> Self {
        let event = Some(next_event(client.events()));
        let mut task = Self {
            client,
            commands,
            machine: jobs::Jobs::new(JobReply::Id),
            reports: BTreeMap::new(),
            changes: None,
            has_begun: false,
            calls: JoinSet::new(),
            event,
            clock: Clock::start(),
            timer: None,
        };
        task.connect_if_connected();
        task
    }

    /// The events from before are not known.
    fn connect_if_connected(&mut self) {
        if self.client.state().borrow().state == SessionState::Connected {
            self.handle(Input::Connected);
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            self.set_timer();
            match poll_fn(|context| self.poll(context)).await {
                Wake::Command(command) => self.on_command(command),
                Wake::Input(input) => {
                    self.has_begun |= matches!(input, Input::ChangesBegan);
                    self.handle(input);
                }
                Wake::ChangesEnded => {
                    self.changes = None;
                    // Without a subscription that has begun, nothing changes for the machine.
                    if std::mem::take(&mut self.has_begun) {
                        self.handle(Input::ChangesInterrupted);
                    }
                }
                Wake::Event(event) => self.on_event(&event),
                Wake::EventsMissed => {
                    self.handle(Input::ConnectionLost);
                    self.connect_if_connected();
                }
                Wake::Released => return,
            }
        }
    }

    fn on_event(&mut self, event: &SessionEvent) {
        if matches!(event, SessionEvent::Lost { .. }) {
            self.handle(Input::ConnectionLost);
        }
        if matches!(event, SessionEvent::Connected { .. }) {
            self.handle(Input::Connected);
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Start {
                key,
                method,
                params,
                reports,
            } => {
                self.subscribe();
                self.reports.insert(key, reports);
                self.handle(Input::StartRequested {
                    key,
                    method,
                    params,
                });
            }
            Command::Abort(key) => self.handle(Input::AbortRequested(key)),
        }
    }

    fn subscribe(&mut self) {
        if self.changes.is_none() {
            let feed = Feed::collection(COLLECTION);
            let options = SubscribeOptions::to(feed, defaults::BUFFER_LEN_MAX)
                .buffer_bytes_max(defaults::BUFFER_BYTES_MAX)
                .report_interruptions();
            self.changes = Some(self.client.subscribe_with(options));
        }
    }

    fn set_timer(&mut self) {
        let now = self.clock.now();
        let at = self.machine.poll_timeout();
        self.timer = at.map(|at| {
            // No shorter than what a timer measures.
            let pause = at.saturating_since(now).max(Duration::from_millis(1));
            Box::pin(sleep(pause))
        });
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Wake> {
        // Losses first, so that no reply over another connection counts before them.
        if let Some(wake) = self.poll_event(context) {
            return Poll::Ready(wake);
        }
        // Changes before replies: a reply may be newer than what is read after it.
        if let Some(changes) = &mut self.changes {
            match Pin::new(changes).poll_next(context) {
                Poll::Ready(Some(event)) => return Poll::Ready(wake_of(event)),
                Poll::Ready(None) => return Poll::Ready(Wake::Released),
                Poll::Pending => {}
            }
        }
        while let Poll::Ready(Some(ended)) = self.calls.poll_join_next(context) {
            if let Ok((token, outcome)) = ended {
                return Poll::Ready(Wake::Input(Input::Replied { token, outcome }));
            }
        }
        for (key, reports) in &mut self.reports {
            if reports.end.poll_closed(context).is_ready() {
                return Poll::Ready(Wake::Input(Input::Withdrawn(*key)));
            }
        }
        match self.commands.poll_recv(context) {
            Poll::Ready(Some(command)) => return Poll::Ready(Wake::Command(command)),
            Poll::Ready(None) => return Poll::Ready(Wake::Released),
            Poll::Pending => {}
        }
        if let Some(timer) = &mut self.timer
            && timer.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Wake::Input(Input::Tick));
        }
        Poll::Pending
    }

    /// The next event of the session, if there is one.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Option<Wake> {
        let event = self.event.as_mut()?;
        let Poll::Ready((received, events)) = event.as_mut().poll(context) else {
            return None;
        };
        self.event = match received {
            Ok(_) | Err(RecvError::Lagged(_)) => Some(next_event(events)),
            Err(RecvError::Closed) => None,
        };
        match received {
            Ok(event) => Some(Wake::Event(event)),
            Err(RecvError::Lagged(_)) => Some(Wake::EventsMissed),
            Err(RecvError::Closed) => None,
        }
    }

    fn handle(&mut self, input: Input) {
        if let Input::Withdrawn(key) = &input {
            self.reports.remove(key);
        }
        self.machine.handle(self.clock.now(), input);
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Call {
                    token,
                    method,
                    params,
                    class,
                } => {
                    let client = self.client.clone();
                    self.calls.spawn(async move {
                        let request = client.method(&method).class(class);
                        (token, request.request_raw(params).await)
                    });
                }
                Output::Progressed(key, progress) => {
                    if let Some(reports) = self.reports.get(&key) {
                        reports.progress.send_replace(Some(progress));
                    }
                }
                Output::Ended(key, end) => {
                    if let Some(reports) = self.reports.remove(&key) {
                        // The application may have dropped its handle.
                        let _ = reports.end.send(end);
                    }
                }
            }
        }
    }
}

fn next_event(mut events: Events) -> NextEvent {
    Box::pin(async move { (events.recv().await, events) })
}

fn wake_of(event: SubscriptionEvent<Bytes, steadfast_core::dialect::jsonrpc::ErrorObject>) -> Wake {
    Wake::Input(match event {
        SubscriptionEvent::Item(params) => Input::Changed(params),
        SubscriptionEvent::Subscribed { .. }
        | SubscriptionEvent::Resumed { .. }
        | SubscriptionEvent::Gap { .. } => Input::ChangesBegan,
        SubscriptionEvent::Unsubscribed(_) => return Wake::ChangesEnded,
        SubscriptionEvent::Interrupted { .. } | _ => Input::ChangesInterrupted,
    })
}
