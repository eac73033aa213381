//! Requests by load with their outcomes and executions, and the requests that did not go well, one by one.

use std::collections::BTreeMap;

use super::{fault_name, moment, open_section, sample, tables};
use crate::counted::{counted, grouped};
use crate::ledger::{ClientStats, Request, RequestClass};
use crate::quantity::Unit;
use crate::report::Report;
use crate::report::markup::Markup;

/// The most requests that are listed.
const REQUESTS_MAX: usize = 100;

pub(super) fn write(page: &mut Markup, report: &Report<'_>) {
    open_section(page, "requests", "Requests");
    let clients = &report.ledger.clients;
    if clients.iter().all(|it| it.requests.requests.is_empty()) {
        page.leaf("p", &[], "No client sent a request.");
        page.close();
        return;
    }
    write_loads(page, report);
    let all = clients
        .iter()
        .flat_map(|stats| stats.requests.requests.iter().map(move |it| (stats, it)));
    let mut bad: Vec<(&ClientStats, &Request)> = all.filter(|(_, it)| rank(it) < OK).collect();
    bad.sort_by_key(|(stats, it)| (rank(it), it.sent, stats.client.id));
    if bad.is_empty() {
        page.leaf("p", &[], "Every request was ok.");
    } else {
        write_listed(page, report, &bad);
    }
    page.close();
}

fn write_loads(page: &mut Markup, report: &Report<'_>) {
    let mut loads: BTreeMap<&str, Vec<&ClientStats>> = BTreeMap::new();
    let senders = report.ledger.clients.iter();
    for stats in senders.filter(|it| !it.requests.requests.is_empty()) {
        loads.entry(&stats.client.load).or_default().push(stats);
    }
    let headings = [
        "load",
        "#sent",
        "#ok",
        "#error",
        "#not sent",
        "#no reply",
        "#sent again",
        "#executed",
        "#more than once",
    ];
    tables::open(page, "Requests of each load by their outcome", &headings);
    for (load, clients) in loads {
        let sum = |count: &dyn Fn(&ClientStats) -> u64| {
            grouped(clients.iter().map(|it| count(it)).sum::<u64>())
        };
        let class = |class| sum(&|it: &ClientStats| it.requests.of_class(class));
        let requests = clients.iter().flat_map(|it| &it.requests.requests);
        let has_effects = requests.into_iter().any(|it| it.executions.is_some());
        let executed = |count: String| if has_effects { count } else { "-".to_owned() };
        page.open("tr", &[]);
        tables::heading(page, load);
        tables::number(page, sum(&|it| it.requests.sent));
        tables::number(page, class(RequestClass::Ok));
        tables::number(page, class(RequestClass::Error));
        tables::number(page, class(RequestClass::NotSent));
        tables::number(page, class(RequestClass::MaybeExecuted));
        tables::number(page, sum(&|it| it.requests.resends));
        tables::number(page, executed(sum(&|it| it.requests.executed(None))));
        tables::number(page, executed(sum(&|it| it.requests.executed_twice())));
        page.close();
    }
    tables::close(page);
}

fn write_listed(page: &mut Markup, report: &Report<'_>, bad: &[(&ClientStats, &Request)]) {
    let headings = [
        "client", "#request", "#sent", "outcome", "#latency", "executed", "fault",
    ];
    let caption = "Requests that were not ok, or executed other than their outcome says";
    tables::open(page, caption, &headings);
    for (stats, request) in bad.iter().take(REQUESTS_MAX) {
        page.open("tr", &[]);
        tables::heading(page, &stats.client.name);
        tables::number(page, request.sequence);
        tables::number(page, moment(report, request.sent));
        tables::cell(page, outcome(request.class));
        let latency = request.latency.map(|it| sample(it, Unit::Time));
        tables::number(page, latency.unwrap_or_else(|| "-".to_owned()));
        tables::cell(page, executions(request).unwrap_or_else(|| "-".to_owned()));
        tables::cell(page, fault_name(report, request.fault));
        page.close();
    }
    tables::close(page);
    tables::write_cut(
        page,
        REQUESTS_MAX,
        bad.len(),
        "more request",
        "more requests",
    );
}

/// The rank of a request that went well.
const OK: u8 = 4;

/// Executions that the outcome excludes come first, then what the client knows least about.
const fn rank(request: &Request) -> u8 {
    match (request.class, request.executions) {
        (RequestClass::NotSent, Some(1..)) | (RequestClass::Ok, Some(0)) | (_, Some(2..)) => 0,
        (RequestClass::MaybeExecuted, _) => 1,
        (RequestClass::Error, _) => 2,
        (RequestClass::NotSent, _) => 3,
        (RequestClass::Ok, _) => OK,
    }
}

/// A request in a sentence: its client, when it was sent, and what became of it.
pub(super) fn line(report: &Report<'_>, stats: &ClientStats, request: &Request) -> String {
    let times = [
        ("after", request.latency),
        ("service time", request.service),
    ];
    let times = times
        .into_iter()
        .filter_map(|(name, time)| Some(format!(" {name} {}", sample(time?, Unit::Time))));
    format!(
        "{}: request {}, sent at {}: {}{}{}, {}",
        stats.client.name,
        request.sequence,
        moment(report, request.sent),
        outcome(request.class),
        times.collect::<Vec<_>>().join(","),
        executions(request).map_or_else(String::new, |it| format!(", executed {it}")),
        fault_name(report, request.fault),
    )
}

const fn outcome(class: RequestClass) -> &'static str {
    match class {
        RequestClass::Ok => "ok",
        RequestClass::Error => "error",
        RequestClass::NotSent => "not sent",
        RequestClass::MaybeExecuted => "no reply",
    }
}

/// How often it was executed, if that is known.
fn executions(request: &Request) -> Option<String> {
    let count = u64::from(request.executions?);
    Some(counted(count, "time", "times"))
}
