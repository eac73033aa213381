//! Peers that take less than they are sent.

use std::time::Duration;

use steadfast_hub::io::Input;

use crate::script::{EPOCH_TEXT, Script, first_page, page, push};

#[test]
fn a_peer_with_too_many_unsent_bytes_is_closed_with_3008() {
    let mut script = Script::new();
    let peer = script.subscribe("room", 0);

    script.handle(Input::Backlog {
        peer,
        bytes: 1 << 20,
    });
    assert_eq!(script.close_code(peer), None);
    script.handle(Input::Backlog {
        peer,
        bytes: (1 << 20) + 1,
    });
    script.commit("room", 1);

    assert_eq!(script.close_code(peer), Some(3008));
    assert!(script.fanouts.is_empty());
}

#[test]
fn unsent_bytes_that_wait_past_the_write_deadline_close_with_3009() {
    let mut script = Script::new();
    let peer = script.connect();

    script.handle(Input::Backlog { peer, bytes: 10 });
    script.pass(Duration::from_millis(9_900));
    script.handle(Input::Backlog { peer, bytes: 20 });
    assert_eq!(script.close_code(peer), None);
    script.pass(Duration::from_millis(200));

    assert_eq!(script.close_code(peer), Some(3009));
}

#[test]
fn a_slow_peer_that_takes_its_bytes_within_the_deadline_stays() {
    let mut script = Script::new();
    let peer = script.connect();

    // Never empty: 30 more are added before the last ones are out.
    script.handle(Input::Backlog { peer, bytes: 30 });
    for _ in 0..10 {
        script.pass(Duration::from_secs(4));
        script.handle(Input::Stirred { peer });
        script.handle(Input::Written { peer, bytes: 15 });
        script.handle(Input::Backlog { peer, bytes: 45 });
        script.pass(Duration::from_secs(4));
        script.handle(Input::Written { peer, bytes: 15 });
    }

    assert_eq!(script.close_code(peer), None);
}

#[test]
fn a_ping_behind_bytes_that_wait_is_held_against_the_peer_once_it_is_out() {
    let mut script = Script::new();
    let peer = script.connect();

    script.handle(Input::Backlog { peer, bytes: 30 });
    while script.read(peer).is_empty() {
        script.handle(Input::Written { peer, bytes: 30 });
        script.handle(Input::Backlog { peer, bytes: 30 });
        script.pass(Duration::from_secs(1));
    }
    // Longer than a peer may be silent, if it had been asked.
    script.pass(Duration::from_millis(8_500));
    assert_eq!(script.close_code(peer), None);
    script.handle(Input::Written { peer, bytes: 30 });
    script.handle(Input::Backlog { peer, bytes: 10 });
    script.pass(Duration::from_millis(7_900));
    assert_eq!(script.close_code(peer), None);
    script.pass(Duration::from_millis(200));

    assert_eq!(script.close_code(peer), Some(3012));
}

#[test]
fn a_silent_peer_that_takes_everything_is_noticed_however_often_bytes_wait_for_it() {
    let mut script = Script::new();
    let peer = script.connect();

    // What it is sent goes out within a second each time, and nothing comes back.
    for _ in 0..34 {
        script.handle(Input::Backlog { peer, bytes: 30 });
        script.pass(Duration::from_millis(500));
        script.handle(Input::Drained { peer });
        script.pass(Duration::from_millis(500));
    }

    assert_eq!(script.close_code(peer), Some(3012));
}

#[test]
fn a_trickle_does_not_move_the_write_deadline() {
    let mut script = Script::new();
    let peer = script.connect();

    script.handle(Input::Backlog { peer, bytes: 30 });
    for _ in 0..9 {
        script.pass(Duration::from_secs(1));
        script.handle(Input::Written { peer, bytes: 1 });
    }
    assert_eq!(script.close_code(peer), None);
    script.pass(Duration::from_millis(1_100));

    assert_eq!(script.close_code(peer), Some(3009));
}

#[test]
fn a_peer_that_drains_in_time_starts_afresh() {
    let mut script = Script::new();
    let peer = script.connect();

    for _ in 0..5 {
        script.handle(Input::Backlog { peer, bytes: 10 });
        script.pass(Duration::from_secs(4));
        script.handle(Input::Drained { peer });
    }

    assert_eq!(script.close_code(peer), None);
}

/// So many that a page does not fit beside them.
const MANY: usize = 1 << 20;

#[test]
fn a_recovery_that_is_answered_while_bytes_wait_goes_on_when_they_are_out() {
    let mut script = Script::new();
    let peer = script.connect();
    script.send(peer, &recover(2, "room"));

    script.handle(Input::Backlog { peer, bytes: MANY });
    script.answer(first_page(7, &[1, 2, 3]));
    let reply = script.read(peer);
    assert!(reply.contains(r#""recovered":true"#), "{reply}");
    assert!(!reply.contains("publications"), "{reply}");
    script.commit("room", 8);
    assert_eq!(script.read(peer), "");
    script.handle(Input::Drained { peer });
    script.answer(first_page(8, &[1, 2, 3]));
    script.handle(Input::Backlog { peer, bytes: MANY });
    script.answer(first_page(8, &[4, 5, 6]));
    script.handle(Input::Drained { peer });
    script.answer(page(8, &[4, 5, 6, 7, 8]));
    script.commit("room", 9);

    let expected: Vec<String> = (1..=9).map(|offset| push("room", offset)).collect();
    assert_eq!(script.read(peer), expected.join("\n"));
}

#[test]
fn a_peer_that_recovers_many_channels_is_owed_one_page_at_a_time() {
    let mut script = Script::new();
    let peer = script.connect();
    for (id, channel) in [(2, "one"), (3, "two"), (4, "three")] {
        script.send(peer, &recover(id, channel));
        let question = script.asked.pop().unwrap();
        script.asked.insert(0, question);
        script.answer(first_page(9, &[1, 2, 3]));
    }
    script.read(peer);

    let mut order = Vec::new();
    for offset in [4, 4, 4, 7, 7, 7] {
        assert_eq!(script.asked.len(), 1);
        let offsets: Vec<u64> = (offset..offset + 3).collect();
        script.answer(if offset == 4 {
            first_page(9, &offsets)
        } else {
            page(9, &offsets)
        });
        order.push(script.read(peer));
    }

    assert!(script.asked.is_empty());
    for (sent, (channel, offset)) in order.iter().zip([
        ("one", 4),
        ("two", 4),
        ("three", 4),
        ("one", 7),
        ("two", 7),
        ("three", 7),
    ]) {
        assert!(sent.starts_with(&push(channel, offset)), "{sent}");
    }
}

#[test]
fn a_recovery_that_is_given_up_makes_room_for_the_next() {
    let mut script = Script::new();
    let peer = script.connect();
    for (id, channel) in [(2, "one"), (3, "two")] {
        script.send(peer, &recover(id, channel));
        let question = script.asked.pop().unwrap();
        script.asked.insert(0, question);
        script.answer(first_page(6, &[1, 2, 3]));
    }
    script.read(peer);

    script.send(peer, r#"{"id":4,"unsubscribe":{"channel":"one"}}"#);
    script.read(peer);
    script.answer(page(6, &[4, 5, 6]));
    script.answer(page(6, &[4, 5, 6]));

    assert!(script.read(peer).starts_with(&push("two", 4)));
}

fn recover(id: u32, channel: &str) -> String {
    format!(
        r#"{{"id":{id},"subscribe":{{"channel":"{channel}","recover":true,"epoch":"{EPOCH_TEXT}","offset":0}}}}"#
    )
}
