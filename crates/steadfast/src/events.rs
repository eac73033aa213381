//! Broadcasts session events. The buffer is allocated for the first receiver: most clients have none, and the buffer is
//! more than half of the memory of an idle session.

use std::sync::{Arc, OnceLock};

use steadfast_core::event::SessionEvent;
use tokio::sync::broadcast;

/// Maximum number of events by which a receiver may lag.
const EVENTS_MAX: usize = 256;

/// The events of one client; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events(Arc<OnceLock<broadcast::Sender<SessionEvent>>>);

impl Events {
    /// Subscribes to all events from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<SessionEvent> {
        self.0
            .get_or_init(|| broadcast::Sender::new(EVENTS_MAX))
            .subscribe()
    }

    /// Sends an event to all receivers, of which there may be none.
    pub(crate) fn send(&self, event: SessionEvent) {
        if let Some(sender) = self.0.get() {
            let _ = sender.send(event);
        }
    }
}
