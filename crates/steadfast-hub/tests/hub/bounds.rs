//! Limits on the pending requests that the commands of a peer can cause.

use std::time::Duration;

use bytes::Bytes;
use steadfast_engine::Request;
use steadfast_engine::memory::Offsets;
use steadfast_hub::event::{Event, HubLimit};
use steadfast_hub::policy::HubSettings;
use steadfast_hub::timer_wheel::TICK;
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::error::{DecodeError, JsonErrorKind};
use steadfast_protocol::message::{Reply, ReplyResult};

use crate::messages::{
    connect, error, error_with, history, presence, publish, publish_once, reply_to, rpc, subscribe,
};
use crate::responses::{appended, checked, page};
use crate::script::{Script, settings};

fn with_pending_requests_max(offsets: Offsets, pending_requests_per_peer_max: usize) -> Script {
    Script::with(
        offsets,
        HubSettings {
            pending_requests_per_peer_max,
            ..settings()
        },
    )
}

pub(crate) fn many_commands_at_once_never_have_more_pending_requests_than_the_limit(
    offsets: Offsets,
) {
    let mut script = with_pending_requests_max(offsets, 4);
    let peer = script.connect();
    let mut replies = Vec::new();

    script.send_all(peer, (2..12).map(|id| publish(id, "news")));
    for offset in 1..=10 {
        assert!(
            (1..=4).contains(&script.requests.len()),
            "{} pending before response {offset}",
            script.requests.len()
        );
        script.respond(appended(offset));
        replies.extend(script.read(peer));
    }

    let expected: Vec<_> = (2..12)
        .map(|id| reply_to(id, ReplyResult::Publish))
        .collect();
    assert_eq!(replies, expected);
    // Paused after 4, 6, 8 and 10 commands, and resumed each time when half of the limit is pending.
    assert_eq!(
        (script.paused, script.resumed),
        (vec![peer; 4], vec![peer; 4])
    );
}

pub(crate) fn a_read_counts_as_a_quarter_of_the_limit_since_its_response_may_be_large(
    offsets: Offsets,
) {
    let mut script = with_pending_requests_max(offsets, 16);
    let peer = script.connect();

    script.send_all(peer, (2..12).map(|id| history(id, 9)));

    assert_eq!(script.requests.len(), 4);
    script.respond(page(0, &[]));
    script.respond(page(0, &[]));
    assert_eq!(script.requests.len(), 4);
}

pub(crate) fn presence_queries_count_like_reads(offsets: Offsets) {
    let mut script = with_pending_requests_max(offsets, 16);
    let peer = script.connect();
    script.broadcasts.clear();

    script.send_all(peer, (2..12).map(|id| presence(id, "news")));

    assert_eq!(script.broadcasts.len(), 4);
    assert_eq!(script.paused, [peer]);
    script.advance(settings().presence_timeout * 4);
    assert_eq!(
        script.broadcasts.len(),
        10,
        "queries that timed out let the next ones run"
    );
    assert_eq!(
        (script.paused, script.resumed),
        (vec![peer; 2], vec![peer; 2])
    );
}

pub(crate) fn the_commands_of_a_paused_peer_are_executed_in_order_when_it_resumes(
    offsets: Offsets,
) {
    let mut script = with_pending_requests_max(offsets, 1);
    let peer = script.connect();

    script.send_all(peer, [publish(2, "news"), publish(3, "news")]);
    script.send(peer, rpc(9, "none", Bytes::from_static(b"1")));
    assert_eq!(script.read(peer), []);
    for offset in 1..=2 {
        script.respond(appended(offset));
    }

    assert_eq!(
        script.read(peer),
        [
            reply_to(2, ReplyResult::Publish),
            reply_to(3, ReplyResult::Publish),
            error(9, ErrorCode::MethodNotFound),
        ]
    );
}

pub(crate) fn an_undecodable_command_of_a_paused_peer_takes_effect_after_those_before_it(
    offsets: Offsets,
) {
    let mut script = with_pending_requests_max(offsets, 1);
    let peer = script.connect();

    script.send_all(peer, [publish(2, "news"), publish(3, "news")]);
    script.receive_command(peer, Err(DecodeError::Empty));
    assert_eq!(script.close_code(peer), None);
    for offset in 1..=2 {
        script.respond(appended(offset));
    }

    assert_eq!(
        script.read(peer),
        [2, 3].map(|id| reply_to(id, ReplyResult::Publish))
    );
    assert_eq!(script.close_code(peer), Some(3501));
}

