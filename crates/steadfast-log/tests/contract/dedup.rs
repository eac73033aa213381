//! When an idempotency key is a repeat, and what a repeat returns.

use std::time::Duration;

use steadfast_engine::{Append, Rejection, Request, Response};
use steadfast_protocol::message::PayloadKind;

use crate::engines::{Engine, Settings};
use crate::harness::{Harness, append, idempotent};

pub(crate) fn a_repeated_key_has_the_first_result_and_stores_nothing<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings::default());
    let (epoch, first, is_duplicate) = harness.publish_ok(idempotent("a", "1", "ann", "k"));
    assert!(!is_duplicate);
    harness.publish_ok(append("a", "2"));

    let repeats = [
        harness.publish_ok(idempotent("a", "1", "ann", "k")),
        harness.publish_ok(idempotent("a", "1", "ann", "k")),
    ];

    assert_eq!(repeats, [(epoch, first, true); 2]);
    assert_eq!(harness.visible("a"), ["1", "2"]);
}

pub(crate) fn a_key_with_other_data_is_rejected_and_the_first_result_stays<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings::default());
    let (epoch, first, _) = harness.publish_ok(idempotent("a", "1", "ann", "k"));
    let of_other_kind = Append {
        kind: PayloadKind::Binary,
        ..idempotent("a", "1", "ann", "k")
    };
    let delivered = harness.delivered.len();

    let rejections = [
        harness.rejection(idempotent("a", "2", "ann", "k")),
        harness.rejection(idempotent("a", "1 ", "ann", "k")),
        harness.rejection(of_other_kind),
    ];

    assert_eq!(rejections, [Rejection::KeyWithOtherData; 3]);
    assert_eq!(
        harness.delivered.len(),
        delivered + 3,
        "nothing is committed"
    );
    assert_eq!(
        harness.publish_ok(idempotent("a", "1", "ann", "k")),
        (epoch, first, true)
    );
    assert_eq!(harness.visible("a"), ["1"]);
}

pub(crate) fn keys_are_scoped_to_user_and_channel<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings::default());
    harness.publish_ok(idempotent("a", "1", "ann", "k"));

    for other in [
        idempotent("a", "2", "bob", "k"),
        idempotent("b", "3", "ann", "k"),
        idempotent("a", "4", "ann", "l"),
        // The same bytes in sum: user and key are distinguished.
        idempotent("a", "5", "annk", ""),
        append("a", "6"),
    ] {
        assert!(!harness.publish_ok(other).2);
    }

    assert_eq!(harness.visible("a"), ["1", "2", "4", "5", "6"]);
    assert_eq!(harness.visible("b"), ["3"]);
}

pub(crate) fn a_key_is_repeated_within_its_own_batch<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings::default());

    let responses = harness.request(vec![
        Request::Append(idempotent("a", "1", "ann", "k")),
        Request::Append(append("a", "2")),
        Request::Append(idempotent("a", "1", "ann", "k")),
        Request::Append(idempotent("a", "3", "ann", "k")),
    ]);

    let Response::Appended { epoch, offset, .. } = responses[0] else {
        panic!("{responses:?}")
    };
    let repeat = Response::Appended {
        epoch,
        offset,
        is_duplicate: true,
        creates_channel: false,
    };
    assert_eq!(responses[2], repeat);
    let rejected = Response::Rejected(Rejection::KeyWithOtherData);
    assert_eq!(responses[3], rejected);
    assert_eq!(harness.visible("a"), ["1", "2"]);
}

pub(crate) fn a_key_is_forgotten_when_its_window_has_passed<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings {
        dedup_window: Duration::from_mins(2),
        ..Settings::default()
    });
    let (_, first, _) = harness.publish_ok(idempotent("a", "1", "ann", "k"));

    harness.advance(Duration::from_secs(119));
    let within = harness.publish_ok(idempotent("a", "1", "ann", "k"));
    harness.advance(Duration::from_secs(1));
    let after = harness.publish_ok(idempotent("a", "3", "ann", "k"));

    assert_eq!((within.1, within.2), (first, true));
    assert!(after.1 > first && !after.2);
    assert_eq!(harness.visible("a"), ["1", "3"]);
}

pub(crate) fn a_key_outlives_its_publication<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings {
        history_size: 1,
        ..Settings::default()
    });
    let (epoch, first, _) = harness.publish_ok(idempotent("a", "1", "ann", "k"));
    harness.fill("a", 3);

    assert_eq!(
        harness.publish_ok(idempotent("a", "1", "ann", "k")),
        (epoch, first, true)
    );
    assert_eq!(harness.visible("a"), ["a 3"]);
}

pub(crate) fn more_keys_than_allowed_are_rejected_while_repeats_are_acknowledged<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings {
        idempotency_keys_max: 2,
        ..Settings::default()
    });
    harness.publish_ok(idempotent("a", "1", "ann", "k"));
    harness.publish_ok(idempotent("a", "2", "ann", "l"));

    assert_eq!(
        harness.rejection(idempotent("a", "3", "ann", "m")),
        Rejection::Limit
    );
    assert!(harness.publish_ok(idempotent("a", "1", "ann", "k")).2);
    assert!(!harness.publish_ok(append("a", "4")).2);
    harness.advance(Duration::from_mins(2));
    assert!(!harness.publish_ok(idempotent("a", "5", "ann", "m")).2);
    assert_eq!(harness.visible("a"), ["1", "2", "4", "5"]);
}
