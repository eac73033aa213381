//! Order: offsets, groups, commits before answers, and what a read sees.

use steadfast_hub::log::io::{Answer, Page, ReadFrom, Request};
use steadfast_hub::policy::log::Fsync;

use crate::bench::{Bench, Seen, append, read, settings, with_fsync};

#[test]
fn offsets_are_dense_from_1_in_each_channel_and_each_commit_is_shown_before_its_answer() {
    let mut bench = Bench::new(settings());

    bench.publish_all(vec![append("a", "1"), append("b", "2"), append("a", "3")]);

    let story: Vec<String> = bench
        .seen
        .iter()
        .map(|seen| match seen {
            Seen::Commit(committed) => format!("{} {}", committed.channel, committed.record.offset),
            Seen::Answer(number, Answer::Appended { offset, .. }) => {
                format!("answer {number} {offset}")
            }
            Seen::Answer(number, other) => format!("answer {number} {other:?}"),
        })
        .collect();
    assert_eq!(
        story,
        [
            "a 1",
            "answer 1 1",
            "b 1",
            "answer 2 1",
            "a 2",
            "answer 3 2"
        ]
    );
}

#[test]
fn what_is_asked_while_a_group_is_under_way_shares_one_write_and_one_sync() {
    let mut bench = Bench::new(settings());
    bench.hold = true;
    let (writes, syncs) = (bench.writes, bench.syncs);

    let first = bench.publish_fast(append("a", "0"));
    let rest: Vec<u64> = (1..100)
        .map(|number| bench.publish_fast(append("a", &number.to_string())))
        .collect();
    bench.release();
    assert_eq!(bench.answer(first), None, "written is not durable");
    bench.release();
    assert!(bench.answer(first).is_some(), "synced is durable");
    assert_eq!(bench.answer(rest[0]), None);
    bench.release();
    bench.release();

    assert!(rest.iter().all(|number| bench.answer(*number).is_some()));
    assert_eq!((bench.writes - writes, bench.syncs - syncs), (2, 2));
}

#[test]
fn without_the_always_policy_written_is_enough() {
    for fsync in [
        Fsync::Never,
        Fsync::Interval(std::time::Duration::from_millis(100)),
    ] {
        let mut bench = Bench::new(with_fsync(fsync));
        bench.hold = true;

        let number = bench.publish_fast(append("a", "1"));
        bench.release();

        assert!(bench.answer(number).is_some(), "{fsync:?}");
        assert!(bench.held.is_empty(), "{fsync:?}");
    }
}

#[test]
fn a_read_sees_what_is_committed_and_nothing_of_the_group_under_way() {
    let mut bench = Bench::new(settings());
    bench.published(append("a", "1"));
    bench.hold = true;

    bench.publish_fast(append("a", "2"));
    let before = bench.all("a");
    bench.release();
    let written = bench.all("a");
    bench.release();

    assert_eq!(before, [(1, "1".into())]);
    assert_eq!(written, before);
    assert_eq!(bench.all("a"), [(1, "1".into()), (2, "2".into())]);
}

#[test]
fn a_channel_that_does_not_exist_yet_keeps_the_epoch_it_answered_with() {
    let mut bench = Bench::new(settings());

    let answer = bench.read(read("new", ReadFrom::Start, 0));
    let (epoch, offset, _) = bench.published(append("new", "1"));
    let after = bench.read(read(
        "new",
        ReadFrom::After {
            epoch: answer.epoch,
            offset: answer.top,
        },
        10,
    ));

    assert_eq!((answer.top, epoch, offset), (0, answer.epoch, 1));
    assert!(matches!(after.page, Page::Records { records, more: false } if records.len() == 1));
}

#[test]
fn a_read_in_the_same_batch_is_answered_as_of_its_place_in_the_order() {
    let mut bench = Bench::new(settings());
    bench.published(append("a", "1"));

    let numbers = bench.request(vec![
        Request::Append(append("a", "2")),
        Request::Read(read("a", ReadFrom::Start, 10)),
    ]);

    let place = |number: u64| {
        bench
            .seen
            .iter()
            .position(|seen| matches!(seen, Seen::Answer(n, _) if *n == number))
    };
    let Some(Answer::Read(answer)) = bench.answer(numbers[1]) else {
        panic!("read")
    };
    let Page::Records { records, more } = answer.page else {
        panic!("records")
    };
    let committed_before = place(numbers[0]) < place(numbers[1]);
    let expected = if committed_before { 2 } else { 1 };
    assert_eq!(
        (answer.top, records.len()),
        (expected, 1),
        "the page was chosen before the commit"
    );
    assert_eq!(
        more, committed_before,
        "and says whether it reached the top of the moment"
    );
}
