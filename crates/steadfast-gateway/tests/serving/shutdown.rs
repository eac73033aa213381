//! Tests of a gateway's shutdown, from the side of the clients.

use std::net::TcpStream;

use crate::client::{Client, Received};
use crate::{config, millis, serve, stop};

#[test]
fn clients_get_a_close_with_reconnect_advice_and_the_port_is_free_again() {
    let gateway = serve(config());
    let address = gateway.address();
    let mut client = Client::connect(address);
    client.connect_and_subscribe("a");
    let witness = std::thread::spawn(move || {
        let close = client.next();
        client.finish();
        (close, client.next())
    });

    stop(gateway);

    let (close, end) = witness.join().unwrap();
    assert!(matches!(close, Received::Close(Some(3001), _)), "{close:?}");
    assert_eq!(end, Received::End);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_client_that_does_not_disconnect_delays_the_shutdown_only_for_the_configured_time() {
    let mut config = config();
    config.server.shutdown_timeout = millis(100);
    config.server.close_timeout = millis(60_000);
    let gateway = serve(config);
    let mut hung = Client::connect(gateway.address());
    hung.connect_and_subscribe("a");

    // Returns although the client neither reads nor replies.
    stop(gateway);

    assert!(matches!(hung.next(), Received::Close(Some(3001), _)));
}

#[test]
fn a_closed_client_that_does_not_reply_is_reset() {
    let mut config = config();
    config.server.close_timeout = millis(100);
    let gateway = serve(config);
    let mut client = Client::connect(gateway.address());
    client.send("{\"id\":1,\"subscribe\":{\"channel\":\"a\"}}");

    assert!(matches!(client.next(), Received::Close(Some(3501), _)));

    // The client sends no close frame, so the reset is next.
    assert_eq!(client.next(), Received::Reset);
}
