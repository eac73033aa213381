//! Presence on one shard and on several, and joins and leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use steadfast_engine::memory::Offsets;
use steadfast_hub::event::Event;
use steadfast_hub::io::{Input, PeerId, ShardMessage, ShardPresence};
use steadfast_hub::policy::{AnonymousInfo, HubSettings};
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::{
    ChannelName, ClientInfo, Command, ConnectRequest, PresenceStats, PushEvent, ReplyResult,
    SubscribeRequest,
};

use crate::messages::{
    connect_with, error, event, presence, presence_stats, reply_to, subscribe, subscribe_with,
    subscribed, unsubscribe,
};
use crate::responses::checked;
use crate::script::{Script, settings};

pub(crate) fn presence_lists_the_subscribed_clients(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let (first, _second) = (script.subscribe("news", 0), script.subscribe("news", 0));

    script.send(first, presence(3, "news"));
    relay(&mut script);
    relay(&mut script);

    let clients = [
        "00000000-0000-0000-0000-000000000001",
        "00000000-0000-0000-0000-000000000002",
    ];
    let clients = clients.map(|client| (client.to_owned(), client_info(client)));
    assert_eq!(
        script.read(first),
        [reply_to(3, ReplyResult::Presence(BTreeMap::from(clients)))]
    );
}

pub(crate) fn presence_lists_no_client_whose_subscription_is_pending(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let (pending, peer) = (script.connect(), script.connect());
    script.send(pending, subscribe(2, "news"));

    script.send(peer, presence(3, "news"));
    relay(&mut script);
    relay(&mut script);

    let empty = ReplyResult::Presence(BTreeMap::new());
    assert_eq!(script.read(peer), [reply_to(3, empty)]);
}

pub(crate) fn presence_awaits_every_shard_and_sums_the_responses(offsets: Offsets) {
    let mut script = Script::with(
        offsets,
        HubSettings {
            shards: 2,
            ..settings()
        },
    );
    let peer = script.subscribe("news", 0);

    script.send(peer, presence_stats(3, "news"));
    let [ShardMessage::PresenceQuery { number, .. }] = script.broadcasts[..] else {
        panic!("{:?}", script.broadcasts);
    };
    relay(&mut script);
    relay(&mut script);
    assert_eq!(script.read(peer), []);
    let users = BTreeSet::from(["ada".to_owned(), String::new()]);
    let other = ShardMessage::PresenceResponse {
        shard: 0,
        number,
        presence: ShardPresence::Counts { clients: 3, users },
    };
    script.receive(other);

    let stats = PresenceStats {
        num_clients: 4,
        num_users: 2,
    };
    assert_eq!(
        script.read(peer),
        [reply_to(3, ReplyResult::PresenceStats(stats))]
    );
}

pub(crate) fn a_channel_without_clients_has_no_users(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    script.send(peer, presence_stats(3, "news"));
    relay(&mut script);
    relay(&mut script);

    let stats = PresenceStats {
        num_clients: 0,
        num_users: 0,
    };
    assert_eq!(
        script.read(peer),
        [reply_to(3, ReplyResult::PresenceStats(stats))]
    );
}

pub(crate) fn presence_fails_with_a_temporary_error_if_a_shard_does_not_respond(offsets: Offsets) {
    let mut script = Script::with(
        offsets,
        HubSettings {
            shards: 2,
            ..settings()
        },
    );
    let peer = script.connect();

    script.send(peer, presence(3, "news"));
    relay(&mut script);
    script.advance(Duration::from_secs(4));

    assert_eq!(script.read(peer), [error(3, ErrorCode::Internal)]);
}

pub(crate) fn presence_above_its_limit_is_rejected_and_not_truncated(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let first = script.subscribe("news", 0);
    for _ in 0..3 {
        script.subscribe("news", 0);
    }

    script.send(first, presence(3, "news"));
    relay(&mut script);
    relay(&mut script);

    assert_eq!(script.read(first), [error(3, ErrorCode::LimitExceeded)]);
}

pub(crate) fn joins_and_leaves_are_pushed_to_peers_that_requested_them(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let listener = script.connect();
    script.send(listener, subscribe_as_listener());
    script.respond(checked(0));
    relay(&mut script);
    script.read(listener);
    let quiet = script.subscribe("news", 0);
    let info = client_info("c");
    let channel = ChannelName::from("news");

    script.receive(ShardMessage::Join {
        channel: channel.clone(),
        info: info.clone(),
    });
    script.receive(ShardMessage::Leave {
        channel,
        info: info.clone(),
    });

    assert_eq!(
        script.read(listener),
        [
            event("news", PushEvent::Join(info.clone())),
            event("news", PushEvent::Leave(info)),
        ]
    );
    assert_eq!(script.read(quiet), []);
}

pub(crate) fn a_listener_that_unsubscribed_receives_no_joins_and_the_others_still_do(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    let listeners: Vec<_> = (0..3).map(|_| subscribe_and_listen(&mut script)).collect();

    script.send(listeners[0], unsubscribe(3, "news"));
    script.read(listeners[0]);
    let info = client_info("c");
    script.receive(ShardMessage::Join {
        channel: ChannelName::from("news"),
        info: info.clone(),
    });

    let join = [event("news", PushEvent::Join(info))];
    assert_eq!(script.read(listeners[0]), []);
    assert_eq!(script.read(listeners[1]), join);
    assert_eq!(script.read(listeners[2]), join);
}

