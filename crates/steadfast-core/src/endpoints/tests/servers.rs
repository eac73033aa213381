//! The time of a failover in virtual time, with the delays of the real [`Backoff`]: servers that refuse, drop packets, are
//! frozen, are not available or drop each connection, and one that accepts.

use std::time::Duration;

use proptest::prelude::*;
use steadfast_machine::{Instant, Seed, convert};

use super::{EndpointId, Endpoints, NOW, SETTINGS, endpoints_with, list};
use crate::backoff::{Backoff, BackoffReason};
use crate::policy::{BackoffRange, BackoffSettings};

const FLOOR: Duration = Duration::from_millis(50);
const RANGE_MIN: Duration = Duration::from_secs(1);
const RANGE_MAX: Duration = Duration::from_secs(20);

/// The time of a dial that succeeds.
const CONNECT: Duration = Duration::from_millis(120);

const BACKOFF: BackoffSettings = BackoffSettings {
    floor: FLOOR,
    range: BackoffRange::Proportional {
        percent: 50,
        min: RANGE_MIN,
        max: RANGE_MAX,
    },
    going_away_jitter: Duration::from_secs(5),
    stable_after: Duration::from_secs(10),
    retry_after_max: Duration::from_mins(5),
    attempts_max: None,
};

/// What a server does with an attempt.
#[derive(Clone, Copy, Debug)]
enum Server {
    Accepts,
    /// No process listens on the port.
    Refuses,
    /// Packets are dropped: the TCP connection times out.
    BlackHole,
    /// The kernel accepts the connection, and the process does nothing: the attempt times out.
    Frozen,
    /// HTTP status 503, with the seconds that it requests.
    Unavailable {
        retry_after: Option<u64>,
    },
    /// Accepts a connection, and drops it after this many seconds.
    Drops {
        after: u64,
    },
}

impl Server {
    /// The longest time from the start of an attempt to the start of the next one within a round.
    fn time_max(self) -> Duration {
        match self {
            Self::Accepts => CONNECT,
            Self::Refuses => FLOOR,
            Self::BlackHole => Duration::from_secs(5),
            Self::Frozen => Duration::from_secs(10),
            Self::Unavailable { .. } => Duration::from_millis(80),
            Self::Drops { after } => CONNECT + Duration::from_secs(after) + FLOOR + RANGE_MAX,
        }
    }
}

/// A session without a connection.
struct Client {
    endpoints: Endpoints,
    backoff: Backoff,
    now: Instant,
    servers: Vec<Server>,
}

impl Client {
    /// Was connected to this endpoint for an hour, and lost it now.
    fn lost(endpoints: Endpoints, lost: EndpointId, servers: &[Server], seed: u64) -> Self {
        let mut client = Self {
            endpoints,
            backoff: Backoff::new(BACKOFF, Seed::new(seed)),
            now: NOW,
            servers: servers.to_vec(),
        };
        client.endpoints.on_connected(client.now, lost);
        client.lose_after(lost, Duration::from_hours(1));
        client
    }

    /// The connection is lost after a time; waits for the next attempt.
    fn lose_after(&mut self, id: EndpointId, connected_for: Duration) {
        self.now = self.now + connected_for;
        self.endpoints.on_lost(self.now, id);
        self.backoff.disconnected(self.now, connected_for);
        let delay = self.backoff.next(BackoffReason::ConnectionLost, self.now);
        self.now = self.now + delay;
    }

    /// Makes attempts until a server accepts. Returns them.
    fn connect(&mut self) -> Vec<EndpointId> {
        let mut attempts = Vec::new();
        loop {
            let id = self.endpoints.next(self.now);
            attempts.push(id);
            assert!(attempts.len() < 100, "no server accepts: {attempts:?}");
            let server = self.servers[usize::try_from(id.0).unwrap()];
            match server {
                Server::Accepts | Server::Drops { .. } => {
                    self.now = self.now + CONNECT;
                    self.endpoints.on_connected(self.now, id);
                    self.backoff.connected(self.now);
                    let Server::Drops { after } = server else {
                        return attempts;
                    };
                    self.lose_after(id, Duration::from_secs(after));
                }
                Server::Refuses => self.fail(id, Duration::ZERO, None),
                Server::BlackHole | Server::Frozen => self.fail(id, server.time_max(), None),
                Server::Unavailable { retry_after } => {
                    self.fail(id, server.time_max(), retry_after);
                }
            }
        }
    }

