//! A fault that ends before its heal, over a real proxy.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::sync_channel;
use std::thread;

use super::*;
use steadfast_faults::toxic::Directions;

/// Longest wait for what takes milliseconds on an idle machine.
const SLACK: Duration = Duration::from_secs(30);
const FAULT: FaultId = FaultId(0);

#[test]
fn a_toxic_that_is_missing_at_the_heal_was_not_in_effect() {
    let reasons = |ends_early| {
        let (mut worker, link, received, _ends) = confirmed();
        if ends_early {
            worker.proxies[&link].remove_toxic("slow-1").unwrap();
        }
        worker.heal(FAULT);
        let events = received.try_iter().filter_map(|message| {
            let MessagePayload::Fault(FAULT, FaultPart::Proxies, event) = message.payload else {
                return None;
            };
            match event {
                FaultEvent::Ineffective(reason) => Some(reason),
                FaultEvent::Injected
                | FaultEvent::Targeted(_)
                | FaultEvent::Confirmed(_)
                | FaultEvent::Healed => None,
            }
        });
        events.collect::<Vec<_>>()
    };

    assert_eq!(reasons(false), Vec::<String>::new());
    let found = reasons(true);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("before its heal "), "{found:?}");
}

#[test]
fn a_reset_must_find_a_connection_over_each_of_its_links() {
    let (mut worker, link, received, _ends) = confirmed();
    worker.heal(FAULT);
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = server.local_addr().unwrap().to_string();
    let idle = Proxy::to(&upstream).name("clients->gateway:2");
    let second: Link = ("clients".to_owned(), InstanceId(1));
    let idle = idle.start_blocking().unwrap();
    worker.proxies.insert(second.clone(), idle);
    drop(received.try_iter().collect::<Vec<_>>());

    worker.inject(FaultId(1), "reset-1", LinkFault::Reset, vec![link, second]);

    let events: Vec<FaultEvent> = received.try_iter().filter_map(event_of).collect();
    let reason = "no connection is open over clients->gateway:2".to_owned();
    let expected = [
        FaultEvent::Injected,
        FaultEvent::Ineffective(reason),
        FaultEvent::Healed,
    ];
    assert_eq!(events, expected);
}

#[test]
fn a_probe_leaves_no_connection_and_passes_where_nothing_listens() {
    let (mut worker, link, _received, _ends) = confirmed();
    worker.heal(FAULT);
    let open = worker.proxies[&link].connections().len();

    let listening = worker.probe(&link);

    assert_eq!(listening, Ok(()));
    assert_eq!(worker.proxies[&link].connections().len(), open);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = closed.local_addr().unwrap().to_string();
    drop(closed);
    let proxy = Proxy::to(&upstream).start_blocking().unwrap();
    worker.proxies.insert(link.clone(), proxy);
    assert_eq!(worker.probe(&link), Ok(()));
}

#[test]
fn a_link_that_passes_nothing_after_its_heal_is_not_healed() {
    let (mut worker, link, received, _ends) = confirmed();
    // As if the proxy had lost its port.
    let proxy = &worker.proxies[&link];
    proxy.wait(proxy.set_enabled(false)).unwrap();

    worker.heal(FAULT);

    let mut failures = Vec::new();
    for message in received.try_iter() {
        if let MessagePayload::Failure(what) = message.payload {
            failures.push(what);
        } else {
            assert_ne!(event_of(message), Some(FaultEvent::Healed));
        }
    }
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert!(
        failures[0].starts_with("after the heal no probe passed over "),
        "{failures:?}"
    );
}

fn event_of(message: HarnessMessage) -> Option<FaultEvent> {
    if let MessagePayload::Fault(_, FaultPart::Proxies, event) = message.payload {
        Some(event)
    } else {
        None
    }
}

/// A worker with a confirmed fault on one link, and the open ends of the link.
fn confirmed() -> (
    Worker,
    Link,
    Receiver<HarnessMessage>,
    (TcpStream, TcpListener),
) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = server.local_addr().unwrap().to_string();
    let proxy = Proxy::to(&upstream).start_blocking().unwrap();
    let mut client = TcpStream::connect(proxy.local_addr()).unwrap();
    let link: Link = ("clients".to_owned(), InstanceId(0));
    let (inbox, received) = sync_channel(64);
    let clock = Clock::start();
    let mut worker = Worker {
        proxies: BTreeMap::from([(link.clone(), proxy)]),
        clock,
        inbox,
        active: BTreeMap::new(),
    };
    let latency = LinkFault::Latency {
        delay: Duration::from_millis(1),
        jitter: Duration::ZERO,
        directions: Directions::Both,
    };
    worker.inject(FAULT, "slow-1", latency, vec![link.clone()]);
    let deadline = clock.now() + SLACK;
    while !worker.active[&FAULT].is_confirmed {
        assert!(clock.now() < deadline, "not confirmed");
        client.write_all(b"x").unwrap();
        thread::park_timeout(POLL_INTERVAL);
        worker.poll();
    }
    (worker, link, received, (client, server))
}
