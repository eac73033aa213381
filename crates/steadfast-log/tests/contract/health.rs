//! What an engine reports about itself. Failures of a storage are the log's own tests.

use steadfast_engine::{Health, Rejection};

use crate::engines::{Engine, Settings};
use crate::harness::{Harness, append};

pub(crate) fn an_engine_serves_until_it_is_closed<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings::default());

    let started = harness.health();
    harness.fill("a", 3);
    let in_use = harness.health();
    harness.close();
    let closed = harness.health();

    assert_eq!(
        [started, in_use, closed],
        [Health::Serving, Health::Serving, Health::Closed]
    );
}

pub(crate) fn an_engine_at_a_limit_serves<E: Engine>() {
    let mut harness = Harness::<E>::new(Settings {
        channels_max: 1,
        ..Settings::default()
    });
    harness.fill("a", 1);

    assert_eq!(
        harness.rejection(append("b", "1")),
        Rejection::TooManyChannels
    );

    assert_eq!(harness.health(), Health::Serving);
}
