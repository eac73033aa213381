//! How each metric is computed from the books.

use crate::ledger::record::LossCause;
use crate::ledger::{ClientBook, End, FaultBook, Group, Incident, Ledger, Stall};
use crate::metrics::{Filter, Metric};
use crate::quantity::{Quantity, Unit};
use crate::roster::FaultId;
use crate::samples::{Figure, Sample, Samples};
use crate::scenario::expr::Reading;

/// What a metric gives.
enum Measured {
    Number(u64),
    Share { part: u64, whole: u64 },
    Times(Vec<Sample>),
    Counts(Vec<Sample>),
}

/// The value of a reading; `None` when there is nothing to measure.
pub(super) fn figure(reading: &Reading, ledger: &Ledger) -> Option<Figure> {
    let quantity = match (
        measure(reading.metric, &reading.filter, ledger),
        reading.aggregate,
    ) {
        (Measured::Number(count), _) => Some(Quantity::count(count)),
        (Measured::Share { part, whole }, _) => Quantity::share(part, whole),
        (Measured::Times(values), Some(aggregate)) => {
            return Samples::new(values, Unit::Time).figure(aggregate);
        }
        (Measured::Counts(values), Some(aggregate)) => {
            return Samples::new(values, Unit::One).figure(aggregate);
        }
        (Measured::Times(_) | Measured::Counts(_), None) => None,
    };
    quantity.map(Figure::known)
}

/// The samples of a metric that has many values; `None` for one that is a number.
pub fn samples(metric: Metric, filter: &Filter, ledger: &Ledger) -> Option<Samples> {
    match measure(metric, filter, ledger) {
        Measured::Number(_) | Measured::Share { .. } => None,
        Measured::Times(values) => Some(Samples::new(values, Unit::Time)),
        Measured::Counts(values) => Some(Samples::new(values, Unit::One)),
    }
}

fn measure(metric: Metric, filter: &Filter, ledger: &Ledger) -> Measured {
    let all = |pick: fn(&ClientBook) -> u64| sum(filter, ledger, pick);
    let group = |group: Group| {
        let members = books(filter, ledger).filter(|book| book.life.group == group);
        count(members)
    };
    let ended = |pick: fn(&End) -> bool| count(ends(filter, ledger).filter(|end| pick(end)));
    let owed = |part| Measured::Share {
        part,
        whole: all(|it| it.delivery.owed),
    };
    let times = |pick: fn(&Incident) -> Option<Sample>| {
        Measured::Times(incidents(filter, ledger).filter_map(pick).collect())
    };
    let faults = |pick: fn(&FaultBook) -> bool| count(ledger.faults.iter().filter(|it| pick(it)));
    let value = match metric {
        Metric::ClientsTotal => all(|_| 1),
        Metric::ClientsNeverConnected => group(Group::NeverConnected),
        Metric::ClientsNeverDisconnected => group(Group::NeverDisconnected),
        Metric::ClientsAffected => all(|it| u64::from(it.life.group.is_affected())),
        Metric::ClientsReconnected => group(Group::Reconnected),
        Metric::ClientsGaveUp => group(Group::GaveUp),
        Metric::ClientsDownAtEnd => group(Group::DownAtEnd),
        Metric::ClientsSilent => all(|it| u64::from(it.is_silent)),
        Metric::ClientsStalled => all(|it| u64::from(!it.stalls.is_empty())),
        Metric::StallsTotal => count(stalls(filter, ledger)),
        Metric::StallsUnattributed => count(stalls(filter, ledger).filter(|it| it.fault.is_none())),
        Metric::DisconnectsTotal => ended(|_| true),
        Metric::DisconnectsAttributed => ended(|it| it.fault.is_some()),
        Metric::DisconnectsUnattributed => ended(|it| it.fault.is_none()),
        Metric::DisconnectsByFin => ended(|it| it.cause == LossCause::Fin),
        Metric::DisconnectsByReset => ended(|it| it.cause == LossCause::Reset),
        Metric::DisconnectsByTimeout => ended(|it| it.cause == LossCause::Timeout),
        Metric::DisconnectsByCode => ended(|it| it.cause.code().is_some()),
        Metric::AttemptsCount => all(|it| it.life.attempts),
        Metric::DeliveryOwed => all(|it| it.delivery.owed),
        Metric::DeliveryDelivered => all(|it| it.delivery.delivered),
        Metric::DeliveryLost => all(|it| it.delivery.lost),
        Metric::DeliveryDuplicate => all(|it| it.delivery.duplicate),
        Metric::DeliveryReordered => all(|it| it.delivery.reordered),
        Metric::DeliveryUnknown => all(|it| it.delivery.unknown),
        Metric::DeliveryUnexpected => all(|it| it.delivery.unexpected),
        Metric::DeliveryRatio => return owed(all(|it| it.delivery.delivered)),
        Metric::DeliveryRatioAtStop => return owed(all(|it| it.delivery.delivered_by_stop)),
        Metric::OffsetsGapAnnounced => all(|it| it.delivery.gaps_announced),
        Metric::OffsetsEpochChange => ledger.places.epoch_changes,
        Metric::OffsetsReused => ledger.places.reused,
        Metric::LoadUnsent => all(|it| it.published.unsent),
        Metric::ServiceExitUnexpected => ledger.services.exits_unexpected,
        Metric::FaultsPlanned => faults(|_| true),
        Metric::FaultsEffective => faults(FaultBook::is_effective),
        Metric::FaultsIneffective => faults(|it| !it.is_effective()),
        Metric::FaultsHarmless => faults(FaultBook::is_harmless),
        Metric::FaultsInFlight => ledger.faults.iter().map(|it| it.in_flight).sum(),
        Metric::RecoveryDetect => return times(Incident::detect),
        Metric::RecoveryDial => return times(|it| Some(it.dial())),
        Metric::RecoveryResume => return times(Incident::resume),
        Metric::RecoveryTotal => return times(|it| Some(it.total())),
        Metric::RecoveryAfterHeal => return times(Incident::after_heal),
        Metric::RecoveryStall => {
            return Measured::Times(stalls(filter, ledger).map(Stall::lasted).collect());
        }
        Metric::AttemptsPerRecovery => return Measured::Counts(attempts(filter, ledger)),
        Metric::ServiceReadyAgain => return Measured::Times(ledger.services.ready_again.clone()),
        Metric::LabLag => return Measured::Times(ledger.harness.lag.clone()),
    };
    Measured::Number(value)
}

