//! Tests of messages with many commands, of commands that are too long, and of those that do not end.

use std::net::SocketAddr;

use steadfast_gateway::config::units::ConfigSize;
use steadfast_machine::ByteSize;
use steadfast_protocol::websocket::Opcode;

use crate::client::{Client, Received, frame, publish};
use crate::{config, millis, serve};

const CONNECT: &str = r#"{"id":1,"connect":{}}"#;

#[test]
fn a_client_may_subscribe_to_all_its_channels_in_one_message() {
    for (channels, data_bytes) in [(128, 450), (1_200, 450), (1_000, 600)] {
        let mut config = config();
        config.client.channels_max = channels;
        let gateway = serve(config);
        let mut client = Client::connect(gateway.address());
        let data = "x".repeat(data_bytes);
        let mut commands = vec![CONNECT.to_owned()];
        commands.extend((2..2 + channels).map(|id| {
            format!(r#"{{"subscribe":{{"channel":"c{id}","data":"{data}"}},"id":{id}}}"#)
        }));

        client.send(&commands.join("\n"));

        assert!(client.next_line().contains("\"connect\""));
        for id in 2..2 + channels {
            let line = client.next_line();
            let start = format!(r#"{{"id":{id},"subscribe":{{"#);
            assert!(line.starts_with(&start), "{channels}: {line}");
        }
    }
}

#[test]
fn each_publication_of_a_large_batch_in_one_message_gets_its_reply() {
    let gateway = serve(config());
    let mut subscriber = Client::connect(gateway.address());
    subscriber.connect_and_subscribe("news");
    let mut client = Client::connect(gateway.address());
    let mut commands = vec![CONNECT.to_owned()];
    commands.extend((2..5_002).map(|id| publish(id, "news", "1")));

    client.send(&commands.join("\n"));

    assert!(client.next_line().contains("\"connect\""));
    for id in 2..5_002 {
        let expected = format!(r#"{{"id":{id},"publish":{{}}}}"#);
        assert_eq!(client.next_line(), expected);
    }
    for offset in 1..=5_000 {
        assert_eq!(subscriber.next_offset(), offset);
    }
}

#[test]
fn a_command_that_is_too_long_costs_one_command() {
    let gateway = serve(config());
    let mut client = Client::connect(gateway.address());
    client.connect_and_subscribe("other");
    let long = format!("{{\"id\":9,\"text\":\"{}\"}}", "x".repeat(1 << 20));
    let commands = [
        publish(3, "news", "1"),
        publish(4, "news", &long),
        format!("{{\"publish\":{{\"channel\":\"news\",\"data\":{long}}},\"id\":5}}"),
        format!("{{\"send\":{{\"data\":{long}}}}}"),
        publish(6, "news", "2"),
    ];

    client.send(&commands.join("\n"));

    let mut replies: Vec<_> = (0..4).map(|_| client.next_line()).collect();
    // The reply to a publication follows its storage, and that to a command that is too long does not.
    replies.sort_unstable();
    assert_eq!(replies[0], r#"{"id":3,"publish":{}}"#);
    for (id, reply) in [(4, &replies[1]), (5, &replies[2])] {
        let start = format!(r#"{{"id":{id},"error":{{"code":107,"message":"command {id} has 1048"#);
        assert!(reply.starts_with(&start), "{reply}");
        assert!(reply.contains("the limit is 65536"), "{reply}");
    }
    assert_eq!(replies[3], r#"{"id":6,"publish":{}}"#);
}

#[test]
fn a_client_that_does_not_end_its_command_is_closed_with_advice_to_reconnect_although_it_is_active()
{
    let mut config = config();
    config.client.message_timeout = millis(200);
    let gateway = serve(config);
    let mut client = Client::connect(gateway.address());
    client.connect_and_subscribe("news");

    client.send_bytes(&begun(60_000));
    for beat in [b"1", b"2"] {
        client.send_bytes(&frame(Opcode::Ping, beat));
        assert_eq!(client.next(), Received::Pong(beat.to_vec()));
    }

    assert_eq!(
        client.next(),
        Received::Close(
            Some(3011),
            "force reconnect: no progress of an incomplete command".to_owned()
        )
    );
}

#[test]
fn of_incomplete_commands_that_need_too_much_memory_the_one_without_progress_for_the_longest_time_goes()
 {
    let mut config = config();
    config.server.incomplete_bytes_max = ConfigSize(ByteSize::from_kib(128));
    let gateway = serve(config);
    let [mut first, mut second, mut third] = [(); 3].map(|()| begin(gateway.address()));

    let Received::Close(Some(3013), reason) = first.next() else {
        panic!("the first command was not closed");
    };
    assert_eq!(
        reason,
        "too many requests: too many bytes of incomplete commands"
    );
    for client in [&mut second, &mut third] {
        let mut end = frame(Opcode::Continuation, b"\"},\"id\":7}");
        end.extend(frame(Opcode::Ping, b"after"));
        client.send_bytes(&end);
        let reply = client.next_line();
        assert!(
            reply.starts_with(r#"{"id":7,"error":{"code":104"#),
            "{reply}"
        );
    }
}

/// Connects a client that begins a command, which the gateway has received.
fn begin(address: SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.connect_and_subscribe("news");
    client.send_bytes(&begun(60_000));
    client.send_bytes(&frame(Opcode::Ping, b"begun"));
    assert_eq!(client.next(), Received::Pong(b"begun".to_vec()));
    client
}

/// The first frame of a message, with a command of this length that has no end.
fn begun(bytes: usize) -> Vec<u8> {
    let mut frame = frame(
        Opcode::Text,
        format!("{{\"rpc\":{{\"data\":\"{}", "x".repeat(bytes)).as_bytes(),
    );
    frame[0] &= 0x7F;
    frame
}
