//! Publish, history, rpc, and commands that violate the protocol.

use bytes::Bytes;
use steadfast_engine::memory::{MemorySettings, Offsets};
use steadfast_engine::{ReadFrom, Rejection, Request};
use steadfast_hub::event::Event;
use steadfast_hub::io::{Input, PeerId};
use steadfast_hub::policy::HubSettings;
use steadfast_machine::ByteSize;
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::error::{DecodeError, JsonErrorKind};
use steadfast_protocol::idempotent::{self, IdempotentAck};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    Command, HistoryRequest, HistoryResult, PayloadKind, Position, PublishRequest, PushEvent,
    RefreshRequest, Reply, ReplyResult, Request as Method, SubscribeRequest,
};

use crate::messages::{
    PONG, connect, error, error_with, history, history_request, history_with, position, presence,
    presence_stats, publish, publish_once, publish_with, published, reply_to, rpc, subscribe,
    subscribe_with, unsubscribe,
};
use crate::responses::{appended, checked, page, rejected, repeated, unrecoverable};
use crate::script::{EPOCH, EPOCH_TEXT, Script, settings};

pub(crate) fn a_protocol_violation_closes_the_connection_with_3501(offsets: Offsets) {
    let malformed = DecodeError::Malformed {
        line: 1,
        column: 1,
        kind: JsonErrorKind::Syntax,
    };
    let without_id = |command: Command| Ok(Command { id: 0, ..command });
    let before_connect = [
        Ok(subscribe(1, "news")),
        without_id(connect()),
        Ok(PONG),
        Err(DecodeError::Empty),
        Err(malformed.clone()),
    ];
    for command in before_connect {
        let mut script = Script::new(offsets);
        let peer = script.accept();

        let what = format!("{command:?}");
        script.receive_command(peer, command);

        assert_eq!(script.close_code(peer), Some(3501), "{what}");
    }
    let after_connect = [
        Ok(Command { id: 2, ..connect() }),
        without_id(subscribe(2, "news")),
        Ok(PONG),
        Ok(Command {
            id: 2,
            request: Method::Ping,
        }),
        Err(malformed),
    ];
    for command in after_connect {
        let mut script = Script::new(offsets);
        let peer = script.connect();

        let what = format!("{command:?}");
        script.receive_command(peer, command);

        assert_eq!(script.close_code(peer), Some(3501), "{what}");
    }
}

pub(crate) fn a_command_that_exceeds_a_limit_is_rejected_and_the_next_one_is_executed(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    script.receive_command(peer, Err(too_long(2)));
    script.send(peer, publish(3, "news"));

    let details = ErrorCode::BadRequest.reply_with(too_long(2).to_string());
    assert_eq!(script.read(peer), [error_with(2, details)]);
    assert_eq!(script.requests.len(), 1);
    assert_eq!(script.close_code(peer), None);
}

pub(crate) fn an_invalid_command_is_rejected_with_the_reason_and_the_connection_stays_open(
    offsets: Offsets,
) {
    let invalid = DecodeError::InvalidCommand {
        id: 2,
        column: 7,
        kind: JsonErrorKind::Value,
    };
    let cases = [
        (invalid, ErrorCode::BadRequest),
        (DecodeError::NoMethod { id: 2 }, ErrorCode::MethodNotFound),
    ];
    for (decode_error, code) in cases {
        let mut script = Script::new(offsets);
        let peer = script.connect();

        script.receive_command(peer, Err(decode_error.clone()));
        script.send(peer, publish(3, "news"));
        script.respond(appended(1));

        let details = code.reply_with(decode_error.to_string());
        assert_eq!(
            script.read(peer),
            [error_with(2, details), reply_to(3, ReplyResult::Publish)]
        );
        let error = decode_error;
        assert_eq!(
            script.events.last(),
            Some(&Event::CommandInvalid { peer, error })
        );
    }
}

