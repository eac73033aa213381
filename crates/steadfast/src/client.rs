//! The handle of an application: cheap to clone, usable from any thread, valid across connections.

#[cfg(feature = "centrifuge")]
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_core::dialect::{Call, Dialect};
use steadfast_core::event::{SessionEvent, SessionPhase, SessionSnapshot, SessionState};
use steadfast_core::io::{CallError, CallResult, SubscribeOptions, SubscriptionId};
use steadfast_core::secret::Secret;
use steadfast_machine::Instant;
use tokio::sync::{broadcast, oneshot, watch};
use tokio::time::timeout;

use crate::error::{CloseError, NotReady, RequestError};
use crate::events::Events;
use crate::exchange::{Command, DRIVER_GRACE, ExchangeHandle};
use crate::overflow::Overflow;
use crate::receipt::Receipt;
use crate::subscription::{Queue, QueueSender, Subscription};

/// A handle to a session with a server. When the last clone is dropped, queued messages are sent for up to
/// [`crate::defaults::DRAIN_TIMEOUT`], then the session closes.
///
/// ```no_run
/// use std::time::Duration;
/// use steadfast::centrifuge::Client;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::builder("ws://127.0.0.1:8000")?.connect()?;
/// client.ready(Duration::from_secs(10)).await?;
///
/// let other_task = client.clone();
/// tokio::spawn(async move { other_task.presence_stats("news").await });
/// client.close(Duration::from_secs(5)).await?; // sends what is queued first
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client<D: Dialect> {
    pub(crate) exchange: ExchangeHandle<D>,
    pub(crate) state: watch::Receiver<SessionSnapshot>,
    pub(crate) events: Events,
    pub(crate) overflow: Overflow,
    pub(crate) call_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) clock: Clock,
    /// Random prefix of the generated idempotency keys.
    #[cfg(feature = "centrifuge")]
    pub(crate) name: Arc<str>,
    pub(crate) numbers: Arc<AtomicU64>,
    /// The dialect as it was configured.
    #[cfg(feature = "jsonrpc")]
    pub(crate) dialect: Arc<D>,
}

impl<D: Dialect> Client<D> {
    /// Returns a receiver of the current state. Rapid changes are coalesced; [`Self::events`] reports each of them.
    pub fn state(&self) -> watch::Receiver<SessionSnapshot> {
        self.state.clone()
    }

    /// Returns the time on the clock of [`SessionSnapshot`] and [`SessionEvent`], which also advances while the machine
    /// is suspended.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Subscribes to all events from now on. A receiver that lags by more than 256 events gets the number of
    /// missed events.
    pub fn events(&self) -> broadcast::Receiver<SessionEvent> {
        self.events.subscribe()
    }

    /// Waits until the client is connected and all subscriptions are active.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// The client is not ready after `time_limit`, the session failed, or it was closed.
    pub async fn ready(&self, time_limit: Duration) -> Result<(), NotReady> {
        let mut state = self.state.clone();
        let settled = state.wait_for(|it| {
            it.phase == SessionPhase::Ready
                || it.state == SessionState::Failed
                || self.exchange.is_closed()
        });
        let outcome = timeout(time_limit, settled)
            .await
            .map(|it| it.map(|it| it.clone()));
        match outcome {
            Ok(Ok(snapshot)) if snapshot.phase == SessionPhase::Ready => Ok(()),
            Ok(Ok(SessionSnapshot {
                state: SessionState::Failed,
                cause: Some(cause),
                ..
            })) => Err(NotReady::Failed(cause)),
            Ok(_) => Err(NotReady::Closed),
            Err(_elapsed) => Err(NotReady::TimedOut {
                after: time_limit,
                cause: self.state.borrow().cause.clone(),
            }),
        }
    }