    /// The attempt fails after a time; waits for the next one, as a link does.
    fn fail(&mut self, id: EndpointId, time: Duration, retry_after: Option<u64>) {
        let started_at = self.now;
        let failed_at = started_at + time;
        self.endpoints.on_failed(failed_at, id);
        if let Some(seconds) = retry_after {
            let until = failed_at + Duration::from_secs(seconds);
            self.endpoints.postpone(id, until);
        }
        let delay = if self.endpoints.is_round_over(failed_at) {
            let reason = BackoffReason::AttemptFailed { retry_after: None };
            self.backoff.next(reason, started_at)
        } else {
            FLOOR
        };
        let at = (started_at + delay).max(failed_at);
        self.now = at.max(self.endpoints.available_at());
    }
}

/// A server that does not keep a connection.
fn failing() -> impl Strategy<Value = Server> {
    prop_oneof![
        Just(Server::Refuses),
        Just(Server::BlackHole),
        Just(Server::Frozen),
        prop::option::of(0_u64..600).prop_map(|retry_after| Server::Unavailable { retry_after }),
    ]
}

fn any_failing() -> impl Strategy<Value = Server> {
    prop_oneof![
        failing(),
        (0..SETTINGS.stable_after.as_secs()).prop_map(|after| Server::Drops { after }),
    ]
}

/// One server accepts, in a list with any priorities, after any failures in the past.
fn failover(
    servers: &[Server],
    priorities: &[u16],
    (accepting, lost): (usize, usize),
    failed: &[usize],
    seed: u64,
) -> (Client, Duration) {
    let mut servers = servers.to_vec();
    let count = servers.len();
    servers[accepting % count] = Server::Accepts;
    let listed = list((0..count).map(|at| priorities[at % priorities.len()]));
    let mut endpoints = endpoints_with(SETTINGS, &listed, seed);
    for failed in failed {
        let id = EndpointId(convert::to_u64(failed % count));
        endpoints.on_failed(NOW + Duration::from_mins(50), id);
    }
    let lost = EndpointId(convert::to_u64(lost % count));
    let client = Client::lost(endpoints, lost, &servers, seed);
    let others = servers.iter().filter(|it| !matches!(it, Server::Accepts));
    let others = others.map(|it| it.time_max()).sum();
    (client, others)
}

proptest! {
    #[test]
    fn the_session_is_connected_after_at_most_one_attempt_at_each_other_endpoint(
        servers in prop::collection::vec(any_failing(), 1..8),
        priorities in prop::collection::vec(0_u16..4, 1..8),
        places: (usize, usize),
        failed in prop::collection::vec(0_usize..8, 0..8),
        seed: u64,
    ) {
        let (mut client, others) = failover(&servers, &priorities, places, &failed, seed);
        let lost_at = NOW + Duration::from_hours(1);

        let attempts = client.connect();

        prop_assert!(attempts.len() <= servers.len(), "{:?}", attempts);
        let time = client.now - lost_at;
        let bound = FLOOR + RANGE_MIN + others + CONNECT;
        prop_assert!(time <= bound, "{:?} of {:?}: {:?}", time, bound, attempts);
    }

    #[test]
    fn a_second_loss_within_the_hold_down_costs_no_attempt_at_another_endpoint(
        servers in prop::collection::vec(failing(), 1..8),
        priorities in prop::collection::vec(0_u16..4, 1..8),
        places: (usize, usize),
        seed: u64,
    ) {
        let (mut client, _) = failover(&servers, &priorities, places, &[], seed);
        // Each of the others has failed before: during a round in which the server that accepts does not.
        let healthy = places.0 % servers.len();
        client.servers[healthy] = Server::Refuses;
        for _ in &servers {
            let id = client.endpoints.next(client.now);
            client.fail(id, Duration::ZERO, None);
        }
        client.servers[healthy] = Server::Accepts;
        client.connect();
        let accepting = EndpointId(convert::to_u64(healthy));
        let connected_at = client.now;
        let connected_for = SETTINGS.stable_after * 6;
        client.lose_after(accepting, connected_for);

        let attempts = client.connect();

        prop_assert_eq!(attempts, [accepting]);
        let bound = FLOOR + RANGE_MAX + CONNECT;
        prop_assert!(client.now - (connected_at + connected_for) <= bound);
    }
}
