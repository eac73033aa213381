//! What the memory engine does beyond what every engine does; the contract of all engines is tested with the log.

use std::time::Duration;

use bytes::Bytes;
use steadfast_engine::io::{Event, Input, Limit, Output};
use steadfast_engine::memory::{MemoryEngine, MemoryPolicy, MemorySettings, Offsets};
use steadfast_engine::{
    Append, Page, Publisher, Read, ReadFrom, Record, Request, RequestId, Response, RetentionClass,
};
use steadfast_machine::{ByteSize, Instant, Machine, Seed, Timestamp, convert};
use steadfast_protocol::message::PayloadKind;

const WALL: Timestamp = Timestamp::from_millis(1_700_000_000_000);

#[test]
fn all_channels_share_one_sequence_when_offsets_increase() {
    let mut engine = start(MemorySettings {
        offsets: Offsets::Increasing { step: 3 },
        ..MemorySettings::for_tests()
    });

    let outputs = request(
        &mut engine,
        ["a", "b", "b", "a"].map(|channel| append(channel, "1")),
    );

    assert_eq!(
        commits(&outputs),
        [("a", 0, 3), ("b", 0, 6), ("b", 6, 9), ("a", 3, 12)]
    );
}

#[test]
fn each_channel_counts_its_publications_when_offsets_are_dense() {
    let mut engine = start(MemorySettings::for_tests());

    let outputs = request(
        &mut engine,
        ["a", "b", "b", "a"].map(|channel| append(channel, "1")),
    );

    assert_eq!(
        commits(&outputs),
        [("a", 0, 1), ("b", 0, 1), ("b", 1, 2), ("a", 1, 2)]
    );
}

#[test]
fn the_size_limit_removes_the_oldest_publication_of_all_channels_and_no_more_than_needed() {
    let mut engine = start(MemorySettings {
        history_bytes: ByteSize::from_kib(16),
        publication_bytes_max: ByteSize::from_kib(4),
        ..MemorySettings::for_tests()
    });
    let payload = "x".repeat(1_000);
    for channel in ["a", "b", "a", "c"] {
        request(&mut engine, [append(channel, &payload)]);
    }
    let of_one = engine.history_bytes() / 4;
    let of_others = engine.memory_bytes() - engine.history_bytes();
    let fit = (ByteSize::from_kib(16).as_len() - of_others) / of_one;
    for _ in 4..fit {
        request(&mut engine, [append("c", &payload)]);
    }
    assert_eq!(visible(&mut engine, "a"), [1, 2]);

    request(&mut engine, [append("c", &payload)]);
    assert_eq!(visible(&mut engine, "a"), [2]);
    assert_eq!(visible(&mut engine, "b"), [1]);
    request(&mut engine, [append("c", &payload)]);
    assert_eq!(visible(&mut engine, "b"), [0; 0]);
    request(&mut engine, [append("c", &payload)]);

    assert_eq!(visible(&mut engine, "a"), [0; 0]);
    assert_eq!(visible(&mut engine, "c").first(), Some(&1));
    assert_eq!(engine.history_bytes(), fit * of_one);
}

#[test]
fn the_memory_of_everything_is_bounded_whatever_is_appended() {
    for seed in 0..40 {
        let mut random = Seed::new(seed).generator();
        let bytes_max = ByteSize::from_kib(32 << random.below(3));
        let mut engine = start(MemorySettings {
            history_bytes: bytes_max,
            publication_bytes_max: ByteSize::from_kib(8),
            ..MemorySettings::for_tests()
        });
        let mut limits = Vec::new();
        for number in 0..1_500 {
            let channel = match random.below(3) {
                0 => format!("{number}"),
                _ => format!("{}", random.below(4)),
            };
            let len = 1 << random.below(13);
            let key = random.chance(1, 3).then(|| format!("{number:0>30}").into());
            let append = Append {
                idempotency_key: key,
                ..append(&channel, &"x".repeat(len))
            };

            let outputs = request(&mut engine, [append]);

            let bytes = engine.memory_bytes();
            assert!(bytes <= bytes_max.as_len(), "seed {seed}: {bytes}");
            for output in outputs {
                if let Output::Notify(Event::LimitReached { limit }) = output {
                    limits.push(limit);
                }
            }
        }
        let unread: Vec<Limit> = vec![Limit::ChannelMemory, Limit::KeyMemory];
        limits.sort();
        assert_eq!(limits, unread, "seed {seed}");
        assert!(
            engine.history_bytes() > bytes_max.as_len() / 4,
            "seed {seed}"
        );
    }
}

#[test]
fn a_replaced_channel_is_reported_once_between_two_checks_of_ages() {
    let mut engine = start(MemorySettings {
        channels_max: 1,
        history_ttl: Duration::from_secs(1),
        dedup_window: Duration::from_secs(1),
        ..MemorySettings::for_tests()
    });
    let mut reports = Vec::new();
    for number in 0..10 {
        let now = Instant::START + Duration::from_secs(3 * number);
        let at = Timestamp::from_millis(WALL.as_millis() + 3_000 * number);
        let requests = vec![Request::Append(append(&number.to_string(), "1"))];
        engine.handle(now, Input::Requested { requests, at });
        reports.extend(std::iter::from_fn(|| engine.poll_output()));
    }

    let limit = Limit::Channels;
    let report = Output::Notify(Event::ChannelReplaced { limit });
    assert_eq!(
        reports.iter().filter(|output| **output == report).count(),
        1
    );
    assert_eq!(engine.channels(), 1);
}

