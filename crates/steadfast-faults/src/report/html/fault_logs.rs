//! What the services that a fault hit printed around it: which lines are required, and how the page shows them.
//!
//! The page has capacity for some logs only. Faults without an effect come first, since their reason is what a reader looks
//! for, then the others in order of time.

use std::ops::Range;
use std::time::Duration;

use steadfast_machine::Instant;

use super::{PageContext, instance_name, logs, moment, name_of, tables, zero};
use crate::counted::{counted, counted_len};
use crate::ledger::FaultStats;
use crate::report::Report;
use crate::report::markup::Markup;
use crate::topology::{FaultId, InstanceId};

/// The most lines before a fault, and the most lines from it on, of one instance.
pub const FAULT_LINES_MAX: usize = 40;

/// The most logs of faults on the page: one for each fault and instance that it hit.
const LOGS_MAX: usize = 20;

/// The most characters of all these logs, about a quarter of the size of the page.
const CHARACTERS_MAX: usize = 400_000;

/// How long before a fault and after its heal the lines are shown.
const MARGIN: Duration = Duration::from_secs(5);

/// Lines of an instance that the page shows, if there are any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogWindow {
    /// The fault that hit the instance.
    pub fault: FaultId,
    /// The instance whose lines are required.
    pub instance: InstanceId,
    /// The last [`FAULT_LINES_MAX`] lines of this time: the five seconds before the fault.
    pub before: Range<Instant>,
    /// The first [`FAULT_LINES_MAX`] lines of this time: from the fault until five seconds after its heal, or of a fault that
    /// was never healed after its confirmation.
    pub after: Range<Instant>,
}

/// What an instance printed around a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultLog {
    /// Which lines these are.
    pub window: LogWindow,
    /// The path of the whole log in the directory of the run, with `/` between its parts.
    pub path: String,
    /// The lines before the fault with their times, in order.
    pub before: Vec<(Instant, String)>,
    /// The lines from the fault on with their times, in order.
    pub after: Vec<(Instant, String)>,
    /// Lines of both times that are not among them.
    pub omitted: u64,
}

/// The lines that the page shows: at most 20 entries.
pub fn log_windows(report: &Report<'_>) -> Vec<LogWindow> {
    let faults = &report.ledger.faults;
    let (effective, ineffective): (Vec<_>, Vec<_>) =
        faults.iter().partition(|it| it.is_effective());
    let faults = ineffective.into_iter().chain(effective);
    let hits = faults.flat_map(|fault| fault.planned.targets.iter().map(move |it| (fault, *it)));
    let windows = hits.map(|(fault, instance)| {
        let at = injected(report, fault);
        let end = fault.healed.or(fault.confirmed).unwrap_or(at).max(at);
        let before = (at - Instant::START).saturating_sub(MARGIN);
        LogWindow {
            fault: fault.planned.id,
            instance,
            before: Instant::START + before..at,
            after: at..end + MARGIN,
        }
    });
    windows.take(LOGS_MAX).collect()
}

/// When a fault was injected; when it was planned, if it was not.
fn injected(report: &Report<'_>, fault: &FaultStats) -> Instant {
    let planned = zero(report) + fault.planned.at;
    fault.injected.unwrap_or(planned)
}

pub(super) fn write(page: &mut Markup, report: &Report<'_>, context: &PageContext<'_>) {
    if context.fault_logs.is_empty() {
        return;
    }
    page.leaf("h3", &[], "What the services printed around each fault");
    let mut capacity = CHARACTERS_MAX;
    for (index, log) in context.fault_logs.iter().enumerate() {
        let faults = &report.ledger.faults;
        let fault = faults.iter().find(|it| it.planned.id == log.window.fault);
        let Some(fault) = fault else {
            continue;
        };
        let text = text(report, fault, log);
        let length = text.chars().count();
        if length > capacity {
            let rest = context.fault_logs.len() - index;
            let rest = counted_len(rest, "more log", "more logs");
            page.leaf("p", &[("class", &"note")], format!("{rest} not shown."));
            return;
        }
        capacity -= length;
        write_log(page, report, context, (fault, log), &text);
    }
    let targets = report.ledger.faults.iter();
    let targets: usize = targets.map(|it| it.planned.targets.len()).sum();
    let shown = context.fault_logs.len();
    if shown == LOGS_MAX {
        tables::write_cut(page, shown, targets, "more log", "more logs");
    }
}

fn write_log(
    page: &mut Markup,
    report: &Report<'_>,
    context: &PageContext<'_>,
    (fault, log): (&FaultStats, &FaultLog),
    text: &str,
) {
    let name = format!(
        "{} at {}: {}, {}",
        name_of(fault),
        moment(report, injected(report, fault)),
        instance_name(report, log.window.instance),
        counted_len(log.before.len() + log.after.len(), "line", "lines"),
    );
    page.open("details", &[]);
    page.leaf("summary", &[], &name);
    page.open("p", &[]);
    if log.omitted > 0 {
        let omitted = counted(log.omitted, "more line", "more lines");
        page.say(format!("{omitted} of this time in "));
    }
    if context.is_in_folder {
        page.leaf("a", &[("href", &log.path)], &log.path);
    } else {
        page.say(&log.path);
    }
    page.close();
    let label = format!("Lines around {name}");
    logs::write_text(page, &label, text);
    page.close();
}

/// Each line with its time, and between them when the fault began and ended.
fn text(report: &Report<'_>, fault: &FaultStats, log: &FaultLog) -> String {
    let name = name_of(fault);
    let state = if fault.injected.is_some() {
        "injected"
    } else {
        "planned, not injected"
    };
    let mut marks = vec![(injected(report, fault), state)];
    marks.extend(fault.healed.map(|at| (at, "healed")));
    let mut marks = marks.into_iter().peekable();
    let mut out = String::new();
    let mark = |(at, what): (Instant, &str)| format!("{} --- {name} {what}\n", moment(report, at));
    for (at, line) in log.before.iter().chain(&log.after) {
        while let Some(passed) = marks.next_if(|(marked, _)| marked <= at) {
            out.push_str(&mark(passed));
        }
        let (at, line) = (moment(report, *at), logs::shortened(line));
        out.extend([at.as_str(), " ", &line, "\n"]);
    }
    out.extend(marks.map(mark));
    out
}
