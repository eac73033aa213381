//! The payloads of `gw.publish`: the wire format inside the RPC call, and the invalid arguments.

use bytes::Bytes;
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::error::DecodeError;
use steadfast_protocol::idempotent::{
    self, IdempotentAck, IdempotentPublish, IdempotentPublishError,
};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{Command, Reply, ReplyResult, Request, RpcRequest};

#[test]
fn an_idempotent_publish_is_an_rpc_call_as_sdks_send_it() {
    let text = r#"{"rpc":{"method":"gw.publish","data":{"channel":"news","data":{"a":1},"idempotency_key":"k1"}},"id":9}"#;
    let message = Bytes::from_static(text.as_bytes());

    let command = Encoding::Json
        .decode_commands(&message, &Limits::DEFAULT)
        .next()
        .unwrap()
        .unwrap();

    let Request::Rpc(rpc) = &command.request else {
        panic!("{command:?}")
    };
    assert_eq!(rpc.method, idempotent::METHOD);
    let publish = idempotent::decode_publish(&rpc.data, &Limits::DEFAULT).unwrap();
    assert_eq!(publish, publish_with_key("k1"));
    let mut data = Vec::new();
    idempotent::append_publish(&mut data, &publish);
    let mut out = Vec::new();
    let request = RpcRequest {
        method: idempotent::METHOD.to_owned(),
        data: data.into(),
    };
    Encoding::Json.append_command(
        &mut out,
        &Command {
            id: 9,
            request: Request::Rpc(request),
        },
    );
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"id":9,"rpc":{"data":{"channel":"news","data":{"a":1},"idempotency_key":"k1"},"method":"gw.publish"}}"#
    );
}

/// The hub encodes one for each publication.
#[test]
fn an_ack_is_written_into_memory_that_is_allocated_once() {
    let ack = IdempotentAck {
        offset: u64::MAX,
        epoch: "000000000000000e.0".to_owned(),
        duplicate: false,
    };

    let mut out = Vec::new();
    idempotent::append_ack(&mut out, &ack);

    assert_eq!(out.capacity(), out.len());
}

#[test]
fn an_ack_always_has_all_three_fields() {
    for (ack, text) in [
        (
            IdempotentAck::default(),
            r#"{"offset":0,"epoch":"","duplicate":false}"#,
        ),
        (
            IdempotentAck {
                offset: u64::MAX,
                epoch: "9f.0".to_owned(),
                duplicate: true,
            },
            r#"{"offset":18446744073709551615,"epoch":"9f.0","duplicate":true}"#,
        ),
    ] {
        let mut data = Vec::new();
        idempotent::append_ack(&mut data, &ack);
        let mut out = Vec::new();
        Encoding::Json.append_reply(
            &mut out,
            &Reply::Response {
                id: 1,
                outcome: Ok(ReplyResult::Rpc(data.into())),
            },
        );
        let message = Bytes::from(out);

        let reply = Encoding::Json
            .decode_replies(&message, &Limits::DEFAULT)
            .next()
            .unwrap()
            .unwrap();

        let Reply::Response {
            outcome: Ok(ReplyResult::Rpc(data)),
            ..
        } = reply
        else {
            panic!("{reply:?}")
        };
        assert_eq!(data, text);
        assert_eq!(idempotent::decode_ack(&data, &Limits::DEFAULT), Ok(ack));
    }
}

#[test]
fn an_idempotency_key_has_between_1_and_64_bytes() {
    for key in ["k", "é", &"k".repeat(64)] {
        let argument = argument(&publish_with_key(key));

        assert_eq!(
            idempotent::decode_publish(&argument, &Limits::DEFAULT)
                .unwrap()
                .idempotency_key,
            key
        );
    }
    for key in ["k".repeat(65), "é".repeat(33)] {
        let argument = argument(&publish_with_key(&key));

        let error = idempotent::decode_publish(&argument, &Limits::DEFAULT).unwrap_err();
        assert_eq!(error, IdempotentPublishError::KeyLength(key.len()));
        let text = error.to_string();
        assert!(
            text.contains("an idempotency key has 1 to 64 bytes"),
            "{text}"
        );
    }
}

#[test]
fn a_missing_key_is_distinguished_from_a_malformed_argument() {
    let decode = |text: &'static str| {
        idempotent::decode_publish(&Bytes::from_static(text.as_bytes()), &Limits::DEFAULT)
    };

    for text in [
        "{}",
        r#"{"channel":"a","data":1}"#,
        r#"{"idempotency_key":null}"#,
        r#"{"idempotency_key":""}"#,
    ] {
        assert_eq!(
            decode(text),
            Err(IdempotentPublishError::KeyMissing),
            "{text}"
        );
    }
    for text in [
        "",
        "null",
        "[]",
        "1",
        r#"{"idempotency_key":1}"#,
        r#"{"idempotency_key":"a","idempotency_key":"b"}"#,
        r#"{"channel":["a"],"idempotency_key":"k"}"#,
        r#"{"channel":"\ud83d","idempotency_key":"k"}"#,
        r#"{"idempotency_key":"\ud83d"}"#,
    ] {
        assert!(
            matches!(
                decode(text),
                Err(IdempotentPublishError::Payload(
                    DecodeError::Malformed { .. }
                ))
            ),
            "{text}"
        );
    }
}

#[test]
fn a_payload_is_a_slice_of_the_argument() {
    let argument =
        Bytes::from_static(br#"{"idempotency_key":"k","data": [1, 2] ,"channel":"c","future":0}"#);

    let publish = idempotent::decode_publish(&argument, &Limits::DEFAULT).unwrap();

    assert_eq!(publish.data, "[1, 2]");
    assert!(argument.as_ptr_range().contains(&publish.data.as_ptr()));
}

#[test]
fn arguments_that_are_not_utf8_are_rejected() {
    let error = idempotent::decode_publish(
        &Bytes::from_static(b"{\"idempotency_key\":\"\xff\"}"),
        &Limits::DEFAULT,
    )
    .unwrap_err();

    assert!(
        matches!(
            error,
            IdempotentPublishError::Payload(DecodeError::NotUtf8(_))
        ),
        "{error:?}"
    );
}

fn publish_with_key(key: &str) -> IdempotentPublish {
    IdempotentPublish {
        channel: "news".to_owned(),
        data: Bytes::from_static(br#"{"a":1}"#),
        idempotency_key: key.to_owned(),
    }
}

fn argument(publish: &IdempotentPublish) -> Bytes {
    let mut out = Vec::new();
    idempotent::append_publish(&mut out, publish);
    out.into()
}
