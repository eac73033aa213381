//! The closed list of metrics of a run: name, shape, and the filters that apply to it.
//!
//! Checks can use these names only. [`crate::check`] computes the values.

use std::fmt;

use crate::quantity::Unit;
use crate::topology::ClientKind;

/// Whether a metric is one number or many samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricShape {
    /// One number: a count or a ratio.
    Number,
    /// Many values, which an aggregate reduces to one number.
    Samples(Unit),
}

/// Which filters apply to a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricScope {
    /// No filter: the metric describes the run.
    Run,
    /// By load or kind of the client.
    Clients,
    /// By load or kind of the client, and by the step that caused the incident.
    Incidents,
    /// By load or kind of the client, and by the step in effect while the request had no outcome.
    Requests,
}

/// Restricts a metric to some clients, incidents or requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricFilter {
    /// Only clients of this load.
    pub load: Option<String>,
    /// Only clients of this kind.
    pub kind: Option<ClientKind>,
    /// Only incidents that this step caused, or requests without an outcome while it was in effect.
    pub step: Option<String>,
}

impl fmt::Display for MetricFilter {
    /// Writes the filters as in a scenario: `load=chat,kind=centrifuge`; nothing without a filter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { load, kind, step } = self;
        let kind = kind.map(|kind| kind.name().to_owned());
        let parts = [("load", load), ("kind", &kind), ("step", step)];
        let parts: Vec<String> = parts
            .iter()
            .filter_map(|(key, value)| value.as_ref().map(|value| format!("{key}={value}")))
            .collect();
        f.write_str(&parts.join(","))
    }
}

macro_rules! metrics {
    ($($variant:ident $name:literal $shape:ident $scope:ident $about:literal)*) => {
        /// A measured property of a run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Metric {
            $(#[doc = $about] $variant,)*
        }

        impl Metric {
            /// All metrics, in the order of the table below.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in checks and reports.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// One sentence that describes it.
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$variant => $about,)*
                }
            }

            /// Whether it is one number or many samples.
            pub const fn shape(self) -> MetricShape {
                match self {
                    $(Self::$variant => shapes::$shape,)*
                }
            }

            /// The filters that apply to it.
            pub const fn scope(self) -> MetricScope {
                match self {
                    $(Self::$variant => MetricScope::$scope,)*
                }
            }
        }
    };
}

/// Short names of the shapes, for the table below.
mod shapes {
    use super::{MetricShape, Unit};

    pub(super) const NUMBER: MetricShape = MetricShape::Number;
    pub(super) const TIMES: MetricShape = MetricShape::Samples(Unit::Time);
    pub(super) const COUNTS: MetricShape = MetricShape::Samples(Unit::Dimensionless);
}

