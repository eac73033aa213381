//! Requests above a limit, and requests to a closed engine.

use std::time::Duration;

use steadfast_engine::{Append, ReadFrom, Rejection, Request, Response};
use steadfast_machine::ByteSize;

use crate::engines::{Engine, LARGE, Settings, TOO_LARGE};
use crate::harness::{Delivery, Harness, append, idempotent, read};

pub(crate) fn a_publication_that_is_too_large_is_rejected<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings::default());

    let payload = harness.rejection(append("a", &"x".repeat(TOO_LARGE)));
    let key = harness.rejection(idempotent("a", "1", "ann", &"k".repeat(TOO_LARGE)));
    let user = harness.rejection(idempotent("a", "1", &"u".repeat(TOO_LARGE), "k"));

    assert_eq!([payload, key, user], [Rejection::TooLarge; 3]);
    harness.publish_ok(append("a", &"x".repeat(LARGE)));
    assert_eq!(harness.visible("a").len(), 1);
}

pub(crate) fn more_channels_than_allowed_are_rejected_while_known_ones_continue<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings {
        channels_max: 2,
        history_ttl: Duration::from_hours(1),
        channel_ttl: Duration::from_hours(2),
        ..Settings::default()
    });
    harness.publish_ok(append("a", "1"));
    harness.publish_ok(append("b", "1"));

    assert_eq!(
        harness.rejection(append("c", "1")),
        Rejection::TooManyChannels
    );
    harness.publish_ok(append("a", "2"));
    assert_eq!(harness.visible("c"), [""; 0]);
    harness.advance(Duration::from_hours(3));
    harness.publish_ok(append("c", "2"));
    assert_eq!(harness.visible("c"), ["2"]);
}

pub(crate) fn a_new_channel_takes_the_place_of_the_oldest_one_without_visible_publications<
    E: Engine,
>() {
    let mut harness = Harness::<E>::new(Settings {
        channels_max: 3,
        history_ttl: Duration::from_hours(1),
        ..Settings::default()
    });
    let mut positions = Vec::new();
    for channel in ["a", "b", "c"] {
        let (epoch, offset, _) = harness.publish_ok(append(channel, "1"));
        positions.push((epoch, offset));
        harness.advance(Duration::from_secs(1));
    }
    assert_eq!(
        harness.rejection(append("d", "1")),
        Rejection::TooManyChannels
    );
    harness.advance(Duration::from_mins(61));
    harness.publish_ok(append("a", "2"));

    let epoch = harness.epoch("d");
    assert_eq!(harness.publish_ok(append("d", "1")).0, epoch);

    assert_eq!(
        harness.high_watermark("b"),
        0,
        "the oldest one is forgotten"
    );
    let [_, (epoch, of_b), (_, of_c)] = positions[..] else {
        panic!("three channels");
    };
    assert!(!harness.is_recoverable("b", epoch, of_b));
    assert!(
        harness.is_recoverable("c", epoch, of_c),
        "the next one is not"
    );
    harness.publish_ok(append("b", "2"));
    assert_ne!(harness.epoch("b"), epoch);
    assert!(!harness.is_recoverable("c", epoch, of_c));
    assert_eq!(
        harness.rejection(append("e", "1")),
        Rejection::TooManyChannels,
        "all others have visible publications"
    );
    assert_eq!(harness.visible("a"), ["2"]);
    assert_eq!(harness.visible("d"), ["1"]);
    assert_eq!(harness.visible("b"), ["2"]);
}

pub(crate) fn a_channel_with_a_key_in_the_window_keeps_its_place<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings {
        channels_max: 1,
        history_ttl: Duration::from_secs(1),
        dedup_window: Duration::from_mins(2),
        ..Settings::default()
    });
    let (epoch, first, _) = harness.publish_ok(idempotent("a", "1", "ann", "k"));
    harness.advance(Duration::from_secs(118));
    assert_eq!(harness.visible("a"), [""; 0]);

    assert_eq!(
        harness.rejection(append("b", "1")),
        Rejection::TooManyChannels
    );
    let repeat = harness.publish_ok(idempotent("a", "1", "ann", "k"));
    assert_eq!(repeat, (epoch, first, true));
    harness.advance(Duration::from_secs(3));

    harness.publish_ok(append("b", "1"));
    assert_eq!(harness.high_watermark("a"), 0);
}

