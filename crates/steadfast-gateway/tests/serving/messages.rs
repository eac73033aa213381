//! Tests of messages and frames on open connections.

use std::net::TcpStream;

use steadfast_clock::Clock;
use steadfast_gateway::config::StoreKind;
use steadfast_protocol::websocket::Opcode;
use steadfast_protocol::websocket::encoder::fragments;

use crate::client::{Client, Received, frame, publish};
use crate::{config, millis, serve, stop};

#[test]
fn publications_of_one_client_reach_subscribers_on_every_shard_in_order() {
    let mut config = config();
    config.server.shards = 3;
    let gateway = serve(config);
    // The system distributes connections over the shards' listeners; all sixteen are on one shard with probability
    // 3^-15.
    let mut subscribers: Vec<Client> = (0..16)
        .map(|_| Client::connect(gateway.address()))
        .collect();
    for client in &mut subscribers {
        client.connect_and_subscribe("news");
    }
    let mut publisher = Client::connect(gateway.address());
    publisher.connect_and_subscribe("other");

    for id in 3..103 {
        publisher.send(&publish(id, "news", "{\"a\":1}"));
    }

    for client in &mut subscribers {
        for expected in 1..=100 {
            assert_eq!(client.next_offset(), expected);
        }
    }
}

#[test]
fn the_first_client_of_a_gateway_receives_the_time_of_its_connect() {
    let gateway = serve(config());
    let mut client = Client::connect(gateway.address());
    let before = Clock::wall().as_millis();

    client.send("{\"id\":1,\"connect\":{}}");

    let line = client.next_line();
    let after = Clock::wall().as_millis();
    let time = line.split("\"time\":").nth(1).expect(&line);
    let time: u64 = time.trim_end_matches('}').parse().expect(&line);
    assert!(
        (before..=after).contains(&time),
        "{before} <= {time} <= {after}"
    );
}

#[test]
fn the_messages_of_one_loop_iteration_are_sent_with_one_write() {
    let gateway = serve(config());
    let mut subscriber = Client::connect(gateway.address());
    subscriber.connect_and_subscribe("news");
    subscriber.reads = 0;
    let reader = std::thread::spawn(move || {
        (1..=64).for_each(|expected| assert_eq!(subscriber.next_offset(), expected));
        subscriber.reads
    });
    let mut publisher = Client::connect(gateway.address());
    publisher.connect_and_subscribe("other");

    let commands: Vec<String> = (3..67).map(|id| publish(id, "news", "{}")).collect();
    publisher.send_all(&commands);

    // A TCP segment of commands is one loop iteration and one batch of the log; a write per message would be 64 reads.
    let reads = reader.join().unwrap();
    assert!(reads <= 8, "{reads} reads for 64 messages");
}