metrics! {
    ClientsTotal "clients.total" NUMBER Clients "Clients that take part."
    ClientsNeverConnected "clients.never_connected" NUMBER Clients "Clients that were never connected."
    ClientsNeverDisconnected "clients.never_disconnected" NUMBER Clients "Clients whose connection never ended."
    ClientsAffected "clients.affected" NUMBER Clients "Clients with at least one unplanned disconnect."
    ClientsReconnected "clients.reconnected" NUMBER Clients "Affected clients that are connected again at the end of the run."
    ClientsGaveUp "clients.gave_up" NUMBER Clients "Affected clients that no longer try to connect."
    ClientsDownAtEnd "clients.down_at_end" NUMBER Clients "Affected clients that have not recovered by the end of the run."
    ClientsSilent "clients.silent" NUMBER Clients "Clients that report being connected, but had no success after the last fault was healed."
    ClientsStalled "clients.stalled" NUMBER Clients "Clients that were connected without a success for longer than the stall limit."
    DisconnectsTotal "disconnects.total" NUMBER Incidents "Unplanned ends of connections."
    DisconnectsAttributed "disconnects.attributed" NUMBER Incidents "Disconnects that are attributed to a fault."
    DisconnectsUnattributed "disconnects.unattributed" NUMBER Clients "Disconnects that are not attributed to a fault."
    DisconnectsByFin "disconnects.by_fin" NUMBER Incidents "Disconnects by FIN: the peer closed the socket without a close frame."
    DisconnectsByReset "disconnects.by_rst" NUMBER Incidents "Disconnects by RST: the peer reset the socket."
    DisconnectsByTimeout "disconnects.by_timeout" NUMBER Incidents "Disconnects because no data was received for too long."
    DisconnectsByCode "disconnects.by_close_code" NUMBER Incidents "Disconnects with a close code or disconnect code."
    StallsTotal "stalls.total" NUMBER Incidents "Periods longer than the stall limit in which a connected client had no success."
    StallsUnattributed "stalls.unattributed" NUMBER Clients "Stalls that are not attributed to a fault."
    RecoveryDetect "recovery.detect" TIMES Incidents "From the fault until the client noticed it."
    RecoveryDial "recovery.dial" TIMES Incidents "From noticing until the transport is open, or connected, with all attempts and delays."
    RecoveryLogin "recovery.login" TIMES Incidents "From the open transport until connected, of drivers that report both."
    RecoveryResume "recovery.resume" TIMES Incidents "From connected until subscribed and the first success."
    RecoveryTotal "recovery.total" TIMES Incidents "From the fault until the first success."
    RecoveryAfterHeal "recovery.after_heal" TIMES Incidents "From healing the fault until the first success."
    RecoveryStall "recovery.stall" TIMES Incidents "From the last success before a stall until the first one after it."
    AttemptsCount "attempts.count" NUMBER Clients "Connection attempts, successful or not."
    AttemptsPerRecovery "attempts.per_recovery" COUNTS Incidents "Connection attempts per incident."
    AttemptsRatePeak "attempts.rate_peak" NUMBER Clients "Most connection attempts in 100 ms by clients of one load after their first disconnects."
    ConnectFirst "connect.first" TIMES Clients "From the request to connect until a client is connected for the first time, with all attempts."
    ConnectAgain "connect.again" TIMES Clients "From the begin of an attempt until connected, for each later connection of drivers that report when an attempt begins."
    ConnectionsDuration "connections.duration" TIMES Clients "From connected until the client noticed the end of the connection."
    ConnectionsBalance "connections.balance" NUMBER Run "Connections of the instance with the fewest, as a ratio of that with the most, when the senders stopped; the smallest ratio of all services with several instances."
    DeliveryExpected "delivery.expected" NUMBER Clients "Expected deliveries: pairs of an acknowledged publication and a subscriber of its channel, or messages of a stream."
    DeliveryDelivered "delivery.delivered" NUMBER Clients "Expected deliveries that were completed."
    DeliveryLost "delivery.lost" NUMBER Clients "Expected deliveries that were not completed."
    DeliveryDuplicate "delivery.duplicate" NUMBER Clients "Deliveries of a publication that the subscriber had received before."
    DeliveryReordered "delivery.reordered" NUMBER Clients "Deliveries after a later publication of the channel or of the publisher."
    DeliveryUnknown "delivery.unknown" NUMBER Clients "Pairs of a publication with an unknown outcome and a subscriber, delivered or not."
    DeliveryUnexpected "delivery.unexpected" NUMBER Clients "Deliveries of a publication that no client of the channel published, or that was rejected."
    DeliveryMissed "delivery.missed" NUMBER Clients "Messages of a stream between two connections of a client, which its guarantee does not cover."
    DeliveryRatio "delivery.ratio" NUMBER Clients "Ratio of completed to expected deliveries at the end of the run."
    DeliveryRatioAtStop "delivery.ratio_at_stop" NUMBER Clients "Ratio of completed to expected deliveries when the senders stopped."
    OffsetsGapReported "offsets.gap_reported" NUMBER Clients "Resubscriptions to which the server replied that publications may be missing."
    OffsetsEpochChange "offsets.epoch_change" NUMBER Run "Changes of a channel epoch."
    OffsetsReused "offsets.reused" NUMBER Run "Offsets with more than one publication, and publications with more than one offset."
    RequestsSent "requests.sent" NUMBER Requests "Requests that were passed to a driver."
    RequestsOk "requests.ok" NUMBER Requests "Requests to which the server replied that they were executed."
    RequestsError "requests.error" NUMBER Requests "Requests to which the server replied with an error of the application."
    RequestsNotSent "requests.not_sent" NUMBER Requests "Requests that the client did not send, so that they were not executed."
    RequestsUnknown "requests.unknown" NUMBER Requests "Requests without a reply, which may have been executed: the connection was lost, or the time limit passed."
    RequestsResent "requests.resent" NUMBER Clients "Sends of requests after the first one."
    RequestsExecuted "requests.executed" NUMBER Requests "Requests that were executed at least once, by the effect logs of the services."
    RequestsExecutedTwice "requests.executed_twice" NUMBER Requests "Requests that were executed more than once, by one instance or by several."
    RequestsOkNotExecuted "requests.ok_not_executed" NUMBER Requests "Requests to which the server replied that they were executed, and that no instance executed."
    RequestsNotSentExecuted "requests.not_sent_executed" NUMBER Requests "Requests that the client reported as not sent, and that were executed."
    RequestsUnknownExecuted "requests.unknown_executed" NUMBER Requests "Requests without a reply that were executed."
    RequestsSettled "requests.settled" TIMES Requests "From the end of a connection, as its client noticed it, until the outcome of each request that was in flight on it and has no reply."
    RequestsUnexpected "requests.unexpected" NUMBER Run "Executions of requests that no client of this run sent."
    LatencyTotal "latency.total" TIMES Requests "From the instant at which a request was due until its reply; without a reply, until it was given up, as a lower bound."
    LatencyService "latency.service" TIMES Requests "From the last send of a request until its reply; without a reply, until it was given up, as a lower bound."
    LoadUnsent "load.unsent" NUMBER Clients "Publications and requests that were due but never sent, because a client's queue was full."
    ServiceRestartTime "service.restart_time" TIMES Run "From the start of a process after a fault until it is ready."
    ServiceExitUnexpected "service.exit_unexpected" NUMBER Run "Exits of processes that are not attributed to a fault."
    FaultsPlanned "faults.planned" NUMBER Run "Faults in the plan."
    FaultsEffective "faults.effective" NUMBER Run "Faults with a confirmed effect."
    FaultsIneffective "faults.ineffective" NUMBER Run "Faults without a confirmed effect."
    FaultsWithoutImpact "faults.without_impact" NUMBER Run "Faults that ended a process but no connection of a client and disturbed no request, and faults of links over which no client was connected."
    FaultsInFlight "faults.in_flight" NUMBER Run "Publications and requests that were in flight when a fault took effect on the process they were sent to."
    LabLag "lab.lag" TIMES Run "How late the timers of the harness fired."
}