pub(crate) fn a_connect_command_with_an_invalid_field_is_rejected_with_the_reason(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    let peer = script.accept();

    script.receive_command(peer, Err(too_long(1)));
    script.send(peer, publish(2, "news"));

    let details = ErrorCode::BadRequest.reply_with(too_long(1).to_string());
    assert_eq!(script.read(peer), [error_with(1, details)]);
    assert_eq!(script.close_code(peer), None);
    script.advance(settings().rejected_close_timeout * 2);
    assert!(script.close_code(peer).is_some());
}

pub(crate) fn a_close_reason_is_plain_text_and_never_empty(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    let error = DecodeError::Malformed {
        line: 1,
        column: 0,
        kind: JsonErrorKind::Field,
    };
    script.receive_command(peer, Err(error));

    let (_, reason) = &script.closed[&peer];
    assert!(!reason.is_empty() && !reason.starts_with('{'), "{reason}");
}

pub(crate) fn a_command_after_one_that_closed_the_connection_is_not_executed(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    script.send(peer, Command { id: 2, ..connect() });
    script.send(peer, publish(3, "news"));

    assert!(script.requests.is_empty());
}

pub(crate) fn a_publish_is_acknowledged_only_when_the_log_has_it(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    script.send(peer, publish(2, "news"));
    assert_eq!(script.read(peer), []);
    script.respond(appended(1));

    assert_eq!(script.read(peer), [reply_to(2, ReplyResult::Publish)]);
}

pub(crate) fn a_publication_has_the_kind_of_its_command_and_a_push_the_kind_of_its_record(
    offsets: Offsets,
) {
    for kind in [PayloadKind::Json, PayloadKind::Binary] {
        let mut script = Script::new(offsets);
        let peer = script.subscribe("news", 0);
        let request = PublishRequest {
            channel: "news".to_owned(),
            data: Bytes::from_static(b"1"),
            payload_kind: kind,
            kind: 0,
        };

        script.send(peer, publish_with(3, request));
        let [Request::Append(append)] = &script.requests[..] else {
            panic!("{:?}", script.requests)
        };
        assert_eq!(append.kind, kind);
        script.respond(appended(1));

        let replies = script.read(peer);
        let [Reply::Push(push), Reply::Response { id: 3, .. }] = &replies[..] else {
            panic!("{replies:?}")
        };
        let PushEvent::Publication(publication) = &push.event else {
            panic!("{push:?}")
        };
        assert_eq!(publication.payload_kind, kind);
    }
}

pub(crate) fn an_idempotent_publish_sends_its_key_to_the_log_and_returns_the_offset(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    script.fill("news", 8);
    let peer = script.connect();

    script.send(peer, publish_once(2, "news", "[1]", "k1"));
    let Request::Append(append) = &script.requests[0] else {
        panic!("no append")
    };
    assert_eq!(append.idempotency_key, Some(Bytes::from_static(b"k1")));
    assert_eq!(append.data, Bytes::from_static(b"[1]"));
    assert_eq!(append.kind, PayloadKind::Json);
    script.respond(appended(9));
    script.fill("news", 12);
    script.send(peer, publish_once(3, "news", "[1]", "k1"));
    script.respond(repeated(9));

    let replies = script.read(peer);
    let [
        Reply::Response {
            id: 2,
            outcome: Ok(ReplyResult::Rpc(first)),
        },
        Reply::Response {
            id: 3,
            outcome: Ok(ReplyResult::Rpc(repeat)),
        },
    ] = &replies[..]
    else {
        panic!("{replies:?}")
    };
    for (result, duplicate) in [(first, false), (repeat, true)] {
        let ack = IdempotentAck {
            offset: script.offset("news", 9),
            epoch: EPOCH_TEXT.to_owned(),
            duplicate,
        };
        assert_eq!(idempotent::decode_ack(result, &Limits::DEFAULT), Ok(ack));
    }
}

