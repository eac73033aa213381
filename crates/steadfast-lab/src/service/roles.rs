//! Resolves selections by role: asks the instances who leads.

use std::sync::mpsc::SyncSender;
use std::thread;

use steadfast_clock::Clock;
use steadfast_faults::scenario::plan::PlannedFault;
use steadfast_faults::scenario::role::{RoleReply, RoleSelection};
use steadfast_faults::topology::InstanceId;

use super::instance::Service;
use super::output::Output;
use super::probe::{Probe, Unsuccessful};
use crate::runner::inbox::{HarnessMessage, MessagePayload};

/// A probe with what it needs.
type Question = (InstanceId, (Probe, Clock, Output));

/// Asks all targets of a fault at once, on other threads, and sends those that have the role to the inbox.
pub(crate) fn resolve(
    fault: &PlannedFault,
    selection: RoleSelection,
    services: &[(InstanceId, &Service)],
    clock: Clock,
    inbox: &SyncSender<HarnessMessage>,
) {
    let questions: Vec<Question> = services
        .iter()
        .filter_map(|(id, service)| Some((*id, service.leader()?)))
        .collect();
    let (id, sender) = (fault.id, inbox.clone());
    let ask = move || {
        let replies = ask_all(&questions);
        let payload = MessagePayload::Targets(id, selection.pick(&replies));
        // The inbox is closed once the run has ended.
        drop(sender.send(HarnessMessage {
            at: clock.now(),
            payload,
        }));
    };
    let started = thread::Builder::new().name("roles".to_owned()).spawn(ask);
    if let Err(error) = started {
        let reason = format!("failed to create a thread: {error}");
        drop(inbox.send(HarnessMessage {
            at: clock.now(),
            payload: MessagePayload::Targets(id, Err(reason)),
        }));
    }
}

fn ask_all(questions: &[Question]) -> Vec<(InstanceId, RoleReply)> {
    thread::scope(|scope| {
        let threads: Vec<_> = questions
            .iter()
            .map(|(id, question)| (*id, scope.spawn(|| ask(question))))
            .collect();
        let replies = threads.into_iter().map(|(id, thread)| {
            // A thread that failed gave no reply.
            (id, thread.join().unwrap_or(RoleReply::Silent))
        });
        replies.collect()
    })
}

fn ask((probe, clock, output): &(Probe, Clock, Output)) -> RoleReply {
    match probe.attempt(*clock, output) {
        Ok(()) => RoleReply::Leads,
        Err(Unsuccessful::Negative(_)) => RoleReply::Follows,
        Err(Unsuccessful::Silent(_)) => RoleReply::Silent,
    }
}
