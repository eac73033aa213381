//! The rules one by one: rounds, order, hold-down, requested delays, failback, and changes of the list.

mod random;
mod servers;

use std::time::Duration;

use steadfast_machine::{Instant, Seed};

use super::{EndpointId, Endpoints, EndpointsError, ListedEndpoint};
use crate::policy::{EndpointsPolicy, EndpointsSettings, FailbackSettings, SessionSetting};

const SETTINGS: EndpointsSettings = EndpointsSettings {
    count_max: 16,
    stable_after: Duration::from_secs(10),
    hold_down: Duration::from_mins(5),
    hold_down_jitter: Duration::from_mins(10),
    failback: Some(FailbackSettings {
        after: Duration::from_mins(1),
        jitter: Duration::from_mins(4),
    }),
};

/// The latest end of a hold-down.
const HELD_AT_MOST: Duration = Duration::from_mins(15);

const A: EndpointId = EndpointId(0);
const B: EndpointId = EndpointId(1);
const C: EndpointId = EndpointId(2);

/// An instant far from the start, at which nothing happened yet.
const NOW: Instant = Instant::from_nanos(1_000_000_000_000_000);

const SECOND: Duration = Duration::from_secs(1);

/// Endpoints 0, 1, 2 with these priorities.
fn list(priorities: impl IntoIterator<Item = u16>) -> Vec<ListedEndpoint> {
    let ids = (0..).map(EndpointId);
    let listed = ids.zip(priorities);
    listed
        .map(|(id, priority)| ListedEndpoint { id, priority })
        .collect()
}

fn endpoints_with(settings: EndpointsSettings, list: &[ListedEndpoint], seed: u64) -> Endpoints {
    let policy = EndpointsPolicy::new(settings).unwrap();
    Endpoints::new(policy, list, Seed::new(seed)).unwrap()
}

fn endpoints(priorities: impl IntoIterator<Item = u16>) -> Endpoints {
    endpoints_with(SETTINGS, &list(priorities), 1)
}

/// The endpoints of the next attempts, which all fail.
fn dialled(endpoints: &mut Endpoints, now: Instant, attempts: usize) -> Vec<EndpointId> {
    let attempt = |_| {
        let id = endpoints.next(now);
        endpoints.on_failed(now, id);
        id
    };
    (0..attempts).map(attempt).collect()
}

/// Connected to the second of two endpoints, because the first failed.
fn failed_over(seed: u64) -> Endpoints {
    let mut endpoints = endpoints_with(SETTINGS, &list([0, 1]), seed);
    dialled(&mut endpoints, NOW, 1);
    let fallback = endpoints.next(NOW);
    endpoints.on_connected(NOW, fallback);
    endpoints
}

#[test]
fn a_round_tries_each_endpoint_once_in_the_order_of_priority() {
    let mut endpoints = endpoints([1, 2, 0]);

    for _ in 0..3 {
        for id in [C, A, B] {
            assert_eq!(dialled(&mut endpoints, NOW, 1), [id]);
            assert_eq!(endpoints.is_round_over(NOW), id == B);
        }
    }
}

#[test]
fn an_endpoint_that_failed_is_tried_after_the_others_until_its_hold_down_ends() {
    for (passed, first) in [(SETTINGS.hold_down, B), (HELD_AT_MOST, A)] {
        let mut endpoints = failed_over(1);
        let lost_at = NOW + passed;
        endpoints.on_lost(lost_at, B);

        let dialled = dialled(&mut endpoints, lost_at, 2);

        assert_eq!(dialled.first(), Some(&first), "{passed:?}");
        assert!(dialled.contains(&A) && dialled.contains(&B));
    }
}

#[test]
fn a_hold_down_without_jitter_ends_at_its_instant() {
    let settings = EndpointsSettings {
        hold_down_jitter: Duration::ZERO,
        ..SETTINGS
    };
    let lasts = SETTINGS.hold_down;
    let almost = lasts.saturating_sub(Duration::from_nanos(1));
    for (passed, first) in [(almost, B), (lasts, A)] {
        let mut endpoints = endpoints_with(settings, &list([0, 1]), 1);
        endpoints.hold_down(NOW, A);

        assert_eq!(endpoints.next(NOW + passed), first);
    }
}

