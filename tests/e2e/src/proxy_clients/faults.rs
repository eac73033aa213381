//! What each toxic does that a published client sets. A fault is never earlier than planned; how much later depends on the
//! machine, so that the upper bounds are wide.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::driver::{ProxyClient, ProxyClientKind};
use super::link::{End, Link, Stream, Upstream, finish, is_silent, receive, receive_all, send};

const MS: fn(u64) -> Duration = Duration::from_millis;
/// A delay after which a toxic did not only take its time.
const LATE: Duration = Duration::from_secs(10);

/// A toxic with attributes, and what it must do to a link that begins after it was added.
struct Fault {
    kind: &'static str,
    attributes: fn() -> Value,
    measure: fn(&mut Link, Stream) -> Result<()>,
}

const FAULTS: [Fault; 8] = [
    Fault {
        kind: "noop",
        attributes: || json!({}),
        measure: passes_everything,
    },
    Fault {
        kind: "latency",
        attributes: || json!({"latency": 200, "jitter": 50}),
        measure: delays_each_byte,
    },
    Fault {
        kind: "bandwidth",
        attributes: || json!({"rate": 100}),
        measure: limits_the_rate,
    },
    Fault {
        kind: "slow_close",
        attributes: || json!({"delay": 200}),
        measure: delays_the_end,
    },
    Fault {
        kind: "timeout",
        attributes: || json!({"timeout": 200}),
        measure: discards_and_closes,
    },
    Fault {
        kind: "reset_peer",
        attributes: || json!({"timeout": 200}),
        measure: resets,
    },
    Fault {
        kind: "slicer",
        attributes: || json!({"average_size": 10, "size_variation": 2, "delay": 10_000}),
        measure: cuts_into_pieces,
    },
    Fault {
        kind: "limit_data",
        attributes: || json!({"bytes": 100}),
        measure: passes_a_number_of_bytes,
    },
];

/// Sets every toxic in both directions, and measures each.
pub(super) fn run(client: &mut ProxyClient) -> Result<()> {
    let upstream = Upstream::start()?;
    let body = json!({
        "name": "faults",
        "listen": "127.0.0.1:0",
        "upstream": upstream.address.to_string(),
    });
    let proxy = client.succeed(&json!({"do": "create", "body": body}))?;
    let address = proxy.get("listen").and_then(Value::as_str);
    let address: SocketAddr = address.context("no address")?.parse()?;
    for fault in FAULTS {
        for stream in Stream::ALL {
            measure(client, &upstream, address, &fault, stream)
                .with_context(|| format!("{} {}", fault.kind, stream.name()))?;
        }
    }
    removal_passes_what_was_held(client, &upstream, address).context("removal")?;
    toxicity_selects(client, &upstream, address).context("toxicity")?;
    down_and_up(client, &upstream, address).context("down")?;
    client.succeed(&json!({"do": "remove", "proxy": "faults"}))?;
    ensure!(TcpStream::connect(address).is_err(), "the port is closed");
    Ok(())
}

fn measure(
    client: &mut ProxyClient,
    upstream: &Upstream,
    address: SocketAddr,
    fault: &Fault,
    stream: Stream,
) -> Result<()> {
    let name = format!("{}_{}", fault.kind, stream.name());
    let body = json!({
        "type": fault.kind,
        "name": name,
        "stream": stream.name(),
        "toxicity": 1,
        "attributes": (fault.attributes)(),
    });
    let add = json!({"do": "add_toxic", "proxy": "faults", "body": body});
    client.expect(&add, &body)?;
    let mut link = upstream.link(address)?;
    (fault.measure)(&mut link, stream)?;
    client.succeed(&json!({"do": "remove_toxic", "proxy": "faults", "toxic": name}))?;
    Ok(())
}

/// What arrives at the other end: everything in its order, and the FIN of one direction while the other stays open.
fn passes_everything(link: &mut Link, stream: Stream) -> Result<()> {
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let (sender, receiver) = link.ends(stream);
    send(sender, &bytes)?;
    finish(sender)?;
    let received = receive_all(receiver)?;
    ensure!(received.bytes == bytes && received.end == End::Fin);
    send(receiver, b"reply")?;
    finish(receiver)?;
    let reply = receive_all(sender)?;
    ensure!(
        reply.bytes == b"reply" && reply.end == End::Fin,
        "half-close"
    );
    Ok(())
}

fn delays_each_byte(link: &mut Link, stream: Stream) -> Result<()> {
    let (sender, receiver) = link.ends(stream);
    for byte in [[1], [2]] {
        send(sender, &byte)?;
        let (received, time) = receive(receiver, 1)?;
        ensure!(received == byte);
        ensure!(time >= MS(150) && time < LATE, "{time:?} for 200 ± 50 ms");
    }
    send(receiver, b"x")?;
    let (_, other) = receive(sender, 1)?;
    ensure!(other < MS(150), "the other direction took {other:?}");
    Ok(())
}

fn limits_the_rate(link: &mut Link, stream: Stream) -> Result<()> {
    let bytes = vec![7; 60_000];
    let (sender, receiver) = link.ends(stream);
    send(sender, &bytes)?;
    let (received, time) = receive(receiver, bytes.len())?;
    ensure!(received == bytes);
    // 600 ms at 100 bytes per millisecond, of which the last piece of 100 ms may be passed at its start.
    ensure!(time >= MS(480) && time < LATE, "{time:?} for 60,000 bytes");
    Ok(())
}

