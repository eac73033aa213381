//! Sends the requests of clients when they are due, and handles their outcomes.

use std::time::Duration;

use serde_json::Value;
use steadfast_faults::ledger::event::{ClientEvent, MessageId, RequestOutcome, RunEvent};
use steadfast_faults::topology::ClientId;
use steadfast_machine::{Instant, convert};

use super::{RESEND_DELAY, Run};
use crate::driver::commands;
use crate::driver::line::CallError;
use crate::effects;
use crate::runner::clients;
use crate::runner::requests::{AfterOutcome, NextRequest};
use crate::runner::schedule::DueAction;

/// How much later than the time limit of a request its driver may respond.
const RESPONSE_GRACE: Duration = Duration::from_secs(2);

impl Run<'_> {
    /// Sends the requests of this client that may be sent now.
    pub(super) fn send_requests(&mut self, id: ClientId) {
        while let Some(next) = self.next_request(id) {
            self.send_request(id, next);
        }
    }

    fn next_request(&mut self, id: ClientId) -> Option<NextRequest> {
        let client = self.clients.get_mut(id)?;
        let is_up = client.is_up();
        client.requests_mut()?.next_to_send(is_up)
    }

    fn send_request(&mut self, id: ClientId, next: NextRequest) {
        let Some(load) = self.load_of(id) else {
            return;
        };
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let (name, driver) = (client.name.clone(), client.driver);
        let sequence = next.sequence;
        let request = MessageId {
            publisher: id,
            sequence,
        };
        let data = clients::payload(request, load.send.payload_bytes);
        let key = effects::key(&self.key_prefix, request);
        let event = if next.is_resend {
            ClientEvent::RequestedAgain { sequence }
        } else {
            ClientEvent::Requested {
                sequence,
                intended: next.intended,
            }
        };
        let now = self.clock.now();
        self.record(now, RunEvent::Client { client: id, event });
        let (op, timeout) = (load.send.op(sequence), load.send.timeout);
        let command = commands::request(&name, op, &key, &data, timeout);
        let command_id = self.send_to_driver(driver, command);
        self.calls.insert(command_id, (id, sequence));
        self.schedule.add(
            now + timeout + RESPONSE_GRACE,
            DueAction::Expire(command_id),
        );
    }

    /// Handles the response to a request; false if it is the response to a publication.
    pub(super) fn on_request_outcome(
        &mut self,
        at: Instant,
        id: ClientId,
        sequence: u64,
        response: &Result<Value, CallError>,
    ) -> bool {
        let outcome = outcome(response);
        let queue = self.clients.get_mut(id).and_then(|it| it.requests_mut());
        let Some(queue) = queue else {
            return false;
        };
        match queue.on_outcome(sequence, outcome) {
            AfterOutcome::Settled(event) => {
                self.acknowledged += u64::from(event.is_success());
                self.record(at, RunEvent::Client { client: id, event });
            }
            AfterOutcome::Repeated => {
                let again = self.clock.now() + RESEND_DELAY;
                self.schedule.add(again, DueAction::Resend(id));
            }
            AfterOutcome::Ignored => {}
        }
        true
    }

    /// A driver must report the outcome of each request in time, whatever the server does. Without a report the request
    /// may have been executed.
    pub(super) fn expire(&mut self, command: u64) {
        let Some((id, sequence)) = self.calls.remove(&command) else {
            return;
        };
        let now = self.clock.now();
        let response = Err(CallError::TimedOut(String::new()));
        self.on_request_outcome(now, id, sequence, &response);
        let client = self.clients.get_mut(id);
        let Some((driver, name)) = client.map(|it| (it.driver, it.name.clone())) else {
            return;
        };
        let what = format!(
            "did not respond to request {command} of client `{name}`: it must respond within `timeout_ms`, with an error of kind `timeout` if the server does not reply"
        );
        self.fail_driver(driver, &what);
    }
}

fn outcome(response: &Result<Value, CallError>) -> RequestOutcome {
    match response {
        Ok(_) => RequestOutcome::Ok,
        Err(CallError::Server { code, .. }) => RequestOutcome::Error {
            code: convert::saturating(*code),
        },
        Err(CallError::Rejected(_)) => RequestOutcome::NotSent,
        Err(CallError::Lost(_)) => RequestOutcome::Lost,
        Err(CallError::TimedOut(_)) => RequestOutcome::TimedOut,
    }
}