#[test]
fn an_attempt_that_failed_in_the_network_of_the_client_does_not_hold_its_endpoint_down() {
    let mut endpoints = endpoints([0, 1]);

    // Nothing is reported of them.
    let round = [endpoints.next(NOW), endpoints.next(NOW)];

    assert_eq!(round, [A, B]);
    assert!(endpoints.is_round_over(NOW));
    assert_eq!(endpoints.next(NOW), A);
}

#[test]
fn a_connection_ends_the_hold_down_of_its_endpoint() {
    let mut endpoints = endpoints([0, 1]);
    dialled(&mut endpoints, NOW, 2);

    assert_eq!(endpoints.next(NOW), A);
    endpoints.on_connected(NOW, A);
    let lost_at = NOW + SETTINGS.stable_after;
    endpoints.on_lost(lost_at, A);

    assert_eq!(endpoints.next(lost_at), A);
}

#[test]
fn a_connection_that_is_lost_before_it_is_stable_counts_as_a_failure_of_its_round() {
    let mut endpoints = endpoints([0, 1, 2]);

    let mut now = NOW;
    for id in [A, B] {
        assert_eq!(endpoints.next(now), id);
        endpoints.on_connected(now, id);
        now = now
            + SETTINGS
                .stable_after
                .saturating_sub(Duration::from_nanos(1));
        endpoints.on_lost(now, id);
        assert!(!endpoints.is_round_over(now));
    }
    assert_eq!(endpoints.next(now), C);
    endpoints.on_connected(now, C);
    // Both are held down when the stable connection is lost.
    now = now + SETTINGS.stable_after;
    endpoints.on_lost(now, C);
    assert_eq!(dialled(&mut endpoints, now, 3), [C, A, B]);
}

#[test]
fn the_loss_of_a_connection_that_was_replaced_changes_nothing() {
    let mut endpoints = failed_over(1);
    let later = NOW + HELD_AT_MOST;
    assert_eq!(endpoints.start_failback(later), Some(A));
    endpoints.on_connected(later, A);

    endpoints.on_lost(later, B);

    assert_eq!(endpoints.failback_at(), None);
    endpoints.on_lost(later, A);
    assert_eq!(endpoints.next(later), B, "which is not held down");
}

#[test]
fn a_stable_connection_that_is_replaced_begins_a_round_and_nothing_follows_for_its_endpoint() {
    let almost = SETTINGS
        .stable_after
        .saturating_sub(Duration::from_nanos(1));
    for (passed, is_stable) in [(almost, false), (SETTINGS.stable_after, true)] {
        let mut endpoints = failed_over(1);
        let now = NOW + passed;

        endpoints.on_replaced(now);

        assert_eq!(endpoints.failback_at(), None, "no connection is present");
        assert_eq!(endpoints.is_round_over(now), !is_stable, "{passed:?}");
        endpoints.on_lost(now, B);
        assert_eq!(endpoints.next(now), B, "A is held down, and B is not");
    }
}

#[test]
fn a_server_that_asks_for_another_endpoint_is_tried_last_although_its_connection_was_stable() {
    let mut endpoints = endpoints([0, 1]);
    let id = endpoints.next(NOW);
    endpoints.on_connected(NOW, id);
    let lost_at = NOW + SETTINGS.stable_after;
    endpoints.on_lost(lost_at, A);

    endpoints.hold_down(lost_at, A);

    assert_eq!(dialled(&mut endpoints, lost_at, 1), [B]);
    assert!(!endpoints.is_round_over(lost_at));
    assert_eq!(dialled(&mut endpoints, lost_at, 1), [A]);
}

#[test]
fn an_attempt_for_a_connection_that_replaces_the_present_one_is_at_another_endpoint() {
    let mut endpoints = endpoints([0, 1, 2]);
    dialled(&mut endpoints, NOW, 1);
    let id = endpoints.next(NOW);
    endpoints.on_connected(NOW, id);

    // The round of the present connection is over, whichever endpoints were tried in it.
    let later = NOW + HELD_AT_MOST;
    assert_eq!(dialled(&mut endpoints, later, 2), [A, C]);

    assert!(endpoints.is_round_over(later));
    assert_eq!(endpoints.next(later), A);
    let mut only = self::endpoints([0]);
    let id = only.next(NOW);
    only.on_connected(NOW, id);
    assert_eq!(only.next(later), A);
}

