//! Limits on the pending requests that one frame of a peer can cause.

use std::fmt::Write as _;
use std::time::Duration;

use steadfast_engine::Response;
use steadfast_hub::event::{Event, HubLimit};
use steadfast_hub::policy::hub::HubSettings;

use crate::script::{EPOCH, Script, page, settings};

/// Commands with the ids from 2, in one frame.
fn frame(count: u32, command: &str) -> String {
    let mut frame = String::new();
    for id in 2..2 + count {
        writeln!(frame, r#"{{"id":{id},{command}}}"#).expect("cannot fail");
    }
    frame
}

fn with_pending_requests_max(pending_requests_per_peer_max: usize) -> Script {
    Script::with(HubSettings {
        pending_requests_per_peer_max,
        ..settings()
    })
}

#[test]
fn a_frame_of_many_commands_never_has_more_pending_requests_than_the_limit() {
    let mut script = with_pending_requests_max(4);
    let peer = script.connect();
    let mut replies = String::new();

    script.send(peer, &frame(10, r#""publish":{"channel":"news","data":1}"#));
    for offset in 1..=10 {
        assert!(
            (1..=4).contains(&script.requests.len()),
            "{} pending before response {offset}",
            script.requests.len()
        );
        script.respond(Response::Appended {
            epoch: EPOCH,
            offset,
            is_duplicate: false,
        });
        replies.push_str(&script.read(peer));
    }

    for id in 2..12 {
        assert_eq!(replies.matches(&format!(r#"{{"id":{id},"#)).count(), 1);
    }
    assert_eq!((script.paused, script.resumed), (vec![peer], vec![peer]));
}

#[test]
fn a_read_counts_as_a_quarter_of_the_limit_since_its_response_may_be_large() {
    let mut script = with_pending_requests_max(16);
    let peer = script.connect();

    script.send(
        peer,
        &frame(10, r#""history":{"channel":"news","limit":9}"#),
    );

    assert_eq!(script.requests.len(), 4);
    script.respond(page(0, &[]));
    script.respond(page(0, &[]));
    assert_eq!(script.requests.len(), 4);
}

#[test]
fn presence_queries_count_like_reads() {
    let mut script = with_pending_requests_max(16);
    let peer = script.connect();
    script.broadcasts.clear();

    script.send(peer, &frame(10, r#""presence":{"channel":"news"}"#));

    assert_eq!(script.broadcasts.len(), 4);
    assert_eq!(script.paused, [peer]);
    script.advance(settings().presence_timeout * 4);
    assert_eq!(
        script.broadcasts.len(),
        10,
        "each query that timed out lets the next one run"
    );
    assert_eq!(script.resumed, [peer]);
}

#[test]
fn commands_that_arrive_while_a_peer_is_paused_run_after_the_queued_ones() {
    let mut script = with_pending_requests_max(1);
    let peer = script.connect();

    script.send(peer, &frame(2, r#""publish":{"channel":"news","data":1}"#));
    script.send(peer, r#"{"id":9,"rpc":{"method":"none","data":1}}"#);
    assert_eq!(script.read(peer), "");
    for offset in 1..=2 {
        script.respond(Response::Appended {
            epoch: EPOCH,
            offset,
            is_duplicate: false,
        });
    }

    let replies = script.read(peer);
    let positions = [2, 3, 9].map(|id| replies.find(&format!(r#"{{"id":{id},"#)));
    assert!(positions.is_sorted() && positions[0].is_some(), "{replies}");
}

#[test]
fn a_closed_peer_leaves_no_queued_commands() {
    let mut script = with_pending_requests_max(1);
    let peer = script.connect();
    script.send(peer, &frame(3, r#""publish":{"channel":"news","data":1}"#));

    script.lose_connection(peer);
    script.respond(Response::Appended {
        epoch: EPOCH,
        offset: 1,
        is_duplicate: false,
    });

    assert_eq!(script.requests.len(), 0);
}

#[test]
fn after_a_rejected_connect_the_rest_of_its_frame_is_ignored_even_if_malformed() {
    let mut script = Script::with(HubSettings {
        peers_max: 1,
        ..settings()
    });
    script.connect();
    let late = script.accept();

    script.send(late, "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subs");

    assert!(script.read(late).contains(r#""code":111"#));
    assert_eq!(script.close_code(late), None, "3501 would be permanent");
}

#[test]
fn a_nul_in_an_idempotency_key_or_a_channel_is_rejected_since_it_identifies_records() {
    let mut script = Script::new();
    let peer = script.connect();

    script.send(
        peer,
        r#"{"id":2,"rpc":{"method":"gw.publish","data":{"channel":"news","data":1,"idempotency_key":"a\u0000"}}}"#,
    );
    script.send(peer, r#"{"id":3,"publish":{"channel":"a\u0000","data":1}}"#);

    assert_eq!(script.read(peer).matches(r#""code":107"#).count(), 2);
    assert!(script.requests.is_empty());
}

#[test]
fn a_paused_peer_is_not_closed_for_a_missing_pong() {
    let mut script = with_pending_requests_max(1);
    let peer = script.connect();
    script.send(peer, r#"{"id":2,"publish":{"channel":"news","data":1}}"#);

    script.advance(settings().ping_interval * 2);
    assert_eq!(script.close_code(peer), None);
    script.respond(Response::Appended {
        epoch: EPOCH,
        offset: 1,
        is_duplicate: false,
    });
    script.advance(settings().ping_interval * 2);

    assert_eq!(script.close_code(peer), Some(3012), "reading resumed");
}

#[test]
fn rejections_are_reported_once_a_second_with_their_count() {
    let mut script = Script::new();
    let peer = script.connect();
    for (id, channel) in [(2, "one"), (3, "two"), (4, "three")] {
        script.send(peer, &subscribe(id, channel));
        script.respond(page(0, &[]));
    }
    script.events.clear();
    let limit_reached = |count| Event::LimitReached {
        limit: HubLimit::ChannelsPerPeer,
        count,
    };

    for id in 5..1_005 {
        script.send(peer, &subscribe(id, "four"));
    }
    assert_eq!(script.events, [limit_reached(1)]);
    script.advance(Duration::from_secs(1));
    assert_eq!(script.events, [limit_reached(1), limit_reached(999)]);

    // After a second without rejections, the next one is reported at once again.
    script.advance(Duration::from_secs(1));
    script.send(peer, &subscribe(1_005, "four"));
    assert_eq!(
        script.events,
        [limit_reached(1), limit_reached(999), limit_reached(1)]
    );
}

fn subscribe(id: u32, channel: &str) -> String {
    format!(r#"{{"id":{id},"subscribe":{{"channel":"{channel}"}}}}"#)
}