pub(crate) fn an_invalid_or_unsupported_command_gets_an_error_and_the_connection_stays_open(
    offsets: Offsets,
) {
    let (bad, unavailable) = (ErrorCode::BadRequest, ErrorCode::NotAvailable);
    let nameless = bad.reply_with("channel name is empty".to_owned());
    let key_missing = "gw.publish requires the field idempotency_key, with 1 to 64 bytes";
    let key_too_long = "invalid idempotency_key of gw.publish: an idempotency key has 1 to 64 bytes, this one has 70";
    let cases = [
        (
            rpc(2, "unknown", Bytes::from_static(b"1")),
            ErrorCode::MethodNotFound.reply(),
        ),
        (
            publish_once(2, "news", "1", ""),
            bad.reply_with(key_missing.to_owned()),
        ),
        (
            publish_once(2, "news", "1", &"k".repeat(70)),
            bad.reply_with(key_too_long.to_owned()),
        ),
        (publish(2, ""), nameless.clone()),
        (publish_once(2, "", "1", "key"), nameless.clone()),
        (subscribe(2, ""), nameless.clone()),
        (unsubscribe(2, ""), nameless.clone()),
        (presence(2, ""), nameless.clone()),
        (presence_stats(2, ""), nameless.clone()),
        (history_with(2, HistoryRequest::default()), nameless),
        (experimental_publish(), unavailable.reply()),
        (subscribe_of_kind(4, false), unavailable.reply()),
        (subscribe_of_kind(0, true), unavailable.reply()),
        (refresh(), unavailable.reply()),
        (history_since("e", 0, true), bad.reply()),
        (
            history_since("foreign", 1, false),
            ErrorCode::UnrecoverablePosition.reply(),
        ),
    ];
    for (command, rejection) in cases {
        let mut script = Script::new(offsets);
        let peer = script.connect();

        let what = format!("{command:?}");
        script.send(peer, command);

        assert_eq!(script.read(peer), [error_with(2, rejection)], "{what}");
        assert_eq!(script.close_code(peer), None, "{what}");
        assert!(script.requests.is_empty(), "{what}");
    }
}

pub(crate) fn a_rejection_by_the_log_becomes_a_temporary_error_unless_it_is_permanent(
    offsets: Offsets,
) {
    for (rejection, code) in [
        (Rejection::NoSpace, ErrorCode::Internal),
        (Rejection::Unavailable, ErrorCode::Internal),
        (Rejection::WriteFailed, ErrorCode::Internal),
        (Rejection::Closing, ErrorCode::Internal),
        (Rejection::Limit, ErrorCode::TooManyRequests),
        (Rejection::TooLarge, ErrorCode::LimitExceeded),
        (Rejection::TooManyChannels, ErrorCode::LimitExceeded),
        (Rejection::KeyWithOtherData, ErrorCode::BadRequest),
    ] {
        let mut script = Script::new(offsets);
        let peer = script.connect();

        script.send(peer, publish(2, "news"));
        script.reject(rejection);

        assert_eq!(script.read(peer), [error(2, code)], "{rejection:?}");
    }
}

pub(crate) fn a_publication_that_the_engine_rejects_gets_the_error_of_its_reason(offsets: Offsets) {
    let mut script = Script::with_memory(MemorySettings {
        offsets,
        channels_max: 1,
        publication_bytes_max: ByteSize::from_kib(1),
        ..MemorySettings::for_tests()
    });
    script.fill("news", 1);
    let peer = script.connect();
    let large = PublishRequest {
        channel: "news".to_owned(),
        data: Bytes::from(vec![b'1'; 1_025]),
        payload_kind: PayloadKind::Json,
        kind: 0,
    };

    script.send(peer, publish(2, "other"));
    script.respond(rejected(Rejection::TooManyChannels));
    script.send(peer, publish_with(3, large));
    script.respond(rejected(Rejection::TooLarge));
    script.engine.close();
    script.send(peer, publish(4, "news"));
    script.respond(rejected(Rejection::Closing));

    assert_eq!(
        script.read(peer),
        [
            error(2, ErrorCode::LimitExceeded),
            error(3, ErrorCode::LimitExceeded),
            error(4, ErrorCode::Internal),
        ]
    );
}

