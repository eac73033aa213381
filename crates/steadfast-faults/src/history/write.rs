//! From an event log to lines.

use std::iter;

use serde_json::Value;

use super::FORMAT;
use crate::ledger::event::{
    ClientEvent, EffectEvent, EventRecord, FaultEvent, HarnessEvent, LossCause, ProcessEvent,
    ProcessExit, RequestOutcome, RunEvent,
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
    let PlannedFault {
        step,
        occurrence,
        action,
        loads,
        role,
        ..
    } = fault;
    // All options of the fault count: the line is compared and never read.
    let options = format!("{step} {occurrence} {loads:?} {role:?} {action:?}");
    format!(
        "plan {} {} {}{targets} {}",
        fault.at.as_nanos(),
        fault.heal_at.as_nanos(),
        action.name(),
        quoted(&options)
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
        RunEvent::Effects(event) => format!("{at} effects {}", of_effects(*event)),
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
        ClientEvent::Opened => "opened".to_owned(),
        ClientEvent::Attempting => "attempting".to_owned(),
        ClientEvent::TransportOpened => "transport-opened".to_owned(),
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
        ClientEvent::Received { stream, sequence } => format!("received {stream} {sequence}"),
        ClientEvent::Requested { sequence, intended } => {
            format!("requested {sequence} {}", intended.as_nanos())
        }
        ClientEvent::RequestedAgain { sequence } => format!("requested-again {sequence}"),
        ClientEvent::Settled { sequence, outcome } => {
            format!("settled {sequence} {}", of_outcome(*outcome))
        }
    }
}

fn of_outcome(outcome: RequestOutcome) -> String {
    match outcome {
        RequestOutcome::Ok => "ok".to_owned(),
        RequestOutcome::Error { code } => format!("error {code}"),
        RequestOutcome::NotSent => "not-sent".to_owned(),
        RequestOutcome::Lost => "lost".to_owned(),
        RequestOutcome::TimedOut => "timed-out".to_owned(),
    }
}

fn of_effects(event: EffectEvent) -> String {
    match event {
        EffectEvent::Read {
            instance,
            lines,
            foreign,
            is_torn,
        } => {
            let end = if is_torn { "torn" } else { "whole" };
            format!("read i{} {lines} {foreign} {end}", instance.0)
        }
        EffectEvent::Executed { request, count } => {
            let (client, sequence) = (request.publisher.0, request.sequence);
            format!("executed c{client} {sequence} {count}")
        }
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
        FaultEvent::Targeted(instances) => {
            let ids = instances.iter().map(|id| format!(" i{}", id.0));
            format!("targeted{}", ids.collect::<String>())
        }
        FaultEvent::Confirmed(evidence) => format!("confirmed {}", quoted(evidence)),
        FaultEvent::Ineffective(reason) => format!("ineffective {}", quoted(reason)),
        FaultEvent::Healed => "healed".to_owned(),
    }
}

fn of_process(event: ProcessEvent) -> String {
    match event {
        ProcessEvent::Started => "started".to_owned(),
        ProcessEvent::Ready => "ready".to_owned(),
        ProcessEvent::Connections(count) => format!("connections {count}"),
        ProcessEvent::Exited(ProcessExit::Code(code)) => format!("exited code {code}"),
        ProcessEvent::Exited(ProcessExit::Signal(signal)) => format!("exited signal {signal}"),
    }
}

/// A JSON string has no line end.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
