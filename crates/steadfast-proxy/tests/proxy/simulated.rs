//! The link of the simulation runs the same machines with the same draws: one seed means the same victims and delays.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use steadfast_faults::link::{Direction, Lane, Link};
use steadfast_faults::toxic::{ActiveToxic, Identity};
use steadfast_proxy::{Instant, Seed, Toxic};

use crate::setup::{millis, pair, receive, send, timed};
use crate::victims::{SEEDED, affected};

/// Sends a byte over the simulated connection with this number. Returns when it arrives; `None` if it does not.
fn arrival(connection: u64, toxic: &Toxic) -> Option<Duration> {
    let now = Instant::START;
    let mut link = Link::new(now);
    let identity = Identity {
        seed: Seed::new(7),
        proxy: "proxy".into(),
        connection,
        source: None,
    };
    let active = ActiveToxic::new(toxic.clone(), now);
    link.add_toxics(now, identity, &[Arc::new(active)]);
    let stream = link.stream_mut(Direction::ToServer);
    stream.send(
        now,
        Duration::ZERO,
        Bytes::from_static(b"a"),
        Lane::Messages,
    );
    loop {
        let next = stream.schedule(now)?;
        stream.on_event(next);
        stream.refill(next, Duration::ZERO);
        if stream.read(next, 1).is_some() {
            return Some(next.saturating_since(now));
        }
    }
}

#[test]
fn the_simulated_link_has_the_victims_of_the_proxy() {
    let toxic = Toxic::stall().upstream().named(SEEDED).toxicity(0.5);

    let simulated: Vec<u64> = (1..=20)
        .filter(|id| arrival(*id, &toxic).is_none())
        .collect();

    assert_eq!(affected().1, simulated);
}

#[test]
fn the_simulated_link_has_the_delays_of_the_proxy() {
    let toxic = Toxic::latency_with_jitter(millis(300), millis(300)).upstream();
    let pair = pair([toxic.clone()]);
    let mut planned = Vec::new();
    for id in 2..=7 {
        let (mut client, mut server) = pair.another();
        let ((), time) = timed(|| {
            send(&mut client, b"a");
            receive(&mut server, 1);
        });
        let delay = arrival(id, &toxic).unwrap();
        assert!(time >= delay, "{id}: {time:?} is before {delay:?}");
        assert!(
            time < delay + millis(2000),
            "{id}: {time:?} is long after {delay:?}"
        );
        planned.push(delay);
    }
    let (first, last) = (planned.iter().min().unwrap(), planned.iter().max().unwrap());
    assert!(
        *last > *first + millis(100),
        "each connection has its own: {planned:?}"
    );
}