#[test]
fn a_requested_delay_excludes_its_endpoint_and_no_other() {
    let mut endpoints = endpoints([0, 1]);
    let until = NOW + SECOND * 100;
    dialled(&mut endpoints, NOW, 1);
    endpoints.postpone(A, until);

    // A round is over without the endpoint.
    assert!(!endpoints.is_round_over(NOW));
    assert_eq!(endpoints.available_at(), Instant::START);
    for _ in 0..3 {
        assert_eq!(dialled(&mut endpoints, NOW, 1), [B]);
        assert!(endpoints.is_round_over(NOW));
    }
    assert_eq!(dialled(&mut endpoints, until, 1), [A]);
}

#[test]
fn without_an_available_endpoint_the_next_attempt_is_at_the_first_that_is_available_again() {
    let mut endpoints = endpoints([0, 1]);
    dialled(&mut endpoints, NOW, 2);
    endpoints.postpone(A, NOW + SECOND * 100);
    endpoints.postpone(B, NOW + SECOND * 50);

    assert!(endpoints.is_round_over(NOW));
    assert_eq!(endpoints.available_at(), NOW + SECOND * 50);
    assert_eq!(endpoints.next(NOW), B);
    assert_eq!(endpoints.next(NOW + SECOND * 50), B);
}

#[test]
fn a_connection_ends_the_delay_that_its_server_requested() {
    let mut endpoints = endpoints([0, 1]);
    let until = NOW + Duration::from_hours(1);
    endpoints.postpone(A, until);
    endpoints.on_connected(NOW, A);
    endpoints.postpone(B, until);

    // The attempt for a connection that replaces this one is at the other endpoint.
    assert_eq!(endpoints.available_at(), until);
    let lost_at = NOW + SETTINGS.stable_after;
    endpoints.on_lost(lost_at, A);

    assert_eq!(endpoints.available_at(), Instant::START);
    assert_eq!(endpoints.next(lost_at), A);
}

#[test]
fn a_failback_respects_the_delay_that_the_server_requested() {
    let mut endpoints = failed_over(1);
    let until = NOW + Duration::from_hours(1);

    endpoints.postpone(A, until);

    assert_eq!(endpoints.failback_at(), Some(until));
}

#[test]
fn sessions_are_distributed_over_endpoints_of_equal_priority() {
    let mut sessions = [[0; 3]; 3];
    for seed in 0..900 {
        let mut endpoints = endpoints_with(SETTINGS, &list([0, 0, 0, 1]), seed);
        let first = endpoints.next(NOW);
        endpoints.on_connected(NOW, first);
        assert_eq!(endpoints.failback_at(), None);
        let lost_at = NOW + SETTINGS.stable_after;
        endpoints.on_lost(lost_at, first);

        // Those of one endpoint, too, are distributed when it loses all of them.
        let second = endpoints.next(lost_at);

        let place = |id: EndpointId| usize::try_from(id.0).unwrap();
        sessions[place(first)][place(second)] += 1;
    }
    let mut counts = sessions.iter().flatten();
    assert!(counts.all(|it| (60..=140).contains(it)), "{sessions:?}");
}

#[test]
fn a_failback_is_due_after_the_hold_down_and_its_own_delay() {
    let failback = SETTINGS.failback.unwrap();
    for seed in 0..100 {
        let mut endpoints = failed_over(seed);
        let due = endpoints.failback_at().unwrap();
        assert!(due >= NOW + SETTINGS.hold_down && due <= NOW + HELD_AT_MOST);

        // The endpoint that failed is available again before the connection is lost: nothing is held down.
        endpoints.on_connected(NOW, A);
        endpoints.on_connected(NOW, B);
        let due = endpoints.failback_at().unwrap();

        assert!(due >= NOW + failback.after && due <= NOW + failback.after + failback.jitter);
        let too_early = Instant::from_nanos(due.as_nanos() - 1);
        assert_eq!(endpoints.start_failback(too_early), None);
        assert_eq!(endpoints.start_failback(due), Some(A));
    }
}

