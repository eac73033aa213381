//! The handle of an application: cheap to clone, usable from any thread, valid across connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use steadfast_clock::Clock;
use steadfast_core::event::{SessionEvent, SessionPhase, SessionSnapshot, SessionState};
use steadfast_core::io::{Call, CallError, CallId, CallResult, SubscribeOptions, SubscriptionId};
use steadfast_machine::Instant;
use steadfast_protocol::message::{ClientInfo, HistoryResult, Position, PresenceStats};
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::awaited_reply::{AwaitedReply, Withdrawals};
use crate::builder::{Builder, defaults};
use crate::driver::Command;
use crate::error::{BuildError, CloseError, RequestError};
use crate::events::Events;
use crate::message::{Message, Overflow};
use crate::outbox_capacity::OutboxCapacity;
use crate::receipt::Receipt;
use crate::subscription::{Queue, Subscription};

/// How much later than the driver a handle ends a wait: the driver knows more about the outcome.
const DRIVER_GRACE: Duration = Duration::from_secs(1);

/// A handle to a session with a server. When the last clone is dropped, queued publications are sent for up to
/// [`defaults::DRAIN_TIMEOUT`], then the session closes.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) state: watch::Receiver<SessionSnapshot>,
    pub(crate) events: Events,
    pub(crate) wake: Arc<Notify>,
    pub(crate) withdrawals: Arc<Withdrawals>,
    pub(crate) capacity: OutboxCapacity,
    pub(crate) overflow: Overflow,
    pub(crate) call_timeout: Duration,
    pub(crate) clock: Clock,
    /// Random prefix of the generated idempotency keys.
    pub(crate) name: Arc<str>,
    pub(crate) numbers: Arc<AtomicU64>,
}

impl Client {
    /// Creates a builder for a client of the server at this URL, for example `wss://example.org`; see
    /// [`crate::endpoint::Endpoint`].
    ///
    /// # Errors
    ///
    /// The URL is invalid.
    pub fn builder(url: &str) -> Result<Builder, BuildError> {
        Builder::new(url)
    }

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

