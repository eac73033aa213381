//! A real disk that is stuck: what continues in the meantime, and what is stored afterwards.
//!
//! Needs root and loop devices; without them the test says so and passes. Freezes for 11 s, or for as many seconds as
//! `STEADFAST_STUCK_SECONDS` says.

mod disk;

use std::net::SocketAddr;
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_gateway::config::Config;
use steadfast_machine::ByteSize;

use self::disk::StuckDisk;
use crate::client::{Client, exchange, publish};
use crate::{durable_config, millis, serve, stop};

/// Publications that wait, and others that are above the limit of bytes.
const PUBLICATIONS: usize = 40;

#[test]
fn while_the_disk_is_stuck_everything_but_publishing_continues_and_nothing_is_lost() {
    let disk = match StuckDisk::mount() {
        Ok(disk) => disk,
        Err(reason) => return println!("SKIP: {reason}"),
    };
    let gateway = serve(stuck_config(&disk));
    let address = gateway.address();
    let mut subscriber = Client::connect(address);
    subscriber.connect_and_subscribe("news");
    let mut publisher = Client::connect(address);
    publisher.send("{\"id\":1,\"connect\":{}}");
    reply(&mut publisher, 1);
    publisher.send(&publish(2, "news", "\"before\""));
    assert!(reply(&mut publisher, 2).contains("\"publish\""));
    assert_eq!(subscriber.next_offset(), 1);

    disk.freeze();
    let payload = format!("\"{}\"", "x".repeat(60_000));
    for id in 3..3 + PUBLICATIONS {
        publisher.send(&publish(id, "news", &payload));
    }
    let (mut reasons, mut replies, mut pushes) = (Vec::new(), Vec::new(), Vec::new());
    let clock = Clock::start();
    let end = clock.now() + stuck_for();
    while clock.now() < end {
        reply_to_ping(&mut subscriber, &mut pushes);
        reply_to_ping(&mut publisher, &mut replies);
        read_as_bystander(address);
        reasons.push(ready(address));
    }
    disk.thaw();

    let stalled = reasons.last().unwrap();
    assert!(stalled.starts_with("HTTP/1.1 503 "), "{stalled}");
    assert!(stalled.contains(" of the log has taken "), "{stalled}");
    assert!(reasons[0].starts_with("HTTP/1.1 200 "), "{}", reasons[0]);
    assert!(
        pushes.is_empty(),
        "nothing is published before it is durable: {pushes:?}"
    );
    assert!(
        replies.iter().all(|reply| reply.contains("\"code\":111")),
        "{replies:?}"
    );
    let waiting = PUBLICATIONS - replies.len();
    assert!((10..25).contains(&waiting), "{waiting}");
    while replies.len() < PUBLICATIONS {
        let line = publisher.next_line();
        if line != "{}" {
            assert!(line.contains("\"publish\""), "{line}");
            replies.push(line);
        }
    }
    let acknowledged = u64::try_from(1 + waiting).unwrap();
    assert_all_stored(acknowledged, &mut publisher, &mut subscriber);
    assert!(ready(address).starts_with("HTTP/1.1 200 "));
    stop(gateway);
}

fn stuck_config(disk: &StuckDisk) -> Config {
    let mut config = durable_config(&disk.path().join("data"));
    config.client.ping_interval.0 = Duration::from_secs(2);
    config.client.pong_timeout = millis(1_900);
    config.store.segment_bytes.0 = ByteSize::from_mib(1);
    config.store.bytes_max.0 = ByteSize::from_mib(8);
    config.store.pending_bytes_max.0 = ByteSize::from_mib(1);
    config
}

#[expect(
    clippy::disallowed_methods,
    reason = "a longer run of this test is no setting of the product"
)]
fn stuck_for() -> Duration {
    let seconds = std::env::var("STEADFAST_STUCK_SECONDS");
    Duration::from_secs(seconds.map_or(11, |seconds| seconds.parse().unwrap()))
}

/// Connects, reads the history, subscribes with recovery, and reads the presence.
fn read_as_bystander(address: SocketAddr) {
    let mut bystander = Client::connect(address);
    bystander.send("{\"id\":1,\"connect\":{}}");
    reply(&mut bystander, 1);
    bystander.send("{\"id\":2,\"history\":{\"channel\":\"news\",\"limit\":10}}");
    let history = reply(&mut bystander, 2);
    assert!(
        history.contains("before") && !history.contains("xxx"),
        "{history}"
    );
    let (_, epoch) = history.split_once("\"epoch\":\"").unwrap();
    let (epoch, _) = epoch.split_once('"').unwrap();
    bystander.send(&format!(
        "{{\"id\":3,\"subscribe\":{{\"channel\":\"news\",\"recover\":true,\"epoch\":\"{epoch}\",\"offset\":0}}}}"
    ));
    let subscribed = reply(&mut bystander, 3);
    assert!(
        subscribed.contains("\"recovered\":true") && subscribed.contains("before"),
        "{subscribed}"
    );
    bystander.send("{\"id\":4,\"presence\":{\"channel\":\"news\"}}");
    assert!(reply(&mut bystander, 4).contains("\"presence\""));
}

/// Every acknowledged publication is in the history, and the subscriber receives each once and in order.
fn assert_all_stored(acknowledged: u64, publisher: &mut Client, subscriber: &mut Client) {
    publisher.send("{\"id\":100,\"history\":{\"channel\":\"news\",\"limit\":0}}");
    let history = reply(publisher, 100);
    assert!(
        history.contains(&format!("\"offset\":{acknowledged}")),
        "{history}"
    );
    let offsets: Vec<_> = (1..acknowledged)
        .map(|_| subscriber.next_offset())
        .collect();
    assert!(offsets.iter().copied().eq(2..=acknowledged), "{offsets:?}");
}

fn ready(address: SocketAddr) -> String {
    exchange(address, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// Receives the reply with this id; skips everything else.
fn reply(client: &mut Client, id: usize) -> String {
    let start = format!("{{\"id\":{id},");
    loop {
        let line = client.next_line();
        if line.starts_with(&start) {
            return line;
        }
    }
}

/// Receives what precedes the next ping, and replies to the ping.
fn reply_to_ping(client: &mut Client, received: &mut Vec<String>) {
    loop {
        let line = client.next_line();
        if line == "{}" {
            return client.send("{}");
        }
        received.push(line);
    }
}