pub(crate) fn a_peer_at_its_limit_of_pending_requests_is_not_read_from_until_half_are_completed(
    offsets: Offsets,
) {
    let mut script = Script::new(offsets);
    let peer = script.connect();

    for id in 2..6 {
        script.send(peer, publish(id, "news"));
    }
    assert_eq!(script.paused, [peer]);
    script.respond(appended(1));
    assert!(script.resumed.is_empty());
    script.respond(appended(2));

    assert_eq!(script.resumed, [peer]);
}

pub(crate) fn a_hub_at_its_limit_of_pending_requests_rejects_with_a_temporary_error(
    offsets: Offsets,
) {
    let mut script = Script::with(
        offsets,
        HubSettings {
            pending_requests_max: 4,
            pending_requests_per_peer_max: 4,
            ..settings()
        },
    );
    let (first, second) = (script.connect(), script.connect());
    for id in 2..6 {
        script.send(first, publish(id, "news"));
    }

    script.send(second, publish(2, "news"));
    script.send(second, subscribe(3, "news"));

    assert_eq!(
        script.read(second),
        [2, 3].map(|id| error(id, ErrorCode::TooManyRequests))
    );
    assert_eq!(script.requests.len(), 4);
}

pub(crate) fn history_reads_from_the_requested_position(offsets: Offsets) {
    let offset = with_publications(offsets, 5).offset("news", 3);
    let cases = [
        ((0, None, false), ReadFrom::Oldest, 0),
        ((-1, None, false), ReadFrom::Oldest, 10),
        ((5, None, true), ReadFrom::Newest, 5),
        (
            (99, Some(position(EPOCH_TEXT, 3)), false),
            ReadFrom::After {
                epoch: EPOCH,
                offset,
            },
            10,
        ),
        (
            (2, Some(position(EPOCH_TEXT, 3)), true),
            ReadFrom::Before {
                epoch: EPOCH,
                offset,
            },
            2,
        ),
    ];
    for ((requested, since, reverse), from, limit) in cases {
        let mut script = with_publications(offsets, 5);
        let peer = script.connect();

        let request = HistoryRequest {
            limit: requested,
            since,
            reverse,
            ..history_request()
        };
        script.send(peer, history_with(2, request.clone()));

        let Request::Read(read) = &script.requests[0] else {
            panic!("no read")
        };
        assert_eq!((&read.from, read.limit), (&from, limit), "{request:?}");
    }
}

pub(crate) fn a_history_is_bounded_by_its_count_and_by_a_quarter_of_the_send_buffer(
    offsets: Offsets,
) {
    let mut script = with_history_of(offsets, 40, 1 << 20);
    let peer = script.connect();

    script.send(peer, history(2, 40));
    script.execute();

    let (publications, position) = read_history(&mut script, peer);
    assert_eq!(publications.len(), 40);
    assert_eq!(publications.last(), Some(&position.offset));
}

pub(crate) fn a_history_that_is_cut_continues_after_its_last_publication(offsets: Offsets) {
    let mut script = with_history_of(offsets, 10, 64 << 10);
    let peer = script.connect();
    let (mut offsets_read, mut since) = (Vec::new(), None);

    for id in 2..5 {
        let request = HistoryRequest {
            limit: -1,
            since: since.clone(),
            ..history_request()
        };
        script.receive_command(peer, Ok(history_with(id, request)));
        script.execute();
        let (publications, end) = read_history(&mut script, peer);
        offsets_read.extend(publications);
        let last = *offsets_read.last().unwrap();
        assert_eq!(last == end.offset, id == 4, "{last} of {}", end.offset);
        since = Some(position(&end.epoch, last));
    }

    assert_eq!(offsets_read.len(), 10);
    assert!(offsets_read.is_sorted());
}