    /// Hands a message to the driver. Waits for space in the outbox if the client was built with [`Overflow::Wait`]. The
    /// receipt has the outcome.
    ///
    /// The message is not sent later than `ttl` after the driver has received it; `None` for no limit. Messages are
    /// sent in the order in which these futures are first polled, so a future that waits for space must be polled or dropped:
    /// while one is kept without being polled, all later messages wait, also if the outbox is empty, and the methods that do
    /// not wait fail. Cancel-safe: if the future is dropped before it completes, nothing is sent.
    ///
    /// # Errors
    ///
    /// The client is closed; with [`Overflow::Reject`], the outbox is full; with [`Overflow::DropOldest`], the command
    /// queue is full.
    pub async fn send_message(
        &self,
        message: D::Message,
        ttl: Option<Duration>,
    ) -> Result<Receipt<D>, RequestError> {
        match self.overflow {
            Overflow::Reject | Overflow::DropOldest => self.send_message_now(message, ttl),
            Overflow::Wait => {
                let key = self.exchange.queue_message(message, ttl).await?;
                Ok(Receipt::new(Arc::clone(self.exchange.exchange()), key))
            }
        }
    }

    /// Hands a message to the driver without waiting; see [`Self::send_message`].
    ///
    /// # Errors
    ///
    /// The outbox or the command queue is full, or the client is closed.
    pub fn send_message_now(
        &self,
        message: D::Message,
        ttl: Option<Duration>,
    ) -> Result<Receipt<D>, RequestError> {
        let key = match self.overflow {
            Overflow::Wait | Overflow::Reject => self.exchange.try_queue_message(message, ttl)?,
            Overflow::DropOldest => self
                .exchange
                .queue_message_instead_of_others(message, ttl)?,
        };
        Ok(Receipt::new(Arc::clone(self.exchange.exchange()), key))
    }

    /// Subscribes with these options; the events of several subscriptions can be merged as streams. A `buffer_len_max`
    /// of 0 is treated as 1.
    pub fn subscribe_with(&self, mut options: SubscribeOptions<D::Topic>) -> Subscription<D> {
        let id = SubscriptionId(self.next_number());
        let queue = Arc::new(Queue::new(Arc::clone(self.exchange.exchange())));
        options.buffer_len_max = options.buffer_len_max.max(1);
        let sender = QueueSender::new(Arc::clone(&queue));
        // If it fails, the dropped sender has ended the queue.
        let _ = self.send(Command::Subscribe(id, options, sender));
        Subscription::new(id, queue, self.exchange.clone())
    }

    /// Returns a handle to the same session whose calls have another time limit than `Builder::call_timeout`, for example
    /// for a method that takes long.
    #[must_use]
    pub fn with_call_timeout(&self, timeout: Duration) -> Self {
        let mut handle = self.clone();
        handle.call_timeout = timeout;
        handle
    }

    /// Makes a call, which fails after the time set with `Builder::call_timeout`, and up to 2 s later if nothing polls the
    /// driver.
    ///
    /// Dropping the future withdraws the call: if it was not sent yet, it is never executed.
    ///
    /// # Errors
    ///
    /// Why the call failed, and whether it may have been executed.
    pub async fn call(&self, call: D::Call) -> CallResult<D> {
        let is_idempotent = call.is_idempotent();
        let outcome = self
            .exchange
            .call(call, self.call_timeout, self.clock)
            .await;
        outcome.unwrap_or_else(|| Err(overdue(&self.state, is_idempotent)))
    }

    /// Replaces the credentials: an open connection is authenticated with them, and later connections use them. A failed
    /// session stays failed until [`Self::restart`].
    ///
    /// # Errors
    ///
    /// The command queue is full, or the client is closed.
    pub fn set_credentials(&self, credentials: &str) -> Result<(), RequestError> {
        self.send(Command::SetCredentials(Secret::new(credentials.to_owned())))
    }

    /// Signals that the network is available again: reconnects immediately, replaces an attempt that has not succeeded
    /// for 1 s, or probes the open connection.
    ///
    /// Repeated calls cause at most one attempt per second, and none before a delay that every server requested has
    /// passed; the next attempt is never later than without the call.
    pub fn reconnect_now(&self) {
        // The signal is dropped if the command queue is full: the driver has not received earlier commands yet.
        let _ = self.send(Command::ReconnectNow);
    }

    /// Restarts a failed session: the session connects again.
    pub fn restart(&self) {
        let _ = self.send(Command::Restart);
    }

