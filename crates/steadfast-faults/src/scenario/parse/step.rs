//! Parses `[[step]]`: when a fault occurs, and its targets.

use std::ops::RangeInclusive;
use std::time::Duration;

use steadfast_toml::FileError;

use crate::scenario::model::{FaultAction, Step, StepSchedule};
use crate::scenario::select::InstanceSelector;
use crate::scenario::table::Table;

const STEP: [&str; 10] = [
    "id", "at", "every", "count", "jitter", "do", "on", "for", "with", "then",
];

/// Occurrences of one step.
const COUNT: RangeInclusive<u32> = 1..=10_000;
const GRACE: Duration = Duration::from_secs(10);

pub(super) fn step((table, number): (Table<'_>, usize)) -> Result<Step, FileError> {
    table.allow(&STEP)?;
    let on = table.required("on", table.text("on")?)?;
    let on = InstanceSelector::parse(&on).ok_or_else(|| {
        let help = "for example gateway, gateway:2, gateway:not-1, gateway:random, gateway:next, gateway:leader";
        table.error(
            "on",
            format!("invalid selector `{on}`"),
            Some(help.to_owned()),
        )
    })?;
    let action = action(&table)?;
    Ok(Step {
        id: table
            .text("id")?
            .unwrap_or_else(|| format!("step-{number}")),
        when: when(&table)?,
        jitter: table.duration("jitter")?.unwrap_or(Duration::ZERO),
        action,
        on,
        heal_after: heal_after(&table, action)?,
    })
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
    let known = [
        (FaultAction::Kill.name(), FaultAction::Kill),
        ("proc.term", FaultAction::Term { grace: GRACE }),
        (FaultAction::Pause.name(), FaultAction::Pause),
    ];
    let action = table.required("do", table.one_of("do", &known)?)?;
    let Some(with) = table.table("with")? else {
        return Ok(action);
    };
    match action {
        FaultAction::Term { grace } => {
            with.allow(&["grace"])?;
            let grace = with.duration("grace")?.unwrap_or(grace);
            Ok(FaultAction::Term { grace })
        }
        FaultAction::Kill | FaultAction::Pause => {
            let message = format!("`{}` has no options", action.name());
            Err(table.error("with", message, None))
        }
    }
}

/// An exited process is restarted after `then.start_after`; a suspended one is resumed after `for`.
fn heal_after(table: &Table<'_>, action: FaultAction) -> Result<Option<Duration>, FileError> {
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
        return table.duration("for");
    }
    let Some(then) = table.table("then")? else {
        return Ok(None);
    };
    then.allow(&["start_after"])?;
    then.duration("start_after")
}
