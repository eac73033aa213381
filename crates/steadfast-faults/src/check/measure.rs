//! Computes each metric from the ledger.

mod attempts;
mod requests;

pub(crate) use attempts::{PEAK_WINDOW, peak as attempts_peak};

use steadfast_machine::convert;

use crate::ledger::event::LossCause;
use crate::ledger::{
    ClientOutcome, ClientStats, Disconnect, FaultStats, Incident, Ledger, RequestClass, Stall,
};
use crate::metrics::{Metric, MetricFilter};
use crate::quantity::{Quantity, Unit};
use crate::samples::{Measurement, Sample, Samples};
use crate::scenario::expr::MetricQuery;
use crate::topology::{Client, FaultId};

/// The value or the samples of a metric.
enum Measured {
    Number(u64),
    Share {
        part: u64,
        whole: u64,
    },
    Times(Vec<Sample>),
    Counts(Vec<Sample>),
    /// Nothing in the run says it.
    Missing,
}

/// The value of a metric as one number; `None` when there are no samples.
pub(super) fn evaluate(query: &MetricQuery, ledger: &Ledger) -> Option<Measurement> {
    if selects_nothing(&query.filter, ledger) {
        return None;
    }
    let quantity = match (
        measure(query.metric, &query.filter, ledger),
        query.aggregate,
    ) {
        (Measured::Number(count), _) => Some(Quantity::count(count)),
        (Measured::Share { part, whole }, _) => Quantity::share(part, whole),
        (Measured::Times(values), Some(aggregate)) => {
            return Samples::new(values, Unit::Time).aggregate(aggregate);
        }
        (Measured::Counts(values), Some(aggregate)) => {
            return Samples::new(values, Unit::Dimensionless).aggregate(aggregate);
        }
        (Measured::Times(_) | Measured::Counts(_), None) | (Measured::Missing, _) => None,
    };
    quantity.map(Measurement::known)
}

/// Whether the filter names clients or faults that the run does not have. Zero of nothing would satisfy any upper bound.
fn selects_nothing(filter: &MetricFilter, ledger: &Ledger) -> bool {
    let has_faults = filter.step.as_ref().is_none_or(|step| {
        let mut faults = ledger.faults.iter();
        faults.any(|fault| fault.planned.step == *step)
    });
    let names_clients = filter.load.is_some() || filter.kind.is_some();
    !has_faults || names_clients && clients(filter, ledger).next().is_none()
}

/// The value of a metric that is a number, for the whole run; `None` when there is no data, or it has many values.
pub fn number(metric: Metric, ledger: &Ledger) -> Option<Measurement> {
    let query = MetricQuery {
        metric,
        filter: MetricFilter::default(),
        aggregate: None,
    };
    evaluate(&query, ledger)
}

/// The samples of a metric that has many values; `None` for one that is a number.
pub fn samples(metric: Metric, filter: &MetricFilter, ledger: &Ledger) -> Option<Samples> {
    match measure(metric, filter, ledger) {
        Measured::Number(_) | Measured::Share { .. } | Measured::Missing => None,
        Measured::Times(values) => Some(Samples::new(values, Unit::Time)),
        Measured::Counts(values) => Some(Samples::new(values, Unit::Dimensionless)),
    }
}