pub(crate) fn many_new_channels_at_once_each_take_a_place<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings {
        channels_max: 20,
        history_ttl: Duration::from_secs(1),
        ..Settings::default()
    });
    let appends = |prefix: &str| -> Vec<Request> {
        let names = (0..20).map(|number| format!("{prefix} {number}"));
        names
            .map(|name| Request::Append(append(&name, "1")))
            .collect()
    };
    let is_ok = |response: &Response| matches!(response, Response::Appended { .. });
    assert!(harness.request(appends("old")).iter().all(is_ok));
    harness.advance(Duration::from_mins(3));

    let responses = harness.request(appends("new"));

    assert!(responses.iter().all(is_ok), "{responses:?}");
    assert_eq!(harness.high_watermark("old 0"), 0);
    assert_eq!(harness.visible("new 19").len(), 1);
}

pub(crate) fn one_channel_does_not_remove_the_young_publications_of_others<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings {
        history_bytes: ByteSize::from_kib(256),
        channel_bytes_max: ByteSize::from_kib(64),
        ..Settings::default()
    });
    harness.publish_ok(append("quiet", "1"));

    flood(&mut harness);
    assert_eq!(harness.visible("quiet"), ["1"]);
    harness.publish_ok(append("other", "1"));
    harness.advance(Duration::from_secs(9 * 60 + 59));
    flood(&mut harness);
    assert_eq!(harness.visible("quiet"), ["1"]);
    assert_eq!(harness.visible("other"), ["1"]);
    harness.advance(Duration::from_secs(1));
    harness.publish_ok(append("third", "1"));
    flood(&mut harness);

    assert_eq!(harness.visible("quiet"), [""; 0], "it is 10 minutes old");
    assert_eq!(harness.visible("third"), ["1"]);
    assert!(harness.visible("busy").len() > 25);
}

pub(crate) fn a_channel_that_harms_no_other_may_use_everything<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings {
        history_bytes: ByteSize::from_kib(256),
        channel_bytes_max: ByteSize::from_kib(64),
        ..Settings::default()
    });
    let large = "x".repeat(2_000);

    for _ in 0..500 {
        harness.publish_ok(append("busy", &large));
    }

    assert!(harness.visible("busy").len() > 60);
}

/// Publishes more to one channel than the engine keeps. Some publications may be rejected for now.
fn flood<E: Engine>(harness: &mut Harness<E>) {
    let large = "x".repeat(2_000);
    for _ in 0..300 {
        let response = harness.publish(append("busy", &large));
        let is_expected = match response {
            Response::Appended { .. } => true,
            Response::Rejected(rejection) => rejection == Rejection::Limit,
            Response::Read(_) => false,
        };
        assert!(is_expected, "{response:?}");
    }
}

pub(crate) fn only_the_first_append_creates_a_channel_and_only_if_it_may<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings::default());
    let existing = |data| Append {
        may_create_channel: false,
        ..append("a", data)
    };

    assert_eq!(harness.rejection(existing("0")), Rejection::NewChannel);
    let requests = [append("a", "1"), existing("2"), append("a", "3")].map(Request::Append);
    let responses = harness.request(requests.to_vec());

    let creates = responses.iter().map(|response| match response {
        Response::Appended {
            creates_channel, ..
        } => *creates_channel,
        other @ (Response::Read(_) | Response::Rejected(_)) => panic!("{other:?}"),
    });
    assert_eq!(creates.collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(harness.visible("a"), ["1", "2", "3"]);
}

pub(crate) fn a_rejected_publication_leaves_no_trace<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings {
        idempotency_keys_max: 1,
        ..Settings::default()
    });
    let (_, first, _) = harness.publish_ok(idempotent("a", "1", "ann", "k"));
    let delivered = harness.delivered.len();

    harness.rejection(append("a", &"x".repeat(TOO_LARGE)));
    harness.rejection(idempotent("a", "2", "ann", "l"));
    harness.rejection(idempotent("new", "3", "ann", "m"));

    let commits = |delivery: &Delivery| matches!(delivery, Delivery::Committed(_));
    assert!(!harness.delivered[delivered..].iter().any(commits));
    assert_eq!(harness.high_watermark("a"), first);
    assert_eq!(harness.high_watermark("new"), 0);
    harness.publish_ok(append("a", "4"));
    assert_eq!(harness.visible("a"), ["1", "4"]);
}

pub(crate) fn after_a_close_every_request_is_rejected<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings::default());
    harness.fill("a", 1);

    harness.close();
    let responses = harness.request(vec![
        Request::Append(append("a", "2")),
        Request::Read(read("a", ReadFrom::Oldest, 10)),
    ]);

    let closing = Response::Rejected(Rejection::Closing);
    assert_eq!(responses, [closing.clone(), closing]);
}
