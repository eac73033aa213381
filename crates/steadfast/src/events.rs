//! What happens, told to whoever listens. The room for it is made when the first one does: most clients have nobody who
//! listens, and it is more than half of what an idle session takes.

use std::sync::{Arc, OnceLock};

use steadfast_core::event::SessionEvent;
use tokio::sync::broadcast;

/// Events that a listener may be behind.
const EVENTS_MAX: usize = 256;

/// The events of one client; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events(Arc<OnceLock<broadcast::Sender<SessionEvent>>>);

impl Events {
    /// Everything from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<SessionEvent> {
        self.0
            .get_or_init(|| broadcast::Sender::new(EVENTS_MAX))
            .subscribe()
    }

    /// Nobody has to listen.
    pub(crate) fn tell(&self, event: SessionEvent) {
        if let Some(listeners) = self.0.get() {
            let _ = listeners.send(event);
        }
    }
}
