//! Who gets a publication, and what a core does that has missed some.

use steadfast_hub::epoch::ChannelEpoch;
use steadfast_hub::event::Event;
use steadfast_hub::io::LogEvent;
use steadfast_hub::log::io::{ReadFrom, Rejection, Request};

use crate::script::{EPOCH, Script, committed, first_page, page, push, refused, unrecoverable};

#[test]
fn a_publication_goes_out_once_to_everybody_who_is_live() {
    let mut script = Script::new();
    let (first, second) = (script.subscribe("room", 0), script.subscribe("room", 0));
    let elsewhere = script.subscribe("other", 0);

    script.commit("room", 1);

    assert_eq!(script.fanouts, [vec![first, second]]);
    assert_eq!(script.read(first), push("room", 1));
    assert_eq!(script.read(second), push("room", 1));
    assert_eq!(script.read(elsewhere), "");
}

#[test]
fn who_unsubscribed_or_left_gets_nothing_more() {
    let mut script = Script::new();
    let (stays, unsubscribes, leaves) = (
        script.subscribe("room", 0),
        script.subscribe("room", 0),
        script.subscribe("room", 0),
    );

    script.send(unsubscribes, r#"{"id":3,"unsubscribe":{"channel":"room"}}"#);
    script.lose(leaves);
    script.commit("room", 1);

    assert_eq!(script.read(unsubscribes), r#"{"id":3,"unsubscribe":{}}"#);
    assert_eq!(script.fanouts, [vec![stays]]);
}

#[test]
fn a_commit_that_was_seen_is_not_sent_again() {
    let mut script = Script::new();
    let peer = script.subscribe("room", 5);

    script.commit("room", 5);
    script.commit("room", 6);

    assert_eq!(script.read(peer), push("room", 6));
}

#[test]
fn a_core_that_lapsed_reads_again_from_where_it_stood_and_sends_each_publication_once() {
    let mut script = Script::new();
    let peer = script.subscribe("room", 5);

    script.log(vec![LogEvent::Lapsed, committed("room", EPOCH, 9)]);
    assert_eq!(script.read(peer), "");
    let Request::Read(read) = &script.asked[0] else {
        panic!("a read")
    };
    assert_eq!(
        read.from,
        ReadFrom::After {
            epoch: EPOCH,
            offset: 5
        }
    );
    script.answer(first_page(9, &[6, 7, 8]));
    script.answer(page(9, &[9]));
    script.commit("room", 10);

    let expected: Vec<String> = (6..=10).map(|offset| push("room", offset)).collect();
    assert_eq!(script.read(peer), expected.join("\n"));
}

#[test]
fn a_gap_between_commits_is_read_again_even_if_nobody_told_of_it() {
    let mut script = Script::new();
    let peer = script.subscribe("room", 5);

    script.commit("room", 7);
    assert_eq!(script.read(peer), "");
    script.answer(page(7, &[6, 7]));

    assert_eq!(
        script.read(peer),
        format!("{}\n{}", push("room", 6), push("room", 7))
    );
}

#[test]
fn a_subscription_that_was_asked_for_before_the_lapse_has_no_hole() {
    let mut script = Script::new();
    let peer = script.connect();
    script.send(peer, r#"{"id":2,"subscribe":{"channel":"room"}}"#);
    let Request::Read(read) = script.asked.remove(0) else {
        panic!("a read")
    };
    let steadfast_hub::log::io::Response::Read(answer) = page(3, &[]) else {
        panic!("an answer")
    };
    let answered = LogEvent::Answered {
        number: read.request_id.number,
        answer: steadfast_hub::log::io::Response::Read(answer),
    };

    script.log(vec![
        answered,
        LogEvent::Lapsed,
        committed("room", EPOCH, 6),
    ]);
    assert!(script.read(peer).contains(r#""offset":3"#));
    script.answer(page(6, &[4, 5, 6]));

    let expected: Vec<String> = (4..=6).map(|offset| push("room", offset)).collect();
    assert_eq!(script.read(peer), expected.join("\n"));
}

#[test]
fn who_finishes_recovering_while_the_core_is_behind_gets_nothing_twice() {
    let mut script = Script::new();
    let live = script.subscribe("room", 5);
    let late = script.connect();
    script.log(vec![LogEvent::Lapsed]);
    let catch_up = script.asked.remove(0);

    script.send(late, r#"{"id":2,"subscribe":{"channel":"room"}}"#);
    script.answer(page(8, &[]));
    assert!(script.read(late).contains(r#""offset":8"#));
    script.asked.push(catch_up);
    script.answer(page(9, &[6, 7, 8, 9]));
    script.answer(page(9, &[9]));
    script.commit("room", 10);

    let to_live: Vec<String> = (6..=10).map(|offset| push("room", offset)).collect();
    assert_eq!(script.read(live), to_live.join("\n"));
    assert_eq!(
        script.read(late),
        format!("{}\n{}", push("room", 9), push("room", 10))
    );
}

#[test]
fn a_core_that_cannot_catch_up_tells_its_subscribers_to_subscribe_again() {
    for answer in [unrecoverable(20), refused(Rejection::WriteFailed)] {
        let mut script = Script::new();
        let peer = script.subscribe("room", 5);

        script.log(vec![LogEvent::Lapsed]);
        script.answer(answer);
        script.commit("room", 21);

        let told = script.read(peer);
        assert!(
            told.contains(r#""unsubscribe":{"code":2500,"reason":""#),
            "{told}"
        );
        assert!(!told.contains(r#""pub""#), "{told}");
        assert!(script.events.iter().any(|event| matches!(
            event,
            Event::PositionLost {
                subscriptions: 1,
                ..
            }
        )));
    }
}

#[test]
fn a_channel_that_begins_a_new_epoch_ends_the_subscriptions_of_the_old_one() {
    let mut script = Script::new();
    let peer = script.subscribe("room", 5);
    let next = ChannelEpoch {
        incarnation: 0xf,
        counter: 0,
    };

    script.log(vec![committed("room", next, 1)]);

    assert!(script.read(peer).contains(r#""code":2500"#));
}

#[test]
fn many_members_come_and_go_and_the_list_stays_exact() {
    let mut script = Script::new();
    let mut members: Vec<_> = (0..20).map(|_| script.subscribe("room", 0)).collect();

    for index in [19, 0, 7, 7, 3] {
        let gone = members.remove(index);
        script.lose(gone);
    }
    script.commit("room", 1);

    let mut reached = script.fanouts.remove(0);
    reached.sort_unstable();
    assert_eq!(reached, members);
}
