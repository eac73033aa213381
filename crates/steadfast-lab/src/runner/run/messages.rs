//! Handles the messages of drivers and services: updates the clients, and records events.

use serde_json::Value;
use steadfast_faults::ledger::event::{ClientEvent, FaultEvent, ProcessEvent, RunEvent, RunPhase};
use steadfast_faults::topology::{ClientId, FaultId, InstanceId};
use steadfast_machine::Instant;

use super::{RESEND_DELAY, Run};
use crate::driver::line::{CallError, DriverEvent, DriverEventKind, DriverLine, SHOWN_CHARS};
use crate::driver::{Driver, DriverId};
use crate::ending;
use crate::runner::inbox::{HarnessMessage, MessagePayload};
use crate::runner::schedule::DueAction;
use crate::runner::streams::StreamName;

/// Notices that are kept; one instance causes a few.
const NOTICES_MAX: usize = 100;

impl Run<'_> {
    pub(super) fn on_message(&mut self, message: HarnessMessage) {
        let HarnessMessage { at, payload } = message;
        match payload {
            MessagePayload::RunEvent(event) => {
                if let RunEvent::Process { instance, event } = &event {
                    self.on_process_event(*instance, *event);
                }
                self.record(at, event);
            }
            MessagePayload::Fault(fault, part, event) => {
                let parts = self.parts.get_mut(&fault);
                let events = parts.map(|parts| parts.on_event(part, event));
                for event in events.unwrap_or_default() {
                    self.on_fault_event(fault, &event);
                    self.record(at, RunEvent::Fault { fault, event });
                }
            }
            MessagePayload::Targets(fault, targets) => self.on_targets(fault, targets),
            MessagePayload::Notice(what) => self.on_notice(what),
            MessagePayload::Failure(what) => self.fail(what),
            MessagePayload::Driver(driver, line) => self.on_line(at, driver, line),
        }
    }

    /// Writes that a fault is undone.
    fn on_fault_event(&mut self, fault: FaultId, event: &FaultEvent) {
        let is_undone = matches!(event, FaultEvent::Healed);
        let journal = self.journal.as_ref().filter(|_| is_undone);
        if let Some(Err(error)) = journal.map(|journal| journal.undone(fault)) {
            self.fail(error.to_string());
        }
    }

    fn on_line(&mut self, at: Instant, driver: DriverId, line: DriverLine) {
        match line {
            DriverLine::Ready => {
                self.ready_drivers.insert(driver);
            }
            DriverLine::Response { id, outcome } => self.on_response(at, driver, id, &outcome),
            DriverLine::Event(event) => self.on_event(at, driver, &event),
            DriverLine::Unrecognized(text) => self.on_unrecognized(driver, &text),
            DriverLine::Failure(what) => self.fail_driver(driver, &format!("failed: {what}")),
            DriverLine::AboveLimit(limit) => {
                let what = format!(
                    "wrote {limit}: write one JSON object per line and event, as docs/reference/driver-protocol.md describes"
                );
                self.fail_driver(driver, &what);
            }
            DriverLine::Ended => self.on_driver_end(driver),
        }
    }

    fn on_response(
        &mut self,
        at: Instant,
        driver: DriverId,
        id: u64,
        outcome: &Result<Value, CallError>,
    ) {
        let Some((client, sequence)) = self.calls.remove(&id) else {
            if let Err(error) = outcome {
                let label = self.label(driver);
                self.last_message = format!("{label} could not execute a command: {error:?}");
            }
            return;
        };
        if self.on_request_outcome(at, client, sequence, outcome) {
            return;
        }
        let publisher = self.clients.get_mut(client);
        let event = publisher.and_then(|publisher| publisher.on_outcome(sequence, outcome));
        if let Some(event) = event {
            self.acknowledged += u64::from(matches!(event, ClientEvent::Acknowledged { .. }));
            self.record(at, RunEvent::Client { client, event });
            self.send_pending(client);
        } else {
            self.schedule
                .add(self.clock.now() + RESEND_DELAY, DueAction::Resend(client));
        }
    }

    /// A library may print a line of its own; a driver that was written for the lab must not.
    fn on_unrecognized(&mut self, driver: DriverId, text: &str) {
        let label = self.label(driver);
        self.last_message = format!("unrecognized line from {label}: {text}");
        let setup = self.drivers.get(driver.0).map(Driver::setup);
        if setup.is_some_and(|setup| !setup.kind.is_library()) {
            let what = format!(
                "wrote a line that is no response and no event: {text}\n    write only JSON objects to standard output, as docs/reference/driver-protocol.md describes, and everything else to standard error"
            );
            self.fail_driver(driver, &what);
        }
    }

    /// The name of a driver in messages.
    pub(super) fn label(&self, driver: DriverId) -> String {
        let driver = self.drivers.get(driver.0);
        driver.map(|it| it.setup().label()).unwrap_or_default()
    }

    fn on_event(&mut self, at: Instant, driver: DriverId, event: &DriverEvent) {
        let client = self.clients.named_mut(&event.client);
        let Some(client) = client.filter(|client| client.driver == driver) else {
            return self.on_unknown_client(driver, &event.client);
        };
        let id = client.id;
        if let DriverEventKind::Message {
            stream,
            epoch,
            sequence,
        } = &event.kind
        {
            return self.on_stream_message(at, id, stream, epoch, *sequence);
        }
        let recorded = client.on_event(&event.kind);
        let is_up = client.is_up();
        if let DriverEventKind::AttemptFailed(reason) = &event.kind
            && !reason.is_empty()
        {
            let reason: String = reason.chars().take(SHOWN_CHARS).collect();
            self.last_message = format!("the last attempt of {} failed: {reason}", event.client);
        }
        if let Some(what) = recorded {
            self.delivered += u64::from(matches!(what, ClientEvent::Delivered { .. }));
            let may_send =
                is_up && matches!(what, ClientEvent::Subscribed(_) | ClientEvent::Connected);
            self.record(
                at,
                RunEvent::Client {
                    client: id,
                    event: what,
                },
            );
            if may_send {
                self.send_pending(id);
            }
        }
    }

    fn on_unknown_client(&mut self, driver: DriverId, name: &str) {
        let name: String = name.chars().take(SHOWN_CHARS).collect();
        let what = format!("reported an event of a client that it does not have: `{name}`");
        self.fail_driver(driver, &what);
    }

    fn on_stream_message(
        &mut self,
        at: Instant,
        client: ClientId,
        stream: &str,
        epoch: &str,
        sequence: u64,
    ) {
        let Some(config) = self.plan.topology().client(client) else {
            return;
        };
        let number = self.streams.number(StreamName {
            load: config.load.clone(),
            instance: config.instance,
            stream: stream.to_owned(),
            epoch: epoch.to_owned(),
        });
        let Some(stream) = number else {
            let what = format!(
                "the messages of load `{}` name too many streams",
                config.load
            );
            if self.failure.is_none() {
                self.fail(what);
            }
            return;
        };
        self.delivered += 1;
        let event = ClientEvent::Received { stream, sequence };
        self.record(at, RunEvent::Client { client, event });
    }

    fn on_process_event(&mut self, instance: InstanceId, event: ProcessEvent) {
        match event {
            ProcessEvent::Started => {}
            ProcessEvent::Ready => self.ready.push(instance),
            // An exit under load is for the ledger; without this process the load would never begin.
            ProcessEvent::Exited(exit) if self.phase == RunPhase::Connect => {
                if self.failure.is_none() {
                    let name = self.names(&[instance]);
                    let (how, output) = (ending::describe(exit), self.backend.output(instance));
                    self.fail(format!(
                        "{name} {how} before all clients were connected; {output}"
                    ));
                }
            }
            ProcessEvent::Exited(_) | ProcessEvent::Connections(_) => {}
        }
    }

    pub(super) fn on_notice(&mut self, what: String) {
        if self.notices.len() < NOTICES_MAX && !self.notices.contains(&what) {
            self.notices.push(what);
        }
    }
}
