//! Starting, disabling, moving and ending a proxy.

use std::io::ErrorKind;
use std::net::{Shutdown, TcpStream};

use steadfast_proxy::{Error, EventKind, Proxy};

use crate::setup::{
    accept, assert_quiet, connect, listener, pair, pattern, receive, receive_all, send, start,
    wait_for, wait_for_event,
};

#[test]
fn bytes_pass_in_both_directions() {
    let mut pair = pair([]);
    let bytes = pattern(1 << 20);
    let sent = bytes.clone();
    let mut client = pair.client.try_clone().unwrap();
    let sender = std::thread::spawn(move || send(&mut client, &sent));

    assert_eq!(receive(&mut pair.server, bytes.len()), bytes);
    sender.join().unwrap();
    send(&mut pair.server, b"back");
    assert_eq!(receive(&mut pair.client, 4), b"back");
}

/// Number 1 of the defects of the original: it closes both directions at the first FIN.
#[test]
fn a_half_close_is_kept() {
    let mut pair = pair([]);
    send(&mut pair.client, b"request");
    pair.client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(receive_all(&mut pair.server), b"request");
    assert_quiet(&mut pair.client);

    let response = pattern(300_000);
    let sent = response.clone();
    let sender = std::thread::spawn(move || {
        send(&mut pair.server, &sent);
        drop(pair.server);
    });

    assert_eq!(receive_all(&mut pair.client), response);
    sender.join().unwrap();
    wait_for(&pair.proxy, <[_]>::is_empty);
}

#[test]
fn a_dropped_proxy_closes_its_port_and_its_connections() {
    let mut pair = pair([]);
    let address = pair.proxy.local_addr();

    drop(pair.proxy);

    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(receive_all(&mut pair.client), b"");
    assert_eq!(receive_all(&mut pair.server), b"");
}

#[test]
fn a_disabled_proxy_refuses_and_keeps_its_port_and_its_toxics() {
    let mut pair = pair([steadfast_proxy::Toxic::slow_close(crate::setup::millis(1))]);
    let address = pair.proxy.local_addr();

    pair.proxy.wait(pair.proxy.set_enabled(false)).unwrap();

    assert_eq!(
        TcpStream::connect(address).unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
    assert_eq!(receive_all(&mut pair.client), b"");
    assert!(!pair.proxy.info().is_enabled);
    assert_eq!(pair.proxy.info().listen, address.to_string());

    pair.proxy.wait(pair.proxy.set_enabled(true)).unwrap();
    let (mut client, mut server) = pair.another();
    send(&mut client, b"a");
    assert_eq!(receive(&mut server, 1), b"a");
    assert_eq!(pair.proxy.local_addr(), address);
    assert_eq!(pair.proxy.toxics().len(), 1);
}

#[test]
fn an_update_without_a_difference_keeps_connections() {
    let mut pair = pair([]);
    let proxy = &pair.proxy;
    let info = proxy.info();

    proxy.wait(proxy.set_enabled(true)).unwrap();
    proxy.wait(proxy.set_upstream(&info.upstream)).unwrap();
    proxy.wait(proxy.set_listen(&info.listen)).unwrap();

    send(&mut pair.client, b"a");
    assert_eq!(receive(&mut pair.server, 1), b"a");
}

#[test]
fn another_upstream_closes_the_connections_and_serves_new_ones() {
    let mut pair = pair([]);
    let (second, address) = listener();

    pair.proxy.wait(pair.proxy.set_upstream(address)).unwrap();

    assert_eq!(receive_all(&mut pair.client), b"");
    let mut client = connect(&pair.proxy);
    let mut server = accept(&second);
    send(&mut client, b"a");
    assert_eq!(receive(&mut server, 1), b"a");
}

#[test]
fn a_port_in_use_is_reported_and_leaves_the_proxy_disabled_with_the_new_address() {
    let pair = pair([]);
    let (_other, used) = listener();

    let error = pair.proxy.wait(pair.proxy.set_listen(used)).unwrap_err();

    assert!(matches!(&error, Error::Listen { listen, .. } if *listen == used.to_string()));
    assert!(error.to_string().contains("in use"), "{error}");
    let info = pair.proxy.info();
    assert_eq!((info.is_enabled, info.listen), (false, used.to_string()));
    assert!(
        Proxy::to("127.0.0.1:1")
            .listen(used.to_string())
            .start_blocking()
            .is_err()
    );
}

#[test]
fn a_proxy_can_start_disabled() {
    let (_listener, address) = listener();
    let proxy = start(Proxy::to(address).enabled(false));
    assert!(!proxy.info().is_enabled);

    proxy.wait(proxy.set_enabled(true)).unwrap();

    connect(&proxy);
}

#[test]
fn events_report_what_happens_and_count_what_a_slow_reader_missed() {
    let pair = pair([]);
    let mut events = pair.proxy.events();
    let mut slow = pair.proxy.events();

    let (client, server) = pair.another();
    drop((client, server));
    let is_end = |kind: &EventKind| matches!(kind, EventKind::Ended { connection: 2, .. });
    let end = wait_for_event(&pair.proxy, &mut events, is_end);
    assert_eq!(end.proxy, "proxy");

    for _ in 0..600 {
        pair.proxy
            .add_toxic(steadfast_proxy::Toxic::stall())
            .unwrap();
        pair.proxy.remove_toxics();
    }
    let mut count = 0;
    let mut missed = 0;
    while let Some(event) = slow.try_next() {
        if let EventKind::Missed(events) = event.kind {
            missed += events;
        } else {
            count += 1;
        }
    }
    assert_eq!(count, 1024);
    assert!(missed >= 1200 - 1024, "{missed}");
}

/// Another address of the same name or of all interfaces would leave the clients with what listens on the first one.
#[test]
fn a_port_in_use_on_the_first_address_is_an_error_even_if_another_one_is_free() {
    let Ok(used) = only_ipv6() else {
        // Without IPv6 there is only one address.
        assert!(std::net::TcpListener::bind("[::]:0").is_err());
        return;
    };
    let port = used.local_addr().unwrap().port();

    let proxy = Proxy::to("127.0.0.1:1").listen(format!(":{port}"));

    let error = proxy.start_blocking().unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
}

fn only_ipv6() -> std::io::Result<std::net::TcpListener> {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
    socket.set_only_v6(true)?;
    let any = std::net::SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0));
    socket.bind(&any.into())?;
    socket.listen(1)?;
    Ok(socket.into())
}
