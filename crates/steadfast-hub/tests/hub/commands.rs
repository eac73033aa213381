//! Connect, publish, history, rpc, and commands that violate the protocol.

use bytes::Bytes;
use steadfast_engine::{ReadFrom, Rejection, Request, Response};
use steadfast_hub::io::Access;

use crate::script::{EPOCH, EPOCH_TEXT, Script, page, rejected, settings, unrecoverable};

#[test]
fn a_connect_reply_contains_the_client_id_and_the_ping_settings() {
    let mut script = Script::new();
    let peer = script.accept();

    script.send(peer, r#"{"id":1,"connect":{"name":"js"}}"#);

    assert_eq!(
        script.read(peer),
        r#"{"id":1,"connect":{"client":"00000000-0000-0000-0000-000000000001","version":"steadfast test","ping":25,"pong":true}}"#
    );
}

#[test]
fn connect_and_subscribe_in_one_frame_are_replied_to_in_order() {
    let mut script = Script::new();
    let peer = script.accept();

    script.send(
        peer,
        "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"news\"}}\n",
    );
    script.respond(page(4, &[]));

    let replies = script.read(peer);
    assert!(
        replies.find("connect").unwrap() < replies.find("subscribe").unwrap(),
        "{replies}"
    );
    assert!(
        replies.contains(&format!(r#""epoch":"{EPOCH_TEXT}","offset":4"#)),
        "{replies}"
    );
}

#[test]
fn a_protocol_violation_closes_the_connection_with_3501() {
    let before_connect = [
        r#"{"id":1,"subscribe":{"channel":"news"}}"#,
        r#"{"connect":{}}"#,
        "{}",
        "",
        "not json",
        r#"{"id":1,"connect":{"#,
    ];
    for message in before_connect {
        let mut script = Script::new();
        let peer = script.accept();

        script.send(peer, message);

        assert_eq!(script.close_code(peer), Some(3501), "{message}");
    }
    let after_connect = [
        r#"{"id":2,"connect":{}}"#,
        r#"{"subscribe":{"channel":"news"}}"#,
        "{}",
        r#"{"id":2,"ping":{}}"#,
        r#"{"id":9}"#,
    ];
    for message in after_connect {
        let mut script = Script::new();
        let peer = script.connect();

        script.send(peer, message);

        assert_eq!(script.close_code(peer), Some(3501), "{message}");
    }
}

#[test]
fn a_close_reason_is_plain_text_and_never_empty() {
    let mut script = Script::new();
    let peer = script.connect();

    script.send(peer, r#"{"id":2,"publish":[]}"#);

    let (_, reason) = &script.closed[&peer];
    assert!(!reason.is_empty() && !reason.starts_with('{'), "{reason}");
}

#[test]
fn a_command_after_one_that_closed_the_connection_is_not_executed() {
    let mut script = Script::new();
    let peer = script.connect();

    script.send(
        peer,
        "{\"id\":2,\"connect\":{}}\n{\"id\":3,\"publish\":{\"channel\":\"news\",\"data\":1}}",
    );

    assert!(script.requests.is_empty());
}

#[test]
fn a_peer_without_a_needed_credential_is_rejected_permanently_and_a_token_is_not_ignored() {
    let mut script = Script::new();
    let stranger = script.accept_with(Access::CredentialNeeded);
    let bearer = script.accept();

    script.send(stranger, r#"{"id":1,"connect":{}}"#);
    script.send(bearer, r#"{"id":1,"connect":{"token":"abc"}}"#);

    assert_eq!(script.close_code(stranger), Some(3501));
    assert_eq!(script.close_code(bearer), Some(3500));
}

#[test]
fn a_full_hub_rejects_a_connect_with_a_temporary_error_and_ignores_the_rest() {
    let mut script = Script::with(steadfast_hub::policy::hub::HubSettings {
        peers_max: 1,
        ..settings()
    });
    let first = script.connect();
    let second = script.accept();

    script.send(
        second,
        "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"news\"}}",
    );

    let reply = script.read(second);
    assert!(
        reply.contains(r#""code":111"#) && reply.contains(r#""temporary":true"#),
        "{reply}"
    );
    assert!(reply.contains("retry_in="), "{reply}");
    assert!(script.requests.is_empty());
    assert_eq!(script.close_code(second), None);
    assert_eq!(script.close_code(first), None);
}

#[test]
fn a_thundering_herd_larger_than_the_hub_fills_it() {
    let mut script = Script::with(steadfast_hub::policy::hub::HubSettings {
        peers_max: 2,
        ..settings()
    });
    let peers: Vec<_> = (0..4).map(|_| script.accept()).collect();

    let mut connected = 0;
    for peer in &peers {
        script.send(*peer, r#"{"id":1,"connect":{}}"#);
        connected += usize::from(script.read(*peer).contains(r#""connect":{"client""#));
    }
    assert_eq!(connected, 2);
    script.lose_connection(peers[0]);
    let late = script.accept();
    script.send(late, r#"{"id":1,"connect":{}}"#);

    assert!(script.read(late).contains(r#""connect":{"client""#));
}

#[test]
fn connections_without_a_session_are_bounded_too() {
    let mut script = Script::with(steadfast_hub::policy::hub::HubSettings {
        peers_max: 2,
        ..settings()
    });
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

#[test]
fn a_publish_is_acknowledged_only_when_the_log_has_it() {
    let mut script = Script::new();
    let peer = script.connect();

    script.send(
        peer,
        r#"{"id":2,"publish":{"channel":"news","data":{"a": 1}}}"#,
    );
    assert_eq!(script.read(peer), "");
    script.respond(Response::Appended {
        epoch: EPOCH,
        offset: 1,
        is_duplicate: false,
    });

    assert_eq!(script.read(peer), r#"{"id":2,"publish":{}}"#);
}

#[test]
fn an_idempotent_publish_sends_its_key_to_the_log_and_returns_the_offset() {
    let mut script = Script::new();
    let peer = script.connect();

    script.send(
        peer,
        r#"{"id":2,"rpc":{"method":"gw.publish","data":{"channel":"news","data":[1],"idempotency_key":"k1"}}}"#,
    );
    let Request::Append(append) = &script.requests[0] else {
        panic!("no append")
    };
    assert_eq!(append.idempotency_key, Some(Bytes::from_static(b"k1")));
    assert_eq!(append.data, Bytes::from_static(b"[1]"));
    script.respond(Response::Appended {
        epoch: EPOCH,
        offset: 9,
        is_duplicate: true,
    });

    let reply = script.read(peer);
    assert!(
        reply.contains(r#""offset":9"#) && reply.contains(r#""duplicate":true"#),
        "{reply}"
    );
}

#[test]
fn an_invalid_or_unsupported_command_gets_an_error_and_the_connection_stays_open() {
    let cases = [
        (r#"{"id":2,"rpc":{"method":"unknown","data":1}}"#, 108),
        (
            r#"{"id":2,"rpc":{"method":"gw.publish","data":{"channel":"news","data":1}}}"#,
            107,
        ),
        (r#"{"id":2,"publish":{"channel":"","data":1}}"#, 107),
        (
            r#"{"id":2,"publish":{"channel":"news","data":1,"type":1}}"#,
            108,
        ),
        (r#"{"id":2,"subscribe":{"channel":""}}"#, 107),
        (r#"{"id":2,"subscribe":{"channel":"news","type":4}}"#, 108),
        (r#"{"id":2,"refresh":{"token":"t"}}"#, 108),
        (
            r#"{"id":2,"history":{"channel":"news","reverse":true,"since":{"offset":0,"epoch":"e"}}}"#,
            107,
        ),
        (
            r#"{"id":2,"history":{"channel":"news","since":{"offset":1,"epoch":"foreign"}}}"#,
            112,
        ),
    ];
    for (message, code) in cases {
        let mut script = Script::new();
        let peer = script.connect();

        script.send(peer, message);

        let reply = script.read(peer);
        assert!(
            reply.contains(&format!(r#""id":2,"error":{{"code":{code},"message":""#)),
            "{message}: {reply}"
        );
        assert_eq!(script.close_code(peer), None, "{message}");
        assert!(script.requests.is_empty(), "{message}");
    }
}

#[test]
fn a_rejection_by_the_log_becomes_a_temporary_error_unless_it_is_permanent() {
    for (rejection, code) in [
        (Rejection::NoSpace, 100),
        (Rejection::WriteFailed, 100),
        (Rejection::Closing, 100),
        (Rejection::Limit, 111),
        (Rejection::TooLarge, 106),
    ] {
        let mut script = Script::new();
        let peer = script.connect();

        script.send(peer, r#"{"id":2,"publish":{"channel":"news","data":1}}"#);
        script.respond(rejected(rejection));

        assert!(
            script.read(peer).contains(&format!(r#""code":{code}"#)),
            "{rejection:?}"
        );
    }
}

#[test]
fn a_peer_at_its_limit_of_pending_requests_is_not_read_from_until_half_are_completed() {
    let mut script = Script::new();
    let peer = script.connect();

    for id in 2..6 {
        script.send(
            peer,
            &format!(r#"{{"id":{id},"publish":{{"channel":"news","data":1}}}}"#),
        );
    }
    assert_eq!(script.paused, [peer]);
    script.respond(Response::Appended {
        epoch: EPOCH,
        offset: 1,
        is_duplicate: false,
    });
    assert!(script.resumed.is_empty());
    script.respond(Response::Appended {
        epoch: EPOCH,
        offset: 2,
        is_duplicate: false,
    });

    assert_eq!(script.resumed, [peer]);
}

#[test]
fn a_hub_at_its_limit_of_pending_requests_rejects_with_a_temporary_error() {
    let mut script = Script::with(steadfast_hub::policy::hub::HubSettings {
        pending_requests_max: 4,
        pending_requests_per_peer_max: 4,
        ..settings()
    });
    let (first, second) = (script.connect(), script.connect());
    for id in 2..6 {
        script.send(
            first,
            &format!(r#"{{"id":{id},"publish":{{"channel":"news","data":1}}}}"#),
        );
    }

    script.send(second, r#"{"id":2,"publish":{"channel":"news","data":1}}"#);
    script.send(second, r#"{"id":3,"subscribe":{"channel":"news"}}"#);

    let replies = script.read(second);
    assert_eq!(replies.matches(r#""code":111"#).count(), 2, "{replies}");
    assert_eq!(script.requests.len(), 4);
}

#[test]
fn history_reads_from_the_requested_position() {
    let cases = [
        (r#"{"channel":"news"}"#, ReadFrom::Oldest, 0),
        (r#"{"channel":"news","limit":-1}"#, ReadFrom::Oldest, 10),
        (
            r#"{"channel":"news","limit":5,"reverse":true}"#,
            ReadFrom::Newest,
            5,
        ),
        (
            r#"{"channel":"news","limit":99,"since":{"offset":3,"epoch":"000000000000000e.0"}}"#,
            ReadFrom::After {
                epoch: EPOCH,
                offset: 3,
            },
            10,
        ),
        (
            r#"{"channel":"news","limit":2,"reverse":true,"since":{"offset":3,"epoch":"000000000000000e.0"}}"#,
            ReadFrom::Before {
                epoch: EPOCH,
                offset: 3,
            },
            2,
        ),
    ];
    for (request, from, limit) in cases {
        let mut script = Script::new();
        let peer = script.connect();

        script.send(peer, &format!(r#"{{"id":2,"history":{request}}}"#));

        let Request::Read(read) = &script.requests[0] else {
            panic!("no read")
        };
        assert_eq!((&read.from, read.limit), (&from, limit), "{request}");
    }
}

#[test]
fn history_returns_publications_and_the_high_watermark_or_that_the_position_is_unrecoverable() {
    let mut script = Script::new();
    let peer = script.connect();

    script.send(peer, r#"{"id":2,"history":{"channel":"news","limit":5}}"#);
    script.respond(page(7, &[6, 7]));
    script.send(peer, r#"{"id":3,"history":{"channel":"news","limit":5}}"#);
    script.respond(unrecoverable(7));

    let replies = script.read(peer);
    assert!(
        replies.contains(
            r#""publications":[{"data":{"n":6},"offset":6},{"data":{"n":7},"offset":7}]"#
        ),
        "{replies}"
    );
    assert!(
        replies.contains(r#""id":3,"error":{"code":112"#),
        "{replies}"
    );
}

#[test]
fn responses_for_a_closed_peer_are_dropped() {
    let mut script = Script::new();
    let peer = script.connect();
    script.send(peer, r#"{"id":2,"publish":{"channel":"news","data":1}}"#);
    script.send(peer, r#"{"id":3,"subscribe":{"channel":"news"}}"#);

    script.lose_connection(peer);
    script.respond(Response::Appended {
        epoch: EPOCH,
        offset: 1,
        is_duplicate: false,
    });
    script.respond(page(1, &[]));

    assert_eq!(script.read(peer), "");
    assert_eq!(script.channel_count(), 0);
}