pub(crate) fn a_history_that_the_send_buffer_cannot_hold_is_rejected_temporarily(offsets: Offsets) {
    let mut script = with_history_of(offsets, 10, 64 << 10);
    let peer = script.connect();
    script.send(peer, history(2, 9));
    script.handle(Input::SendBuffer {
        peer,
        bytes: 60 << 10,
    });

    script.execute();

    let rejected = error(2, ErrorCode::TooManyRequests);
    assert_eq!(script.read(peer), [rejected]);
    assert_eq!(script.close_code(peer), None);
}

/// A channel with publications of 4,000 bytes.
fn with_history_of(offsets: Offsets, count: u64, send_buffer_bytes_max: usize) -> Script {
    let settings = HubSettings {
        send_buffer_bytes_max,
        recovery_reply_bytes_max: 1024,
        recovery_bytes_max: 1024,
        history_publications_max: 100,
        ..settings()
    };
    let mut script = Script::with(offsets, settings);
    for _ in 0..count {
        let data = format!("\"{}\"", ".".repeat(3998));
        script.engine.publish("news", data);
    }
    script
}

/// The offsets in the history reply that the peer has received, and its position.
fn read_history(script: &mut Script, peer: PeerId) -> (Vec<u64>, Position) {
    match &script.read_with_offsets(peer)[..] {
        [
            Reply::Response {
                outcome: Ok(ReplyResult::History(history)),
                ..
            },
        ] => (
            history.publications.iter().map(|it| it.offset).collect(),
            history.position.clone(),
        ),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn history_returns_publications_and_the_high_watermark_or_that_the_position_is_unrecoverable(
    offsets: Offsets,
) {
    let mut script = Script::with_memory(MemorySettings {
        offsets,
        history_size: 2,
        ..MemorySettings::for_tests()
    });
    script.fill("news", 7);
    let peer = script.connect();

    script.send(peer, history(2, 5));
    script.respond(page(7, &[6, 7]));
    let removed = HistoryRequest {
        limit: 5,
        since: Some(position(EPOCH_TEXT, 4)),
        ..history_request()
    };
    script.send(peer, history_with(3, removed));
    script.respond(unrecoverable(7));

    let result = HistoryResult {
        publications: vec![published(6), published(7)],
        position: position(EPOCH_TEXT, 7),
    };
    assert_eq!(
        script.read(peer),
        [
            reply_to(2, ReplyResult::History(result)),
            error(3, ErrorCode::UnrecoverablePosition),
        ]
    );
}

pub(crate) fn responses_for_a_closed_peer_are_dropped(offsets: Offsets) {
    let mut script = Script::new(offsets);
    let peer = script.connect();
    script.send(peer, subscribe(2, "news"));
    script.send(peer, publish(3, "news"));

    script.lose_connection(peer);
    script.respond(checked(0));
    script.respond(appended(1));

    assert_eq!(script.read(peer), []);
    assert_eq!(script.channel_count(), 0);
}

fn with_publications(offsets: Offsets, newest: u64) -> Script {
    let mut script = Script::new(offsets);
    script.fill("news", newest);
    script
}

/// A command that is well formed, but whose channel name is too long.
const fn too_long(id: u32) -> DecodeError {
    DecodeError::FieldTooLong {
        id,
        field: "channel",
        size: 256,
        size_max: 255,
    }
}

fn experimental_publish() -> Command {
    let request = PublishRequest {
        channel: "news".to_owned(),
        data: Bytes::from_static(b"1"),
        payload_kind: PayloadKind::Json,
        kind: 1,
    };
    publish_with(2, request)
}

fn subscribe_of_kind(kind: i32, has_filter: bool) -> Command {
    let request = SubscribeRequest {
        channel: "news".to_owned(),
        kind,
        has_filter,
        ..SubscribeRequest::default()
    };
    subscribe_with(2, request)
}

fn refresh() -> Command {
    let request = RefreshRequest {
        token: "t".to_owned(),
    };
    Command {
        id: 2,
        request: Method::Refresh(request),
    }
}

fn history_since(epoch: &str, offset: u64, reverse: bool) -> Command {
    let request = HistoryRequest {
        reverse,
        since: Some(position(epoch, offset)),
        ..history_request()
    };
    history_with(2, request)
}
