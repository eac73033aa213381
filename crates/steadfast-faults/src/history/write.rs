//! From an event log to lines.

use std::iter;

use serde_json::Value;

use super::FORMAT;
use crate::ledger::event::{
    ClientEvent, EventRecord, FaultEvent, HarnessEvent, LossCause, ProcessEvent, ProcessExit,
    RunEvent,
};
use crate::ledger::event_log::EventLog;
use crate::scenario::plan::{Plan, PlannedFault};

/// The lines of a log and of the plan that was executed, without line ends.
pub fn lines<'a>(plan: &'a Plan, log: &'a EventLog) -> impl Iterator<Item = String> + 'a {
    let first = first(plan);
    let faults = plan.faults().iter().map(planned);
    let records = log.records().iter().map(record);
    let last = format!("end {} {}", log.records().len(), log.dropped());
    iter::once(first)
        .chain(faults)
        .chain(records)
        .chain(iter::once(last))
}

/// The format, the seed, and the number of the lines of faults that follow.
pub(super) fn first(plan: &Plan) -> String {
    format!(
        "{FORMAT} seed {} faults {}",
        plan.seed(),
        plan.faults().len()
    )
}

/// A planned fault; two plans with the same lines name the same participants.
pub(super) fn planned(fault: &PlannedFault) -> String {
    let targets = fault.targets.iter().map(|id| format!(" i{}", id.0));
    let targets: String = targets.collect();
    format!(
        "plan {} {} {}{targets} {}",
        fault.at.as_nanos(),
        fault.heal_at.as_nanos(),
        fault.action.name(),
        quoted(&format!("{} {}", fault.step, fault.occurrence))
    )
}

fn record(record: &EventRecord) -> String {
    let at = record.at.as_nanos();
    match &record.event {
        RunEvent::PhaseBegan(phase) => format!("{at} run {}", phase.name()),
        RunEvent::Client { client, event } => format!("{at} c{} {}", client.0, of_client(event)),
        RunEvent::Fault { fault, event } => format!("{at} f{} {}", fault.0, of_fault(event)),
        RunEvent::Process { instance, event } => {
            format!("{at} i{} {}", instance.0, of_process(*event))
        }
        RunEvent::Harness(HarnessEvent::Lag { late }) => {
            format!("{at} lab lag {}", late.as_nanos())
        }
        RunEvent::Harness(HarnessEvent::Failed(what)) => {
            format!("{at} lab failed {}", quoted(what))
        }
    }
}

fn of_client(event: &ClientEvent) -> String {
    match event {
        ClientEvent::AttemptFailed => "attempt-failed".to_owned(),
        ClientEvent::Connected => "connected".to_owned(),
        ClientEvent::ConnectionLost(cause) => format!("lost {}", of_loss(*cause)),
        ClientEvent::GaveUp { code: None } => "gave-up".to_owned(),
        ClientEvent::GaveUp { code: Some(code) } => format!("gave-up {code}"),
        ClientEvent::Subscribed(it) => format!(
            "subscribed {} {} {} {}",
            it.position.offset,
            if it.was_recovering {
                "recovering"
            } else {
                "new"
            },
            if it.recovered {
                "recovered"
            } else {
                "not-recovered"
            },
            quoted(&it.position.epoch)
        ),
        ClientEvent::Published { sequence } => format!("published {sequence}"),
        ClientEvent::Resent { sequence } => format!("resent {sequence}"),
        ClientEvent::Acknowledged {
            sequence,
            position,
            is_duplicate,
        } => {
            let name = if *is_duplicate {
                "acknowledged-again"
            } else {
                "acknowledged"
            };
            let position = position.as_ref();
            let position = position.map(|it| format!(" {} {}", it.offset, quoted(&it.epoch)));
            format!("{name} {sequence}{}", position.unwrap_or_default())
        }
        ClientEvent::Rejected { sequence, code } => format!("rejected {sequence} {code}"),
        ClientEvent::Unsent => "unsent".to_owned(),
        ClientEvent::Delivered {
            message: None,
            offset,
        } => format!("delivered {offset}"),
        ClientEvent::Delivered {
            message: Some(id),
            offset,
        } => format!("delivered {offset} c{} {}", id.publisher.0, id.sequence),
    }
}

fn of_loss(cause: LossCause) -> String {
    match cause {
        LossCause::Fin => "fin".to_owned(),
        LossCause::Reset => "reset".to_owned(),
        LossCause::Timeout => "timeout".to_owned(),
        LossCause::Code(code) => format!("code {code}"),
        LossCause::Unknown => "unknown".to_owned(),
    }
}

fn of_fault(event: &FaultEvent) -> String {
    match event {
        FaultEvent::Injected => "injected".to_owned(),
        FaultEvent::Confirmed => "confirmed".to_owned(),
        FaultEvent::Ineffective(reason) => format!("ineffective {}", quoted(reason)),
        FaultEvent::Healed => "healed".to_owned(),
    }
}

fn of_process(event: ProcessEvent) -> String {
    match event {
        ProcessEvent::Started => "started".to_owned(),
        ProcessEvent::Ready => "ready".to_owned(),
        ProcessEvent::Exited(ProcessExit::Code(code)) => format!("exited code {code}"),
        ProcessEvent::Exited(ProcessExit::Signal(signal)) => format!("exited signal {signal}"),
    }
}

/// A JSON string has no line end.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
