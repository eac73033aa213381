//! An application that reads more slowly than the server sends, and a server that reads nothing.

use bytes::Bytes;
use steadfast::defaults;
use steadfast::websocket::{Event, Frame};

use crate::server::{Arrived, Server, within};

#[tokio::test]
async fn a_slow_reader_learns_how_many_messages_were_discarded() {
    // The event of the connection and four messages, or the four bytes of these, are one more than the limit.
    for (events_max, bytes_max) in [(4, usize::MAX), (1_000, 3)] {
        let server = Server::start().await;
        let (client, driver) = server.client().build().unwrap();
        let mut inbox = client.receive_with(events_max, bytes_max);
        tokio::spawn(driver);
        let mut connection = server.accept().await;
        for number in 0..100 {
            connection.send_text(&number.to_string()).await;
        }
        connection.synchronize().await;

        let expected = [
            Event::Connected { skipped: 0 },
            Event::Message(Frame::from("0")),
            Event::Message(Frame::from("1")),
            Event::Message(Frame::from("2")),
            Event::Message(Frame::from("3")),
            Event::Missed { messages: 96 },
        ];
        for event in expected {
            assert_eq!(within(inbox.next()).await, Some(event));
        }
        connection.send_text("last").await;
        let last = Event::Message(Frame::from("last"));
        assert_eq!(within(inbox.next()).await, Some(last));
    }
}

#[tokio::test]
async fn a_sender_waits_while_the_server_reads_nothing_and_nothing_is_lost() {
    const MESSAGES: usize = 400;
    let server = Server::start().await;
    let outbox = defaults::OUTBOX.messages_max(4);
    let (client, driver) = server.client().outbox(outbox).build().unwrap();
    tokio::spawn(driver);
    let mut connection = server.accept().await;
    let payload = |number: usize| Bytes::from(vec![u8::try_from(number % 251).unwrap(); 64 << 10]);

    let sender = tokio::spawn(async move {
        let mut waits = 0;
        for number in 0..MESSAGES {
            let send = client.send_binary_now(payload(number));
            if send.is_err() {
                waits += 1;
                let _receipt = client.send_binary(payload(number)).await.unwrap();
            }
        }
        (client, waits)
    });
    for number in 0..MESSAGES {
        let expected = Arrived::Message(Frame::from(payload(number)));
        assert!(connection.receive().await == expected, "{number}");
    }

    let (_client, waits) = within(sender).await.unwrap();
    assert!(waits > 0, "25 MB fit into no socket");
}
