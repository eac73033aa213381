//! What a handle requests of the driver.

use std::time::Duration;

use steadfast_core::dialect::Dialect;
use steadfast_core::io::{CallId, Outgoing, SubscribeOptions, SubscriptionId};
use steadfast_core::secret::Secret;
use tokio::sync::oneshot;

use crate::subscription::QueueSender;

/// A command from a handle.
#[derive(Debug)]
pub(crate) enum Command<D: Dialect> {
    Send(Outgoing<D::Message>),
    /// The time limit begins when the driver receives the call.
    Call(CallId, D::Call, Duration),
    Subscribe(SubscriptionId, SubscribeOptions<D::Topic>, QueueSender<D>),
    Unsubscribe(SubscriptionId),
    SetCredentials(Secret),
    ReconnectNow,
    Restart,
    /// To the endpoint with this index, or to another one.
    Migrate(Option<usize>),
    /// The sender is used, or dropped, when the session is closed.
    Close(Duration, oneshot::Sender<()>),
}
