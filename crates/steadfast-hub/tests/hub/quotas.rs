//! What one connection may use up of what all share: channels, idempotency keys, and the memory of pending requests.

use std::time::Duration;

use steadfast_engine::memory::Offsets;
use steadfast_engine::{Rejection, Request};
use steadfast_hub::event::{Event, HubLimit};
use steadfast_hub::io::Input;
use steadfast_hub::policy::HubSettings;
use steadfast_hub::quota::Quota;
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::ReplyResult;

use crate::messages::{error, presence, publish, publish_once, reply_to, subscribe};
use crate::responses::{appended, checked, rejected, repeated};
use crate::script::{Script, settings};

const MINUTE: Duration = Duration::from_mins(1);

fn with_quotas(offsets: Offsets, new_channels: u32, keys: u32) -> Script {
    let quota = |uses_max| Quota {
        uses_max,
        period: MINUTE,
    };
    Script::with(
        offsets,
        HubSettings {
            new_channels_per_peer: quota(new_channels),
            keys_per_peer: quota(keys),
            ping_interval: 10 * MINUTE,
            ..settings()
        },
    )
}

pub(crate) fn a_peer_creates_as_many_channels_as_its_quota_and_can_still_publish_to_those_that_exist(
    offsets: Offsets,
) {
    let mut script = with_quotas(offsets, 2, 100);
    script.fill("known", 1);
    let (peer, other) = (script.connect(), script.connect());

    script.send(peer, publish(2, "a"));
    script.respond(appended(1));
    script.send(peer, publish(3, "b"));
    script.respond(appended(1));
    script.send(peer, publish(4, "c"));
    script.respond(rejected(Rejection::NewChannel));
    script.send(peer, publish(5, "known"));
    script.respond(appended(2));
    script.send(other, publish(2, "c"));
    script.respond(appended(1));

    let published = |id| reply_to(id, ReplyResult::Publish);
    let exceeded = error(4, ErrorCode::TooManyRequests);
    assert_eq!(
        script.read(peer),
        [published(2), published(3), exceeded, published(5)]
    );
    let limit = HubLimit::NewChannelsPerPeer;
    assert_eq!(
        script.events.last(),
        Some(&Event::LimitReached { limit, count: 1 })
    );
    script.advance(MINUTE / 2);
    script.send(peer, publish(6, "d"));
    script.respond(appended(1));
}

pub(crate) fn publications_in_flight_do_not_create_more_channels_than_the_quota(offsets: Offsets) {
    let mut script = with_quotas(offsets, 2, 100);
    let peer = script.connect();

    for (id, channel) in (2..).zip(["a", "b", "c"]) {
        script.send(peer, publish(id, channel));
    }

    let may_create: Vec<_> = script.requests.iter().map(may_create).collect();
    assert_eq!(may_create, [true, true, false]);
    script.respond(appended(1));
    script.respond(appended(1));
    script.respond(rejected(Rejection::NewChannel));
}

pub(crate) fn a_publication_to_a_channel_that_exists_gives_its_use_back(offsets: Offsets) {
    let mut script = with_quotas(offsets, 1, 100);
    script.fill("known", 1);
    let peer = script.connect();

    for number in 2..10 {
        script.send(peer, publish(2, "known"));
        script.respond(appended(number));
    }
    script.send(peer, publish(2, "new"));
    assert!(may_create(&script.requests[0]));
    script.reject(Rejection::NoSpace);
    script.send(peer, publish(3, "new"));
    script.respond(appended(1));
}

pub(crate) fn a_peer_uses_as_many_keys_as_its_quota_and_a_repeat_is_none(offsets: Offsets) {
    let mut script = with_quotas(offsets, 100, 2);
    let peer = script.connect();

    script.send(peer, publish_once(2, "news", "1", "k"));
    script.respond(appended(1));
    for _ in 0..5 {
        script.send(peer, publish_once(3, "news", "1", "k"));
        script.respond(repeated(1));
    }
    script.send(peer, publish_once(4, "news", "2", "l"));
    script.respond(appended(2));
    script.read(peer);
    script.send(peer, publish_once(5, "news", "3", "m"));

    assert_eq!(script.read(peer), [error(5, ErrorCode::TooManyRequests)]);
    let limit = HubLimit::KeysPerPeer;
    assert_eq!(
        script.events.last(),
        Some(&Event::LimitReached { limit, count: 1 })
    );
    script.send(peer, publish(6, "news"));
    script.respond(appended(3));
    script.advance(MINUTE / 2);
    script.send(peer, publish_once(7, "news", "3", "m"));
    script.respond(appended(4));
}

pub(crate) fn publications_above_the_limit_of_bytes_are_rejected_and_reads_are_not(
    offsets: Offsets,
) {
    let mut script = Script::with(
        offsets,
        HubSettings {
            pending_requests_per_peer_max: 64,
            pending_request_bytes_max: 4096,
            ..settings()
        },
    );
    let peer = script.connect();

    script.send_all(peer, (2..20).map(|id| publish(id, "news")));
    let accepted = script.requests.len();
    script.send(peer, subscribe(20, "other"));

    assert!((5..9).contains(&accepted), "{accepted}");
    let rejected = script.read(peer);
    assert_eq!(rejected.len(), 18 - accepted);
    let first = u32::try_from(2 + accepted).unwrap();
    assert_eq!(rejected[0], error(first, ErrorCode::TooManyRequests));
    let limit = HubLimit::PendingRequestBytes;
    assert_eq!(
        script.events.last(),
        Some(&Event::LimitReached { limit, count: 1 })
    );
    assert_eq!(
        script.requests.len(),
        accepted + 1,
        "the subscribe command is executed"
    );
    for number in 1..=u64::try_from(accepted).unwrap() {
        script.respond(appended(number));
    }
    script.respond(checked(0));
    script.send(peer, publish(21, "news"));
    assert_eq!(script.requests.len(), 1, "what is committed takes no space");
}

pub(crate) fn a_presence_query_that_is_dropped_fails_at_once(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();
    script.send(peer, presence(2, "news"));
    let query = script.broadcasts.last().unwrap().query();
    assert!(query.is_some());

    for shard in [1, 2] {
        script.handle(Input::ShardMessageDropped { shard, query });
    }

    assert_eq!(script.read(peer), [error(2, ErrorCode::Internal)]);
}

fn may_create(request: &Request) -> bool {
    match request {
        Request::Append(append) => append.may_create_channel,
        Request::Read(_) => panic!("{request:?}"),
    }
}
