//! The clients that were affected most: when each was connected, and what it lost.

use std::cmp::Reverse;
use std::time::Duration;

use super::axis::TimeAxis;
use super::plot::{open_svg, write_bar};
use super::{open_section, tables, time};
use crate::counted::grouped;
use crate::ledger::{ClientOutcome, ClientStats};
use crate::report::Report;
use crate::report::markup::Markup;

/// The most clients that are listed.
const CLIENTS_MAX: usize = 20;

/// The most periods that are drawn for one client.
const PERIODS_MAX: usize = 100;

pub(super) fn write(page: &mut Markup, report: &Report<'_>) {
    open_section(page, "clients", "Most affected clients");
    let mut affected: Vec<&ClientStats> = report.ledger.clients.iter().collect();
    affected.retain(|it| is_affected(it));
    if affected.is_empty() {
        page.leaf("p", &[], "No client was affected.");
        page.close();
        return;
    }
    affected.sort_by_key(|it| {
        (
            Reverse(it.delivery.lost),
            Reverse(downtime(it)),
            it.client.id,
        )
    });
    let axis = TimeAxis::of(report);
    tables::open(
        page,
        "Clients, those with the most losses and the longest downtime first",
        &[
            "client",
            "kind",
            "of",
            "at the end",
            "#disconnects",
            "#downtime",
            "#stalls",
            "#lost",
            "connected (wide bar), stalled (low bar)",
        ],
    );
    for client in affected.iter().take(CLIENTS_MAX) {
        write_row(page, report, client, axis);
    }
    tables::close(page);
    tables::write_cut(
        page,
        CLIENTS_MAX,
        affected.len(),
        "more client",
        "more clients",
    );
    page.close();
}

fn is_affected(client: &ClientStats) -> bool {
    let is_well = client.connections.outcome == ClientOutcome::NeverDisconnected;
    !is_well || client.delivery.lost > 0 || client.is_silent || !client.stalls.is_empty()
}

/// The sum of all periods from noticing a disconnect to the next success.
fn downtime(client: &ClientStats) -> Duration {
    let incidents = client.connections.incidents.iter();
    let durations =
        incidents.map(|it| it.recovered.unwrap_or(it.observed_until) - it.disconnect.at);
    durations.fold(Duration::ZERO, Duration::saturating_add)
}

fn write_row(page: &mut Markup, report: &Report<'_>, stats: &ClientStats, axis: TimeAxis) {
    let client = &stats.client;
    let instance = report.plan.topology().instance(client.instance);
    page.open("tr", &[]);
    tables::heading(page, &client.name);
    tables::cell(page, client.kind.name());
    tables::cell(page, instance.map_or_else(String::new, ToString::to_string));
    tables::cell(page, state(stats));
    tables::number(page, stats.connections.disconnects.len());
    tables::number(page, time(downtime(stats)));
    tables::number(page, stats.stalls.len());
    tables::number(page, grouped(stats.delivery.lost));
    page.open("td", &[("class", &"wide")]);
    open_svg(page, "client");
    let end = axis.start + axis.duration;
    for interval in stats.connections.intervals.iter().take(PERIODS_MAX) {
        let to = axis.x(interval.to.unwrap_or(end));
        write_bar(page, "up", axis.x(interval.from), to);
    }
    for stall in stats.stalls.iter().take(PERIODS_MAX) {
        let to = axis.x(stall.to.unwrap_or(stall.observed_until));
        write_bar(page, "stall", axis.x(stall.from), to);
    }
    page.close();
    page.close();
    page.close();
}

const fn state(stats: &ClientStats) -> &'static str {
    match stats.connections.outcome {
        ClientOutcome::NeverConnected => "never connected",
        ClientOutcome::GaveUp => "gave up",
        ClientOutcome::DownAtEnd => "not recovered",
        ClientOutcome::NeverDisconnected | ClientOutcome::Reconnected if stats.is_silent => {
            "connected but silent"
        }
        ClientOutcome::NeverDisconnected => "connected, never disconnected",
        ClientOutcome::Reconnected => "reconnected",
    }
}