#[expect(clippy::too_many_lines, reason = "one line for each metric")]
fn measure(metric: Metric, filter: &MetricFilter, ledger: &Ledger) -> Measured {
    let all = |pick: fn(&ClientStats) -> u64| sum(filter, ledger, pick);
    let with_outcome = |outcome: ClientOutcome| {
        let members = clients(filter, ledger).filter(|it| it.connections.outcome == outcome);
        count(members)
    };
    let disconnects = |pick: fn(&Disconnect) -> bool| {
        count(all_disconnects(filter, ledger).filter(|it| pick(it)))
    };
    let ratio = |part| Measured::Share {
        part,
        whole: all(|it| it.delivery.expected),
    };
    let times = |pick: fn(&Incident) -> Option<Sample>| {
        Measured::Times(incidents(filter, ledger).filter_map(pick).collect())
    };
    let faults = |pick: fn(&FaultStats) -> bool| count(ledger.faults.iter().filter(|it| pick(it)));
    let of_class = |class| requests::of_class(filter, ledger, class);
    let executed = |class| requests::executed(filter, ledger, class);
    let value = match metric {
        Metric::ClientsTotal => all(|_| 1),
        Metric::ClientsNeverConnected => with_outcome(ClientOutcome::NeverConnected),
        Metric::ClientsNeverDisconnected => with_outcome(ClientOutcome::NeverDisconnected),
        Metric::ClientsAffected => all(|it| u64::from(it.connections.outcome.is_affected())),
        Metric::ClientsReconnected => with_outcome(ClientOutcome::Reconnected),
        Metric::ClientsGaveUp => with_outcome(ClientOutcome::GaveUp),
        Metric::ClientsDownAtEnd => with_outcome(ClientOutcome::DownAtEnd),
        Metric::ClientsSilent => all(|it| u64::from(it.is_silent)),
        Metric::ClientsStalled => all(|it| u64::from(!it.stalls.is_empty())),
        Metric::StallsTotal => count(stalls(filter, ledger)),
        Metric::StallsUnattributed => count(stalls(filter, ledger).filter(|it| it.fault.is_none())),
        Metric::DisconnectsTotal => disconnects(|_| true),
        Metric::DisconnectsAttributed => disconnects(|it| it.fault.is_some()),
        Metric::DisconnectsUnattributed => disconnects(|it| it.fault.is_none()),
        Metric::DisconnectsByFin => disconnects(|it| it.cause == LossCause::Fin),
        Metric::DisconnectsByReset => disconnects(|it| it.cause == LossCause::Reset),
        Metric::DisconnectsByTimeout => disconnects(|it| it.cause == LossCause::Timeout),
        Metric::DisconnectsByCode => disconnects(|it| it.cause.code().is_some()),
        Metric::AttemptsCount => all(|it| it.connections.attempts),
        Metric::AttemptsRatePeak => {
            attempts::peak(clients(filter, ledger)).map_or(0, |it| it.attempts)
        }
        Metric::DeliveryExpected => all(|it| it.delivery.expected),
        Metric::DeliveryDelivered => all(|it| it.delivery.delivered),
        Metric::DeliveryLost => all(|it| it.delivery.lost),
        Metric::DeliveryDuplicate => all(|it| it.delivery.duplicate),
        Metric::DeliveryReordered => all(|it| it.delivery.reordered),
        Metric::DeliveryUnknown => all(|it| it.delivery.unknown),
        Metric::DeliveryUnexpected => all(|it| it.delivery.unexpected),
        Metric::DeliveryMissed => all(|it| it.delivery.missed),
        Metric::DeliveryRatio => return ratio(all(|it| it.delivery.delivered)),
        Metric::DeliveryRatioAtStop => return ratio(all(|it| it.delivery.delivered_at_stop)),
        Metric::OffsetsGapReported => all(|it| it.delivery.gaps_reported),
        Metric::OffsetsEpochChange => ledger.offsets.epoch_changes,
        Metric::OffsetsReused => ledger.offsets.reused,
        Metric::LoadUnsent => all(|it| it.publications.unsent),
        Metric::ServiceExitUnexpected => count(ledger.services.unexpected_exits.iter()),
        Metric::FaultsPlanned => faults(|_| true),
        Metric::FaultsEffective => faults(FaultStats::is_effective),
        Metric::FaultsIneffective => faults(|it| !it.is_effective()),
        Metric::FaultsWithoutImpact => faults(FaultStats::has_no_impact),
        Metric::FaultsInFlight => ledger.faults.iter().map(|it| it.in_flight).sum(),
        Metric::RecoveryDetect => return times(Incident::detect),
        Metric::RecoveryDial => return times(|it| Some(it.dial())),
        Metric::RecoveryLogin => return times(Incident::login),
        Metric::RecoveryResume => return times(Incident::resume),
        Metric::RecoveryTotal => return times(|it| Some(it.total())),
        Metric::RecoveryAfterHeal => return times(Incident::after_heal),
        Metric::RecoveryStall => {
            return Measured::Times(stalls(filter, ledger).map(Stall::duration).collect());
        }
        Metric::AttemptsPerRecovery => {
            return Measured::Counts(attempts::per_recovery(incidents(filter, ledger)));
        }
        Metric::ServiceRestartTime => {
            let restarts = ledger.services.restarts.iter();
            return Measured::Times(restarts.map(|it| it.duration).collect());
        }
        Metric::LabLag => return Measured::Times(ledger.harness.lateness()),
        Metric::RequestsSent => return requests::sent(filter, ledger),
        Metric::RequestsOk => return of_class(RequestClass::Ok),
        Metric::RequestsError => return of_class(RequestClass::Error),
        Metric::RequestsNotSent => return of_class(RequestClass::NotSent),
        Metric::RequestsUnknown => return of_class(RequestClass::MaybeExecuted),
        Metric::RequestsResent => return requests::resent(filter, ledger),
        Metric::RequestsExecuted => return executed(None),
        Metric::RequestsNotSentExecuted => return executed(Some(RequestClass::NotSent)),
        Metric::RequestsUnknownExecuted => return executed(Some(RequestClass::MaybeExecuted)),
        Metric::RequestsExecutedTwice => return requests::executed_twice(filter, ledger),
        Metric::RequestsOkNotExecuted => return requests::ok_not_executed(filter, ledger),
        Metric::RequestsUnexpected => return requests::unexpected(ledger),
        Metric::RequestsSettled => return requests::latencies(filter, ledger, |it| it.settling),
        Metric::LatencyTotal => return requests::latencies(filter, ledger, |it| it.latency),
        Metric::LatencyService => return requests::latencies(filter, ledger, |it| it.service),
        Metric::ConnectFirst => return requests::first_connects(filter, ledger),
        Metric::ConnectAgain => return requests::later_connects(filter, ledger),
        Metric::ConnectionsDuration => return requests::connection_durations(filter, ledger),
        Metric::ConnectionsBalance => return requests::balance(ledger),
    };
    Measured::Number(value)
}