    /// Requests another connection instead of the present one, without an interruption: to another server, or a second one
    /// to the same server if there is no other that is available. For example before a server or a network is taken down.
    ///
    /// The present connection stays until the new one is accepted. Then it replies to what was sent, for at most 5 s, in
    /// which new requests wait, and is closed; subscriptions continue where they were. What has no reply after that time
    /// ends as after the loss of a connection. [`SessionEvent::Migrating`] reports the attempt,
    /// [`SessionEvent::Connected`] the new connection, [`SessionEvent::MigrationFailed`] that the present one stays. Has
    /// no effect while another attempt to replace the connection is in progress.
    ///
    /// ```no_run
    /// use steadfast::SessionEvent;
    ///
    /// # async fn run(client: steadfast::centrifuge::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut events = client.events();
    /// client.migrate()?;
    /// loop {
    ///     match events.recv().await? {
    ///         SessionEvent::Connected { endpoint, .. } => break println!("at server {endpoint}"),
    ///         SessionEvent::MigrationFailed { error, .. } => break println!("not moved: {error}"),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The command queue is full, or the client is closed.
    pub fn migrate(&self) -> Result<(), RequestError> {
        self.send(Command::Migrate(None))
    }

    /// Requests a connection to this server instead of the present one, as [`Self::migrate`] does. The index counts from 0
    /// in the order in which the builder got the URLs, as in [`SessionSnapshot::endpoint`]; it may be that of the present
    /// server.
    ///
    /// # Errors
    ///
    /// The command queue is full, or the client is closed.
    pub fn migrate_to(&self, endpoint: usize) -> Result<(), RequestError> {
        self.send(Command::Migrate(Some(endpoint)))
    }

    /// Closes the session. Queued messages are still sent for up to `drain`, also over a connection that is
    /// re-established in that time; zero closes immediately. Later messages are dropped. Returns when the session
    /// is closed.
    ///
    /// The session is closed even if this future is dropped after its first poll, unless the command queue is full.
    ///
    /// # Errors
    ///
    /// The session is not closed, because nothing polls its driver.
    pub async fn close(&self, drain: Duration) -> Result<(), CloseError> {
        let after = drain
            .saturating_add(self.close_timeout)
            .saturating_add(DRIVER_GRACE);
        let close = async {
            if let Ok(closed) = self.request_close(drain).await {
                let _ = closed.await;
            } else {
                let mut state = self.state.clone();
                let _ = state
                    .wait_for(|it| it.state == SessionState::Disconnected)
                    .await;
            }
        };
        timeout(after, close)
            .await
            .map_err(|_elapsed| CloseError { after })
    }

    /// Requests the close, once the command queue has space. An error means that the driver has finished or is about to.
    async fn request_close(&self, drain: Duration) -> Result<oneshot::Receiver<()>, RequestError> {
        loop {
            // Created before the attempt, so that it does not miss the space of which the attempt knows nothing.
            let space = self.exchange.command_space();
            let (sender, closed) = oneshot::channel();
            match self.send(Command::Close(drain, sender)) {
                Ok(()) => return Ok(closed),
                Err(error) if !error.is_retryable() => return Err(error),
                Err(_) => space.await,
            }
        }
    }

    #[cfg(feature = "centrifuge")]
    pub(crate) fn new_idempotency_key(&self) -> String {
        // The separator and the longest number, so that memory is allocated once.
        let mut key = String::with_capacity(self.name.len() + 21);
        // Writing to a string cannot fail.
        let _ = write!(key, "{}-{}", self.name, self.next_number());
        key
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn send(&self, command: Command<D>) -> Result<(), RequestError> {
        self.exchange.send(command)
    }
}

/// The outcome of a call that is overdue because nothing polls the driver.
pub(crate) fn overdue<R>(
    state: &watch::Receiver<SessionSnapshot>,
    is_idempotent: bool,
) -> CallError<R> {
    // A driver that was never polled has not opened the session, and will not receive a withdrawn call.
    let is_open = state.borrow().state != SessionState::Disconnected;
    CallError::TimedOut {
        maybe_executed: is_open && !is_idempotent,
    }
}
