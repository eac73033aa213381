//! The closed list of what can be measured about a run: names, kinds, and which clients a name may be narrowed to.
//!
//! Checks may use these names and no others. How each is computed is said by [`crate::check`].

use crate::quantity::Unit;
use crate::roster::ClientKind;

/// What a metric gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One number: a count, or a share.
    Number,
    /// Many values, of which an aggregate makes one number.
    Samples(Unit),
}

/// How a metric may be narrowed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Not at all.
    Run,
    /// To clients of one load or kind.
    Clients,
    /// To clients of one load or kind, and to what one step caused.
    Incidents,
}

/// Narrows a metric down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Clients of this load.
    pub load: Option<String>,
    /// Clients of this kind.
    pub kind: Option<ClientKind>,
    /// What this step caused.
    pub step: Option<String>,
}

macro_rules! metrics {
    ($($variant:ident $name:literal $shape:ident $scope:ident $about:literal)*) => {
        /// Something that is measured about a run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Metric {
            $(#[doc = $about] $variant,)*
        }

        impl Metric {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in checks and reports.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What it means, one sentence.
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$variant => $about,)*
                }
            }

            /// What it gives.
            pub const fn shape(self) -> Shape {
                match self {
                    $(Self::$variant => shapes::$shape,)*
                }
            }

            /// How it may be narrowed down.
            pub const fn scope(self) -> Scope {
                match self {
                    $(Self::$variant => Scope::$scope,)*
                }
            }
        }
    };
}

/// The shapes under short names, for the table.
mod shapes {
    use super::{Shape, Unit};

    pub(super) const NUMBER: Shape = Shape::Number;
    pub(super) const TIMES: Shape = Shape::Samples(Unit::Time);
    pub(super) const COUNTS: Shape = Shape::Samples(Unit::One);
}

metrics! {
    ClientsTotal "clients.total" NUMBER Clients "Clients that take part."
    ClientsNeverConnected "clients.never_connected" NUMBER Clients "Clients that were never subscribed."
    ClientsNeverDisconnected "clients.never_disconnected" NUMBER Clients "Clients whose connection never ended."
    ClientsAffected "clients.affected" NUMBER Clients "Clients with at least one end of a connection that they had not asked for."
    ClientsReconnected "clients.reconnected" NUMBER Clients "Affected clients that are back at the end of the run."
    ClientsGaveUp "clients.gave_up" NUMBER Clients "Affected clients that do not try any more."
    ClientsDownAtEnd "clients.down_at_end" NUMBER Clients "Affected clients that still try at the end of the run."
    ClientsSilent "clients.silent" NUMBER Clients "Clients that say they are connected and were neither answered nor handed anything after the last fault was healed."
    ClientsStalled "clients.stalled" NUMBER Clients "Clients that were connected and got nothing for longer than a stall may last."
    DisconnectsTotal "disconnects.total" NUMBER Incidents "Ends of connections that clients had not asked for."
    DisconnectsAttributed "disconnects.attributed" NUMBER Incidents "Those that a fault explains."
    DisconnectsUnattributed "disconnects.unattributed" NUMBER Clients "Those that no fault explains."
    DisconnectsByFin "disconnects.by_fin" NUMBER Incidents "Those in which the peer closed the socket."
    DisconnectsByReset "disconnects.by_rst" NUMBER Incidents "Those in which the peer reset the socket."
    DisconnectsByTimeout "disconnects.by_timeout" NUMBER Incidents "Those in which nothing was heard for too long."
    DisconnectsByCode "disconnects.by_close_code" NUMBER Incidents "Those that came with a code."
    StallsTotal "stalls.total" NUMBER Incidents "Times longer than a stall may last in which a connected client got nothing."
    StallsUnattributed "stalls.unattributed" NUMBER Clients "Those that no fault explains."
    RecoveryDetect "recovery.detect" TIMES Incidents "From the fault until the client knows."
    RecoveryDial "recovery.dial" TIMES Incidents "From knowing until connected, with all attempts and waits."
    RecoveryResume "recovery.resume" TIMES Incidents "From connected until subscribed and the first success of the application."
    RecoveryTotal "recovery.total" TIMES Incidents "From the fault until the first success of the application."
    RecoveryAfterHeal "recovery.after_heal" TIMES Incidents "From the fault's heal until the first success of the application."
    RecoveryStall "recovery.stall" TIMES Incidents "From the last success before a stall until the first one after it."
    AttemptsCount "attempts.count" NUMBER Clients "Attempts to connect, successful or not."
    AttemptsPerRecovery "attempts.per_recovery" COUNTS Incidents "Attempts of one incident."
    DeliveryOwed "delivery.owed" NUMBER Clients "Pairs of an acknowledged publication and a subscriber of its room."
    DeliveryDelivered "delivery.delivered" NUMBER Clients "Owed pairs that were delivered."
    DeliveryLost "delivery.lost" NUMBER Clients "Owed pairs that were not."
    DeliveryDuplicate "delivery.duplicate" NUMBER Clients "Deliveries of a publication that this subscriber already had."
    DeliveryReordered "delivery.reordered" NUMBER Clients "Deliveries behind one that stands later in the room."
    DeliveryUnknown "delivery.unknown" NUMBER Clients "Pairs of a publication whose outcome is not known, delivered or not."
    DeliveryUnexpected "delivery.unexpected" NUMBER Clients "Deliveries of what nobody of this room published."
    DeliveryRatio "delivery.ratio" NUMBER Clients "Delivered in owed, at the end of the run."
    DeliveryRatioAtStop "delivery.ratio_at_stop" NUMBER Clients "Delivered in owed when the senders stopped."
    OffsetsGapAnnounced "offsets.gap_announced" NUMBER Clients "Subscriptions that came back and were told that something may be missing."
    OffsetsEpochChange "offsets.epoch_change" NUMBER Run "Changes of a room's channel epoch."
    OffsetsReused "offsets.reused" NUMBER Run "Places of a room at which more than one publication was seen."
    LoadUnsent "load.unsent" NUMBER Clients "Publications that were due and never sent, since a client's queue was full."
    ServiceReadyAgain "service.ready_again" TIMES Run "From the start of a process after a fault until it is ready."
    ServiceExitUnexpected "service.exit_unexpected" NUMBER Run "Exits of processes that no fault explains."
    FaultsPlanned "faults.planned" NUMBER Run "Faults of the plan."
    FaultsEffective "faults.effective" NUMBER Run "Faults with proof that they took effect."
    FaultsIneffective "faults.ineffective" NUMBER Run "Faults without such proof."
    FaultsHarmless "faults.harmless" NUMBER Run "Faults that ended a process and no client's connection."
    FaultsInFlight "faults.in_flight" NUMBER Run "Publications that were under way when a fault ended the process they were sent to."
    LabLag "lab.lag" TIMES Run "How much too late the timers of the harness fired."
}

impl Metric {
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
    fn every_name_stands_for_one_metric() {
        let names: BTreeSet<&str> = Metric::ALL.iter().map(|it| it.name()).collect();

        assert_eq!(names.len(), Metric::ALL.len());
        for metric in Metric::ALL {
            assert_eq!(Metric::from_name(metric.name()), Some(*metric));
            assert!(metric.about().ends_with('.'), "{}", metric.name());
        }
    }
}