pub(crate) fn joins_and_leaves_are_broadcast_to_all_shards_once(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    script.send(peer, subscribe(2, "news"));
    script.lose_connection(peer);
    script.respond(checked(0));
    assert!(
        script.broadcasts.is_empty(),
        "a subscription that was never granted is not broadcast"
    );
    let peer = script.connect();
    script.send(peer, subscribe(2, "news"));
    script.respond(checked(0));
    script.send(peer, unsubscribe(3, "news"));
    script.lose_connection(peer);

    assert!(
        matches!(
            script.broadcasts[..],
            [ShardMessage::Join { .. }, ShardMessage::Leave { .. }]
        ),
        "{:?}",
        script.broadcasts
    );
}

pub(crate) fn a_client_receives_its_own_join_after_its_subscribe_reply(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    script.send(peer, subscribe_as_listener());
    script.respond(checked(0));

    assert_eq!(script.read(peer), [subscribed(2, 0)]);
    relay(&mut script);
    let info = client_info("00000000-0000-0000-0000-000000000001");
    assert_eq!(script.read(peer), [event("news", PushEvent::Join(info))]);
}

pub(crate) fn dropped_messages_are_reported_per_shard_at_once_and_then_at_most_once_a_second(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    let dropped = |script: &mut Script, shard| {
        script.handle(Input::ShardMessageDropped { shard, query: None });
    };

    dropped(&mut script, 1);
    for _ in 0..3 {
        dropped(&mut script, 1);
    }
    dropped(&mut script, 2);
    script.advance(Duration::from_secs(1));

    assert_eq!(
        script.events,
        [(1, 1), (2, 1), (1, 3)].map(|(shard, count)| Event::ShardMessagesDropped { shard, count })
    );
}

pub(crate) fn the_info_of_an_anonymous_client_is_shown_when_configured(offsets: Offsets) {
    let mut script = showing(offsets);
    let peer = subscribe_as(&mut script, r#"{"name":"Ada"}"#);

    script.send(peer, presence(3, "news"));
    let broadcasts = script.broadcasts.clone();
    relay(&mut script);
    relay(&mut script);
    relay(&mut script);
    script.send(peer, unsubscribe(4, "news"));

    let client = "00000000-0000-0000-0000-000000000001";
    let info = ClientInfo {
        conn_info: Some(Bytes::from_static(br#"{"name":"Ada"}"#)),
        ..client_info(client)
    };
    let clients = BTreeMap::from([(client.to_owned(), info)]);
    assert_eq!(
        script.read(peer),
        [
            reply_to(3, ReplyResult::Presence(clients)),
            reply_to(4, ReplyResult::Unsubscribe),
        ]
    );
    let ShardMessage::Join { info: joined, .. } = &broadcasts[0] else {
        panic!("{broadcasts:?}");
    };
    let ShardMessage::Leave { info: left, .. } = &script.broadcasts[0] else {
        panic!("{:?}", script.broadcasts);
    };
    assert_eq!(joined.conn_info.as_deref(), Some(&br#"{"name":"Ada"}"#[..]));
    assert_eq!(left, joined);
}

pub(crate) fn the_info_of_a_client_is_ignored_unless_configured(offsets: Offsets) {
    let mut script = Script::new(offsets);

    subscribe_as(&mut script, r#"{"name":"Ada"}"#);

    assert_eq!(joined_info(&script), None);
}

pub(crate) fn connect_data_that_is_not_an_object_or_too_long_is_ignored_and_reported(
    offsets: Offsets,
) {
    let longest = format!(r#"{{"name":"{}"}}"#, "x".repeat(1013));
    let too_long = format!(r#"{{"name":"{}"}}"#, "x".repeat(1014));
    for (data, shown) in [
        (r#""Ada""#, false),
        ("[1]", false),
        (too_long.as_str(), false),
        (longest.as_str(), true),
        ("{}", true),
    ] {
        let mut script = showing(offsets);

        let peer = subscribe_as(&mut script, data);

        assert_eq!(joined_info(&script).is_some(), shown, "{data}");
        let is_reported = script.events.contains(&Event::InfoIgnored { peer });
        assert_eq!(is_reported, !shown, "{data}");
    }
}

fn showing(offsets: Offsets) -> Script {
    Script::with(
        offsets,
        HubSettings {
            anonymous_info: AnonymousInfo::Shown,
            ..settings()
        },
    )
}

/// A peer that connects with this data and is live in `news`.
fn subscribe_as(script: &mut Script, data: &str) -> PeerId {
    let peer = script.accept();
    let request = ConnectRequest {
        data: Some(Bytes::copy_from_slice(data.as_bytes())),
        ..ConnectRequest::default()
    };
    script.send(peer, connect_with(request));
    script.send(peer, subscribe(2, "news"));
    script.respond(checked(0));
    script.read(peer);
    peer
}

fn subscribe_as_listener() -> Command {
    let request = SubscribeRequest {
        channel: "news".to_owned(),
        join_leave: true,
        ..SubscribeRequest::default()
    };
    subscribe_with(2, request)
}

/// A peer that is live in `news` and receives joins and leaves; all replies are read already.
fn subscribe_and_listen(script: &mut Script) -> PeerId {
    let peer = script.connect();
    script.send(peer, subscribe_as_listener());
    if !script.requests.is_empty() {
        script.respond(checked(0));
    }
    script.broadcasts.clear();
    script.read(peer);
    peer
}

fn client_info(client: &str) -> ClientInfo {
    ClientInfo {
        client: client.to_owned(),
        ..ClientInfo::default()
    }
}

/// The client info of the first join that was broadcast.
fn joined_info(script: &Script) -> Option<String> {
    let Some(ShardMessage::Join { info, .. }) = script.broadcasts.first() else {
        panic!("{:?}", script.broadcasts);
    };
    let text = info.conn_info.as_deref()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// Delivers the oldest broadcast of the hub to the hub, as its own inbox would.
pub(crate) fn relay(script: &mut Script) {
    let message = script.broadcasts.remove(0);
    script.receive(message);
}