fn delays_the_end(link: &mut Link, stream: Stream) -> Result<()> {
    let (sender, receiver) = link.ends(stream);
    send(sender, b"x")?;
    finish(sender)?;
    let (_, first) = receive(receiver, 1)?;
    let received = receive_all(receiver)?;
    ensure!(first < MS(200), "bytes are not delayed, but took {first:?}");
    let total = first + received.time;
    ensure!(total >= MS(200) && total < LATE, "{total:?}");
    ensure!(received.end == End::Fin);
    Ok(())
}

fn discards_and_closes(link: &mut Link, stream: Stream) -> Result<()> {
    let (sender, receiver) = link.ends(stream);
    send(sender, b"lost")?;
    let received = receive_all(receiver)?;
    ensure!(received.bytes.is_empty(), "{received:?}");
    ensure!(
        received.time >= MS(200) && received.time < LATE,
        "{received:?}"
    );
    Ok(())
}

fn resets(link: &mut Link, stream: Stream) -> Result<()> {
    let (sender, receiver) = link.ends(stream);
    send(sender, b"lost")?;
    let received = receive_all(receiver)?;
    ensure!(
        received.bytes.is_empty() && received.end == End::Reset,
        "{received:?}"
    );
    ensure!(
        received.time >= MS(200) && received.time < LATE,
        "{received:?}"
    );
    ensure!(
        receive_all(sender)?.end == End::Reset,
        "the sender sees it too"
    );
    Ok(())
}

fn cuts_into_pieces(link: &mut Link, stream: Stream) -> Result<()> {
    let bytes: Vec<u8> = (0..100).collect();
    let (sender, receiver) = link.ends(stream);
    let start = Instant::now();
    send(sender, &bytes)?;
    finish(sender)?;
    let received = receive_all(receiver)?;
    let time = start.elapsed();
    ensure!(received.bytes == bytes, "order and number");
    // At most 12 bytes each: at least nine pieces, with a pause of 10 ms after each but the last.
    ensure!(time >= MS(80) && time < LATE, "{time:?}");
    // A reader that is late receives several at once.
    ensure!(received.reads.len() >= 2, "{:?}", received.reads);
    Ok(())
}

fn passes_a_number_of_bytes(link: &mut Link, stream: Stream) -> Result<()> {
    let (sender, receiver) = link.ends(stream);
    send(sender, &[7; 60])?;
    send(sender, &[7; 90])?;
    let received = receive_all(receiver)?;
    ensure!(
        received.bytes.len() == 100,
        "{} bytes",
        received.bytes.len()
    );
    Ok(())
}

/// A byte that a long latency holds is passed when the toxic is removed, or updated to a short one.
fn removal_passes_what_was_held(
    client: &mut ProxyClient,
    upstream: &Upstream,
    address: SocketAddr,
) -> Result<()> {
    let mut link = upstream.link(address)?;
    let body = json!({"type": "latency", "attributes": {"latency": 60_000}});
    let add = json!({"do": "add_toxic", "proxy": "faults", "body": body});
    let toxic = "latency_downstream";
    client.succeed(&add)?;
    send(&mut link.server, b"x")?;
    is_silent(&mut link.client, MS(100))?;
    if client.kind == ProxyClientKind::Node {
        let body = json!({"attributes": {"latency": 0}});
        let call = json!({"do": "update_toxic", "proxy": "faults", "toxic": toxic, "body": body});
        client.succeed(&call)?;
    }
    client.succeed(&json!({"do": "remove_toxic", "proxy": "faults", "toxic": toxic}))?;
    let (_, time) = receive(&mut link.client, 1)?;
    ensure!(time < LATE, "{time:?}");
    Ok(())
}

/// Of many connections, about the share of the toxicity is affected.
fn toxicity_selects(
    client: &mut ProxyClient,
    upstream: &Upstream,
    address: SocketAddr,
) -> Result<()> {
    const CONNECTIONS: usize = 40;
    let body =
        json!({"type": "limit_data", "name": "half", "toxicity": 0.5, "attributes": {"bytes": 0}});
    client.succeed(&json!({"do": "add_toxic", "proxy": "faults", "body": body}))?;
    let mut affected = 0;
    for _ in 0..CONNECTIONS {
        let mut link = upstream.link(address)?;
        send(&mut link.server, b"x")?;
        finish(&link.server)?;
        affected += usize::from(receive_all(&mut link.client)?.bytes.is_empty());
    }
    client.succeed(&json!({"do": "remove_toxic", "proxy": "faults", "toxic": "half"}))?;
    // Fewer than 5 or more than 35 of 40 have a probability below 0.000001.
    ensure!((5..=35).contains(&affected), "{affected} of {CONNECTIONS}");
    Ok(())
}

/// A disabled proxy refuses new connections and ends those that are open; the port stays the same.
fn down_and_up(client: &mut ProxyClient, upstream: &Upstream, address: SocketAddr) -> Result<()> {
    let mut link = upstream.link(address)?;
    let update = |is_enabled: bool| json!({"do": "update", "proxy": "faults", "body": {"enabled": is_enabled}});
    client.succeed(&update(false))?;
    let error = TcpStream::connect(address).err().map(|it| it.kind());
    ensure!(
        error == Some(std::io::ErrorKind::ConnectionRefused),
        "{error:?}"
    );
    receive_all(&mut link.client).context("the client")?;
    receive_all(&mut link.server).context("the server")?;
    client.succeed(&update(true))?;
    let mut link = upstream.link(address)?;
    passes_everything(&mut link, Stream::Upstream)
}