#[test]
fn commands_of_one_message_take_effect_in_order_in_their_channel() {
    let gateway = serve(config());
    let mut client = Client::connect(gateway.address());
    client.connect_and_subscribe("other");
    let commands = [
        publish(3, "news", "7"),
        r#"{"id":4,"history":{"channel":"news","limit":9}}"#.to_owned(),
        r#"{"id":5,"subscribe":{"channel":"news"}}"#.to_owned(),
        r#"{"id":6,"presence_stats":{"channel":"news"}}"#.to_owned(),
        r#"{"id":7,"unsubscribe":{"channel":"news"}}"#.to_owned(),
    ];

    client.send(&commands.join("\n"));

    for (start, part) in [
        (r#"{"id":3,"publish""#, ""),
        (r#"{"id":4,"history""#, r#""publications":[{"data":7"#),
        (r#"{"id":5,"subscribe""#, r#""offset":1"#),
        (r#"{"id":6,"presence_stats""#, r#""num_clients":1"#),
        (r#"{"id":7,"unsubscribe""#, ""),
    ] {
        let line = client.next_line();
        assert!(line.starts_with(start) && line.contains(part), "{line}");
    }
}

#[test]
fn half_of_an_emoji_in_a_channel_costs_one_command() {
    let gateway = serve(config());
    let mut client = Client::connect(gateway.address());
    client.connect_and_subscribe("other");

    client.send(
        &[
            publish(3, r"\ud83d", "1"),
            publish(4, "news", r#""\ud83d""#),
        ]
        .join("\n"),
    );

    let rejected = client.next_line();
    assert!(
        rejected.starts_with(r#"{"id":3,"error":{"code":107,"message":"command 3: half of"#),
        "{rejected}"
    );
    assert_eq!(client.next_line(), r#"{"id":4,"publish":{}}"#);
}

#[test]
fn an_invalid_frame_is_followed_by_a_close_with_its_code_and_the_end_of_the_stream() {
    let gateway = serve(config());
    for (bytes, code) in [
        (b"\x81\x01a".to_vec(), 1002),
        (frame(Opcode::Text, b"\xFF"), 1007),
        (b"\xC1\x80\x01\x02\x03\x04".to_vec(), 1002),
    ] {
        let mut client = Client::connect(gateway.address());
        client.connect_and_subscribe("a");

        client.send_bytes(&bytes);

        let Received::Close(Some(got), reason) = client.next() else {
            panic!("no close for {bytes:?}")
        };
        assert_eq!(got, code, "{bytes:?}");
        assert!(!reason.is_empty());
        assert_eq!(client.next(), Received::End);
    }
}

#[test]
fn a_ping_gets_a_pong_and_a_close_frame_is_returned() {
    let gateway = serve(config());
    let mut client = Client::connect(gateway.address());
    client.connect_and_subscribe("a");

    client.send_bytes(&frame(Opcode::Ping, b"beat"));
    client.send_bytes(&frame(Opcode::Close, &[0x03, 0xE8, b'b', b'y', b'e']));

    assert_eq!(client.next(), Received::Pong(b"beat".to_vec()));
    assert_eq!(client.next(), Received::Close(Some(1000), String::new()));
    assert_eq!(client.next(), Received::End);
}

#[test]
fn a_command_before_connect_closes_the_connection_as_a_bad_request() {
    let gateway = serve(config());
    let mut client = Client::connect(gateway.address());

    client.send("{\"id\":1,\"subscribe\":{\"channel\":\"a\"}}");

    assert!(matches!(client.next(), Received::Close(Some(3501), _)));
}

#[test]
fn the_echo_endpoint_returns_messages_of_any_size_and_fragmentation() {
    let mut config = config();
    config.test.echo = true;
    let gateway = serve(config);
    let stream = TcpStream::connect(gateway.address()).unwrap();
    let mut client = Client::upgrade(stream, "/test/echo", "", b"");
    let large = vec![7; 8 << 20];
    let mut fragmented = Vec::new();
    for fragment in fragments(Opcode::Text, "häppchen".as_bytes(), 1) {
        fragment.append_client(&mut fragmented, [9, 8, 7, 6]);
    }

    client.send_bytes(&fragmented);
    client.send_bytes(&frame(Opcode::Text, b""));
    client.send_bytes(&frame(Opcode::Binary, &large));

    assert_eq!(client.next(), Received::Text("häppchen".to_owned()));
    assert_eq!(client.next(), Received::Text(String::new()));
    assert_eq!(client.next(), Received::Binary(large));
}

#[test]
fn publications_survive_a_restart_and_are_recovered() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config();
    config.store.kind = StoreKind::Segments;
    config.store.directory = directory.path().join("data");
    // The client does not reply to the close frame.
    config.server.shutdown_timeout = millis(100);
    let gateway = serve(config.clone());
    let mut client = Client::connect(gateway.address());
    client.send("{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"recoverable\":true}}");
    client.next_line();
    let subscribed = client.next_line();
    let (_, epoch) = subscribed.split_once("\"epoch\":\"").unwrap();
    let (epoch, _) = epoch.split_once('"').unwrap();
    client.send(&publish(3, "a", "{\"kept\":true}"));
    assert_eq!(client.next_offset(), 1);
    stop(gateway);

    let gateway = serve(config);
    let mut client = Client::connect(gateway.address());
    client.send(&format!(
        "{{\"id\":1,\"connect\":{{}}}}\n{{\"id\":2,\"subscribe\":{{\"channel\":\"a\",\"recover\":true,\
         \"recoverable\":true,\"epoch\":\"{epoch}\",\"offset\":0}}}}"
    ));
    client.next_line();
    let recovered = client.next_line();

    assert!(recovered.contains("\"recovered\":true"), "{recovered}");
    assert!(recovered.contains("{\"kept\":true}"), "{recovered}");
}