pub(crate) fn a_peer_that_is_closed_while_it_is_paused_is_not_resumed(offsets: Offsets) {
    let mut script = with_pending_requests_max(offsets, 1);
    let peer = script.connect();
    script.send_all(peer, (2..5).map(|id| publish(id, "news")));

    script.lose_connection(peer);
    script.respond(appended(1));

    assert_eq!(script.requests.len(), 0);
    assert_eq!(script.resumed, []);
}

pub(crate) fn after_a_rejected_connect_the_rest_of_its_message_is_ignored_even_if_malformed(
    offsets: Offsets,
) {
    let mut script = Script::with(
        offsets,
        HubSettings {
            peers_max: 1,
            ..settings()
        },
    );
    script.connect();
    let late = script.accept();

    script.send(late, connect());
    script.receive_command(
        late,
        Err(DecodeError::Malformed {
            line: 2,
            column: 13,
            kind: JsonErrorKind::Truncated,
        }),
    );

    let text = "at capacity; retry_in=10s".to_owned();
    let full = ErrorCode::TooManyRequests.reply_with(text);
    assert_eq!(script.read(late), [error_with(1, full)]);
    assert_eq!(script.close_code(late), None, "3501 would be permanent");
}

pub(crate) fn a_channel_and_an_idempotency_key_may_contain_any_character(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    script.send(peer, publish_once(2, "a\0\n", "1", "\0"));

    let [Request::Append(append)] = &script.requests[..] else {
        panic!("{:?}", script.requests)
    };
    assert_eq!(append.channel.as_str(), "a\0\n");
    assert_eq!(append.idempotency_key, Some(Bytes::from_static(b"\0")));
    assert_eq!(script.read(peer), []);
}

pub(crate) fn a_paused_peer_is_not_closed_for_a_missing_pong(offsets: Offsets) {
    let mut script = with_pending_requests_max(offsets, 1);
    let peer = script.connect();
    script.send(peer, publish(2, "news"));

    script.advance(settings().ping_interval * 2);
    assert_eq!(script.close_code(peer), None);
    script.respond(appended(1));
    script.advance(settings().ping_interval * 2);

    assert_eq!(script.close_code(peer), Some(3012), "reading resumed");
}

pub(crate) fn the_pong_timeout_starts_again_when_reading_resumes(offsets: Offsets) {
    let mut script = with_pending_requests_max(offsets, 1);
    let peer = script.connect();
    script.send(peer, publish(2, "news"));
    while script.read(peer) != [Reply::Ping] {
        script.advance(TICK);
    }

    let before_timeout = settings().pong_timeout.saturating_sub(TICK);
    script.advance(before_timeout);
    script.respond(appended(1));
    script.advance(TICK);
    assert_eq!(script.close_code(peer), None, "its pong may not be read");
    script.advance(settings().pong_timeout);

    assert_eq!(script.close_code(peer), Some(3012));
}

pub(crate) fn rejections_are_reported_once_a_second_with_their_count(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();
    for (id, channel) in [(2, "one"), (3, "two"), (4, "three")] {
        script.send(peer, subscribe(id, channel));
        script.respond(checked(0));
    }
    script.events.clear();
    let limit_reached = |count| Event::LimitReached {
        limit: HubLimit::ChannelsPerPeer,
        count,
    };

    for id in 5..1_005 {
        script.send(peer, subscribe(id, "four"));
    }
    assert_eq!(script.events, [limit_reached(1)]);
    script.advance(Duration::from_secs(1));
    assert_eq!(script.events, [limit_reached(1), limit_reached(999)]);

    // After a second without rejections, the next one is reported at once again.
    script.advance(Duration::from_secs(1));
    script.send(peer, subscribe(1_005, "four"));
    assert_eq!(
        script.events,
        [limit_reached(1), limit_reached(999), limit_reached(1)]
    );
}
