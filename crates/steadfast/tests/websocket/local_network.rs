//! A client whose own network fails, in a network namespace: its only interface disappears, and with it its only route.
//!
//! Each test starts itself again in a namespace of its own. It is skipped where namespaces are not permitted, except in
//! CI, where a missing permission must not go unnoticed.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test starts itself again with a variable, and says why it was skipped"
)]

use std::env;
use std::process::Command;
use std::time::Duration;

use steadfast::websocket::{Builder, Client};
use steadfast::{
    BackoffRange, DialErrorKind, DialStage, DisconnectCause, EndpointsSettings, LivenessSettings,
    SessionEvent, defaults,
};
use tokio::sync::broadcast::Receiver;

use crate::server::{Server, within};

/// Set in the process that runs inside of the namespace.
const INSIDE: &str = "STEADFAST_TEST_INSIDE_NAMESPACE";

/// The delay before each attempt: in it a test changes the network.
const DELAY: Duration = Duration::from_secs(1);

/// The endpoints of a client.
const PREFERRED: usize = 0;
const FALLBACK: usize = 1;

/// The address of the servers, in the network that comes and goes.
const ADDRESS: &str = "10.77.0.1";

/// Runs the body of a test in a network namespace with a network.
fn in_namespace(test: &str, body: impl Future<Output = ()>) {
    if env::var_os(INSIDE).is_some() {
        ip("link set lo up");
        connect_network();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        return runtime.enable_all().build().unwrap().block_on(body);
    }
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net"]);
        command
    };
    let is_permitted = unshare().args(["ip", "link"]).output();
    if !is_permitted.is_ok_and(|it| it.status.success()) {
        assert!(env::var_os("CI").is_none(), "no network namespaces");
        eprintln!("skipped: network namespaces are not permitted here");
        return;
    }
    let program = env::current_exe().unwrap();
    let name = format!("local_network::{test}");
    let inside = unshare()
        .arg(program)
        .args(["--exact", &name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&inside.stdout);
    assert!(
        inside.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&inside.stderr)
    );
}

/// Configures the network of the namespace.
fn ip(arguments: &str) {
    let words = arguments.split_whitespace();
    let output = Command::new("ip").args(words).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {output:?}");
}

/// This machine gets its interface, with the address and the route.
fn connect_network() {
    ip("link add net0 type veth peer name net1");
    ip(&format!("address add {ADDRESS}/24 dev net0"));
    ip("link set net0 up");
}

/// This machine loses its interface. Open connections are not closed; nothing arrives on them.
fn disconnect_network() {
    ip("link delete net0");
}

async fn start_servers() -> (Server, Server) {
    (
        Server::start_at(ADDRESS).await,
        Server::start_at(ADDRESS).await,
    )
}

/// A client of both servers that detects silence within 400 ms, and for which each connection is stable.
fn client(preferred: &Server, fallback: &Server) -> Client {
    let ms = Duration::from_millis;
    let instantly = BackoffRange::proportional(1, ms(1), ms(1));
    preferred
        .client()
        .fallback_endpoint(&fallback.url())
        .unwrap()
        .backoff(defaults::BACKOFF.range(instantly).floor(DELAY))
        .liveness(LivenessSettings::new(ms(200), ms(200)))
        .endpoints(EndpointsSettings::new(
            2,
            Duration::from_nanos(1),
            Duration::from_mins(5),
        ))
        .connect()
        .unwrap()
}

/// The next ends of connections and attempts, as many as requested: the endpoints and the causes.
async fn failures(
    events: &mut Receiver<SessionEvent>,
    count: usize,
) -> Vec<(usize, DisconnectCause)> {
    let (mut dialled, mut failures) = (PREFERRED, Vec::new());
    while failures.len() < count {
        match within(events.recv()).await.unwrap() {
            SessionEvent::Attempting { endpoint, .. } => dialled = endpoint,
            SessionEvent::Waiting { cause, .. } => failures.push((dialled, cause)),
            SessionEvent::Connected { .. }
            | SessionEvent::Ready { .. }
            | SessionEvent::RenewalFailed { .. }
            | SessionEvent::Lost { .. }
            | SessionEvent::Failed { .. }
            | SessionEvent::Closed
            | _ => {}
        }
    }
    failures
}

#[test]
fn a_client_without_a_network_reports_that_and_then_returns_to_the_server_that_it_prefers() {
    in_namespace(
        "a_client_without_a_network_reports_that_and_then_returns_to_the_server_that_it_prefers",
        async {
            let (preferred, fallback) = start_servers().await;
            let client = client(&preferred, &fallback);
            let mut events = client.events();
            let _silent = preferred.accept().await;

            disconnect_network();
            let failures = failures(&mut events, 3).await;
            connect_network();

            let [(PREFERRED, silence), (FALLBACK, first), (PREFERRED, second)] = &*failures else {
                panic!("{failures:?}");
            };
            assert!(
                matches!(silence, DisconnectCause::PongTimeout(_)),
                "{silence:?}"
            );
            for cause in [first, second] {
                assert!(
                    matches!(cause, DisconnectCause::LocalNetwork(_)),
                    "{cause:?}"
                );
            }
            // Both were tried in this round. The silence was not the server's fault, so it is the first of the next.
            let first = within(async {
                tokio::select! {
                    _ = preferred.accept() => "preferred",
                    _ = fallback.accept() => "fallback",
                }
            });
            assert_eq!(first.await, "preferred");
        },
    );
}

#[test]
fn a_client_without_a_network_reports_that_also_if_a_name_must_be_resolved() {
    in_namespace(
        "a_client_without_a_network_reports_that_also_if_a_name_must_be_resolved",
        async {
            let client = |url: &str| -> Builder { Client::builder(url).unwrap() };
            disconnect_network();
            for url in [
                "ws://gateway.example",
                "ws://10.77.0.1:9",
                "ws://[2001:db8::1]:9",
            ] {
                let client = client(url).connect().unwrap();
                let failures = failures(&mut client.events(), 1).await;

                assert!(
                    matches!(&*failures, [(_, DisconnectCause::LocalNetwork(_))]),
                    "{url}: {failures:?}"
                );
            }
        },
    );
}

#[test]
fn a_server_that_refuses_is_no_failure_of_the_local_network() {
    in_namespace(
        "a_server_that_refuses_is_no_failure_of_the_local_network",
        async {
            let (preferred, fallback) = start_servers().await;
            let client = client(&preferred, &fallback);
            let mut events = client.events();
            let connection = preferred.accept().await;
            client.ready(DELAY).await.unwrap();

            drop((connection, preferred));
            let failures = failures(&mut events, 2).await;

            assert!(
                matches!(
                    &*failures,
                    [
                        _,
                        (
                            PREFERRED,
                            DisconnectCause::Dial {
                                stage: DialStage::Connect,
                                kind: DialErrorKind::Refused,
                                ..
                            }
                        )
                    ]
                ),
                "{failures:?}"
            );
            fallback.accept().await;
        },
    );
}
