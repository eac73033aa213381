//! How a connection ended without a close frame, as the cause names it.

use steadfast::websocket::Event;
use steadfast::{ConnectionErrorKind, DisconnectCause};

use crate::server::{Connection, Server, within};

#[tokio::test]
async fn a_peer_that_closes_the_socket_ends_the_stream() {
    let kind = kind_after(drop).await;

    assert_eq!(kind, ConnectionErrorKind::EndOfStream);
}

#[tokio::test]
async fn a_peer_that_aborts_the_connection_resets_it() {
    let kind = kind_after(Connection::reset).await;

    assert_eq!(kind, ConnectionErrorKind::Reset);
}

#[tokio::test]
async fn an_invalid_frame_is_no_end_of_the_transport() {
    let server = Server::start().await;
    let (client, driver) = server.client().build().unwrap();
    let mut inbox = client.receive();
    tokio::spawn(driver);
    let mut connection = server.accept().await;

    // A reserved bit without an extension.
    connection.send_raw(&[0xf1, 0]).await;

    assert_eq!(lost(&mut inbox).await, ConnectionErrorKind::Other);
}

/// The kind that a connected client reports when the server does this.
async fn kind_after(end: impl FnOnce(Connection)) -> ConnectionErrorKind {
    let server = Server::start().await;
    let (client, driver) = server.client().build().unwrap();
    let mut inbox = client.receive();
    tokio::spawn(driver);
    let connection = server.accept().await;

    end(connection);

    lost(&mut inbox).await
}

async fn lost(inbox: &mut steadfast::websocket::Inbox) -> ConnectionErrorKind {
    let connected = within(inbox.next()).await;
    assert_eq!(connected, Some(Event::Connected { skipped: 0 }));
    match within(inbox.next()).await {
        Some(Event::Disconnected {
            cause: DisconnectCause::ConnectionFailed { kind, .. },
        }) => kind,
        other => panic!("{other:?}"),
    }
}
