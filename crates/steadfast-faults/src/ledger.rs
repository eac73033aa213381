//! The ledger of a run: all event records, reconciled.
//!
//! [`event`] defines the event records and [`event_log`] stores them. [`Ledger::reconcile`] derives the connections of
//! each client, the deliveries of each publication to each subscriber, and the effects of each fault. The ledger does
//! not know the guarantees: [`crate::check`] compares it with the checks of the scenario, and [`consistency`] verifies
//! that the sums of the ledger agree.

mod connections;
mod consistency;
mod delivery;
pub mod event;
pub mod event_log;
mod faults;
mod incidents;
mod offsets;
mod problems;
mod requests;
mod stalls;
mod streams;
mod timeline;
mod traffic;

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_machine::{Instant, convert};

use crate::ledger::delivery::Messages;
use crate::ledger::event::{HarnessEvent, RunPhase};
use crate::ledger::event_log::EventLog;
use crate::ledger::streams::Streams;
use crate::ledger::timeline::Timeline;
use crate::samples::Sample;
use crate::scenario::model::{Load, Scenario, Traffic};
use crate::scenario::plan::Plan;
use crate::topology::{Client, ClientActivity};

pub use connections::{ClientOutcome, ConnectionInterval, ConnectionStats, Reconnect};
pub use delivery::{DeliveryStats, PublicationStats};
pub use faults::{FaultStats, Restart, ServiceStats, UnexpectedExit};
pub use incidents::{Disconnect, Incident};
pub use offsets::{EpochChange, OffsetStats, ReusedOffset};
pub use problems::{DeliveryProblem, PROBLEMS_MAX, ProblemKind};
pub use requests::{EffectLogs, Request, RequestClass, RequestStats};
pub use stalls::Stall;
pub use traffic::{
    INTERVALS_MAX, LATENCY_BOUNDS, Latency, LatencyClasses, TrafficInterval, TrafficStats,
};

/// The reconciled event records of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Ledger {
    /// When each phase began.
    pub phases: BTreeMap<RunPhase, Instant>,
    /// Per client, in the order of the topology.
    pub clients: Vec<ClientStats>,
    /// Per planned fault, in the order of the plan.
    pub faults: Vec<FaultStats>,
    /// Restarts and exits of processes.
    pub services: ServiceStats,
    /// Channel epochs and offsets of all channels.
    pub offsets: OffsetStats,
    /// What the services executed.
    pub effects: EffectLogs,
    /// Publications, acknowledgements and deliveries over time.
    pub traffic: TrafficStats,
    /// The first deliveries of each kind that violate a guarantee.
    pub problems: Vec<DeliveryProblem>,
    /// What the harness reported about itself.
    pub harness: HarnessStats,
    /// Sums that disagree, and events that contradict each other; the run proves nothing unless this list is empty.
    pub inconsistencies: Vec<String>,
}

/// The reconciled events of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientStats {
    /// The client in the topology.
    pub client: Client,
    /// Its connections and disconnects.
    pub connections: ConnectionStats,
    /// The publications that it received.
    pub delivery: DeliveryStats,
    /// The publications that it sent.
    pub publications: PublicationStats,
    /// The requests that it sent.
    pub requests: RequestStats,
    /// When its subscription was first active; of a client without one, when it was first connected.
    pub subscribed: Option<Instant>,
    /// Periods without a success while it was connected.
    pub stalls: Vec<Stall>,
    /// The client reports that it is connected, but has had no success since all faults were healed.
    pub is_silent: bool,
}

/// What the harness reported about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HarnessStats {
    /// How late its timers fired.
    pub lag: Vec<Lag>,
    /// Failures of the harness itself.
    pub failures: Vec<String>,
    /// Event records that were dropped because the log was full.
    pub dropped: u64,
}

/// A timer of the harness that was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// When it fired.
    pub at: Instant,
    /// How much too late that was.
    pub late: Sample,
}

impl HarnessStats {
    /// How late each timer fired.
    pub fn lateness(&self) -> Vec<Sample> {
        self.lag.iter().map(|it| it.late).collect()
    }
}

impl Ledger {
    /// Derives the ledger from an event log. The order in which different sources wrote does not matter.
    pub fn reconcile(scenario: &Scenario, plan: &Plan, log: &EventLog) -> Self {
        let timeline = Timeline::new(log);
        let topology = plan.topology();
        let mut faults = faults::open(plan.faults(), &timeline);
        let services = faults::services(topology, &faults, &timeline);
        let mut messages = Messages::collect(topology, &timeline);
        let effects = EffectLogs::collect(&timeline);
        let sources = Sources {
            stall: scenario.run().stall,
            timeline: &timeline,
            faults: &faults,
            streams: Streams::collect(topology, &timeline),
            effects: &effects,
        };
        let clients: Vec<ClientStats> = topology
            .clients()
            .iter()
            .map(|client| {
                let load = scenario.loads().iter().find(|it| it.name == client.load);
                reconcile_client(client, load, &sources, &mut messages)
            })
            .collect();
        attribute(&mut faults, &clients, &messages);
        let mut ledger = Self {
            phases: timeline.phases.clone(),
            clients,
            faults,
            services,
            offsets: messages.offsets(),
            effects,
            traffic: traffic::sum_up(topology, &timeline, &messages),
            problems: messages.problems.sorted(),
            harness: harness(&timeline, log),
            inconsistencies: Vec::new(),
        };
        ledger.inconsistencies = consistency::inconsistencies(&ledger, &timeline, &messages);
        ledger
    }