#[test]
fn a_failback_that_failed_or_is_not_reported_is_repeated_after_a_delay() {
    let mut endpoints = failed_over(1);
    let due = endpoints.failback_at().unwrap();
    assert_eq!(endpoints.start_failback(due), Some(A));

    let without_report = endpoints.failback_at().unwrap();
    assert!(without_report >= due + SETTINGS.failback.unwrap().after);
    endpoints.on_failed(due, A);

    let failed = endpoints.failback_at().unwrap();
    assert!(failed >= due + SETTINGS.hold_down);
    // The endpoint is known to have failed when the connection is lost.
    endpoints.on_lost(due, B);
    assert_eq!(endpoints.failback_at(), None);
    assert_eq!(dialled(&mut endpoints, due, 2), [B, A]);
}

#[test]
fn an_endpoint_whose_attempt_is_in_progress_at_the_loss_is_tried_once_in_the_round() {
    let mut endpoints = failed_over(1);
    let due = endpoints.failback_at().unwrap();
    assert_eq!(endpoints.start_failback(due), Some(A));
    endpoints.on_lost(due, B);

    endpoints.on_failed(due, A);

    assert_eq!(dialled(&mut endpoints, due, 1), [B]);
    assert!(endpoints.is_round_over(due));
}

#[test]
fn a_failback_to_a_server_that_drops_the_connection_is_undone() {
    let mut endpoints = endpoints([0, 1, 2]);
    dialled(&mut endpoints, NOW, 1);
    let fallback = endpoints.next(NOW);
    endpoints.on_connected(NOW, fallback);
    let due = endpoints.failback_at().unwrap();
    assert_eq!(endpoints.start_failback(due), Some(A));
    endpoints.on_connected(due, A);

    endpoints.on_lost(due, A);

    // The endpoint that was left is preferred to the one that was not tried.
    assert_eq!(endpoints.next(due), fallback);
    endpoints.on_connected(due, fallback);
    assert!(endpoints.failback_at() >= Some(due + SETTINGS.hold_down));
}

#[test]
fn a_failback_is_at_the_best_endpoint_that_is_not_held_down() {
    let mut endpoints = endpoints([2, 1, 0]);
    // The best one was tried in this round, and the second one was not.
    assert_eq!(dialled(&mut endpoints, NOW, 1), [C]);
    endpoints.postpone(B, NOW + SECOND);
    let id = endpoints.next(NOW);
    endpoints.on_connected(NOW, id);

    let later = NOW + HELD_AT_MOST;
    assert_eq!(endpoints.start_failback(later), Some(C));
    endpoints.on_failed(later, C);
    assert_eq!(endpoints.start_failback(later), Some(B));
    endpoints.on_connected(later, B);

    assert_eq!(endpoints.start_failback(later), None);
    let latest = later + HELD_AT_MOST;
    assert_eq!(endpoints.start_failback(latest), Some(C));
}

#[test]
fn without_failback_settings_a_session_stays_until_its_connection_is_lost() {
    let settings = EndpointsSettings {
        failback: None,
        ..SETTINGS
    };
    let mut endpoints = endpoints_with(settings, &list([0, 1]), 1);
    endpoints.on_connected(NOW, B);
    let later = NOW + Duration::from_hours(24);

    assert_eq!(endpoints.failback_at(), None);
    assert_eq!(endpoints.start_failback(later), None);
    endpoints.on_lost(later, B);
    assert_eq!(endpoints.next(later), A);
}

#[test]
fn a_fleet_returns_to_an_endpoint_during_the_whole_jitter() {
    const CLIENTS: u64 = 1_000;
    let mut per_minute = [0; 10];
    for seed in 0..CLIENTS {
        let due = failed_over(seed).failback_at().unwrap();
        let after_hold_down = due - (NOW + SETTINGS.hold_down);
        per_minute[usize::try_from(after_hold_down.as_secs() / 60).unwrap()] += 1;
    }

    // A tenth of them is 100.
    assert!(
        per_minute.iter().all(|it| (60..=140).contains(it)),
        "{per_minute:?}"
    );
}

