//! The traffic of a run over time: publications, acknowledgements and deliveries, and how long they took.
//!
//! Requests count as publications, and replies to them as acknowledgements, whose latency counts from the instant at which
//! the request was due. Messages of streams count as deliveries; they have no latency.
//!
//! The run is divided into at most [`INTERVALS_MAX`] intervals of one length. Latencies are counted from the first send
//! of a publication, so a publication that waits for the end of a fault has the latency that its reader experiences. The
//! time in which it waited to be sent for the first time is not included.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_machine::{Instant, convert};

use crate::ledger::delivery::Messages;
use crate::ledger::event::{ClientEvent, MessageId, RunPhase};
use crate::ledger::timeline::Timeline;
use crate::quantity::Unit;
use crate::samples::{Aggregate, Sample, Samples};
use crate::topology::{ClientId, Topology};

/// The most intervals of a run: a report has one point and one row of a table for each.
pub const INTERVALS_MAX: usize = 240;

/// The lengths of intervals in seconds; the shortest with which the run has few enough intervals is used. With the last,
/// 240 intervals are 240 days.
const LENGTHS: [u64; 11] = [1, 2, 5, 10, 30, 60, 120, 300, 900, 3_600, 86_400];

/// The upper bounds of the classes of latencies in microseconds; a last class has everything above.
pub const LATENCY_BOUNDS: [u64; 18] = [
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
];

/// The traffic of all clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrafficStats {
    /// The start of the first interval.
    pub start: Instant,
    /// The length of an interval, in whole seconds.
    pub length: Duration,
    /// The intervals, without a gap, up to the end of the run.
    pub intervals: Vec<TrafficInterval>,
    /// From the first send of a publication to its acknowledgement, and from the instant at which a request was due to
    /// its reply.
    pub acknowledgements: LatencyClasses,
    /// From the first send of a publication to each of its deliveries.
    pub deliveries: LatencyClasses,
}

impl TrafficStats {
    /// The duration of all intervals, the last of which may end after the run.
    pub fn duration(&self) -> Duration {
        let seconds = convert::to_u64(self.intervals.len()).saturating_mul(self.length.as_secs());
        Duration::from_secs(seconds)
    }
}

/// What happened in one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficInterval {
    /// Publications and requests that were sent for the first time.
    pub published: u64,
    /// Acknowledgements of publications, and replies to requests.
    pub acknowledged: u64,
    /// Deliveries to clients.
    pub delivered: u64,
    /// Latencies of the acknowledgements that arrived in the interval.
    pub acknowledgement: Latency,
    /// Latencies of the deliveries that arrived in the interval.
    pub delivery: Latency,
}

/// The latencies of one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// The median; `None` with too few samples for a percentile.
    pub p50: Option<Duration>,
    /// The largest; `None` without samples.
    pub max: Option<Duration>,
}

/// How many latencies are in each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LatencyClasses {
    /// The number of latencies up to each of [`LATENCY_BOUNDS`] and above the one before it.
    pub counts: [u64; LATENCY_BOUNDS.len()],
    /// The number of latencies above the last bound.
    pub above: u64,
}

impl LatencyClasses {
    /// Counts one latency.
    pub fn add(&mut self, latency: Duration) {
        let micros = latency.as_nanos().div_ceil(1_000);
        let class = LATENCY_BOUNDS
            .iter()
            .position(|it| micros <= u128::from(*it));
        match class.and_then(|class| self.counts.get_mut(class)) {
            Some(count) => *count += 1,
            None => self.above += 1,
        }
    }

    /// The number of all latencies.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.above
    }
}

/// The samples of one interval, until they are summed up.
#[derive(Debug, Default)]
struct Collected {
    interval: TrafficInterval,
    acknowledgement: Vec<Sample>,
    delivery: Vec<Sample>,
}

/// Sums up the events of all clients.
pub(super) fn sum_up(
    topology: &Topology,
    timeline: &Timeline<'_>,
    messages: &Messages,
) -> TrafficStats {
    let start = timeline.begin(RunPhase::Connect).unwrap_or_default();
    let duration = timeline.end() - start;
    let length = length(duration);
    let mut stats = TrafficStats {
        start,
        length,
        ..TrafficStats::default()
    };
    // An event at the very end belongs to the last interval.
    let count = duration.as_nanos().div_ceil(length.as_nanos());
    let count = convert::saturating::<usize>(count).clamp(1, INTERVALS_MAX);
    let mut collected: Vec<Collected> = (0..count).map(|_| Collected::default()).collect();
    for client in topology.clients() {
        // When the requests of the client were due that have no reply yet.
        let mut requests = BTreeMap::new();
        for (at, event) in timeline.of_client(client.id) {
            let interval = (*at - start).as_nanos() / length.as_nanos();
            let interval = convert::saturating::<usize>(interval).min(count - 1);
            if let Some(into) = collected.get_mut(interval) {
                let event = (*at, *event);
                collect(client.id, event, messages, &mut requests, into, &mut stats);
            }
        }
    }
    stats.intervals = collected.into_iter().map(summed).collect();
    stats
}

