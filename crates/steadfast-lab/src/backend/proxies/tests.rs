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
        let (mut worker, link, received) = confirmed();
        if ends_early {
            worker.proxies[&link].remove_toxic("slow-1").unwrap();
        }
        worker.heal(FAULT);
        let events = received.try_iter().filter_map(|message| {
            let MessagePayload::RunEvent(RunEvent::Fault { event, .. }) = message.payload else {
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

/// A worker with a confirmed fault on one link.
fn confirmed() -> (Worker, Link, Receiver<HarnessMessage>) {
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
    (worker, link, received)
}
