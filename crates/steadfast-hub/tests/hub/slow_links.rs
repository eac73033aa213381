//! Peers on slow links: what a reply may contain, the size of pages, and publications that no send buffer can hold.

use std::time::Duration;

use steadfast_engine::memory::Offsets;
use steadfast_hub::io::Input;
use steadfast_hub::policy::HubSettings;
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{Publication, PushEvent, Reply, ReplyResult, SubscribeResult};

use crate::messages::{history, position_lost, recover};
use crate::script::{EPOCH_TEXT, Script, settings};

/// The limit of the payload bytes in replies.
const REPLY: usize = 1024;
/// The size of the largest publication that a send buffer can hold.
const SENDABLE: usize = 32 << 10;

pub(crate) fn the_replies_of_a_peer_contain_few_bytes_and_the_rest_follows_as_pushes(
    offsets: Offsets,
) {
    let mut script = script(offsets);
    for channel in ["one", "two", "three"] {
        for _ in 0..9 {
            script.commit_bytes(channel, 300);
        }
    }
    let peer = script.connect();
    let first = |script: &mut Script| {
        for (id, channel) in [(2, "one"), (3, "two"), (4, "three")] {
            script.send(peer, recover(id, channel, EPOCH_TEXT, 0));
        }
        script.respond_to_all();
        let received = script.read(peer);
        (in_replies(&received), in_pushes(&received))
    };

    let (replies, pushes) = first(&mut script);

    assert_eq!(replies.iter().sum::<usize>(), 3 * 300);
    assert_eq!(replies.len(), 3);
    assert_eq!(pushes, vec![300; 3 * 9 - 3]);
}

pub(crate) fn a_publication_that_is_too_large_for_a_reply_follows_as_a_push(offsets: Offsets) {
    let mut script = script(offsets);
    script.commit_bytes("news", REPLY + 1);
    script.commit_bytes("news", 10);
    let peer = script.connect();

    script.send(peer, recover(2, "news", EPOCH_TEXT, 0));
    script.respond_to_all();

    let received = script.read(peer);
    assert_eq!(in_replies(&received), [0]);
    assert_eq!(in_pushes(&received), [REPLY + 1, 10]);
    assert!(subscribed(&received).recovered);
}

pub(crate) fn pages_are_as_large_as_the_peer_is_fast(offsets: Offsets) {
    let mut script = script(offsets);
    for _ in 0..400 {
        script.commit_bytes("news", 500);
    }
    let peer = script.connect();
    script.send(peer, recover(2, "news", EPOCH_TEXT, 0));
    let page = |script: &mut Script, millis| {
        script.handle(Input::SendBuffer { peer, bytes: 100 });
        let bytes_max = script.respond_to_read();
        script.advance(Duration::from_millis(millis));
        script.handle(Input::BytesReceived { peer });
        script.handle(Input::Drained { peer });
        bytes_max
    };

    let quick = [0, 100, 100, 100, 100, 100].map(|millis| page(&mut script, millis));
    let slow = [1_500, 1_500, 1_500, 500, 500].map(|millis| page(&mut script, millis));

    assert_eq!(quick, [REPLY, 4_096, 8_192, 16_384, 16_384, 16_384]);
    assert_eq!(slow, [16_384, 8_192, 4_096, 2_048, 2_048]);
}

pub(crate) fn a_live_publication_that_no_send_buffer_can_hold_is_a_gap_after_which_the_next_ones_arrive(
    offsets: Offsets,
) {
    let mut script = script(offsets);
    let live = script.subscribe("news", 2);

    script.commit_bytes("news", SENDABLE);
    assert_eq!(in_pushes(&script.read(live)), [SENDABLE]);
    script.commit_bytes("news", SENDABLE + 1);
    assert_eq!(script.read(live), [position_lost("news")]);
    script.send(live, recover(3, "news", EPOCH_TEXT, 3));
    script.respond_to_all();
    script.commit_bytes("news", 10);

    let received = script.read(live);
    let result = subscribed(&received);
    assert!(result.was_recovering && !result.recovered, "{result:?}");
    assert_eq!(result.position.offset, 4);
    assert_eq!(in_pushes(&received), [10]);
    assert_eq!(script.close_code(live), None);
}

pub(crate) fn a_recovery_ends_before_a_publication_that_no_send_buffer_can_hold_and_continues_after_it(
    offsets: Offsets,
) {
    let mut script = script(offsets);
    for bytes in [10, 20, 600, 700, SENDABLE + 1, 30] {
        script.commit_bytes("news", bytes);
    }
    let peer = script.connect();

    script.send(peer, recover(2, "news", EPOCH_TEXT, 0));
    script.respond_to_all();
    let before = script.read(peer);
    assert_eq!(in_replies(&before), [630]);
    assert_eq!(in_pushes(&before), [700]);
    assert_eq!(before.last(), Some(&position_lost("news")));
    script.send(peer, recover(3, "news", EPOCH_TEXT, 4));
    script.respond_to_all();
    script.commit_bytes("news", 40);

    let after = script.read(peer);
    assert!(!subscribed(&after).recovered);
    assert_eq!(subscribed(&after).position.offset, 6);
    assert_eq!(in_pushes(&after), [40]);
}

pub(crate) fn a_history_with_a_publication_that_no_send_buffer_can_hold_is_rejected(
    offsets: Offsets,
) {
    let mut script = script(offsets);
    script.commit_bytes("news", SENDABLE + 1);
    let peer = script.connect();

    script.send(peer, history(2, 10));
    script.respond_to_all();

    let received = script.read(peer);
    let [
        Reply::Response {
            id: 2,
            outcome: Err(error),
        },
    ] = &received[..]
    else {
        panic!("{received:?}");
    };
    assert_eq!(error.code, ErrorCode::LimitExceeded.code());
}

fn script(offsets: Offsets) -> Script {
    Script::with(
        offsets,
        HubSettings {
            recovery_reply_bytes_max: REPLY,
            recovery_bytes_max: 16 << 10,
            recovery_publications_max: 100,
            pending_requests_per_peer_max: 16,
            send_buffer_bytes_max: 2 * SENDABLE,
            limits: Limits {
                message_bytes: SENDABLE,
                ..Limits::DEFAULT
            },
            ..settings()
        },
    )
}

/// The payload bytes in each reply to a subscribe command.
fn in_replies(received: &[Reply]) -> Vec<usize> {
    let results = received.iter().filter_map(as_subscribed);
    let size = |publications: &[Publication]| publications.iter().map(|it| it.data.len()).sum();
    results.map(|result| size(&result.publications)).collect()
}

/// The payload bytes of each push.
fn in_pushes(received: &[Reply]) -> Vec<usize> {
    let sizes = received.iter().filter_map(|reply| {
        if let Reply::Push(push) = reply
            && let PushEvent::Publication(publication) = &push.event
        {
            return Some(publication.data.len());
        }
        None
    });
    sizes.collect()
}

fn subscribed(received: &[Reply]) -> &SubscribeResult {
    received.iter().find_map(as_subscribed).expect("subscribed")
}

fn as_subscribed(reply: &Reply) -> Option<&SubscribeResult> {
    if let Reply::Response {
        outcome: Ok(ReplyResult::Subscribe(result)),
        ..
    } = reply
    {
        return Some(result);
    }
    None
}
