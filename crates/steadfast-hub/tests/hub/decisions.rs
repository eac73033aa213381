//! Connect commands that something outside of the hub decides about, and that takes time.

use std::time::Duration;

use bytes::Bytes;
use steadfast_engine::Request;
use steadfast_engine::memory::Offsets;
use steadfast_hub::event::{Event, HubLimit};
use steadfast_hub::io::{
    Access, ClientId, ConnectAttempt, ConnectDecision, Identity, Input, PeerId, ShardMessage,
};
use steadfast_hub::policy::{ConnectDecider, HubSettings};
use steadfast_protocol::codes::{DisconnectCode, ErrorCode};
use steadfast_protocol::message::{ConnectRequest, Reply, ReplyResult};

use crate::messages::{connect, connect_with, error, publish, reply_to, subscribe, subscribed};
use crate::responses::{appended, checked};
use crate::script::{Script, WALL, is_connected, settings};

const TIMEOUT: Duration = Duration::from_secs(1);
const PENDING_MAX: usize = 2;

pub(crate) fn a_client_that_is_accepted_has_the_identity_of_the_decision(offsets: Offsets) {
    let mut script = deciding(offsets, settings());
    let peer = script.accept_with(Access::CredentialNeeded);
    let request = ConnectRequest {
        token: "a token".to_owned(),
        ..ConnectRequest::default()
    };

    script.send(peer, connect_with(request.clone()));
    let attempt = ConnectAttempt {
        client: ClientId(1),
        access: Access::CredentialNeeded,
        request,
    };
    let (number, asked) = script.decisions.remove(0);
    assert_eq!(asked, attempt);
    assert_eq!(script.read(peer), []);
    decide(&mut script, number, accept("ada"));
    assert!(is_connected(&script.read(peer)));

    script.send_all(peer, [subscribe(2, "news"), publish(3, "news")]);
    let Request::Append(append) = &script.requests[1] else {
        panic!("{:?}", script.requests);
    };
    assert_eq!(append.publisher.user, "ada");
    script.respond(checked(0));
    let ShardMessage::Join { info, .. } = &script.broadcasts[0] else {
        panic!("{:?}", script.broadcasts);
    };
    assert_eq!(info.user, "ada");
    assert_eq!(info.conn_info.as_deref(), Some(&b"{}"[..]));
}

pub(crate) fn commands_that_arrive_before_the_decision_are_executed_after_it_in_order(
    offsets: Offsets,
) {
    let mut script = deciding(offsets, settings());
    let peer = script.accept();

    script.send_all(peer, [connect(), subscribe(2, "news"), publish(3, "news")]);
    assert_eq!(script.read(peer), []);
    assert_eq!(script.requests, []);
    assert_eq!(script.paused, [peer]);
    decide_next(&mut script, accept("ada"));
    assert_eq!(script.resumed, [peer]);
    script.respond(checked(0));
    script.respond(appended(1));

    let replies = script.read(peer);
    assert!(is_connected(&replies[..1]));
    assert_eq!(replies[1], subscribed(2, 0));
    assert!(replies.contains(&reply_to(3, ReplyResult::Publish)));
}

pub(crate) fn a_decision_may_take_longer_than_the_connect_timeout_and_pings_follow_it(
    offsets: Offsets,
) {
    let mut script = deciding_within(settings().connect_timeout * 3, offsets, settings());
    let peer = script.accept();
    script.send(peer, connect());
    let time = settings().connect_timeout * 2;
    script.advance(time);
    assert_eq!(script.read(peer), []);
    decide_next(&mut script, accept("ada"));
    let replies = script.read(peer);
    assert!(is_connected(&replies));
    let now = WALL.as_millis() + u64::try_from(time.as_millis()).expect("small");
    assert_eq!(connect_time(&replies[0]), i64::try_from(now).ok());

    script.advance(settings().ping_interval);
    assert_eq!(script.read(peer), [Reply::Ping]);
    script.advance(settings().pong_timeout);

    assert_eq!(script.close_code(peer), Some(DisconnectCode::NoPong.code()));
}

pub(crate) fn a_client_that_is_rejected_gets_the_error_and_its_further_commands_are_ignored(
    offsets: Offsets,
) {
    let mut script = deciding(offsets, settings());
    let peer = script.accept();

    script.send_all(peer, [connect(), subscribe(2, "news")]);
    decide_next(
        &mut script,
        ConnectDecision::Reject(ErrorCode::TokenExpired),
    );

    assert_eq!(script.read(peer), [error(1, ErrorCode::TokenExpired)]);
    assert_eq!(script.requests, []);
    assert_eq!(script.resumed, [peer]);
    assert_eq!(script.close_code(peer), None);
    script.advance(settings().rejected_close_timeout);
    assert!(script.close_code(peer).is_some());
}

pub(crate) fn a_decision_may_close_the_connection(offsets: Offsets) {
    let mut script = deciding(offsets, settings());
    let peer = script.accept();

    script.send_all(peer, [connect(), subscribe(2, "news")]);
    let code = DisconnectCode::InvalidToken;
    decide_next(&mut script, ConnectDecision::Disconnect(code));

    assert_eq!(script.close_code(peer), Some(3500));
    assert_eq!(script.read(peer), []);
    assert_eq!(script.requests, []);
}

