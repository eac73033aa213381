//! What a check measured, in words, next to its limit: `0 lost of 1,768 expected deliveries`,
//! `750.81 ms < 6 s (max of 8 samples)`.

use super::{CheckOutcome, measure, samples};
use crate::counted::{counted, counted_len, grouped};
use crate::ledger::Ledger;
use crate::metrics::Metric;
use crate::quantity::{Percent, Quantity, Unit};
use crate::samples::Aggregate;
use crate::scenario::expr::{Comparison, Computed, MetricQuery, Operator, Relation, Term};
use crate::scenario::model::CheckLevel;

/// A metric of which others are parts.
#[derive(Clone, Copy)]
enum Total {
    Clients,
    AffectedClients,
    Disconnects,
    Stalls,
    ExpectedDeliveries,
    Requests,
    PlannedFaults,
}

impl Total {
    const fn metric(self) -> Metric {
        match self {
            Self::Clients => Metric::ClientsTotal,
            Self::AffectedClients => Metric::ClientsAffected,
            Self::Disconnects => Metric::DisconnectsTotal,
            Self::Stalls => Metric::StallsTotal,
            Self::ExpectedDeliveries => Metric::DeliveryExpected,
            Self::Requests => Metric::RequestsSent,
            Self::PlannedFaults => Metric::FaultsPlanned,
        }
    }
}