#[test]
fn a_publication_does_not_keep_the_buffer_in_which_it_arrived() {
    let mut engine = start(MemorySettings::for_tests());
    let received = Bytes::from(vec![b'x'; 64 << 10]);
    let small = Append {
        data: received.slice(100..110),
        idempotency_key: Some(received.slice(200..210)),
        ..append("a", "")
    };

    request(&mut engine, [small]);

    assert!(received.is_unique());
}

#[test]
fn a_reached_limit_is_reported_once_between_two_checks_of_ages() {
    let mut engine = start(MemorySettings {
        channels_max: 1,
        ..MemorySettings::for_tests()
    });
    request(&mut engine, [append("a", "1")]);
    let limit_reached = |outputs: &[Output]| {
        let event = Output::Notify(Event::LimitReached {
            limit: Limit::Channels,
        });
        outputs.iter().filter(|output| **output == event).count()
    };

    let first = request(&mut engine, ["b", "c"].map(|name| append(name, "1")));
    let second = request(&mut engine, [append("d", "1")]);
    let at = engine.poll_timeout().expect("ages are checked");
    tick(&mut engine, at, Duration::from_mins(1));
    let third = request(&mut engine, [append("e", "1")]);

    assert_eq!(
        [first, second, third].map(|of| limit_reached(&of)),
        [1, 0, 1]
    );
}

#[test]
fn ages_are_checked_once_a_minute_while_there_is_something_to_expire() {
    let mut engine = start(MemorySettings {
        history_ttl: Duration::from_mins(1),
        channel_ttl: Duration::from_mins(2),
        ..MemorySettings::for_tests()
    });
    assert_eq!(engine.poll_timeout(), None);
    request(&mut engine, [append("a", "1")]);
    let minute = |number| Instant::START + Duration::from_mins(number);

    let mut events = Vec::new();
    for number in 1..=3 {
        assert_eq!(engine.poll_timeout(), Some(minute(number)));
        let early = Instant::from_nanos(minute(number).as_nanos() - 1);
        assert_eq!(tick(&mut engine, early, Duration::from_hours(48)), []);
        events.extend(tick(
            &mut engine,
            minute(number),
            Duration::from_mins(number),
        ));
    }

    let expired = Output::Notify(Event::ChannelsExpired { channels: 1 });
    assert_eq!(events, [expired]);
    assert_eq!(engine.channels(), 0);
    assert_eq!(engine.history_bytes(), 0);
    assert_eq!(engine.poll_timeout(), None);
}

#[test]
fn old_publications_are_freed_by_the_check_of_ages_without_a_read() {
    let mut engine = start(MemorySettings {
        history_ttl: Duration::from_mins(1),
        ..MemorySettings::for_tests()
    });
    request(&mut engine, [append("a", "1")]);

    for number in 1..=2 {
        let age = Duration::from_mins(number);
        tick(&mut engine, Instant::START + age, age);
    }

    assert_eq!((engine.history_bytes(), engine.channels()), (0, 1));
}

#[test]
fn a_close_is_reported_and_ends_the_timer() {
    let mut engine = start(MemorySettings::for_tests());
    request(&mut engine, [append("a", "1")]);

    engine.handle(Instant::START, Input::CloseRequested);

    assert_eq!(engine.poll_output(), Some(Output::Closed));
    assert_eq!(engine.poll_output(), None);
    assert_eq!(engine.poll_timeout(), None);
}

fn start(settings: MemorySettings) -> MemoryEngine {
    MemoryEngine::new(
        MemoryPolicy::new(settings).expect("valid settings"),
        0x9f,
        Instant::START,
    )
}

fn append(channel: &str, data: &str) -> Append {
    Append {
        request_id: RequestId {
            shard: 0,
            number: 0,
        },
        channel: channel.into(),
        data: Bytes::copy_from_slice(data.as_bytes()),
        kind: PayloadKind::Json,
        retention: RetentionClass::Kept,
        publisher: Publisher::default(),
        idempotency_key: None,
        may_create_channel: true,
    }
}

fn request<const N: usize>(engine: &mut MemoryEngine, appends: [Append; N]) -> Vec<Output> {
    send(engine, appends.into_iter().map(Request::Append).collect())
}

fn send(engine: &mut MemoryEngine, requests: Vec<Request>) -> Vec<Output> {
    engine.handle(Instant::START, Input::Requested { requests, at: WALL });
    std::iter::from_fn(|| engine.poll_output()).collect()
}

/// A tick at an instant, with a wall clock at which the first publications have an age.
fn tick(engine: &mut MemoryEngine, now: Instant, age: Duration) -> Vec<Output> {
    let millis: u64 = convert::saturating(age.as_millis());
    let at = Timestamp::from_millis(WALL.as_millis() + millis);
    engine.handle(now, Input::Tick { at });
    std::iter::from_fn(|| engine.poll_output()).collect()
}

/// Channel, offset before and offset of each commit.
fn commits(outputs: &[Output]) -> Vec<(&str, u64, u64)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Commit(it) => Some((it.channel.as_str(), it.previous, it.record.offset)),
            Output::Respond { .. } | Output::Notify(_) | Output::Closed => None,
        })
        .collect()
}

/// The offsets of all visible publications.
fn visible(engine: &mut MemoryEngine, channel: &str) -> Vec<u64> {
    let read = Read {
        request_id: RequestId {
            shard: 0,
            number: 0,
        },
        channel: channel.into(),
        from: ReadFrom::Oldest,
        limit: usize::MAX,
        bytes_max: usize::MAX,
    };
    let outputs = send(engine, vec![Request::Read(read)]);
    let [
        Output::Respond {
            response: Response::Read(response),
            ..
        },
    ] = &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    let Page::Records { records, .. } = &response.page else {
        panic!("{outputs:?}")
    };
    records
        .iter()
        .map(|record: &Record| record.offset)
        .collect()
}
