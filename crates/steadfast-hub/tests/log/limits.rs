//! Bounds: reaching one is refused and told, and nothing else suffers.

use steadfast_hub::log::event::{Event, Health, Limit};
use steadfast_hub::log::io::{Answer, Input, Refusal};
use steadfast_hub::policy::log::LogSettings;
use steadfast_machine::{ByteSize, Instant, Machine};

use crate::bench::{Bench, append, keyed, settings};

#[test]
fn a_record_larger_than_a_quarter_of_a_segment_is_refused() {
    let mut bench = Bench::new(settings());

    assert_eq!(
        bench.refused(append("a", &"x".repeat(4096))),
        Refusal::TooLarge
    );
    assert_eq!(
        bench.refused(keyed("a", "1", "ann", &"k".repeat(65_535))),
        Refusal::TooLarge
    );
    assert_eq!(bench.published(append("a", &"x".repeat(3900))).1, 1);
}

#[test]
fn more_channels_than_allowed_are_refused_while_known_ones_go_on() {
    let mut bench = Bench::new(LogSettings {
        channels_max: 2,
        ..settings()
    });
    bench.published(append("a", "1"));
    bench.published(append("b", "1"));

    assert_eq!(bench.refused(append("c", "1")), Refusal::Limit);
    assert_eq!(bench.published(append("a", "2")).1, 2);
    assert!(bench.events.contains(&Event::LimitReached {
        limit: Limit::Channels
    }));
}

#[test]
fn what_waits_is_bounded_and_a_group_too() {
    let small = LogSettings {
        pending_bytes_max: ByteSize::from_kib(64),
        group_bytes_max: ByteSize::from_kib(4),
        ..settings()
    };
    let mut bench = Bench::new(small);
    bench.hold = true;

    let numbers = bench.publish_all((0..200).map(|_| append("a", &"x".repeat(300))).collect());
    let refused = |answer: Option<Answer>| answer == Some(Answer::Refused(Refusal::Limit));
    let waiting = numbers
        .iter()
        .filter(|number| !refused(bench.answer(**number)))
        .count();
    assert!((80..120).contains(&waiting), "{waiting}");
    bench.hold = false;
    let before = bench.writes;
    bench.release();
    while !bench.held.is_empty() {
        bench.release();
    }

    assert!(
        bench.writes - before >= waiting * 300 / 4096,
        "{} writes",
        bench.writes - before
    );
    assert_eq!(bench.all("a").len(), waiting);
    assert_eq!(
        usize::try_from(bench.published(append("a", "later")).1),
        Ok(waiting + 1)
    );
}

#[test]
fn nothing_is_taken_before_the_log_is_open() {
    let policy = steadfast_hub::policy::log::LogPolicy::new(settings()).unwrap();
    let mut log = steadfast_hub::log::Log::new(policy, Instant::START);
    let at = steadfast_machine::Timestamp::from_millis(1);

    log.handle(
        Instant::START,
        Input::Requested {
            batch: vec![steadfast_hub::log::io::Request::Append(append("a", "1"))],
            at,
        },
    );

    assert_eq!(log.health(), Health::Opening);
    let answer = log.poll_output();
    assert!(
        matches!(
            answer,
            Some(steadfast_hub::log::io::Output::Answer {
                answer: Answer::Refused(Refusal::Limit),
                ..
            })
        ),
        "{answer:?}"
    );
}
