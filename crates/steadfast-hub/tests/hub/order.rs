//! The order in which the commands of a peer take effect in one channel.

use steadfast_engine::memory::Offsets;
use steadfast_engine::{Rejection, Request};
use steadfast_hub::io::ShardMessage;
use steadfast_hub::policy::HubSettings;
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::{HistoryRequest, PresenceStats, PushEvent, Reply, ReplyResult};

use crate::messages::{
    error, history, history_request, history_with, presence_stats, publish, publish_once, reply_to,
    subscribe, subscribed, unsubscribe,
};
use crate::presence::relay;
use crate::responses::{appended, checked};
use crate::script::{Script, settings};

pub(crate) fn history_contains_the_publications_that_were_sent_before_it(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    script.send_all(
        peer,
        [publish(2, "news"), publish(3, "news"), history(4, 9)],
    );

    assert_eq!(requested(&script), ["append", "append"]);
    script.respond(appended(1));
    assert_eq!(requested(&script), ["append"]);
    script.respond(appended(2));
    assert_eq!(requested(&script), ["read"]);
    script.execute();
    assert_eq!(
        outcomes(&script.read(peer)),
        ["2", "3", "4: 2 publications"]
    );
}

pub(crate) fn history_waits_for_idempotent_publications_too(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    script.send_all(peer, [publish_once(2, "news", "1", "key"), history(3, 9)]);
    script.execute();

    assert_eq!(requested(&script), ["read"]);
    script.execute();
    assert_eq!(outcomes(&script.read(peer)), ["2", "3: 1 publications"]);
}

pub(crate) fn publications_are_requested_at_once_and_wait_only_for_a_history_before_them(
    offsets: Offsets,
) {
    let mut script = with_pending_requests_max(offsets, 64);
    let peer = script.connect();

    script.send_all(peer, [publish(2, "news"), history(3, 9)]);
    script.send_all(
        peer,
        [publish(4, "news"), publish(5, "news"), history(6, 9)],
    );

    assert_eq!(requested(&script), ["append"]);
    script.execute();
    assert_eq!(requested(&script), ["read"]);
    script.execute();
    assert_eq!(requested(&script), ["append", "append"]);
    script.execute();
    script.execute();
    script.execute();
    let expected = ["2", "3: 1 publications", "4", "5", "6: 3 publications"];
    assert_eq!(outcomes(&script.read(peer)), expected);
}

pub(crate) fn presence_contains_the_subscription_that_was_requested_before_it(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    script.send_all(peer, [subscribe(2, "news"), presence_stats(3, "news")]);
    assert_eq!(queries(&script), 0);
    script.respond(checked(0));
    exchange(&mut script);

    assert_eq!(script.read(peer), [subscribed(2, 0), counted(3, 1)]);
}

pub(crate) fn presence_contains_the_subscription_that_ends_after_it(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.subscribe("news", 0);

    script.send_all(peer, [presence_stats(3, "news"), unsubscribe(4, "news")]);
    script.send_all(peer, [presence_stats(5, "news"), subscribe(6, "news")]);
    exchange(&mut script);
    script.respond(checked(0));

    assert_eq!(
        script.read(peer),
        [
            counted(3, 1),
            reply_to(4, ReplyResult::Unsubscribe),
            counted(5, 0),
            subscribed(6, 0),
        ]
    );
}

pub(crate) fn a_subscription_that_ends_at_once_begins_first(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    script.send_all(peer, [subscribe(2, "news"), unsubscribe(3, "news")]);
    assert_eq!(script.read(peer), []);
    script.respond(checked(0));

    assert_eq!(
        script.read(peer),
        [subscribed(2, 0), reply_to(3, ReplyResult::Unsubscribe)]
    );
    assert_eq!(script.channel_count(), 0);
}

pub(crate) fn a_subscription_that_ends_after_a_publication_receives_it(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.subscribe("news", 0);

    script.send_all(peer, [publish(3, "news"), unsubscribe(4, "news")]);
    script.respond(appended(1));

    assert_eq!(outcomes(&script.read(peer)), ["publication", "3", "4"]);
}

pub(crate) fn a_subscription_after_a_publication_begins_after_it(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let _other = script.subscribe("news", 0);
    let peer = script.connect();

    script.send_all(peer, [publish(2, "news"), subscribe(3, "news")]);
    script.respond(appended(1));

    let acknowledged = reply_to(2, ReplyResult::Publish);
    assert_eq!(script.read(peer), [acknowledged, subscribed(3, 1)]);
}

