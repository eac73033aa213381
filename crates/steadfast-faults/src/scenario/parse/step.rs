//! Parses `[[step]]`: when a fault occurs, and its targets.

use std::ops::RangeInclusive;
use std::time::Duration;

use steadfast_toml::FileError;

use super::link_fault;
use crate::scenario::model::{FaultAction, Step, StepSchedule};
use crate::scenario::select::Target;
use crate::scenario::table::Table;

const STEP: [&str; 10] = [
    "id", "at", "every", "count", "jitter", "do", "on", "for", "with", "then",
];

/// Occurrences of one step.
const COUNT: RangeInclusive<u32> = 1..=10_000;
const GRACE: Duration = Duration::from_secs(10);

pub(super) fn step((table, number): (Table<'_>, usize)) -> Result<Step, FileError> {
    table.allow(&STEP)?;
    let action = action(&table)?;
    let target = target(&table, &action)?;
    let heal_after = heal_after(&table, &action)?;
    Ok(Step {
        id: table
            .text("id")?
            .unwrap_or_else(|| format!("step-{number}")),
        when: when(&table)?,
        jitter: table.duration("jitter")?.unwrap_or(Duration::ZERO),
        action,
        on: target.instances,
        load: target.load,
        heal_after,
    })
}

fn target(table: &Table<'_>, action: &FaultAction) -> Result<Target, FileError> {
    let on = table.required("on", table.text("on")?)?;
    let Some(target) = Target::parse(&on) else {
        let help = "for example gateway, gateway:2, gateway:not-1, gateway:random, gateway:next, gateway:leader, link:chat->gateway:2";
        let message = format!("invalid selector `{on}`");
        return Err(table.error("on", message, Some(help.to_owned())));
    };
    if target.load.is_some() && action.link_fault().is_none() {
        let message = format!("`{}` has no links as targets", action.name());
        let help = format!("write on = \"{}\"", target.instances);
        return Err(table.error("on", message, Some(help)));
    }
    Ok(target)
}

fn when(table: &Table<'_>) -> Result<StepSchedule, FileError> {
    let (at, period) = (table.duration("at")?, table.duration("every")?);
    let count = table.count("count", COUNT)?;
    match (at, period) {
        (Some(at), None) if count.is_none() => Ok(StepSchedule::At(at)),
        (Some(_), None) => Err(table.error("count", "requires `every`".to_owned(), None)),
        (None, Some(period)) if period.is_zero() => {
            Err(table.error("every", "must be above 0".to_owned(), None))
        }
        (None, Some(period)) => Ok(StepSchedule::Every { period, count }),
        (Some(_), Some(_)) => {
            let message = "`at` and `every` are mutually exclusive".to_owned();
            Err(table.error("every", message, None))
        }
        (None, None) => {
            let message = format!("`{}` needs `at` or `every`", table.key());
            Err(table.error("at", message, None))
        }
    }
}

fn action(table: &Table<'_>) -> Result<FaultAction, FileError> {
    const PROCESSES: [&str; 3] = ["proc.kill", "proc.term", "proc.pause"];
    let names = PROCESSES.iter().chain(&link_fault::NAMES);
    let known: Vec<(&str, &str)> = names.map(|name| (*name, *name)).collect();
    let name = table.required("do", table.one_of("do", &known)?)?;
    let action = match name {
        "proc.kill" => FaultAction::Kill,
        "proc.term" => FaultAction::Term { grace: GRACE },
        "proc.pause" => FaultAction::Pause,
        name => return link_fault::link_fault(table, name).map(FaultAction::Link),
    };
    let Some(with) = table.table("with")? else {
        return Ok(action);
    };
    match action {
        FaultAction::Term { grace } => {
            with.allow(&["grace"])?;
            let grace = with.duration("grace")?.unwrap_or(grace);
            Ok(FaultAction::Term { grace })
        }
        FaultAction::Kill | FaultAction::Pause | FaultAction::Link(_) => {
            let message = format!("`{}` has no options", action.name());
            Err(table.error("with", message, None))
        }
    }
}

/// An exited process is restarted after `then.start_after`; a suspended one is resumed after `for`.
fn heal_after(table: &Table<'_>, action: &FaultAction) -> Result<Option<Duration>, FileError> {
    if action.is_instantaneous() {
        let key = ["for", "then"].into_iter().find(|key| table.has(key));
        return match key {
            None => Ok(Some(Duration::ZERO)),
            Some(key) => {
                let message = format!(
                    "`{}` is over at once, so `{key}` has no effect",
                    action.name()
                );
                Err(table.error(key, message, Some(format!("remove `{key}`"))))
            }
        };
    }
    let (supported, other) = if action.ends_process() {
        ("then", "for")
    } else {
        ("for", "then")
    };
    if table.has(other) {
        let help = if action.ends_process() {
            "write then = { start_after = \"1s\" }"
        } else {
            "write for = \"1s\""
        };
        let message = format!("`{other}` is not supported by `{}`", action.name());
        return Err(table.error(other, message, Some(help.to_owned())));
    }
    if supported == "for" {
        let lasting = table.duration("for")?;
        if lasting.is_some_and(|it| it.is_zero()) {
            let message = "must be above 0: the fault would be healed before it is confirmed";
            return Err(table.error("for", message.to_owned(), None));
        }
        return Ok(lasting);
    }
    let Some(then) = table.table("then")? else {
        return Ok(None);
    };
    then.allow(&["start_after"])?;
    then.duration("start_after")
}
