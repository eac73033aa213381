//! What one frame of one peer may cost, however many commands are in it.

use std::fmt::Write as _;
use std::time::Duration;

use steadfast_hub::event::Event;
use steadfast_hub::log::io::Response;
use steadfast_hub::policy::hub::HubSettings;

use crate::script::{EPOCH, Script, page, settings};

/// Commands 2 and up, in one frame.
fn frame(count: u32, command: &str) -> String {
    let mut frame = String::new();
    for id in 2..2 + count {
        writeln!(frame, r#"{{"id":{id},{command}}}"#).expect("a text takes all");
    }
    frame
}

fn with_asks(asks_per_peer_max: usize) -> Script {
    Script::with(HubSettings {
        asks_per_peer_max,
        ..settings()
    })
}

#[test]
fn a_frame_of_many_commands_never_has_more_unanswered_than_the_bound() {
    let mut script = with_asks(4);
    let peer = script.connect();
    let mut answered = String::new();

    script.send(peer, &frame(10, r#""publish":{"channel":"room","data":1}"#));
    for offset in 1..=10 {
        assert!(
            (1..=4).contains(&script.asked.len()),
            "{} asked before answer {offset}",
            script.asked.len()
        );
        script.answer(Response::Appended {
            epoch: EPOCH,
            offset,
            is_duplicate: false,
        });
        answered.push_str(&script.read(peer));
    }

    for id in 2..12 {
        assert_eq!(answered.matches(&format!(r#"{{"id":{id},"#)).count(), 1);
    }
    assert_eq!((script.paused, script.resumed), (vec![peer], vec![peer]));
}

#[test]
fn a_read_counts_as_a_quarter_of_the_bound_since_its_answer_may_be_large() {
    let mut script = with_asks(16);
    let peer = script.connect();

    script.send(
        peer,
        &frame(10, r#""history":{"channel":"room","limit":9}"#),
    );

    assert_eq!(script.asked.len(), 4);
    script.answer(page(0, &[]));
    script.answer(page(0, &[]));
    assert_eq!(script.asked.len(), 4);
}

#[test]
fn questions_about_presence_count_like_reads() {
    let mut script = with_asks(16);
    let peer = script.connect();
    script.told.clear();

    script.send(peer, &frame(10, r#""presence":{"channel":"room"}"#));

    assert_eq!(script.told.len(), 4);
    assert_eq!(script.paused, [peer]);
    script.pass(settings().presence_timeout * 4);
    assert_eq!(script.told.len(), 10, "given up, each made room");
    assert_eq!(script.resumed, [peer]);
}

#[test]
fn what_came_while_a_peer_is_paused_waits_behind_what_is_held() {
    let mut script = with_asks(1);
    let peer = script.connect();

    script.send(peer, &frame(2, r#""publish":{"channel":"room","data":1}"#));
    script.send(peer, r#"{"id":9,"rpc":{"method":"none","data":1}}"#);
    assert_eq!(script.read(peer), "");
    for offset in 1..=2 {
        script.answer(Response::Appended {
            epoch: EPOCH,
            offset,
            is_duplicate: false,
        });
    }

    let replies = script.read(peer);
    let places = [2, 3, 9].map(|id| replies.find(&format!(r#"{{"id":{id},"#)));
    assert!(places.is_sorted() && places[0].is_some(), "{replies}");
}

#[test]
fn a_peer_that_goes_leaves_nothing_held_behind() {
    let mut script = with_asks(1);
    let peer = script.connect();
    script.send(peer, &frame(3, r#""publish":{"channel":"room","data":1}"#));

    script.lose(peer);
    script.answer(Response::Appended {
        epoch: EPOCH,
        offset: 1,
        is_duplicate: false,
    });

    assert_eq!(script.asked.len(), 0);
}

#[test]
fn a_refused_connect_voids_the_rest_of_its_frame_even_if_that_is_malformed() {
    let mut script = Script::with(HubSettings {
        peers_max: 1,
        ..settings()
    });
    script.connect();
    let late = script.accept();

    script.send(late, "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subs");

    assert!(script.read(late).contains(r#""code":111"#));
    assert_eq!(script.close_code(late), None, "3501 would be final");
}

#[test]
fn a_nul_in_a_key_or_a_channel_is_refused_since_only_records_have_it() {
    let mut script = Script::new();
    let peer = script.connect();

    script.send(
        peer,
        r#"{"id":2,"rpc":{"method":"gw.publish","data":{"channel":"room","data":1,"idempotency_key":"a\u0000"}}}"#,
    );
    script.send(peer, r#"{"id":3,"publish":{"channel":"a\u0000","data":1}}"#);

    assert_eq!(script.read(peer).matches(r#""code":107"#).count(), 2);
    assert!(script.asked.is_empty());
}

#[test]
fn a_peer_that_is_not_read_from_is_not_blamed_for_its_silence() {
    let mut script = with_asks(1);
    let peer = script.connect();
    script.send(peer, r#"{"id":2,"publish":{"channel":"room","data":1}}"#);

    script.pass(settings().ping_interval * 2);
    assert_eq!(script.close_code(peer), None);
    script.answer(Response::Appended {
        epoch: EPOCH,
        offset: 1,
        is_duplicate: false,
    });
    script.pass(settings().ping_interval * 2);

    assert_eq!(script.close_code(peer), Some(3012), "it is read from again");
}

#[test]
fn refusals_are_told_once_a_second_with_how_many_there_were() {
    let mut script = Script::new();
    let peer = script.connect();
    for (id, channel) in [(2, "one"), (3, "two"), (4, "three")] {
        script.send(peer, &subscribe(id, channel));
        script.answer(page(0, &[]));
    }
    script.events.clear();
    let told = |times| Event::LimitReached {
        setting: "channels_per_peer_max",
        times,
    };

    for id in 5..1_005 {
        script.send(peer, &subscribe(id, "four"));
    }
    assert_eq!(script.events, [told(1)]);
    script.pass(Duration::from_secs(1));
    assert_eq!(script.events, [told(1), told(999)]);

    // A quiet second later the next one is news again.
    script.pass(Duration::from_secs(1));
    script.send(peer, &subscribe(1_005, "four"));
    assert_eq!(script.events, [told(1), told(999), told(1)]);
}

fn subscribe(id: u32, channel: &str) -> String {
    format!(r#"{{"id":{id},"subscribe":{{"channel":"{channel}"}}}}"#)
}