    /// From the first phase that is recorded to the last.
    pub fn duration(&self) -> Duration {
        let first = self.phases.values().min().copied().unwrap_or_default();
        self.end() - first
    }

    /// The begin of the last phase that is recorded: the end of a complete run.
    pub fn end(&self) -> Instant {
        self.phases.values().max().copied().unwrap_or_default()
    }

    /// The incidents of all clients.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.clients.iter().flat_map(|it| &it.connections.incidents)
    }
}

/// What the reconciliation of a client reads.
struct Sources<'a> {
    /// The stall limit.
    stall: Duration,
    timeline: &'a Timeline<'a>,
    faults: &'a [FaultStats],
    streams: Streams,
    effects: &'a EffectLogs,
}

fn reconcile_client(
    client: &Client,
    load: Option<&Load>,
    sources: &Sources<'_>,
    messages: &mut Messages,
) -> ClientStats {
    let (timeline, faults) = (sources.timeline, sources.faults);
    let events = timeline.of_client(client.id);
    let connections = connections::reconstruct(client, events, faults, timeline.end());
    let (delivery, subscribed) = match load {
        Some(load) if load.traffic != Traffic::Publications => {
            sources.streams.reconcile(client, load, timeline)
        }
        Some(_) | None => {
            let is_ordered = load.is_some_and(|load| load.is_ordered);
            delivery::reconcile(client, is_ordered, timeline, messages)
        }
    };
    let stall = sources.stall;
    let stalls = stalls::stalls(client, subscribed, stall, &connections, faults, timeline);
    let publications = messages.by_publisher.get(&client.id).copied();
    let is_connected = match connections.outcome {
        ClientOutcome::NeverDisconnected | ClientOutcome::Reconnected => true,
        ClientOutcome::NeverConnected | ClientOutcome::GaveUp | ClientOutcome::DownAtEnd => false,
    };
    let healed = timeline.begin(RunPhase::Quiet);
    // Without traffic, a connection that works cannot be distinguished from one that does not.
    let expects_traffic = client.activity != ClientActivity::Idle;
    let has_succeeded = events
        .iter()
        .any(|(at, event)| event.is_success() && healed.is_none_or(|healed| *at >= healed));
    ClientStats {
        client: client.clone(),
        connections,
        delivery,
        publications: publications.unwrap_or_default(),
        requests: requests::reconcile(client, timeline, faults, sources.effects),
        subscribed,
        stalls,
        is_silent: is_connected && expects_traffic && !has_succeeded,
    }
}

/// Counts for each fault the connections that it ended, and the publications that were in flight.
fn attribute(faults: &mut [FaultStats], clients: &[ClientStats], messages: &Messages) {
    for fault in faults {
        let planned = fault.planned.clone();
        let mut own = clients
            .iter()
            .filter(|it| planned.hits(&it.client))
            .peekable();
        fault.found_no_client =
            own.peek().is_some() && own.all(|it| fault.found_cut_off(&it.connections));
        let Some(injected) = fault.injected else {
            continue;
        };
        for stats in clients.iter().filter(|stats| planned.hits(&stats.client)) {
            fault.clients += 1;
            let is_stalled = stats.stalls.iter().any(|it| it.fault == Some(planned.id));
            fault.stalled += u64::from(is_stalled);
            fault.connected += u64::from(fault.found_connected(&stats.connections.intervals));
            let own = Some(fault.planned.id);
            let disconnect = stats
                .connections
                .disconnects
                .iter()
                .find(|it| it.fault == own);
            fault.disconnects += u64::from(disconnect.is_some());
            let noticed = disconnect.map_or(injected, |it| it.at);
            let all = messages.of(stats.client.id);
            let in_flight = all.into_iter().filter(|(_, message)| {
                let sent = message.published.is_some_and(|at| at <= noticed);
                sent && message.settled.is_none_or(|settled| settled > injected)
            });
            fault.in_flight += convert::to_u64(in_flight.count());
            let requests = stats.requests.requests.iter().filter(|request| {
                request.sent <= noticed && request.settled.is_none_or(|at| at > injected)
            });
            fault.in_flight += convert::to_u64(requests.count());
            let disturbed = stats
                .requests
                .requests
                .iter()
                .filter(|request| request.fault == own && request.class != RequestClass::Ok);
            fault.disturbed_requests += convert::to_u64(disturbed.count());
        }
    }
}

fn harness(timeline: &Timeline<'_>, log: &EventLog) -> HarnessStats {
    let mut stats = HarnessStats {
        dropped: log.dropped(),
        ..HarnessStats::default()
    };
    for (at, event) in &timeline.harness {
        match event {
            HarnessEvent::Lag { late } => stats.lag.push(Lag {
                at: *at,
                late: Sample::time(*late),
            }),
            HarnessEvent::Failed(what) => stats.failures.push(what.clone()),
        }
    }
    stats
}