/// How the value of a metric is worded.
enum Wording {
    /// A count with the noun in the singular and the plural.
    Count(&'static str, &'static str),
    /// A part of a total.
    PartOf(Total, &'static str),
    /// A time or a ratio, which needs no noun.
    Plain,
}

/// Describes a comparison with the values of the run.
pub(super) fn comparison(
    comparison: &Comparison,
    outcome: CheckOutcome,
    level: CheckLevel,
    ledger: &Ledger,
) -> String {
    let Comparison {
        left,
        relation,
        right,
    } = comparison;
    let measured = match left {
        Term::Metric(query) => with_total(query, ledger),
        Term::Literal(_) | Term::Computed(_) => term(left, false, ledger),
    };
    let limit = term(right, is_ratio(left), ledger);
    let is_zero = |it: &Term| matches!(it, Term::Literal(limit) if *limit == Quantity::count(0));
    let text = match outcome {
        // "0 lost" says that none is.
        CheckOutcome::Holds if *relation == Relation::Equal && is_zero(right) => measured,
        CheckOutcome::Holds => match relation {
            Relation::Equal => format!("{measured} = {limit}"),
            Relation::Unequal
            | Relation::AtMost
            | Relation::Below
            | Relation::AtLeast
            | Relation::Above => format!("{measured} {} {limit}", relation.symbol()),
        },
        CheckOutcome::Fails | CheckOutcome::Unknown | CheckOutcome::NotApplicable => {
            format!("{measured}, {}{limit}", required(*relation, level))
        }
    };
    let notes: Vec<String> = comparison
        .metric_queries()
        .into_iter()
        .flat_map(|query| notes(query, ledger))
        .collect();
    if notes.is_empty() {
        text
    } else {
        format!("{text} ({})", notes.join(", "))
    }
}

fn required(relation: Relation, level: CheckLevel) -> String {
    let required = match level {
        CheckLevel::Must => "must be",
        CheckLevel::Should => "should be",
        CheckLevel::Info => "expected",
    };
    match relation {
        Relation::Equal => format!("{required} "),
        Relation::Unequal
        | Relation::AtMost
        | Relation::Below
        | Relation::AtLeast
        | Relation::Above => format!("{required} {} ", relation.symbol()),
    }
}

/// The value of a metric; a part with its total, which shows how much was tested.
fn with_total(query: &MetricQuery, ledger: &Ledger) -> String {
    let Wording::PartOf(total, _) = wording(query.metric) else {
        return metric(query, false, ledger);
    };
    let total = MetricQuery {
        metric: total.metric(),
        ..query.clone()
    };
    format!(
        "{} of {}",
        metric(query, true, ledger),
        metric(&total, false, ledger)
    )
}

fn term(term: &Term, as_percent: bool, ledger: &Ledger) -> String {
    match term {
        Term::Literal(quantity) if as_percent => Percent(*quantity).to_string(),
        Term::Literal(quantity) => quantity.to_string(),
        Term::Metric(query) => metric(query, false, ledger),
        Term::Computed(computed) => {
            if let Some(part) = part_of_total(computed) {
                return with_total(part, ledger);
            }
            let side = |operand| self::term(operand, false, ledger);
            let operator = computed.operator.symbol();
            format!(
                "{} {operator} {}",
                side(&computed.left),
                side(&computed.right)
            )
        }
    }
}

fn metric(query: &MetricQuery, names_total: bool, ledger: &Ledger) -> String {
    let Some(measured) = measure::evaluate(query, ledger) else {
        return "no samples".to_owned();
    };
    let larger = if measured.is_censored { "> " } else { "" };
    let whole = whole(measured.quantity);
    let worded = whole.and_then(|count| match (query.aggregate, wording(query.metric)) {
        (Some(Aggregate::Count), _) => Some(counted(count, "sample", "samples")),
        (_, Wording::Count(one, many)) => Some(counted(count, one, many)),
        (_, Wording::PartOf(_, what)) if names_total => Some(counted(count, what, what)),
        (_, Wording::PartOf(total, what)) => {
            let (one, many) = noun(total);
            let noun = if count == 1 { one } else { many };
            Some(format!("{} {what} {noun}", grouped(count)))
        }
        (_, Wording::Plain) => None,
    });
    match worded {
        Some(worded) => format!("{larger}{worded}"),
        None if is_ratio_metric(query.metric) => Percent(measured.quantity).to_string(),
        None => measured.to_string(),
    }
}

/// The noun of a part when its total is not named next to it.
fn noun(total: Total) -> (&'static str, &'static str) {
    match total {
        Total::Clients | Total::AffectedClients => ("client", "clients"),
        Total::Disconnects => ("disconnect", "disconnects"),
        Total::Stalls => ("stall", "stalls"),
        Total::ExpectedDeliveries => ("delivery", "deliveries"),
        Total::Requests => ("request", "requests"),
        Total::PlannedFaults => ("fault", "faults"),
    }
}

/// The value if it is a whole number; a mean of counts may be a fraction.
fn whole(quantity: Quantity) -> Option<u64> {
    let count = quantity.as_count()?;
    (quantity.compare(Quantity::count(count))?)
        .is_eq()
        .then_some(count)
}

/// Of how many samples the value is computed, and to which clients the metric is restricted.
fn notes(query: &MetricQuery, ledger: &Ledger) -> Vec<String> {
    let filter = Some(query.filter.to_string()).filter(|it| !it.is_empty());
    let samples = samples(query.metric, &query.filter, ledger);
    let aggregate = query
        .aggregate
        .zip(samples)
        .filter(|(requested, samples)| !samples.is_empty() && *requested != Aggregate::Count)
        .map(|(requested, samples)| {
            let used = requested.for_samples(samples.len());
            let of = counted_len(samples.len(), "sample", "samples");
            if used == requested {
                format!("{} of {of}", used.name())
            } else {
                format!("{} of {of}, too few for {}", used.name(), requested.name())
            }
        });
    aggregate.into_iter().chain(filter).collect()
}

/// The part that is divided by its total, for example in `clients.reconnected / clients.affected`.
fn part_of_total(computed: &Computed) -> Option<&MetricQuery> {
    let Computed {
        left: Term::Metric(part),
        operator: Operator::Divide,
        right: Term::Metric(total),
    } = computed
    else {
        return None;
    };
    let is_total =
        matches!(wording(part.metric), Wording::PartOf(of, _) if of.metric() == total.metric);
    (is_total && part.filter == total.filter).then_some(part)
}

/// Whether a value is a ratio of two counts, which is worded as a percentage.
fn is_ratio(term: &Term) -> bool {
    match term {
        Term::Literal(_) => false,
        Term::Metric(query) => is_ratio_metric(query.metric),
        Term::Computed(computed) => {
            computed.operator == Operator::Divide && term.unit() == Some(Unit::Dimensionless)
        }
    }
}

fn is_ratio_metric(metric: Metric) -> bool {
    matches!(
        metric,
        Metric::DeliveryRatio | Metric::DeliveryRatioAtStop | Metric::ConnectionsBalance
    )
}

#[expect(clippy::too_many_lines, reason = "one line for each metric")]
const fn wording(metric: Metric) -> Wording {
    use Metric as M;
    use Wording::{Count, PartOf, Plain};
    match metric {
        M::ClientsTotal => Count("client", "clients"),
        M::ClientsNeverConnected => PartOf(Total::Clients, "never connected"),
        M::ClientsNeverDisconnected => PartOf(Total::Clients, "never disconnected"),
        M::ClientsAffected => Count("affected client", "affected clients"),
        M::ClientsReconnected => PartOf(Total::AffectedClients, "reconnected"),
        M::ClientsGaveUp => PartOf(Total::AffectedClients, "gave up"),
        M::ClientsDownAtEnd => PartOf(Total::AffectedClients, "still down"),
        M::ClientsSilent => PartOf(Total::Clients, "silent"),
        M::ClientsStalled => PartOf(Total::Clients, "stalled"),
        M::DisconnectsTotal => Count("disconnect", "disconnects"),
        M::DisconnectsAttributed => PartOf(Total::Disconnects, "attributed"),
        M::DisconnectsUnattributed => PartOf(Total::Disconnects, "unattributed"),
        M::DisconnectsByFin => PartOf(Total::Disconnects, "by FIN"),
        M::DisconnectsByReset => PartOf(Total::Disconnects, "by RST"),
        M::DisconnectsByTimeout => PartOf(Total::Disconnects, "by timeout"),
        M::DisconnectsByCode => PartOf(Total::Disconnects, "by close code"),
        M::StallsTotal => Count("stall", "stalls"),
        M::StallsUnattributed => PartOf(Total::Stalls, "unattributed"),
        M::AttemptsCount | M::AttemptsPerRecovery => Count("attempt", "attempts"),
        M::AttemptsRatePeak => Count("attempt in 100 ms", "attempts in 100 ms"),
        M::DeliveryExpected => Count("expected delivery", "expected deliveries"),
        M::DeliveryDelivered => PartOf(Total::ExpectedDeliveries, "completed"),
        M::DeliveryLost => PartOf(Total::ExpectedDeliveries, "lost"),
        M::DeliveryDuplicate => Count("duplicate delivery", "duplicate deliveries"),
        M::DeliveryReordered => Count("reordered delivery", "reordered deliveries"),
        M::DeliveryUnknown => Count(
            "delivery with unknown outcome",
            "deliveries with unknown outcome",
        ),
        M::DeliveryUnexpected => Count("unexpected delivery", "unexpected deliveries"),
        M::DeliveryMissed => Count("missed message", "missed messages"),
        M::RequestsSent => Count("request", "requests"),
        M::RequestsOk => PartOf(Total::Requests, "ok"),
        M::RequestsError => PartOf(Total::Requests, "with an error"),
        M::RequestsNotSent => PartOf(Total::Requests, "not sent"),
        M::RequestsUnknown => PartOf(Total::Requests, "without a reply"),
        M::RequestsResent => Count("resend", "resends"),
        M::RequestsExecuted => PartOf(Total::Requests, "executed"),
        M::RequestsExecutedTwice => PartOf(Total::Requests, "executed twice"),
        M::RequestsOkNotExecuted => PartOf(Total::Requests, "ok but not executed"),
        M::RequestsNotSentExecuted => PartOf(Total::Requests, "not sent but executed"),
        M::RequestsUnknownExecuted => PartOf(Total::Requests, "without a reply but executed"),
        M::RequestsUnexpected => Count("unexpected execution", "unexpected executions"),
        M::OffsetsGapReported => Count("reported gap", "reported gaps"),
        M::OffsetsEpochChange => Count("channel epoch change", "channel epoch changes"),
        M::OffsetsReused => Count("reused offset", "reused offsets"),
        M::LoadUnsent => Count(
            "unsent publication or request",
            "unsent publications and requests",
        ),
        M::ServiceExitUnexpected => Count("unexpected exit", "unexpected exits"),
        M::FaultsPlanned => Count("planned fault", "planned faults"),
        M::FaultsEffective => PartOf(Total::PlannedFaults, "effective"),
        M::FaultsIneffective => PartOf(Total::PlannedFaults, "ineffective"),
        M::FaultsWithoutImpact => PartOf(Total::PlannedFaults, "without impact"),
        M::FaultsInFlight => Count("publication in flight", "publications in flight"),
        M::RecoveryDetect
        | M::RecoveryDial
        | M::RecoveryLogin
        | M::RecoveryResume
        | M::RecoveryTotal
        | M::RecoveryAfterHeal
        | M::RecoveryStall
        | M::DeliveryRatio
        | M::DeliveryRatioAtStop
        | M::ConnectFirst
        | M::ConnectAgain
        | M::ConnectionsDuration
        | M::ConnectionsBalance
        | M::RequestsSettled
        | M::LatencyTotal
        | M::LatencyService
        | M::ServiceRestartTime
        | M::LabLag => Plain,
    }
}
