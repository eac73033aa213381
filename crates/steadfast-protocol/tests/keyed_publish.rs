//! The payloads of `gw.publish`: what travels inside the rpc call, and what is refused.

use bytes::Bytes;
use steadfast_protocol::error::DecodeError;
use steadfast_protocol::json::{append_command, append_reply, decode_commands, decode_replies};
use steadfast_protocol::keyed::{self, KeyedAck, KeyedError, KeyedPublish};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{Command, Reply, ReplyResult, Request, RpcRequest};

#[test]
fn a_keyed_publish_travels_inside_an_rpc_call_as_sdks_send_it() {
    let text = r#"{"rpc":{"method":"gw.publish","data":{"channel":"news","data":{"a":1},"key":"k1"}},"id":9}"#;
    let message = Bytes::from_static(text.as_bytes());

    let command = decode_commands(&message, &Limits::DEFAULT)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();

    let Request::Rpc(rpc) = &command.request else {
        panic!("{command:?}")
    };
    assert_eq!(rpc.method, keyed::METHOD);
    let publish = keyed::decode_publish(&rpc.data, &Limits::DEFAULT).unwrap();
    assert_eq!(publish, keyed_publish("k1"));
    let mut data = Vec::new();
    keyed::append_publish(&mut data, &publish);
    let mut out = Vec::new();
    let request = RpcRequest {
        method: keyed::METHOD.to_owned(),
        data: data.into(),
    };
    append_command(
        &mut out,
        &Command {
            id: 9,
            request: Request::Rpc(request),
        },
    );
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"id":9,"rpc":{"data":{"channel":"news","data":{"a":1},"key":"k1"},"method":"gw.publish"}}"#
    );
}

#[test]
fn an_ack_always_has_all_three_fields() {
    for (ack, text) in [
        (
            KeyedAck::default(),
            r#"{"offset":0,"epoch":"","duplicate":false}"#,
        ),
        (
            KeyedAck {
                offset: u64::MAX,
                epoch: "9f.0".to_owned(),
                duplicate: true,
            },
            r#"{"offset":18446744073709551615,"epoch":"9f.0","duplicate":true}"#,
        ),
    ] {
        let mut data = Vec::new();
        keyed::append_ack(&mut data, &ack);
        let mut out = Vec::new();
        append_reply(
            &mut out,
            &Reply::Answer {
                id: 1,
                outcome: Ok(ReplyResult::Rpc(data.into())),
            },
        );
        let message = Bytes::from(out);

        let reply = decode_replies(&message, &Limits::DEFAULT)
            .unwrap()
            .next()
            .unwrap()
            .unwrap();

        let Reply::Answer {
            outcome: Ok(ReplyResult::Rpc(data)),
            ..
        } = reply
        else {
            panic!("{reply:?}")
        };
        assert_eq!(data, text);
        assert_eq!(keyed::decode_ack(&data, &Limits::DEFAULT), Ok(ack));
    }
}

#[test]
fn a_key_has_between_1_and_64_bytes() {
    for key in ["k", "é", &"k".repeat(64)] {
        let argument = argument(&keyed_publish(key));

        assert_eq!(
            keyed::decode_publish(&argument, &Limits::DEFAULT)
                .unwrap()
                .key,
            key
        );
    }
    for key in [String::new(), "k".repeat(65), "é".repeat(33)] {
        let argument = argument(&keyed_publish(&key));

        assert!(
            keyed::decode_publish(&argument, &Limits::DEFAULT).is_err(),
            "{key}"
        );
    }
}

#[test]
fn a_missing_key_is_told_apart_from_a_malformed_argument() {
    let decode = |text: &'static str| {
        keyed::decode_publish(&Bytes::from_static(text.as_bytes()), &Limits::DEFAULT)
    };

    for text in [
        "{}",
        r#"{"channel":"a","data":1}"#,
        r#"{"key":null}"#,
        r#"{"key":""}"#,
    ] {
        assert_eq!(decode(text), Err(KeyedError::KeyMissing), "{text}");
    }
    for text in [
        "",
        "null",
        "[]",
        "1",
        r#"{"key":1}"#,
        r#"{"key":"a","key":"b"}"#,
        r#"{"channel":["a"],"key":"k"}"#,
    ] {
        assert!(
            matches!(
                decode(text),
                Err(KeyedError::Payload(DecodeError::Malformed { .. }))
            ),
            "{text}"
        );
    }
}

#[test]
fn a_payload_is_a_slice_of_the_argument() {
    let argument = Bytes::from_static(br#"{"key":"k","data": [1, 2] ,"channel":"c","future":0}"#);

    let publish = keyed::decode_publish(&argument, &Limits::DEFAULT).unwrap();

    assert_eq!(publish.data, "[1, 2]");
    assert!(argument.as_ptr_range().contains(&publish.data.as_ptr()));
}

#[test]
fn arguments_that_are_not_utf8_are_refused() {
    let error = keyed::decode_publish(&Bytes::from_static(b"{\"key\":\"\xff\"}"), &Limits::DEFAULT)
        .unwrap_err();

    assert!(
        matches!(error, KeyedError::Payload(DecodeError::NotUtf8(_))),
        "{error:?}"
    );
}

fn keyed_publish(key: &str) -> KeyedPublish {
    KeyedPublish {
        channel: "news".to_owned(),
        data: Bytes::from_static(br#"{"a":1}"#),
        key: key.to_owned(),
    }
}

fn argument(publish: &KeyedPublish) -> Bytes {
    let mut out = Vec::new();
    keyed::append_publish(&mut out, publish);
    out.into()
}
