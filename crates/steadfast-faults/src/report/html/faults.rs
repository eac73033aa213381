//! Each fault with its targets and its effect.

use super::{
    PageContext, effect, fault_logs, moment, name_of, open_section, tables, targets, time,
};
use crate::counted::grouped;
use crate::ledger::FaultStats;
use crate::report::Report;
use crate::report::markup::Markup;

/// The most faults that are listed.
const FAULTS_MAX: usize = 200;

pub(super) fn write(page: &mut Markup, report: &Report<'_>, context: &PageContext<'_>) {
    open_section(page, "faults", "Faults");
    let faults = &report.ledger.faults;
    if faults.is_empty() {
        page.leaf("p", &[], "No fault was planned.");
        page.close();
        return;
    }
    tables::open(
        page,
        "Faults by time",
        &[
            "fault",
            "#at",
            "action",
            "on",
            "effect",
            "healed",
            "#connections ended",
            "#publications in flight",
        ],
    );
    // Those without an effect are the first to read, so they are never cut.
    let (effective, ineffective): (Vec<_>, Vec<_>) =
        faults.iter().partition(|it| it.is_effective());
    let mut listed: Vec<&FaultStats> = ineffective.into_iter().chain(effective).collect();
    listed.truncate(FAULTS_MAX);
    listed.sort_by_key(|it| it.planned.id);
    for fault in &listed {
        write_row(page, report, fault);
    }
    tables::close(page);
    tables::write_cut(
        page,
        listed.len(),
        faults.len(),
        "more fault",
        "more faults",
    );
    fault_logs::write(page, report, context);
    page.close();
}

fn write_row(page: &mut Markup, report: &Report<'_>, fault: &FaultStats) {
    let class = if fault.is_effective() { "" } else { "unsure" };
    page.open("tr", &[("class", &class)]);
    tables::heading(page, name_of(fault));
    let at = fault.injected.map(|at| moment(report, at));
    tables::number(page, at.unwrap_or_else(|| time(fault.planned.at)));
    tables::cell(page, fault.planned.action.name());
    tables::cell(page, targets(report, fault));
    tables::cell(page, effect(fault));
    let healed = fault.healed.zip(fault.injected);
    let healed = healed.map(|(healed, injected)| format!("after {}", time(healed - injected)));
    tables::cell(page, healed.unwrap_or_else(|| "not healed".to_owned()));
    tables::number(page, grouped(fault.disconnects));
    tables::number(page, grouped(fault.in_flight));
    page.close();
}
