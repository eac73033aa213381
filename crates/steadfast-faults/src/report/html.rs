//! The report as one HTML page: it needs no other file, no network and no script.
//!
//! The verdict comes first, then the connected clients over time, then each check with its evidence. Each plot has a table with
//! the same numbers. Text of a run is always escaped ([`crate::report::markup`]). Lists are cut at a fixed length and
//! say so, so the size of the page does not grow with the run.

mod axis;
mod checks;
mod clients;
mod evidence;
mod fault_logs;
mod faults;
mod latency;
mod logs;
mod messages;
mod plot;
mod programs;
mod recovery;
mod requests;
mod summary;
mod tables;
mod timeline;
mod totals;
mod traffic;

use std::time::Duration;

use steadfast_machine::Instant;

use crate::ledger::FaultStats;
use crate::ledger::event::RunPhase;
use crate::quantity::{Quantity, Unit};
use crate::report::Report;
use crate::report::markup::Markup;
use crate::samples::{Measurement, Sample};
use crate::topology::{ClientId, FaultId, InstanceId};

pub use fault_logs::{FAULT_LINES_MAX, FaultLog, LogWindow, log_windows};

/// What the page shows in addition to the report.
#[derive(Clone, Copy, Debug)]
pub struct PageContext<'a> {
    /// The command that repeats the run.
    pub command: &'a str,
    /// The logs of the run.
    pub logs: &'a [LogExcerpt],
    /// What services printed around faults, of [`log_windows`] those that could be read.
    pub fault_logs: &'a [FaultLog],
    /// Whether the page is stored in the directory of the run, so that it can link to the logs.
    pub is_in_folder: bool,
}

/// The end of a log file of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogExcerpt {
    /// The path in the directory of the run, with `/` between its parts.
    pub path: String,
    /// The size of the file in bytes.
    pub bytes: u64,
    /// The last lines, of which the page shows at most [`LOG_LINES_MAX`].
    pub lines: Vec<String>,
}

/// The most lines of one log on the page.
pub const LOG_LINES_MAX: usize = 30;

/// The most logs of which the page shows lines.
pub const LOGS_MAX: usize = 20;

/// Renders the page.
pub fn render(report: &Report<'_>, context: &PageContext<'_>) -> String {
    let mut page = Markup::new("<!DOCTYPE html>");
    page.open("html", &[("lang", &"en")]);
    write_head(&mut page, report);
    page.open("body", &[]);
    page.leaf(
        "a",
        &[("class", &"skip"), ("href", &"#checks")],
        "To the checks",
    );
    page.open("main", &[]);
    summary::write(&mut page, report, context);
    timeline::write(&mut page, report);
    checks::write(&mut page, report);
    traffic::write(&mut page, report);
    latency::write(&mut page, report);
    recovery::write(&mut page, report);
    clients::write(&mut page, report);
    messages::write(&mut page, report);
    requests::write(&mut page, report);
    faults::write(&mut page, report, context);
    programs::write(&mut page, report);
    totals::write(&mut page, report);
    logs::write(&mut page, context);
    page.finish()
}

fn write_head(page: &mut Markup, report: &Report<'_>) {
    page.open("head", &[]);
    page.empty("meta", &[("charset", &"utf-8")]);
    let viewport = "width=device-width, initial-scale=1";
    page.empty("meta", &[("name", &"viewport"), ("content", &viewport)]);
    page.empty(
        "meta",
        &[("name", &"color-scheme"), ("content", &"light dark")],
    );
    // Without an icon of its own, a page that a server delivers makes the browser request one.
    page.empty("link", &[("rel", &"icon"), ("href", &"data:,")]);
    let verdict = report.evaluation.verdict.name();
    page.leaf(
        "title",
        &[],
        format!("{verdict}: {}", report.scenario.name()),
    );
    page.open("style", &[]);
    page.constant(include_str!("html/style.css"));
    page.close();
    page.close();
}

/// Opens a section with its heading.
fn open_section(page: &mut Markup, id: &'static str, heading: &'static str) {
    page.open("section", &[("id", &id)]);
    page.leaf("h2", &[], heading);
}

/// The time since the baseline ended, which is the time of the fault plan; negative before.
fn moment(report: &Report<'_>, at: Instant) -> String {
    let zero = zero(report);
    let (sign, distance) = if at < zero {
        ("-", zero - at)
    } else {
        ("", at - zero)
    };
    format!(
        "{sign}{}.{:03} s",
        distance.as_secs(),
        distance.subsec_millis()
    )
}

/// Time 0 of the fault plan.
fn zero(report: &Report<'_>) -> Instant {
    let phases = &report.ledger.phases;
    let steps = phases.get(&RunPhase::Steps);
    steps.copied().unwrap_or_default()
}

fn time(time: Duration) -> String {
    Quantity::time(time).to_string()
}

/// A time with `>` when only its lower bound is known.
fn sample(sample: Sample, unit: Unit) -> String {
    let quantity = match unit {
        Unit::Dimensionless => Quantity::count(sample.value),
        Unit::Time => Quantity::time(Duration::from_nanos(sample.value)),
    };
    Measurement {
        quantity,
        is_censored: sample.is_censored,
    }
    .to_string()
}

fn client_name(report: &Report<'_>, id: ClientId) -> String {
    let client = report.plan.topology().client(id);
    client.map_or_else(|| format!("client {}", id.0), |it| it.name.clone())
}

/// The step and the number of the occurrence.
fn fault_name(report: &Report<'_>, id: Option<FaultId>) -> String {
    let Some(id) = id else {
        return "no fault".to_owned();
    };
    let fault = report.ledger.faults.iter().find(|it| it.planned.id == id);
    fault.map_or_else(|| format!("fault {}", id.0), name_of)
}

fn name_of(fault: &FaultStats) -> String {
    format!("{} {}", fault.planned.step, fault.planned.occurrence)
}

/// Whether a fault took effect, or why not.
fn effect(fault: &FaultStats) -> String {
    match &fault.ineffective {
        Some(reason) => format!("none: {reason}"),
        None if fault.is_effective() => "confirmed".to_owned(),
        None => "not confirmed".to_owned(),
    }
}

fn instance_name(report: &Report<'_>, id: InstanceId) -> String {
    let instance = report.plan.topology().instance(id);
    instance.map_or_else(|| format!("instance {}", id.0), ToString::to_string)
}

/// The targets of a fault by name.
fn targets(report: &Report<'_>, fault: &FaultStats) -> String {
    let names = fault.planned.target_names(report.plan.topology());
    names.join(", ")
}
