//! Tests with a resolver that returns other addresses to each attempt.

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;

use socket2::{Domain, Socket, Type};
use steadfast_core::event::DialErrorKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// Returns the next set of addresses to each request, and keeps the requested names.
#[derive(Default)]
struct ScriptedResolver {
    replies: Mutex<VecDeque<Vec<SocketAddr>>>,
    names: Mutex<Vec<String>>,
}

impl ScriptedResolver {
    fn new(replies: &[&[SocketAddr]]) -> Self {
        let replies = replies.iter().map(|it| it.to_vec()).collect();
        Self {
            replies: Mutex::new(replies),
            names: Mutex::default(),
        }
    }
}

impl Resolver for ScriptedResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.names.lock().unwrap().push(format!("{host}:{port}"));
        Ok(self.replies.lock().unwrap().pop_front().unwrap_or_default())
    }
}

async fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A server that sends this response to each request.
async fn server(response: &'static [u8]) -> SocketAddr {
    let (listener, address) = bind().await;
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.read(&mut [0; 4_096]).await;
            let _ = socket.write_all(response).await;
        }
    });
    address
}

fn connector(timeouts: StageTimeouts) -> Connector {
    Connector::new(timeouts, Vec::new(), 1 << 20)
}

/// Returns the stage and the kind of a failed attempt; the servers here accept no upgrade.
async fn failure(
    connector: &Connector,
    resolver: &ScriptedResolver,
    plan: DialPlan,
) -> (DialStage, DialErrorKind) {
    failure_at("ws://gateway.example:8000", connector, resolver, plan).await
}

async fn failure_at(
    url: &str,
    connector: &Connector,
    resolver: &ScriptedResolver,
    plan: DialPlan,
) -> (DialStage, DialErrorKind) {
    let endpoint = url.parse().unwrap();
    let dialled = connector.dial_resolved_by(resolver, &endpoint, plan);
    let error = dialled.await.expect_err("no upgrade");
    (error.stage(), error.kind())
}

#[tokio::test]
async fn each_attempt_resolves_the_name_again() {
    let first = server(b"HTTP/1.1 501 No\r\n\r\n").await;
    let second = server(b"HTTP/1.1 502 No\r\n\r\n").await;
    let resolver = ScriptedResolver::new(&[&[first], &[second]]);
    let connector = connector(StageTimeouts::DEFAULT);

    for status in [501, 502] {
        let failure = failure(&connector, &resolver, DialPlan::default()).await;

        assert_eq!(failure.1, DialErrorKind::HttpStatus(status));
    }
    let failure = failure(&connector, &resolver, DialPlan::default()).await;
    assert_eq!(failure, (DialStage::Resolve, DialErrorKind::NameNotFound));
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_name_is_resolved_again_after_a_failed_tls_handshake() {
    let without_tls = server(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let (_, closed) = bind().await;
    let resolver = ScriptedResolver::new(&[&[without_tls], &[closed]]);
    let connector = connector(StageTimeouts::DEFAULT);

    let mut failures = Vec::new();
    for _ in 0..2 {
        let url = "wss://gateway.example:8000";
        failures.push(failure_at(url, &connector, &resolver, DialPlan::default()).await);
    }

    let tls = (DialStage::Secure, DialErrorKind::Tls);
    let refused = (DialStage::Connect, DialErrorKind::Refused);
    assert_eq!(failures, [tls, refused]);
}

#[tokio::test]
async fn an_address_that_does_not_respond_does_not_cost_the_attempt() {
    let (_filled, dead) = dead_address();
    let good = server(b"HTTP/1.1 501 No\r\n\r\n").await;
    let resolver = ScriptedResolver::new(&[&[dead], &[dead, good]]);
    let timeouts = StageTimeouts::DEFAULT.connect(Duration::from_secs(1));

    let alone = failure(&connector(timeouts), &resolver, DialPlan::default()).await;
    let with_other = failure(&connector(timeouts), &resolver, DialPlan::default()).await;

    assert_eq!(alone, (DialStage::Connect, DialErrorKind::TimedOut));
    assert_eq!(with_other.1, DialErrorKind::HttpStatus(501));
}

/// An address whose kernel drops each request for a connection, because the queue of the listener is full.
fn dead_address() -> (impl Sized, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let filled = std::net::TcpStream::connect(address).unwrap();
    ((socket, filled), address)
}

#[tokio::test]
async fn an_address_whose_server_is_frozen_does_not_cost_all_attempts() {
    let (_frozen, frozen) = bind().await;
    let good = server(b"HTTP/1.1 501 No\r\n\r\n").await;
    let resolver = ScriptedResolver::new(&[&[frozen, good], &[frozen, good]]);
    let connector = connector(StageTimeouts::DEFAULT.upgrade(Duration::from_millis(50)));
    let plan = |round| DialPlan {
        round,
        checks_readiness: false,
    };

    let first = failure(&connector, &resolver, plan(0)).await;
    let second = failure(&connector, &resolver, plan(1)).await;

    assert_eq!(first, (DialStage::Upgrade, DialErrorKind::TimedOut));
    assert_eq!(second.1, DialErrorKind::HttpStatus(501));
}

#[tokio::test]
async fn the_upgrade_follows_at_the_address_that_was_checked() {
    let (listener, checked) = bind().await;
    let other = server(b"HTTP/1.1 501 No\r\n\r\n").await;
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        drop(listener);
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
    });
    let resolver = ScriptedResolver::new(&[&[checked, other]]);
    let check = Some(ReadinessCheck::new("/readyz"));
    let connector = connector(StageTimeouts::DEFAULT).with_readiness(check);
    let plan = DialPlan {
        round: 0,
        checks_readiness: true,
    };

    let failure = failure(&connector, &resolver, plan).await;

    assert_eq!(failure, (DialStage::Connect, DialErrorKind::Refused));
}

#[tokio::test]
async fn with_a_proxy_only_the_name_of_the_proxy_is_resolved() {
    let proxy = server(b"HTTP/1.1 502 No\r\n\r\n").await;
    let resolver = ScriptedResolver::new(&[&[proxy]]);
    let connector = connector(StageTimeouts::DEFAULT)
        .with_proxy(Some("http://proxy.example:3128".parse().unwrap()));

    let failure = failure(&connector, &resolver, DialPlan::default()).await;

    assert_eq!(failure.0, DialStage::Proxy);
    assert_eq!(*resolver.names.lock().unwrap(), ["proxy.example:3128"]);
}
