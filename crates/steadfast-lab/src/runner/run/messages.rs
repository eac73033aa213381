//! Handles the messages of drivers and services: updates the clients, and records events.

use steadfast_faults::ledger::event::{
    ClientEvent, FaultEvent, HarnessEvent, ProcessEvent, RunEvent, RunPhase,
};
use steadfast_faults::topology::{ClientKind, FaultId, InstanceId};
use steadfast_machine::Instant;

use super::{RESEND_DELAY, Run};
use crate::driver::Driver;
use crate::driver::line::{DriverEvent, DriverLine};
use crate::ending;
use crate::runner::inbox::{HarnessMessage, MessagePayload};
use crate::runner::schedule::DueAction;

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
                if let RunEvent::Fault { fault, event } = &event {
                    self.on_fault_event(*fault, event);
                }
                self.record(at, event);
            }
            MessagePayload::Targets(fault, targets) => self.on_targets(at, fault, targets),
            MessagePayload::Notice(what) => self.on_notice(what),
            MessagePayload::Failure(what) => self.fail(what),
            MessagePayload::Driver(kind, line) => self.on_line(at, kind, line),
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

    fn on_line(&mut self, at: Instant, kind: ClientKind, line: DriverLine) {
        match line {
            DriverLine::Ready => {}
            DriverLine::Response { id, outcome } => {
                let Some((client, sequence)) = self.calls.remove(&id) else {
                    if let Err(error) = outcome {
                        self.last_message =
                            format!("call of a `{}` client failed: {error:?}", kind.name());
                    }
                    return;
                };
                let publisher = self.clients.get_mut(client);
                let what = publisher.and_then(|publisher| publisher.on_outcome(sequence, &outcome));
                if let Some(what) = what {
                    self.acknowledged +=
                        u64::from(matches!(what, ClientEvent::Acknowledged { .. }));
                    self.record(
                        at,
                        RunEvent::Client {
                            client,
                            event: what,
                        },
                    );
                    self.send_pending(client);
                } else {
                    self.schedule
                        .add(self.clock.now() + RESEND_DELAY, DueAction::Resend(client));
                }
            }
            DriverLine::Event(event) => self.on_event(at, &event),
            DriverLine::Unrecognized(text) => {
                self.last_message = format!(
                    "unrecognized line from the driver for `{}` clients: {text}",
                    kind.name()
                );
            }
            DriverLine::Ended => self.on_driver_end(kind),
        }
    }

    fn on_event(&mut self, at: Instant, event: &DriverEvent) {
        let Some(client) = self.clients.named_mut(&event.client) else {
            return;
        };
        let id = client.id;
        let recorded = client.on_event(&event.kind);
        let is_up = client.is_up();
        if let Some(what) = recorded {
            self.delivered += u64::from(matches!(what, ClientEvent::Delivered { .. }));
            let may_send = is_up && matches!(what, ClientEvent::Subscribed(_));
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
            ProcessEvent::Exited(_) => {}
        }
    }

    pub(super) fn on_driver_end(&mut self, kind: ClientKind) {
        if !self.ended_drivers.insert(kind) {
            return;
        }
        let ending = self.drivers.get_mut(&kind).map(Driver::ending);
        let ending = ending.unwrap_or_default();
        self.fail(format!("the driver for `{}` clients {ending}", kind.name()));
    }

    pub(super) fn on_notice(&mut self, what: String) {
        if self.notices.len() < NOTICES_MAX && !self.notices.contains(&what) {
            self.notices.push(what);
        }
    }

    pub(super) fn fail(&mut self, what: String) {
        self.failure.get_or_insert_with(|| what.clone());
        self.record(
            self.clock.now(),
            RunEvent::Harness(HarnessEvent::Failed(what)),
        );
    }
}