pub(crate) fn a_second_subscribe_command_takes_the_place_of_a_rejected_one(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    script.send_all(peer, [subscribe(2, "news"), subscribe(3, "news")]);
    script.send(peer, subscribe(4, "news"));
    script.reject(Rejection::Limit);
    script.respond(checked(0));

    assert_eq!(
        script.read(peer),
        [
            error(2, ErrorCode::TooManyRequests),
            subscribed(3, 0),
            error(4, ErrorCode::AlreadySubscribed),
        ]
    );
}

pub(crate) fn other_channels_do_not_wait(offsets: Offsets) {
    let mut script = with_pending_requests_max(offsets, 16);
    let peer = script.connect();
    let elsewhere = HistoryRequest {
        channel: "other".to_owned(),
        ..history_request()
    };

    script.send_all(peer, [subscribe(2, "news"), unsubscribe(3, "news")]);
    script.send_all(peer, [publish(4, "third"), history_with(5, elsewhere)]);
    script.send(peer, presence_stats(6, "other"));

    assert_eq!(requested(&script), ["read", "append", "read"]);
    assert_eq!(queries(&script), 1);
}

pub(crate) fn what_waits_for_a_failed_command_is_executed(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.subscribe("news", 0);

    script.send_all(peer, [publish(3, "news"), history(4, 9)]);
    script.reject(Rejection::NoSpace);
    assert_eq!(requested(&script), ["read"]);
    script.execute();
    script.send_all(peer, [presence_stats(5, "news"), unsubscribe(6, "news")]);
    script.advance(settings().presence_timeout * 2);

    assert_eq!(
        outcomes(&script.read(peer)),
        ["3: error 100", "4: 0 publications", "5: error 100", "6"]
    );
}

pub(crate) fn what_waits_is_bounded_and_the_peer_is_not_read_from_at_the_limit(offsets: Offsets) {
    let mut script = with_pending_requests_max(offsets, 16);
    let peer = script.connect();

    script.send(peer, publish(2, "news"));
    script.send_all(peer, (3..20).map(|id| history(id, 9)));
    assert_eq!(script.paused, [peer], "four commands wait");
    while !script.requests.is_empty() {
        assert!(script.requests.len() <= 4, "{:?}", script.requests);
        script.execute();
    }

    let replies: Vec<_> = (3..20).map(|id| format!("{id}: 1 publications")).collect();
    assert_eq!(outcomes(&script.read(peer))[1..], replies);
    assert_eq!(script.paused.len(), script.resumed.len());
}

pub(crate) fn what_waits_is_dropped_with_its_connection(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();
    script.send_all(peer, [publish(2, "news"), history(3, 9)]);

    script.lose_connection(peer);
    script.execute();

    assert_eq!(requested(&script), [""; 0]);
    assert_eq!(script.read(peer), []);
}

fn with_pending_requests_max(offsets: Offsets, pending_requests_per_peer_max: usize) -> Script {
    Script::with(
        offsets,
        HubSettings {
            pending_requests_per_peer_max,
            ..settings()
        },
    )
}

/// The kinds of the requests that the engine has not executed.
fn requested(script: &Script) -> Vec<&'static str> {
    let kind = |request: &Request| match request {
        Request::Append(_) => "append",
        Request::Read(_) => "read",
    };
    script.requests.iter().map(kind).collect()
}

/// The number of presence queries that the hub has sent and not received.
fn queries(script: &Script) -> usize {
    let is_query = |message: &&ShardMessage| matches!(message, ShardMessage::PresenceQuery { .. });
    script.broadcasts.iter().filter(is_query).count()
}

/// Delivers all messages between shards, and their responses.
fn exchange(script: &mut Script) {
    while !script.broadcasts.is_empty() {
        relay(script);
    }
}

fn counted(id: u32, clients: u32) -> Reply {
    let stats = PresenceStats {
        num_clients: clients,
        num_users: u32::from(clients > 0),
    };
    reply_to(id, ReplyResult::PresenceStats(stats))
}

/// What was sent to a peer, in short: the number of a command, and what its reply contains.
fn outcomes(replies: &[Reply]) -> Vec<String> {
    let short = |reply: &Reply| match reply {
        Reply::Response { id, outcome } => match outcome {
            Ok(ReplyResult::History(history)) => {
                format!("{id}: {} publications", history.publications.len())
            }
            Ok(_) => id.to_string(),
            Err(error) => format!("{id}: error {}", error.code),
        },
        Reply::Push(push) if matches!(push.event, PushEvent::Publication(_)) => {
            "publication".to_owned()
        }
        Reply::Push(_) | Reply::Ping => format!("{reply:?}"),
    };
    replies.iter().map(short).collect()
}