pub(crate) fn a_decision_that_does_not_arrive_in_time_is_a_temporary_error_and_is_ignored_later(
    offsets: Offsets,
) {
    let mut script = deciding(offsets, settings());
    let peer = script.accept();

    script.send_all(peer, [connect(), subscribe(2, "news")]);
    script.advance(TIMEOUT / 2);
    assert_eq!(script.read(peer), []);
    script.advance(TIMEOUT / 2);
    assert_eq!(script.read(peer), [error(1, ErrorCode::Internal)]);
    assert!(ErrorCode::Internal.reply().temporary);
    decide_next(&mut script, accept("ada"));

    assert_eq!(script.read(peer), []);
    assert_eq!(script.requests, []);
    assert_eq!(
        script.events,
        [
            Event::DecisionsTimedOut { count: 1 },
            Event::DecisionsLate { count: 1 }
        ]
    );
}

pub(crate) fn a_decision_for_a_peer_that_has_left_has_no_effect_on_the_next_one_in_its_slot(
    offsets: Offsets,
) {
    let mut script = deciding(offsets, settings());
    let left = script.accept();
    script.send(left, connect());
    script.lose_connection(left);
    let next = PeerId {
        generation: left.generation + 1,
        ..left
    };
    script.handle(Input::Accepted {
        peer: next,
        client: ClientId(9),
        access: Access::Anonymous,
    });
    script.send(next, connect());

    decide_next(&mut script, accept("ada"));
    assert_eq!(script.read(next), []);
    decide_next(&mut script, accept("bob"));

    assert!(is_connected(&script.read(next)));
    assert_eq!(script.read(left), []);
    let late = Event::DecisionsLate { count: 1 };
    assert!(!script.events.contains(&late), "{:?}", script.events);
}

pub(crate) fn pending_decisions_are_bounded_also_if_their_peers_leave(offsets: Offsets) {
    let mut script = deciding(offsets, settings());
    for _ in 0..PENDING_MAX {
        let peer = script.accept();
        script.send(peer, connect());
        script.lose_connection(peer);
    }

    let rejected = script.accept();
    script.send(rejected, connect());
    assert_eq!(script.decisions.len(), PENDING_MAX);
    let [
        Reply::Response {
            outcome: Err(error),
            ..
        },
    ] = &script.read(rejected)[..]
    else {
        panic!("not rejected");
    };
    assert_eq!(error.code, ErrorCode::TooManyRequests.code());
    assert!(script.events.contains(&Event::LimitReached {
        limit: HubLimit::PendingDecisions,
        count: 1
    }));

    script.advance(TIMEOUT);
    let peer = script.accept();
    script.send(peer, connect());
    assert_eq!(script.decisions.len(), PENDING_MAX + 1);
}

pub(crate) fn a_pending_decision_counts_as_a_session_until_it_is_rejected(offsets: Offsets) {
    let one_session = HubSettings {
        peers_max: 1,
        ..settings()
    };
    for decision in [
        ConnectDecision::Reject(ErrorCode::PermissionDenied),
        ConnectDecision::Disconnect(DisconnectCode::InvalidToken),
    ] {
        let mut script = deciding(offsets, one_session.clone());
        let first = script.accept();
        script.send(first, connect());
        let second = script.accept();
        script.send(second, connect());
        assert_eq!(script.decisions.len(), 1, "the hub is full");
        script.lose_connection(second);

        decide_next(&mut script, decision);
        let third = script.accept();
        script.send(third, connect());
        decide_next(&mut script, accept("ada"));

        assert!(is_connected(&script.read(third)));
    }
}

/// The server's time in the reply to a connect command.
fn connect_time(reply: &Reply) -> Option<i64> {
    if let Reply::Response {
        outcome: Ok(ReplyResult::Connect(connected)),
        ..
    } = reply
    {
        return Some(connected.time);
    }
    None
}

/// A hub for whose connect commands something outside of it decides.
fn deciding(offsets: Offsets, settings: HubSettings) -> Script {
    deciding_within(TIMEOUT, offsets, settings)
}

fn deciding_within(timeout: Duration, offsets: Offsets, settings: HubSettings) -> Script {
    let connect_decider = ConnectDecider::Outside {
        timeout,
        pending_max: PENDING_MAX,
    };
    Script::with(
        offsets,
        HubSettings {
            connect_decider,
            ..settings
        },
    )
}

fn accept(user: &str) -> ConnectDecision {
    ConnectDecision::Accept(Identity {
        user: user.to_owned(),
        info: Some(Bytes::from_static(b"{}")),
    })
}

/// Reports a decision for the oldest request.
fn decide_next(script: &mut Script, decision: ConnectDecision) {
    let (number, _) = script.decisions.remove(0);
    decide(script, number, decision);
}

fn decide(script: &mut Script, number: u64, decision: ConnectDecision) {
    let at = script.engine.wall();
    script.handle(Input::Decided {
        number,
        decision,
        at,
    });
}