    /// Waits until the client is connected and all subscriptions are active. Returns `false` on timeout, or if the
    /// session fails or is closed.
    ///
    /// Cancel-safe.
    #[must_use = "`false` means that the client is not ready"]
    pub async fn ready(&self, time_limit: Duration) -> bool {
        let mut state = self.state.clone();
        let settled = state
            .wait_for(|it| it.phase == SessionPhase::Ready || it.state == SessionState::Failed);
        match timeout(time_limit, settled).await {
            Ok(Ok(snapshot)) => snapshot.phase == SessionPhase::Ready,
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// Begins a publication with options.
    ///
    /// ```no_run
    /// # async fn run(client: steadfast::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// // Waits while the outbox is full; the receipt then has the outcome.
    /// let receipt = client.message("orders", &17).key("order-17").send().await?;
    /// println!("{:?}", receipt.await);
    /// # Ok(())
    /// # }
    /// ```
    pub fn message<'a>(&'a self, channel: &'a str, data: &impl Serialize) -> Message<'a> {
        Message::new(self, channel, data)
    }

    /// Publishes with a generated idempotency key and without a time limit, and does not wait if the outbox is full.
    ///
    /// # Errors
    ///
    /// The data cannot be serialized as JSON, the outbox or the command queue is full, or the client is closed.
    pub fn publish(&self, channel: &str, data: &impl Serialize) -> Result<Receipt, RequestError> {
        self.message(channel, data).send_now()
    }

    /// Publishes as [`Self::publish`], with this idempotency key, and gives up after `ttl`; see [`Message`].
    ///
    /// # Errors
    ///
    /// As for [`Self::publish`], or the length of the key is invalid.
    pub fn publish_with(
        &self,
        channel: &str,
        data: &impl Serialize,
        idempotency_key: String,
        ttl: Option<Duration>,
    ) -> Result<Receipt, RequestError> {
        let message = self.message(channel, data).key(idempotency_key);
        match ttl {
            Some(ttl) => message.ttl(ttl).send_now(),
            None => message.send_now(),
        }
    }

    /// Subscribes to the publications of a channel from now on.
    pub fn subscribe(&self, channel: &str) -> Subscription {
        self.subscribe_with(SubscribeOptions::new(channel, defaults::BUFFER_LEN_MAX))
    }

    /// Subscribes with these options; the events of several subscriptions can be merged as streams. A `buffer_len_max` of 0 is treated as 1.
    pub fn subscribe_with(&self, mut options: SubscribeOptions) -> Subscription {
        let id = SubscriptionId(self.next_number());
        let queue = Arc::new(Queue::new(Arc::clone(&self.wake)));
        options.buffer_len_max = options.buffer_len_max.max(1);
        let command = Command::Subscribe(id, options, Arc::clone(&queue));
        if self.send(command).is_err() {
            queue.end();
        }
        Subscription::new(id, queue, self.commands.clone())
    }

    /// Calls a method of the server. The call is not repeated when its reply is lost.
    ///
    /// Dropping the future withdraws the call: if it was not sent yet, it is never executed. The same applies to the
    /// other calls.
    ///
    /// # Errors
    ///
    /// Why the call failed, and whether it may have been executed.
    pub async fn rpc(&self, method: &str, data: &impl Serialize) -> Result<Bytes, CallError> {
        let Ok(data) = serde_json::to_vec(data) else {
            return Err(CallError::UnexpectedReply);
        };
        let call = Call::Rpc {
            method: method.to_owned(),
            data: Bytes::from(data),
        };
        match self.call(call).await? {
            CallResult::Rpc(data) => Ok(data),
            CallResult::History(_) | CallResult::Presence(_) | CallResult::PresenceStats(_) => {
                Err(CallError::UnexpectedReply)
            }
        }
    }

    /// Returns up to `limit` publications after `since`, oldest first; a `limit` of -1 requests the server's maximum.
    ///
    /// # Errors
    ///
    /// Why the call failed.
    pub async fn history(
        &self,
        channel: &str,
        limit: i32,
        since: Option<Position>,
    ) -> Result<HistoryResult, CallError> {
        let call = Call::History {
            channel: channel.to_owned(),
            limit,
            since,
            reverse: false,
        };
        match self.call(call).await? {
            CallResult::History(result) => Ok(result),
            CallResult::Rpc(_) | CallResult::Presence(_) | CallResult::PresenceStats(_) => {
                Err(CallError::UnexpectedReply)
            }
        }
    }

    /// Returns the clients that are subscribed to a channel.
    ///
    /// # Errors
    ///
    /// Why the call failed.
    pub async fn presence(&self, channel: &str) -> Result<Vec<ClientInfo>, CallError> {
        let call = Call::Presence {
            channel: channel.to_owned(),
        };
        match self.call(call).await? {
            CallResult::Presence(clients) => Ok(clients),
            CallResult::Rpc(_) | CallResult::History(_) | CallResult::PresenceStats(_) => {
                Err(CallError::UnexpectedReply)
            }
        }
    }

    /// Returns the number of clients and users that are subscribed to a channel.
    ///
    /// # Errors
    ///
    /// Why the call failed.
    pub async fn presence_stats(&self, channel: &str) -> Result<PresenceStats, CallError> {
        let call = Call::PresenceStats {
            channel: channel.to_owned(),
        };
        match self.call(call).await? {
            CallResult::PresenceStats(stats) => Ok(stats),
            CallResult::Rpc(_) | CallResult::History(_) | CallResult::Presence(_) => {
                Err(CallError::UnexpectedReply)
            }
        }
    }

    /// Makes a call. The driver ends it at its deadline; if nothing polls the driver, the handle does.
    async fn call(&self, call: Call) -> Result<CallResult, CallError> {
        let is_idempotent = call.is_idempotent();
        let (sender, reply) = oneshot::channel();
        let id = CallId(self.next_number());
        let deadline = self.clock.now() + self.call_timeout;
        self.send(Command::Call(id, call, deadline, sender))
            .map_err(|error| match error {
                RequestError::Busy | RequestError::OutboxFull => CallError::Busy,
                RequestError::Closed | RequestError::Json(_) | RequestError::IdempotencyKey(_) => {
                    CallError::Closed
                }
            })?;
        let reply = AwaitedReply::new(reply, Arc::clone(&self.withdrawals));
        let outcome = timeout(self.call_timeout.saturating_add(DRIVER_GRACE), reply).await;
        outcome.unwrap_or_else(|_elapsed| {
            // A driver that was never polled has not opened the session, and will not receive a withdrawn call.
            let is_open = self.state.borrow().state != SessionState::Disconnected;
            Err(CallError::TimedOut {
                maybe_executed: is_open && !is_idempotent,
            })
        })
    }

    /// Signals that the network is available again: reconnects immediately, or probes the open connection.
    pub fn reconnect_now(&self) {
        // The signal is dropped if the command queue is full: the driver has not received earlier commands yet.
        let _ = self.send(Command::ReconnectNow);
    }

    /// Restarts a failed session: the session connects again.
    pub fn restart(&self) {
        let _ = self.send(Command::Restart);
    }

    /// Closes the session. Queued publications are still sent for up to `drain`, also over a connection that is
    /// re-established in that time; zero closes immediately. Later publications are dropped. Returns when the session
    /// is closed.
    ///
    /// The session is closed even if this future is dropped after its first poll, unless the command queue is full.
    ///
    /// # Errors
    ///
    /// The session is not closed, because nothing polls its driver.
    pub async fn close(&self, drain: Duration) -> Result<(), CloseError> {
        let after = drain
            .saturating_add(defaults::CLOSE_TIMEOUT)
            .saturating_add(DRIVER_GRACE);
        let (sender, closed) = oneshot::channel();
        let close = async {
            // An error means that the driver has finished or is about to.
            if self
                .commands
                .send(Command::Close(drain, sender))
                .await
                .is_ok()
            {
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

    pub(crate) fn new_idempotency_key(&self) -> String {
        format!("{}-{}", self.name, self.next_number())
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn send(&self, command: Command) -> Result<(), RequestError> {
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => RequestError::Busy,
                mpsc::error::TrySendError::Closed(_) => RequestError::Closed,
            })
    }
}
