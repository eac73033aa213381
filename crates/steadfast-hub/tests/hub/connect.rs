//! Connecting: the reply, credentials, and how many sessions and connections a hub accepts.

use std::time::Duration;

use steadfast_engine::memory::Offsets;
use steadfast_hub::io::Access;
use steadfast_hub::policy::HubSettings;
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::{ConnectRequest, ConnectResult, Reply, ReplyResult};

use crate::messages::{connect, connect_with, error_with, reply_to, subscribe, subscribed};
use crate::responses::checked;
use crate::script::{Script, is_connected, settings};

pub(crate) fn a_connect_reply_contains_the_client_id_and_the_ping_settings(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.accept();

    let request = ConnectRequest {
        name: "js".to_owned(),
        ..ConnectRequest::default()
    };
    script.send(peer, connect_with(request));

    let result = ConnectResult {
        client: "00000000-0000-0000-0000-000000000001".to_owned(),
        version: "steadfast test".to_owned(),
        ping: 25,
        pong: true,
        time: 1_700_000_000_000,
        ..ConnectResult::default()
    };
    assert_eq!(
        script.read(peer),
        [reply_to(1, ReplyResult::Connect(result))]
    );
}

pub(crate) fn a_connect_reply_contains_the_time_of_its_command_also_while_the_engine_delivers_nothing(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    script.connect();
    script.advance(Duration::from_secs(5));
    let second = script.accept();

    script.send(second, connect());

    let replies = script.read(second);
    let [
        Reply::Response {
            outcome: Ok(ReplyResult::Connect(result)),
            ..
        },
    ] = &replies[..]
    else {
        panic!("{replies:?}");
    };
    assert_eq!(result.time, 1_700_000_005_000);
}

pub(crate) fn connect_and_subscribe_are_replied_to_in_order(offsets: Offsets) {
    let mut script = Script::new(offsets);
    script.fill("news", 4);
    let peer = script.accept();

    script.send_all(peer, [connect(), subscribe(2, "news")]);
    script.respond(checked(4));

    let mut replies = script.read(peer);
    assert_eq!(replies.pop(), Some(subscribed(2, 4)));
    assert!(is_connected(&replies), "{replies:?}");
}

pub(crate) fn a_peer_without_a_needed_credential_is_rejected_permanently_and_a_token_is_not_ignored(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    let stranger = script.accept_with(Access::CredentialNeeded);
    let bearer = script.accept();

    script.send(stranger, connect());
    let request = ConnectRequest {
        token: "abc".to_owned(),
        ..ConnectRequest::default()
    };
    script.send(bearer, connect_with(request));

    assert_eq!(script.close_code(stranger), Some(3501));
    assert_eq!(script.close_code(bearer), Some(3500));
}

pub(crate) fn a_full_hub_rejects_a_connect_with_a_temporary_error_and_ignores_the_rest(
    offsets: Offsets,
) {
    let mut script = Script::with(
        offsets,
        HubSettings {
            peers_max: 1,
            ..settings()
        },
    );
    let first = script.connect();
    let second = script.accept();

    script.send_all(second, [connect(), subscribe(2, "news")]);

    let text = "at capacity; retry_in=10s".to_owned();
    let full = ErrorCode::TooManyRequests.reply_with(text);
    assert!(full.temporary);
    assert_eq!(script.read(second), [error_with(1, full)]);
    assert!(script.requests.is_empty());
    assert_eq!(script.close_code(second), None);
    assert_eq!(script.close_code(first), None);
}

pub(crate) fn a_thundering_herd_larger_than_the_hub_fills_it(offsets: Offsets) {
    let mut script = Script::with(
        offsets,
        HubSettings {
            peers_max: 2,
            ..settings()
        },
    );
    let peers: Vec<_> = (0..4).map(|_| script.accept()).collect();

    let mut connected = 0;
    for peer in &peers {
        script.send(*peer, connect());
        connected += usize::from(is_connected(&script.read(*peer)));
    }
    assert_eq!(connected, 2);
    script.lose_connection(peers[0]);
    let late = script.accept();
    script.send(late, connect());

    assert!(is_connected(&script.read(late)));
}

pub(crate) fn connections_without_a_session_are_bounded_too(offsets: Offsets) {
    let mut script = Script::with(
        offsets,
        HubSettings {
            peers_max: 2,
            ..settings()
        },
    );
    let waiting: Vec<_> = (0..4).map(|_| script.accept()).collect();

    let one_too_many = script.accept();

    let (code, reason) = &script.closed[&one_too_many];
    assert_eq!(
        (*code, reason.as_str()),
        (1013, "at capacity; retry_in=10s")
    );
    assert!(
        waiting
            .iter()
            .all(|peer| script.close_code(*peer).is_none())
    );
}