fn attempts(filter: &Filter, ledger: &Ledger) -> Vec<Sample> {
    let samples = incidents(filter, ledger).map(|it| Sample {
        censored: it.recovered.is_none(),
        value: it.attempts,
    });
    samples.collect()
}

fn books<'a>(filter: &'a Filter, ledger: &'a Ledger) -> impl Iterator<Item = &'a ClientBook> {
    ledger.clients.iter().filter(|book| {
        let client = &book.client;
        filter.load.as_ref().is_none_or(|load| client.load == *load)
            && filter.kind.is_none_or(|kind| client.kind == kind)
    })
}

fn incidents<'a>(filter: &'a Filter, ledger: &'a Ledger) -> impl Iterator<Item = &'a Incident> {
    books(filter, ledger)
        .flat_map(|book| &book.life.incidents)
        .filter(|it| is_of_step(filter, ledger, it.end.fault))
}

fn ends<'a>(filter: &'a Filter, ledger: &'a Ledger) -> impl Iterator<Item = &'a End> {
    books(filter, ledger)
        .flat_map(|book| &book.life.ends)
        .filter(|it| is_of_step(filter, ledger, it.fault))
}

fn stalls<'a>(filter: &'a Filter, ledger: &'a Ledger) -> impl Iterator<Item = &'a Stall> {
    books(filter, ledger)
        .flat_map(|book| &book.stalls)
        .filter(|it| is_of_step(filter, ledger, it.fault))
}

fn is_of_step(filter: &Filter, ledger: &Ledger, fault: Option<FaultId>) -> bool {
    filter.step.as_ref().is_none_or(|step| {
        let found = ledger.faults.iter().find(|it| Some(it.planned.id) == fault);
        found.is_some_and(|it| it.planned.step == *step)
    })
}

fn sum(filter: &Filter, ledger: &Ledger, pick: fn(&ClientBook) -> u64) -> u64 {
    books(filter, ledger).map(pick).sum()
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    u64::try_from(items.count()).unwrap_or(u64::MAX)
}
