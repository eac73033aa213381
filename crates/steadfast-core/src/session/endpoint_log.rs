//! To which endpoint's log positions and unacknowledged messages belong.
//!
//! They are kept while the session is not connected, since it may return to the same endpoint. Only a server with another
//! log decides: about messages when it has accepted the client, about each position when it replies to the subscription.

use super::Session;
use crate::dialect::Dialect;
use crate::policy::EndpointLogs;

impl<D: Dialect> Session<D> {
    /// The next subscriptions are requested from the server of the current attempt.
    pub(super) fn enter_log(&mut self) {
        if self.endpoint_logs == EndpointLogs::Independent {
            let endpoint = self.link.snapshot().endpoint;
            self.pending.subscriptions.enter_log(endpoint);
        }
    }

    /// Whether the current attempt is at an endpoint with another log than that of the last connection.
    fn is_at_another_log(&self) -> bool {
        let endpoint = self.link.snapshot().endpoint;
        match self.endpoint_logs {
            EndpointLogs::Shared => false,
            EndpointLogs::Independent => self.log_endpoint.is_some_and(|last| last != endpoint),
        }
    }

    /// The server accepted the client. If it has another log, what an earlier server may have applied must not be sent to
    /// it.
    pub(super) fn adopt_log(&mut self) {
        if self.is_at_another_log() {
            let interrupted = self.pending.outbox.on_log_changed();
            self.interrupt_messages(interrupted);
        }
        self.log_endpoint = Some(self.link.snapshot().endpoint);
    }
}
