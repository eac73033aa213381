//! The end of a gateway, as clients see it.

use std::net::TcpStream;

use crate::client::{Client, Got};
use crate::{config, millis, serve, stop};

#[test]
fn clients_are_told_to_come_back_and_the_port_is_free_again() {
    let gateway = serve(config());
    let address = gateway.address();
    let mut client = Client::connect(address);
    client.enter("a");
    let witness = std::thread::spawn(move || {
        let close = client.next();
        client.finish();
        (close, client.next())
    });

    stop(gateway);

    let (close, end) = witness.join().unwrap();
    assert!(matches!(close, Got::Close(Some(3001), _)), "{close:?}");
    assert_eq!(end, Got::End);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_client_that_does_not_go_delays_the_end_only_for_the_configured_time() {
    let mut config = config();
    config.server.shutdown_wait = millis(100);
    config.server.close_wait = millis(60_000);
    let gateway = serve(config);
    let mut hung = Client::connect(gateway.address());
    hung.enter("a");

    // Returns although the client neither reads nor answers.
    stop(gateway);

    assert!(matches!(hung.next(), Got::Close(Some(3001), _)));
}

#[test]
fn a_closed_client_that_does_not_answer_is_reset() {
    let mut config = config();
    config.server.close_wait = millis(100);
    let gateway = serve(config);
    let mut client = Client::connect(gateway.address());
    client.send("{\"id\":1,\"subscribe\":{\"channel\":\"a\"}}");

    assert!(matches!(client.next(), Got::Close(Some(3501), _)));

    // No answer is sent; the next thing that happens is the reset.
    assert_eq!(client.next(), Got::Reset);
}
