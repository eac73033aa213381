//! Requests above a limit, and requests to a closed engine.

use std::time::Duration;

use steadfast_engine::{Append, ReadFrom, Rejection, Request, Response};

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
