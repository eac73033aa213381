//! Any report at any time: no endpoint is starved, and the memory is bounded by the list.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use steadfast_machine::{Instant, convert};

use super::{EndpointId, Endpoints, HELD_AT_MOST, NOW, SETTINGS, endpoints_with, list};
use crate::endpoints::ListedEndpoint;

/// The result of an attempt, and the time until the next one.
#[derive(Clone, Copy, Debug)]
enum End {
    Failed,
    /// Nothing is reported: the network of the client failed.
    Local,
    Unstable,
}

fn attempts() -> impl Strategy<Value = Vec<(End, Duration)>> {
    let end = prop_oneof![Just(End::Failed), Just(End::Local), Just(End::Unstable)];
    let time = prop_oneof![
        (0_u64..10_000).prop_map(Duration::from_millis),
        (0_u64..1_000).prop_map(Duration::from_secs),
    ];
    prop::collection::vec((end, time), 1..200)
}

/// Makes an attempt without a stable connection.
fn attempt(endpoints: &mut Endpoints, now: Instant, end: End) -> EndpointId {
    let id = endpoints.next(now);
    match end {
        End::Failed => endpoints.on_failed(now, id),
        End::Local => {}
        End::Unstable => {
            endpoints.on_connected(now, id);
            endpoints.on_lost(now + SETTINGS.stable_after / 2, id);
        }
    }
    id
}

/// A request of the application, or a report about an endpoint, of the list or not.
#[derive(Clone, Debug)]
enum Step {
    Next,
    Failed(u64),
    Connected(u64),
    Lost(u64),
    HoldDown(u64),
    Postpone(u64, u64),
    StartFailback,
    Set(Vec<(u64, u16)>),
}

fn step() -> impl Strategy<Value = Step> {
    let id = || 0_u64..24;
    prop_oneof![
        4 => Just(Step::Next),
        1 => id().prop_map(Step::Failed),
        2 => id().prop_map(Step::Connected),
        1 => id().prop_map(Step::Lost),
        1 => id().prop_map(Step::HoldDown),
        1 => (id(), 0_u64..1_000).prop_map(|(id, seconds)| Step::Postpone(id, seconds)),
        2 => Just(Step::StartFailback),
        1 => prop::collection::vec((id(), 0_u16..4), 0..20).prop_map(Step::Set),
    ]
}

fn apply(endpoints: &mut Endpoints, now: Instant, step: &Step) -> Option<EndpointId> {
    match step {
        Step::Next => return Some(endpoints.next(now)),
        Step::Failed(id) => endpoints.on_failed(now, EndpointId(*id)),
        Step::Connected(id) => endpoints.on_connected(now, EndpointId(*id)),
        Step::Lost(id) => endpoints.on_lost(now, EndpointId(*id)),
        Step::HoldDown(id) => endpoints.hold_down(now, EndpointId(*id)),
        Step::Postpone(id, seconds) => {
            endpoints.postpone(EndpointId(*id), now + Duration::from_secs(*seconds));
        }
        Step::StartFailback => {
            let due = endpoints.failback_at();
            let started = endpoints.start_failback(now);
            assert_eq!(started.is_some(), due.is_some_and(|due| due <= now));
            // The next one is not due at once, so a link cannot repeat it in a loop.
            if let Some(started) = started {
                assert_ne!(endpoints.start_failback(now), Some(started));
            }
            return started;
        }
        Step::Set(list) => {
            let listed = |(id, priority): &(u64, u16)| ListedEndpoint {
                id: EndpointId(*id),
                priority: *priority,
            };
            let list: Vec<ListedEndpoint> = list.iter().map(listed).collect();
            let _is_valid = endpoints.set(now, &list).is_ok();
        }
    }
    None
}

proptest! {
    #[test]
    fn a_round_tries_each_endpoint_exactly_once(
        priorities in prop::collection::vec(0_u16..4, 1..10),
        attempts in attempts(),
        seed: u64,
    ) {
        let mut endpoints = endpoints_with(SETTINGS, &list(priorities.clone()), seed);
        let mut now = NOW;
        let mut round = Vec::new();
        for (end, time) in attempts {
            round.push(attempt(&mut endpoints, now, end));
            now = now + time;
            if endpoints.is_round_over(now) {
                round.sort_unstable();
                let all = (0..convert::to_u64(priorities.len())).map(EndpointId);
                prop_assert_eq!(&round, &all.collect::<Vec<_>>());
                round.clear();
            }
        }
        prop_assert!(round.len() < priorities.len(), "the round is never over");
    }

    #[test]
    fn no_endpoint_waits_for_more_than_two_attempts_at_each_other(
        priorities in prop::collection::vec(0_u16..4, 1..10),
        attempts in attempts(),
        seed: u64,
    ) {
        let mut endpoints = endpoints_with(SETTINGS, &list(priorities.clone()), seed);
        let mut now = NOW;
        let ids = (0..convert::to_u64(priorities.len())).map(EndpointId);
        let mut last_tried: BTreeMap<EndpointId, usize> = ids.map(|id| (id, 0)).collect();
        for (number, (end, time)) in attempts.into_iter().enumerate() {
            let id = attempt(&mut endpoints, now, end);
            last_tried.insert(id, number);
            now = now + time;
            for (id, tried) in &last_tried {
                let waits = number - tried;
                prop_assert!(waits <= 2 * (priorities.len() - 1), "{:?} waits {}", id, waits);
            }
        }
    }

    #[test]
    fn the_preferred_endpoint_is_tried_first_again_after_its_hold_down(
        priorities in prop::collection::vec(1_u16..4, 1..10),
        attempts in attempts(),
        seed: u64,
    ) {
        let listed = list(std::iter::once(0).chain(priorities));
        let preferred = EndpointId(0);
        let mut endpoints = endpoints_with(SETTINGS, &listed, seed);
        let mut now = NOW;
        for (end, time) in attempts {
            attempt(&mut endpoints, now, end);
            now = now + time;
        }
        // A fallback is ready; its connection is lost after the longest hold-down.
        endpoints.on_connected(now, EndpointId(1));
        now = now + HELD_AT_MOST + SETTINGS.stable_after;
        endpoints.on_lost(now, EndpointId(1));

        prop_assert_eq!(endpoints.next(now), preferred);
    }

    #[test]
    fn any_steps_dial_listed_endpoints_only_and_remember_no_others(
        steps in prop::collection::vec((step(), 0_u64..1_000), 1..200),
        seed: u64,
    ) {
        let mut endpoints = endpoints_with(SETTINGS, &list([0, 1, 1]), seed);
        let mut now = NOW;
        for (step, seconds) in steps {
            now = now + Duration::from_secs(seconds);
            let dialled = apply(&mut endpoints, now, &step);
            prop_assert!((1..=SETTINGS.count_max).contains(&endpoints.candidates.len()));
            if let Some(id) = dialled {
                prop_assert!(endpoints.candidates.iter().any(|it| it.id() == id));
            }
            let failback_at = endpoints.failback_at();
            let limit = now + HELD_AT_MOST.max(Duration::from_secs(1_000));
            prop_assert!(failback_at.is_none_or(|at| at <= limit), "{:?}", failback_at);
        }
    }
}