#[test]
fn a_new_list_keeps_what_is_remembered_of_endpoints_that_stay() {
    let mut endpoints = endpoints([0, 1]);
    dialled(&mut endpoints, NOW, 1);

    // The endpoint that failed moves to the end of the list, and a third one is inserted.
    let listed = |id, priority| ListedEndpoint { id, priority };
    endpoints
        .set(NOW, &[listed(C, 1), listed(B, 2), listed(A, 0)])
        .unwrap();

    assert_eq!(dialled(&mut endpoints, NOW, 2), [C, B]);
    assert!(endpoints.is_round_over(NOW));
    // All failed, so the priority decides.
    assert_eq!(dialled(&mut endpoints, NOW, 3), [A, C, B]);
    // A removed endpoint is forgotten, and late reports of it change nothing.
    endpoints.set(NOW, &[listed(B, 0)]).unwrap();
    endpoints.on_failed(NOW, A);
    endpoints.set(NOW, &[listed(B, 0), listed(A, 1)]).unwrap();
    assert_eq!(dialled(&mut endpoints, NOW, 2), [A, B]);
}

#[test]
fn a_fleet_that_receives_a_better_endpoint_connects_to_it_during_the_whole_jitter() {
    const CLIENTS: u64 = 400;
    let failback = SETTINGS.failback.unwrap();
    let mut per_minute = [0; 4];
    for seed in 0..CLIENTS {
        let mut endpoints = endpoints_with(SETTINGS, &list([1]), seed);
        endpoints.on_connected(NOW, A);
        let received_at = NOW + Duration::from_hours(1);
        endpoints.set(received_at, &list([1, 0])).unwrap();

        let due = endpoints.failback_at().unwrap();

        let after = due - (received_at + failback.after);
        per_minute[usize::try_from(after.as_secs() / 60).unwrap()] += 1;
        // The same list again does not delay it.
        endpoints.set(due, &list([1, 0])).unwrap();
        assert_eq!(endpoints.start_failback(due), Some(B));
    }
    assert!(
        per_minute.iter().all(|it| (60..=140).contains(it)),
        "{per_minute:?}"
    );
}

#[test]
fn a_session_leaves_an_endpoint_that_is_not_listed_any_more() {
    let mut endpoints = endpoints([0]);
    endpoints.on_connected(NOW, A);
    let fallback = ListedEndpoint { id: B, priority: 9 };

    endpoints.set(NOW, &[fallback]).unwrap();

    let due = endpoints.failback_at().unwrap();
    assert!(due >= NOW + SETTINGS.failback.unwrap().after);
    assert_eq!(endpoints.start_failback(due), Some(B));
    endpoints.on_connected(due, B);
    assert_eq!(endpoints.failback_at(), None);
}

#[test]
fn an_invalid_list_is_rejected_and_the_present_one_stays() {
    let mut endpoints = endpoints([0, 1]);
    let too_many = list([0; 17]);
    let mut duplicate = list([0, 1]);
    duplicate.extend(list([2]));

    let cases = [
        (Vec::new(), "the list of endpoints is empty"),
        (too_many, "too many endpoints: at most 16 are allowed"),
        (duplicate, "duplicate endpoint id 0"),
    ];
    for (list, message) in cases {
        let error = endpoints.set(NOW, &list).unwrap_err();
        assert_eq!(error.to_string(), message);
        let policy = EndpointsPolicy::new(SETTINGS).unwrap();
        let new = Endpoints::new(policy, &list, Seed::new(1));
        assert_eq!(new.err(), Some(error));
    }
    assert_eq!(endpoints.set(NOW, &list([0; 16])), Ok(()));
    assert_eq!(endpoints.set(NOW, &[]), Err(EndpointsError::Empty));
}

#[test]
fn a_setting_out_of_range_is_named() {
    type Change = fn(&mut EndpointsSettings);
    const NO_DELAY: FailbackSettings = FailbackSettings {
        after: Duration::ZERO,
        jitter: SECOND,
    };
    let changes: [(Change, SessionSetting); 4] = [
        (|it| it.count_max = 0, SessionSetting::EndpointsCountMax),
        (
            |it| it.stable_after = Duration::ZERO,
            SessionSetting::EndpointsStableAfter,
        ),
        (
            |it| it.hold_down = Duration::ZERO,
            SessionSetting::EndpointsHoldDown,
        ),
        (
            |it| it.failback = Some(NO_DELAY),
            SessionSetting::EndpointsFailbackAfter,
        ),
    ];
    for (change, setting) in changes {
        let mut changed = SETTINGS;
        change(&mut changed);

        let error = EndpointsPolicy::new(changed).expect_err(setting.name());

        assert_eq!(error.setting, setting);
        assert_eq!(
            error.to_string(),
            format!("invalid {setting}: must be above zero")
        );
    }
}
