//! Subscribing at a position: what the reply contains, what follows, and when it is rejected.

use steadfast_engine::{ReadFrom, Rejection, Request};
use steadfast_hub::io::Input;

use crate::script::{
    EPOCH, EPOCH_TEXT, Script, committed, first_page, page, push, rejected, unrecoverable,
};

#[test]
fn a_recovered_reply_contains_the_missed_publications_and_the_requested_offset() {
    let mut script = Script::new();
    let peer = recovering(&mut script, EPOCH_TEXT, 3);

    script.respond(page(5, &[4, 5]));

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
fn a_long_recovery_continues_with_pushes_before_live_publications() {
    let mut script = Script::new();
    let peer = recovering(&mut script, EPOCH_TEXT, 0);

    script.respond(first_page(7, &[1, 2, 3]));
    script.commit("news", 8);
    let Request::Read(read) = &script.requests[0] else {
        panic!("no read")
    };
    assert_eq!(
        read.from,
        ReadFrom::After {
            epoch: EPOCH,
            offset: 3
        }
    );
    script.respond(first_page(8, &[4, 5, 6]));
    script.respond(page(8, &[7, 8]));
    script.commit("news", 9);

    let sent = script.read(peer);
    let (reply, pushes) = sent.split_once('\n').unwrap();
    assert!(reply.contains(r#""recovered":true"#), "{reply}");
    let expected: Vec<String> = (4..=9).map(|offset| push("news", offset)).collect();
    assert_eq!(pushes, expected.join("\n"));
}

#[test]
fn a_long_recovery_awaits_an_empty_send_buffer() {
    let mut script = Script::new();
    let peer = recovering(&mut script, EPOCH_TEXT, 0);

    script.handle(Input::SendBuffer { peer, bytes: 1000 });
    script.respond(first_page(7, &[1, 2, 3]));
    assert!(script.requests.is_empty());
    script.handle(Input::Drained { peer });
    script.respond(page(7, &[4, 5, 6, 7]));

    let sent = script.read(peer);
    assert!(sent.ends_with(&push("news", 7)), "{sent}");
}

#[test]
fn an_unknown_position_is_not_recovered_and_returns_no_publications() {
    for (epoch, offset) in [
        ("", 3),
        ("foreign", 3),
        ("000000000000000f.0", 3),
        (EPOCH_TEXT, 99),
    ] {
        let mut script = Script::new();
        let peer = recovering(&mut script, epoch, offset);

        script.respond(if epoch.parse::<steadfast_engine::ChannelEpoch>().is_ok() {
            unrecoverable(5)
        } else {
            page(5, &[])
        });
        script.commit("news", 6);

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
        assert_eq!(live, push("news", 6));
    }
}

#[test]
fn the_start_of_the_history_is_recovered_only_if_nothing_was_removed_there() {
    let mut script = Script::new();
    let (intact, truncated, empty) = (
        recovering(&mut script, "", 0),
        recovering(&mut script, "", 0),
        recovering_in(&mut script, "silent", "", 0),
    );

    script.respond(page(2, &[1, 2]));
    script.respond(page(2, &[2]));
    script.respond(page(0, &[]));

    assert!(script.read(intact).contains(r#""recovered":true"#));
    assert!(!script.read(truncated).contains(r#""recovered":true"#));
    assert!(script.read(empty).contains(r#""recovered":true"#));
}

#[test]
fn a_client_that_requests_it_gets_error_112_and_no_subscription() {
    let mut script = Script::new();
    let peer = script.connect();

    script.send(
        peer,
        r#"{"id":2,"subscribe":{"channel":"news","recover":true,"epoch":"gone","offset":3,"flag":2}}"#,
    );
    script.respond(page(5, &[]));
    script.commit("news", 6);

    let reply = script.read(peer);
    assert!(
        reply.contains(r#""code":112"#) && !reply.contains("pub"),
        "{reply}"
    );
    assert_eq!(script.channel_count(), 0);
}

#[test]
fn a_shard_at_the_high_watermark_replies_without_a_request_to_the_log() {
    let mut script = Script::new();
    script.subscribe("news", 5);
    script.commit("news", 6);

    let fresh = script.connect();
    script.send(fresh, r#"{"id":2,"subscribe":{"channel":"news"}}"#);
    let back = recovering(&mut script, EPOCH_TEXT, 6);

    assert!(script.requests.is_empty());
    assert!(script.read(fresh).contains(r#""offset":6"#));
    assert!(script.read(back).contains(r#""recovered":true"#));
}

#[test]
fn a_lagging_shard_requests_a_position_that_it_has_not_reached_from_the_log() {
    let mut script = Script::new();
    script.subscribe("news", 5);

    // The client received publication 6 from another shard, which had read further.
    let peer = recovering(&mut script, EPOCH_TEXT, 6);
    assert_eq!(script.requests.len(), 1);
    script.commit("news", 6);
    script.respond(page(6, &[]));
    script.commit("news", 7);

    let sent = script.read(peer);
    assert!(sent.contains(r#""recovered":true"#), "{sent}");
    assert!(!sent.contains(r#"{"n":6}"#), "{sent}");
    assert!(sent.ends_with(&push("news", 7)), "{sent}");
}

#[test]
fn a_lagging_shard_requests_an_epoch_that_it_has_not_seen_from_the_log() {
    let mut script = Script::new();
    script.subscribe("news", 5);

    recovering(&mut script, "000000000000000f.0", 1);

    assert_eq!(script.requests.len(), 1);
}

#[test]
fn commits_between_request_and_response_are_in_the_response_and_not_sent_twice() {
    let mut script = Script::new();
    let peer = recovering(&mut script, EPOCH_TEXT, 3);

    script.commit("news", 4);
    script.commit("news", 5);
    script.respond(page(5, &[4, 5]));
    script.commit("news", 6);

    let sent = script.read(peer);
    assert_eq!(sent.matches(r#"{"n":5}"#).count(), 1, "{sent}");
    assert!(sent.ends_with(&push("news", 6)), "{sent}");
}

#[test]
fn a_recovery_that_retention_overtakes_is_closed_with_2500() {
    for response in [unrecoverable(90), rejected(Rejection::NoSpace)] {
        let mut script = Script::new();
        let peer = recovering(&mut script, EPOCH_TEXT, 0);

        script.respond(first_page(7, &[1, 2, 3]));
        script.respond(response);
        script.commit("news", 91);

        let sent = script.read(peer);
        assert!(sent.contains(r#""unsubscribe":{"code":2500"#), "{sent}");
        assert!(!sent.contains(r#"{"n":91}"#), "{sent}");
    }
}

#[test]
fn a_subscription_that_the_log_rejects_is_removed() {
    let mut script = Script::new();
    let peer = recovering(&mut script, EPOCH_TEXT, 3);

    script.respond(rejected(Rejection::WriteFailed));

    assert!(script.read(peer).contains(r#""code":100"#));
    assert_eq!(script.channel_count(), 0);
}

#[test]
fn a_second_subscription_to_a_channel_and_one_above_the_limit_are_rejected() {
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
    assert_eq!(script.requests.len(), 2);
}

#[test]
fn a_response_for_a_cancelled_subscription_changes_nothing() {
    let mut script = Script::new();
    let peer = recovering(&mut script, EPOCH_TEXT, 3);
    script.send(peer, r#"{"id":3,"unsubscribe":{"channel":"news"}}"#);
    script.send(peer, r#"{"id":4,"subscribe":{"channel":"news"}}"#);

    script.respond(page(5, &[4, 5]));
    script.respond(page(5, &[]));
    script.log(vec![committed("news", EPOCH, 6)]);

    let sent = script.read(peer);
    assert!(!sent.contains(r#""id":2,"subscribe""#), "{sent}");
    assert!(sent.contains(r#""id":4,"subscribe""#), "{sent}");
    assert_eq!(sent.matches(r#""pub""#).count(), 1, "{sent}");
}

/// An SDK whose subscribe command has no reply drops the connection.
#[test]
fn a_subscription_that_is_cancelled_before_it_began_gets_its_reply_before_the_unsubscribe_reply() {
    let mut script = Script::new();
    let peer = recovering(&mut script, EPOCH_TEXT, 3);

    script.send(peer, r#"{"id":3,"unsubscribe":{"channel":"news"}}"#);

    let sent = script.read(peer);
    let (rejected, granted) = sent.split_once('\n').unwrap();
    assert!(
        rejected.contains(r#""id":2,"error":{"code":100"#)
            && rejected.contains(r#""temporary":true"#),
        "{rejected}"
    );
    assert_eq!(granted, r#"{"id":3,"unsubscribe":{}}"#);
}

/// The storage may serve a later request first.
#[test]
fn a_page_for_a_cancelled_subscription_is_not_used_for_the_next_one() {
    let mut script = Script::new();
    let peer = recovering(&mut script, EPOCH_TEXT, 1000);
    script.respond(first_page(2000, &[1001, 1002, 1003]));
    let late = script.requests.remove(0);
    script.send(peer, r#"{"id":3,"unsubscribe":{"channel":"news"}}"#);
    script.send(
        peer,
        &format!(
            r#"{{"id":4,"subscribe":{{"channel":"news","recover":true,"epoch":"{EPOCH_TEXT}","offset":1}}}}"#
        ),
    );
    script.respond(first_page(2000, &[2, 3, 4]));
    script.read(peer);

    script.requests.insert(0, late);
    script.respond(first_page(2000, &[1004, 1005, 1006]));
    script.respond(first_page(2000, &[5, 6, 7]));

    let expected: Vec<String> = (5..=7).map(|offset| push("news", offset)).collect();
    assert_eq!(script.read(peer), expected.join("\n"));
}

#[test]
fn a_response_for_a_cancelled_subscription_is_not_used_for_one_with_the_same_command_id() {
    let mut script = Script::new();
    let peer = recovering(&mut script, EPOCH_TEXT, 3);
    script.send(peer, r#"{"id":2,"unsubscribe":{"channel":"news"}}"#);
    script.send(
        peer,
        &format!(
            r#"{{"id":2,"subscribe":{{"channel":"news","recover":true,"epoch":"{EPOCH_TEXT}","offset":1}}}}"#
        ),
    );
    script.read(peer);

    script.respond(page(5, &[4, 5]));
    assert_eq!(script.read(peer), "");
    script.respond(first_page(5, &[2, 3, 4]));

    let reply = script.read(peer);
    assert!(
        reply.contains(r#""offset":1,"#) || reply.contains(r#""offset":1}"#),
        "{reply}"
    );
    assert!(reply.contains(r#"{"data":{"n":2},"offset":2}"#), "{reply}");
}

fn recovering(script: &mut Script, epoch: &str, offset: u64) -> steadfast_hub::io::PeerId {
    recovering_in(script, "news", epoch, offset)
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