/// The clients that a filter selects.
pub(crate) fn clients<'a>(
    filter: &'a MetricFilter,
    ledger: &'a Ledger,
) -> impl Iterator<Item = &'a ClientStats> {
    let clients = ledger.clients.iter();
    clients.filter(|it| is_selected(filter, &it.client))
}

/// What happened to the clients that a filter selects, restricted to the step that it names. Whatever lists what a metric
/// counts uses this too, so that both select the same.
pub(crate) fn entries<'a, T: 'a, L: Iterator<Item = &'a T>>(
    filter: &'a MetricFilter,
    ledger: &'a Ledger,
    of_client: impl Fn(&'a ClientStats) -> L,
    fault: impl Fn(&T) -> Option<FaultId>,
) -> impl Iterator<Item = (&'a ClientStats, &'a T)> {
    clients(filter, ledger)
        .flat_map(move |stats| of_client(stats).map(move |entry| (stats, entry)))
        .filter(move |(_, entry)| is_of_step(filter, ledger, fault(entry)))
}

/// Whether a filter selects this client.
pub(crate) fn is_selected(filter: &MetricFilter, client: &Client) -> bool {
    filter.load.as_ref().is_none_or(|load| client.load == *load)
        && filter.kind.is_none_or(|kind| client.kind == kind)
}

fn incidents<'a>(
    filter: &'a MetricFilter,
    ledger: &'a Ledger,
) -> impl Iterator<Item = &'a Incident> {
    let all = |it: &'a ClientStats| it.connections.incidents.iter();
    entries(filter, ledger, all, |it| it.disconnect.fault).map(|(_, it)| it)
}

fn all_disconnects<'a>(
    filter: &'a MetricFilter,
    ledger: &'a Ledger,
) -> impl Iterator<Item = &'a Disconnect> {
    let all = |it: &'a ClientStats| it.connections.disconnects.iter();
    entries(filter, ledger, all, |it| it.fault).map(|(_, it)| it)
}

fn stalls<'a>(filter: &'a MetricFilter, ledger: &'a Ledger) -> impl Iterator<Item = &'a Stall> {
    entries(filter, ledger, |it| it.stalls.iter(), |it| it.fault).map(|(_, it)| it)
}

fn is_of_step(filter: &MetricFilter, ledger: &Ledger, fault: Option<FaultId>) -> bool {
    filter.step.as_ref().is_none_or(|step| {
        let found = ledger.faults.iter().find(|it| Some(it.planned.id) == fault);
        found.is_some_and(|it| it.planned.step == *step)
    })
}

fn sum(filter: &MetricFilter, ledger: &Ledger, pick: fn(&ClientStats) -> u64) -> u64 {
    clients(filter, ledger).map(pick).sum()
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    convert::to_u64(items.count())
}
