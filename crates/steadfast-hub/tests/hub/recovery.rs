//! Subscribing at a position: what the reply holds, what follows, and when it is refused.

use steadfast_hub::io::Input;
use steadfast_hub::log::io::{ReadFrom, Rejection, Request};

use crate::script::{
    EPOCH, EPOCH_TEXT, Script, committed, first_page, page, push, refused, unrecoverable,
};

#[test]
fn a_recovered_reply_holds_what_was_missed_and_the_offset_that_was_asked_for() {
    let mut script = Script::new();
    let peer = recovering(&mut script, EPOCH_TEXT, 3);

    script.answer(page(5, &[4, 5]));

    let reply = script.read(peer);
    assert!(reply.contains(r#""offset":3"#), "{reply}");
    assert!(
        reply.contains(r#""recovered":true"#) && reply.contains(r#""was_recovering":true"#),
        "{reply}"
    );
    assert!(
        reply.contains(
            r#""publications":[{"data":{"n":4},"offset":4},{"data":{"n":5},"offset":5}]"#
        ),
        "{reply}"
    );
}

#[test]
fn a_long_gap_goes_on_in_pushes_before_anything_live() {
    let mut script = Script::new();
    let peer = recovering(&mut script, EPOCH_TEXT, 0);

    script.answer(first_page(7, &[1, 2, 3]));
    script.commit("room", 8);
    let Request::Read(read) = &script.asked[0] else {
        panic!("a read")
    };
    assert_eq!(
        read.from,
        ReadFrom::After {
            epoch: EPOCH,
            offset: 3
        }
    );
    script.answer(first_page(8, &[4, 5, 6]));
    script.answer(page(8, &[7, 8]));
    script.commit("room", 9);

    let sent = script.read(peer);
    let (reply, pushes) = sent.split_once('\n').unwrap();
    assert!(reply.contains(r#""recovered":true"#), "{reply}");
    let expected: Vec<String> = (4..=9).map(|offset| push("room", offset)).collect();
    assert_eq!(pushes, expected.join("\n"));
}

#[test]
fn a_long_recovery_waits_for_a_socket_that_is_full() {
    let mut script = Script::new();
    let peer = recovering(&mut script, EPOCH_TEXT, 0);

    script.handle(Input::Backlog { peer, bytes: 1000 });
    script.answer(first_page(7, &[1, 2, 3]));
    assert!(script.asked.is_empty());
    script.handle(Input::Drained { peer });
    script.answer(page(7, &[4, 5, 6, 7]));

    let sent = script.read(peer);
    assert!(sent.ends_with(&push("room", 7)), "{sent}");
}

#[test]
fn a_position_that_proves_nothing_is_not_recovered_and_gives_no_publications() {
    for (epoch, offset) in [
        ("", 3),
        ("foreign", 3),
        ("000000000000000f.0", 3),
        (EPOCH_TEXT, 99),
    ] {
        let mut script = Script::new();
        let peer = recovering(&mut script, epoch, offset);

        script.answer(
            if epoch.parse::<steadfast_hub::epoch::ChannelEpoch>().is_ok() {
                unrecoverable(5)
            } else {
                page(5, &[])
            },
        );
        script.commit("room", 6);

        let sent = script.read(peer);
        let (reply, live) = sent.split_once('\n').unwrap();
        assert!(
            !reply.contains("recovered\":true") && reply.contains("\"was_recovering\":true"),
            "{reply}"
        );
        assert!(
            !reply.contains("publications") && reply.contains(r#""offset":5"#),
            "{reply}"
        );
        assert_eq!(live, push("room", 6));
    }
}

#[test]
fn the_very_beginning_is_recovered_only_if_nothing_was_removed_there() {
    let mut script = Script::new();
    let (whole, cut, empty) = (
        recovering(&mut script, "", 0),
        recovering(&mut script, "", 0),
        recovering_in(&mut script, "silent", "", 0),
    );

    script.answer(page(2, &[1, 2]));
    script.answer(page(2, &[2]));
    script.answer(page(0, &[]));

    assert!(script.read(whole).contains(r#""recovered":true"#));
    assert!(!script.read(cut).contains(r#""recovered":true"#));
    assert!(script.read(empty).contains(r#""recovered":true"#));
}

#[test]
fn a_client_that_asks_for_it_gets_error_112_and_no_subscription() {
    let mut script = Script::new();
    let peer = script.connect();

    script.send(
        peer,
        r#"{"id":2,"subscribe":{"channel":"room","recover":true,"epoch":"gone","offset":3,"flag":2}}"#,
    );
    script.answer(page(5, &[]));
    script.commit("room", 6);

    let reply = script.read(peer);
    assert!(
        reply.contains(r#""code":112"#) && !reply.contains("pub"),
        "{reply}"
    );
    assert_eq!(script.channel_count(), 0);
}

#[test]
fn a_core_that_stands_at_the_top_answers_without_asking_the_log() {
    let mut script = Script::new();
    script.subscribe("room", 5);
    script.commit("room", 6);

    let fresh = script.connect();
    script.send(fresh, r#"{"id":2,"subscribe":{"channel":"room"}}"#);
    let back = recovering(&mut script, EPOCH_TEXT, 6);

    assert!(script.asked.is_empty());
    assert!(script.read(fresh).contains(r#""offset":6"#));
    assert!(script.read(back).contains(r#""recovered":true"#));
}

#[test]
fn a_core_that_is_behind_asks_the_log_about_a_position_it_has_not_seen() {
    let mut script = Script::new();
    script.subscribe("room", 5);

    // It was handed publication 6 by another core, which had read further.
    let peer = recovering(&mut script, EPOCH_TEXT, 6);
    assert_eq!(script.asked.len(), 1);
    script.commit("room", 6);
    script.answer(page(6, &[]));
    script.commit("room", 7);

    let sent = script.read(peer);
    assert!(sent.contains(r#""recovered":true"#), "{sent}");
    assert!(!sent.contains(r#"{"n":6}"#), "{sent}");
    assert!(sent.ends_with(&push("room", 7)), "{sent}");
}

#[test]
fn a_core_that_is_behind_asks_the_log_about_an_epoch_it_has_not_seen() {
    let mut script = Script::new();
    script.subscribe("room", 5);

    recovering(&mut script, "000000000000000f.0", 1);

    assert_eq!(script.asked.len(), 1);
}

#[test]
fn commits_between_question_and_answer_are_in_the_answer_and_not_sent_twice() {
    let mut script = Script::new();
    let peer = recovering(&mut script, EPOCH_TEXT, 3);

    script.commit("room", 4);
    script.commit("room", 5);
    script.answer(page(5, &[4, 5]));
    script.commit("room", 6);

    let sent = script.read(peer);
    assert_eq!(sent.matches(r#"{"n":5}"#).count(), 1, "{sent}");
    assert!(sent.ends_with(&push("room", 6)), "{sent}");
}

#[test]
fn a_recovery_that_retention_overtakes_ends_with_2500() {
    for answer in [unrecoverable(90), refused(Rejection::NoSpace)] {
        let mut script = Script::new();
        let peer = recovering(&mut script, EPOCH_TEXT, 0);

        script.answer(first_page(7, &[1, 2, 3]));
        script.answer(answer);
        script.commit("room", 91);

        let sent = script.read(peer);
        assert!(sent.contains(r#""unsubscribe":{"code":2500"#), "{sent}");
        assert!(!sent.contains(r#"{"n":91}"#), "{sent}");
    }
}

#[test]
fn a_log_that_refuses_a_subscription_leaves_none_behind() {
    let mut script = Script::new();
    let peer = recovering(&mut script, EPOCH_TEXT, 3);

    script.answer(refused(Rejection::WriteFailed));

    assert!(script.read(peer).contains(r#""code":100"#));
    assert_eq!(script.channel_count(), 0);
}

#[test]
fn a_second_subscription_to_a_channel_and_one_too_many_are_refused() {
    let mut script = Script::new();
    let peer = script.subscribe("one", 0);
    script.send(peer, r#"{"id":3,"subscribe":{"channel":"one"}}"#);
    for (id, channel) in [(4, "two"), (5, "three"), (6, "four")] {
        script.send(
            peer,
            &format!(r#"{{"id":{id},"subscribe":{{"channel":"{channel}"}}}}"#),
        );
    }

    let replies = script.read(peer);

    assert!(
        replies.contains(r#""id":3,"error":{"code":105"#),
        "{replies}"
    );
    assert!(
        replies.contains(r#""id":6,"error":{"code":106"#),
        "{replies}"
    );
    assert_eq!(script.asked.len(), 2);
}

#[test]
fn an_answer_for_a_subscription_that_was_given_up_meanwhile_changes_nothing() {
    let mut script = Script::new();
    let peer = recovering(&mut script, EPOCH_TEXT, 3);
    script.send(peer, r#"{"id":3,"unsubscribe":{"channel":"room"}}"#);
    script.send(peer, r#"{"id":4,"subscribe":{"channel":"room"}}"#);

    script.answer(page(5, &[4, 5]));
    script.answer(page(5, &[]));
    script.log(vec![committed("room", EPOCH, 6)]);

    let sent = script.read(peer);
    assert!(!sent.contains(r#""id":2,"subscribe""#), "{sent}");
    assert!(sent.contains(r#""id":4,"subscribe""#), "{sent}");
    assert_eq!(sent.matches(r#""pub""#).count(), 1, "{sent}");
}

/// Trap GT-15: an SDK whose subscribe command stays unanswered drops the connection.
#[test]
fn a_subscription_that_is_given_up_before_it_began_is_answered_before_that() {
    let mut script = Script::new();
    let peer = recovering(&mut script, EPOCH_TEXT, 3);

    script.send(peer, r#"{"id":3,"unsubscribe":{"channel":"room"}}"#);

    let sent = script.read(peer);
    let (refused, granted) = sent.split_once('\n').unwrap();
    assert!(
        refused.contains(r#""id":2,"error":{"code":100"#)
            && refused.contains(r#""temporary":true"#),
        "{refused}"
    );
    assert_eq!(granted, r#"{"id":3,"unsubscribe":{}}"#);
}

/// The storage may serve a later question first.
#[test]
fn a_page_for_a_subscription_that_was_given_up_is_not_taken_for_one_of_the_next() {
    let mut script = Script::new();
    let peer = recovering(&mut script, EPOCH_TEXT, 1000);
    script.answer(first_page(2000, &[1001, 1002, 1003]));
    let late = script.asked.remove(0);
    script.send(peer, r#"{"id":3,"unsubscribe":{"channel":"room"}}"#);
    script.send(
        peer,
        &format!(
            r#"{{"id":4,"subscribe":{{"channel":"room","recover":true,"epoch":"{EPOCH_TEXT}","offset":1}}}}"#
        ),
    );
    script.answer(first_page(2000, &[2, 3, 4]));
    script.read(peer);

    script.asked.insert(0, late);
    script.answer(first_page(2000, &[1004, 1005, 1006]));
    script.answer(first_page(2000, &[5, 6, 7]));

    let expected: Vec<String> = (5..=7).map(|offset| push("room", offset)).collect();
    assert_eq!(script.read(peer), expected.join("\n"));
}

#[test]
fn an_answer_for_a_subscription_that_was_given_up_is_not_taken_for_one_with_the_same_command_id() {
    let mut script = Script::new();
    let peer = recovering(&mut script, EPOCH_TEXT, 3);
    script.send(peer, r#"{"id":2,"unsubscribe":{"channel":"room"}}"#);
    script.send(
        peer,
        &format!(
            r#"{{"id":2,"subscribe":{{"channel":"room","recover":true,"epoch":"{EPOCH_TEXT}","offset":1}}}}"#
        ),
    );
    script.read(peer);

    script.answer(page(5, &[4, 5]));
    assert_eq!(script.read(peer), "");
    script.answer(first_page(5, &[2, 3, 4]));

    let reply = script.read(peer);
    assert!(
        reply.contains(r#""offset":1,"#) || reply.contains(r#""offset":1}"#),
        "{reply}"
    );
    assert!(reply.contains(r#"{"data":{"n":2},"offset":2}"#), "{reply}");
}

fn recovering(script: &mut Script, epoch: &str, offset: u64) -> steadfast_hub::io::PeerId {
    recovering_in(script, "room", epoch, offset)
}

fn recovering_in(
    script: &mut Script,
    channel: &str,
    epoch: &str,
    offset: u64,
) -> steadfast_hub::io::PeerId {
    let peer = script.connect();
    script.send(
        peer,
        &format!(
            r#"{{"id":2,"subscribe":{{"channel":"{channel}","recover":true,"epoch":"{epoch}","offset":{offset}}}}}"#
        ),
    );
    peer
}