fn length(duration: Duration) -> Duration {
    let [.., longest] = LENGTHS;
    let intervals = convert::to_u64(INTERVALS_MAX);
    let seconds = duration.as_nanos().div_ceil(1_000_000_000);
    let fits = |length: &u64| u128::from(length * intervals) >= seconds;
    let length = LENGTHS.into_iter().find(fits).unwrap_or(longest);
    Duration::from_secs(length)
}

fn collect(
    client: ClientId,
    (at, event): (Instant, &ClientEvent),
    messages: &Messages,
    requests: &mut BTreeMap<u64, Instant>,
    into: &mut Collected,
    stats: &mut TrafficStats,
) {
    let latency = |id: MessageId| {
        let published = messages.all.get(&id).and_then(|it| it.published);
        published.map(|published| at - published)
    };
    match event {
        ClientEvent::Published { .. } => into.interval.published += 1,
        ClientEvent::Acknowledged { sequence, .. } => {
            into.interval.acknowledged += 1;
            let id = MessageId {
                publisher: client,
                sequence: *sequence,
            };
            if let Some(latency) = latency(id) {
                into.acknowledgement.push(Sample::time(latency));
                stats.acknowledgements.add(latency);
            }
        }
        ClientEvent::Delivered { message, .. } => {
            into.interval.delivered += 1;
            if let Some(latency) = message.and_then(latency) {
                into.delivery.push(Sample::time(latency));
                stats.deliveries.add(latency);
            }
        }
        ClientEvent::Requested { sequence, intended } => {
            into.interval.published += 1;
            requests.insert(*sequence, *intended);
        }
        ClientEvent::Settled { sequence, outcome } if outcome.is_reply() => {
            into.interval.acknowledged += 1;
            if let Some(intended) = requests.remove(sequence) {
                let latency = at - intended;
                into.acknowledgement.push(Sample::time(latency));
                stats.acknowledgements.add(latency);
            }
        }
        ClientEvent::Received { .. } => into.interval.delivered += 1,
        ClientEvent::Opened
        | ClientEvent::Attempting
        | ClientEvent::TransportOpened
        | ClientEvent::RequestedAgain { .. }
        | ClientEvent::AttemptFailed
        | ClientEvent::Connected
        | ClientEvent::ConnectionLost(_)
        | ClientEvent::GaveUp { .. }
        | ClientEvent::Subscribed(_)
        | ClientEvent::Resent { .. }
        | ClientEvent::Rejected { .. }
        | ClientEvent::Settled { .. }
        | ClientEvent::Unsent => {}
    }
}

fn summed(collected: Collected) -> TrafficInterval {
    TrafficInterval {
        acknowledgement: aggregated(collected.acknowledgement),
        delivery: aggregated(collected.delivery),
        ..collected.interval
    }
}

fn aggregated(values: Vec<Sample>) -> Latency {
    let samples = Samples::new(values, Unit::Time);
    let value = |aggregate: Aggregate| {
        let is_valid = aggregate.for_samples(samples.len()) == aggregate;
        let value = samples.aggregate(aggregate).filter(|_| is_valid);
        value.and_then(|value| value.quantity.as_time())
    };
    Latency {
        p50: value(Aggregate::P50),
        max: value(Aggregate::Max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_intervals_is_bounded_for_every_duration() {
        for (seconds, expected) in [
            (0, 1),
            (13, 1),
            (240, 1),
            (241, 2),
            (3_600, 30),
            (864_001, 86_400),
        ] {
            let duration = Duration::from_secs(seconds);

            assert_eq!(length(duration).as_secs(), expected, "{seconds} s");
        }
    }

    #[test]
    fn a_latency_belongs_to_the_class_whose_bound_it_does_not_exceed() {
        let mut classes = LatencyClasses::default();
        for micros in [0, 200, 201, 1_000, 100_000_000, 100_000_001] {
            classes.add(Duration::from_micros(micros));
        }
        classes.add(Duration::from_nanos(1_000_001));

        assert_eq!(classes.counts[..4], [2, 1, 1, 1]);
        assert_eq!(
            (classes.counts[17], classes.above, classes.total()),
            (1, 1, 7)
        );
    }
}
