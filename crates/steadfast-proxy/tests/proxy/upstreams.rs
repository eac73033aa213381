//! Dials: upstreams that hang, refuse, or are the proxy itself.

use std::net::TcpListener;

use socket2::{Domain, Socket, Type};
use steadfast_proxy::{Error, EventKind, Proxy};

use crate::setup::{connect, listener, millis, pair, receive_all, start, wait_for, wait_for_event};

/// A listener whose queue is full, so that a dial hangs.
fn stuck() -> (TcpListener, Vec<Socket>) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let fill = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        drop(socket.connect(&address.into()));
        socket
    };
    let fillers = (0..4).map(fill).collect();
    (listener, fillers)
}

/// Number 6 of the defects of the original: a dial that hangs blocks all other clients and calls.
#[test]
fn a_dial_that_hangs_blocks_neither_clients_nor_calls() {
    let (upstream, _fillers) = stuck();
    let proxy = start(Proxy::to(upstream.local_addr().unwrap()).dial_timeout(millis(60_000)));

    let mut first = connect(&proxy);
    let mut second = connect(&proxy);
    wait_for(&proxy, |open| open.len() == 2);
    assert!(proxy.connections().iter().all(|it| it.upstream.is_none()));
    proxy.wait(proxy.set_enabled(false)).unwrap();

    assert_eq!(receive_all(&mut first), b"");
    assert_eq!(receive_all(&mut second), b"");
}

#[test]
fn a_dial_that_takes_too_long_ends_the_connection() {
    let (upstream, _fillers) = stuck();
    let address = upstream.local_addr().unwrap();
    let proxy = start(Proxy::to(address).dial_timeout(millis(100)));
    let mut events = proxy.events();

    let mut client = connect(&proxy);

    assert_eq!(receive_all(&mut client), b"");
    let is_failure = |kind: &EventKind| matches!(kind, EventKind::DialFailed { .. });
    let failure = wait_for_event(&proxy, &mut events, is_failure);
    let problem = format!("{address} did not accept within 100 ms");
    assert_eq!(
        failure.kind,
        EventKind::DialFailed {
            connection: 1,
            problem
        }
    );
    assert_eq!(proxy.counters().dials_failed, 1);
}

#[test]
fn an_upstream_that_is_the_proxy_itself_is_refused_under_every_name() {
    let pair = pair([]);
    let port = pair.proxy.local_addr().port();

    for host in ["127.0.0.1", "localhost", "0.0.0.0", ""] {
        let upstream = format!("{host}:{port}");
        let error = pair
            .proxy
            .wait(pair.proxy.set_upstream(&upstream))
            .unwrap_err();
        assert!(matches!(error, Error::Loop { .. }), "{upstream}: {error}");
    }

    let (probe, free) = listener();
    drop(probe);
    let everywhere = Proxy::to(free).listen(format!(":{}", free.port()));
    let error = everywhere.start_blocking().unwrap_err();
    assert!(error.to_string().contains("is the proxy itself"), "{error}");
}

#[test]
fn an_upstream_without_a_port_is_reported_with_an_example() {
    for upstream in ["localhost", "127.0.0.1:0", "127.0.0.1:http", ""] {
        let error = Proxy::to(upstream).start_blocking().unwrap_err();
        assert!(
            error.to_string().contains("such as 127.0.0.1:5432"),
            "{error}"
        );
    }
    let error = Proxy::to("127.0.0.1:1")
        .listen("here")
        .start_blocking()
        .unwrap_err();
    assert!(
        error.to_string().contains("port 0 is a free one"),
        "{error}"
    );
}

#[test]
fn a_loop_over_two_proxies_ends_at_the_maximum_of_connections() {
    let (_placeholder, address) = listener();
    let first = start(Proxy::to(address).name("first").connections_max(20));
    let second = start(
        Proxy::to(first.local_addr())
            .name("second")
            .connections_max(20),
    );
    let mut events = first.events();
    first.wait(first.set_upstream(second.local_addr())).unwrap();

    let client = connect(&first);
    let is_refused = |kind: &EventKind| matches!(kind, EventKind::Refused { .. });
    wait_for_event(&first, &mut events, is_refused);

    assert_eq!(first.counters().refused, 1);
    assert_eq!(first.counters().accepted, 20);
    drop(client);
    wait_for(&first, <[_]>::is_empty);
    wait_for(&second, <[_]>::is_empty);
}

#[test]
fn a_listener_that_becomes_the_upstream_is_refused() {
    let pair = pair([]);
    let upstream = pair.listener.local_addr().unwrap();
    let (probe, free) = listener();
    drop(probe);

    for update in [
        steadfast_proxy::Update {
            listen: Some(upstream.to_string()),
            ..Default::default()
        },
        steadfast_proxy::Update {
            listen: Some(free.to_string()),
            upstream: Some(free.to_string()),
            ..Default::default()
        },
    ] {
        let error = pair.proxy.wait(pair.proxy.update(update)).unwrap_err();
        assert!(matches!(error, Error::Loop { .. }), "{error}");
    }
    assert!(pair.proxy.info().is_enabled, "nothing changed");
}