impl Metric {
    /// Whether it has a value only if a service has an effect log.
    pub const fn needs_effect_log(self) -> bool {
        matches!(
            self,
            Self::RequestsExecuted
                | Self::RequestsExecutedTwice
                | Self::RequestsOkNotExecuted
                | Self::RequestsNotSentExecuted
                | Self::RequestsUnknownExecuted
                | Self::RequestsUnexpected
        )
    }

    /// The metric with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|it| it.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_reference_lists_every_metric_with_its_filters_and_its_meaning() {
        let page = include_str!("../../../docs/reference/metrics.md");
        let listed: Vec<&str> = page
            .lines()
            .filter(|it| {
                it.contains("` | number") || it.contains("` | times") || it.contains("` | counts")
            })
            .collect();

        let expected = Metric::ALL.iter().map(|metric| {
            let value = match metric.shape() {
                MetricShape::Number => "number",
                MetricShape::Samples(Unit::Time) => "times",
                MetricShape::Samples(_) => "counts",
            };
            let filters = match metric.scope() {
                MetricScope::Run => "",
                MetricScope::Clients => "load, kind ",
                MetricScope::Incidents | MetricScope::Requests => "load, kind, step ",
            };
            let (name, about) = (metric.name(), metric.about());
            format!("| `{name}` | {value} | {filters}| {about} |")
        });
        assert_eq!(listed, expected.collect::<Vec<_>>());
    }

    #[test]
    fn every_name_identifies_one_metric() {
        let names: BTreeSet<&str> = Metric::ALL.iter().map(|it| it.name()).collect();

        assert_eq!(names.len(), Metric::ALL.len());
        for metric in Metric::ALL {
            assert_eq!(Metric::from_name(metric.name()), Some(*metric));
            assert!(metric.about().ends_with('.'), "{}", metric.name());
        }
    }
}
