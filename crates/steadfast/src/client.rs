//! The handle that an application holds: cheap to clone, usable from anywhere, outlives every connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use steadfast_core::event::{SessionEvent, SessionPhase, SessionSnapshot, SessionState};
use steadfast_core::io::{
    Call, CallError, CallId, CallResult, PublicationId, Publish, SubscribeOptions, SubscriptionId,
};
use steadfast_machine::Instant;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{ClientInfo, HistoryResult, Position, PresenceStats};
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::builder::{Builder, defaults};
use crate::clock::Clock;
use crate::driver::Command;
use crate::error::{BuildError, RequestError};
use crate::events::Events;
use crate::feed::{Queue, Subscription};
use crate::receipt::Receipt;

/// A session with a server. When the last clone is dropped, what is queued gets [`defaults::DRAIN`], then it closes.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) state: watch::Receiver<SessionSnapshot>,
    pub(crate) events: Events,
    pub(crate) wake: Arc<Notify>,
    pub(crate) clock: Clock,
    /// From the system's randomness: the first part of every key of this client.
    pub(crate) name: Arc<str>,
    pub(crate) numbers: Arc<AtomicU64>,
}

impl Client {
    /// Begins to make a client of the server at this URL, for example `wss://example.org`; see
    /// [`crate::endpoint::Endpoint`].
    ///
    /// # Errors
    ///
    /// When it is no address.
    pub fn builder(url: &str) -> Result<Builder, BuildError> {
        Builder::new(url)
    }

    /// The current state, always up to date. Quick changes coalesce here; [`Self::events`] has each of them.
    pub fn state(&self) -> watch::Receiver<SessionSnapshot> {
        self.state.clone()
    }

    /// The clock of [`SessionSnapshot`] and [`SessionEvent`]; it goes on while the machine is suspended.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Everything that happens from now on. A listener that is more than 256 events behind is told how many it missed.
    pub fn events(&self) -> broadcast::Receiver<SessionEvent> {
        self.events.subscribe()
    }

    /// Waits until everything stands. False when it took longer, the session failed, or was closed.
    ///
    /// Cancel-safe.
    pub async fn ready(&self, deadline: Duration) -> bool {
        let mut state = self.state.clone();
        let settled = state
            .wait_for(|it| it.phase == SessionPhase::Ready || it.state == SessionState::Failed);
        match timeout(deadline, settled).await {
            Ok(Ok(snapshot)) => snapshot.phase == SessionPhase::Ready,
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// Publishes with a key of its own, and as long as it takes.
    ///
    /// # Errors
    ///
    /// When the data cannot be written as JSON, or the driver takes nothing.
    pub fn publish(&self, channel: &str, data: &impl Serialize) -> Result<Receipt, RequestError> {
        let key = format!("{}-{}", self.name, self.number());
        self.publish_with(channel, data, key, None)
    }

    /// Publishes with this key, 1 to 64 bytes, and at most for so long. The server applies a key of a user and channel
    /// once within its window, two minutes by default.
    ///
    /// # Errors
    ///
    /// As [`Self::publish`], and when the key has a wrong length.
    pub fn publish_with(
        &self,
        channel: &str,
        data: &impl Serialize,
        key: String,
        ttl: Option<Duration>,
    ) -> Result<Receipt, RequestError> {
        if key.is_empty() || key.len() > Limits::IDEMPOTENCY_KEY_BYTES {
            return Err(RequestError::Key(key.len()));
        }
        let data = Bytes::from(serde_json::to_vec(data)?);
        let (sender, outcome) = oneshot::channel();
        let publish = Publish {
            id: PublicationId(self.number()),
            channel: channel.to_owned(),
            data,
            idempotency_key: key.clone(),
            ttl,
        };
        self.send(Command::Publish(publish, sender))?;
        Ok(Receipt::new(outcome, key))
    }

    /// Subscribes to what is published from now on.
    pub fn subscribe(&self, channel: &str) -> Subscription {
        self.subscribe_with(SubscribeOptions {
            channel: channel.to_owned(),
            buffer_len_max: defaults::BUFFER_LEN_MAX,
            ..SubscribeOptions::default()
        })
    }

    /// Subscribes as these options say; a buffer of 0 is taken as 1.
    pub fn subscribe_with(&self, options: SubscribeOptions) -> Subscription {
        let id = SubscriptionId(self.number());
        let queue = Arc::new(Queue::new(Arc::clone(&self.wake)));
        let options = SubscribeOptions {
            buffer_len_max: options.buffer_len_max.max(1),
            ..options
        };
        let command = Command::Subscribe(id, options, Arc::clone(&queue));
        if self.send(command).is_err() {
            queue.end();
        }
        Subscription::new(id, queue, self.commands.clone())
    }

    /// Calls a method of the server. It is not repeated when its answer is lost.
    ///
    /// # Errors
    ///
    /// What became of it, and whether it may have been executed.
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

    /// Publications of the past: at most `limit` behind `since`, oldest first; -1 for as many as the server gives.
    ///
    /// # Errors
    ///
    /// What became of the call.
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

    /// Who is in a channel.
    ///
    /// # Errors
    ///
    /// What became of the call.
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

    /// How many are in a channel.
    ///
    /// # Errors
    ///
    /// What became of the call.
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

    async fn call(&self, call: Call) -> Result<CallResult, CallError> {
        let (sender, outcome) = oneshot::channel();
        let id = CallId(self.number());
        let deadline = self.clock.now() + defaults::CALL_DEADLINE;
        self.send(Command::Call(id, call, deadline, sender))
            .map_err(|error| match error {
                RequestError::Busy => CallError::Busy,
                RequestError::Closed | RequestError::Json(_) | RequestError::Key(_) => {
                    CallError::Closed
                }
            })?;
        outcome.await.unwrap_or(Err(CallError::Closed))
    }

    /// Says that the network is back: the next attempt is due now, and a connection must show that it lives.
    pub fn kick(&self) {
        // A driver that is too busy to hear it is not waiting.
        let _ = self.send(Command::Kick);
    }

    /// Has a failed session try again.
    pub fn revive(&self) {
        let _ = self.send(Command::Revive);
    }

    /// Ends the session. What is queued may still be sent for so long, also over a connection that comes back meanwhile;
    /// zero ends at once. What is published from now on is dropped. Returns when it is over.
    ///
    /// Cancel-safe: it closes all the same.
    pub async fn close(&self, drain: Duration) {
        if self.commands.send(Command::Close(drain)).await.is_ok() {
            let mut state = self.state.clone();
            // An error means that the driver has ended, which is an end as well.
            let _ = state
                .wait_for(|it| it.state == SessionState::Disconnected)
                .await;
        }
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn send(&self, command: Command) -> Result<(), RequestError> {
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => RequestError::Busy,
                mpsc::error::TrySendError::Closed(_) => RequestError::Closed,
            })
    }
}
