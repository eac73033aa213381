//! Bytes per second from clients to a server that discards them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, anyhow};
use steadfast_clock::Clock;
use steadfast_machine::convert;

const CHUNK_BYTES: usize = 64 << 10;

/// A server that counts and discards what it receives.
#[derive(Debug)]
pub(crate) struct Sink {
    address: SocketAddr,
    received: Arc<AtomicU64>,
}

impl Sink {
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let received = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                std::thread::spawn(move || count(stream, &counter));
            }
        });
        Ok(Self { address, received })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

fn count(mut stream: TcpStream, received: &AtomicU64) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(len @ 1..) = stream.read(&mut buffer) {
        received.fetch_add(convert::to_u64(len), Ordering::Relaxed);
    }
}

/// Sends over all connections at once. Returns bytes per second, as the server receives them.
pub(crate) fn run(
    address: SocketAddr,
    sink: &Sink,
    connections: usize,
    time: Duration,
) -> Result<f64> {
    let is_over = Arc::new(AtomicBool::new(false));
    let mut senders = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(address)?;
        let is_over = Arc::clone(&is_over);
        senders.push(std::thread::spawn(move || send(stream, &is_over)));
    }
    let clock = Clock::start();
    // The windows of TCP grow at first.
    std::thread::sleep(time / 5);
    let (start, before) = (clock.now(), sink.received.load(Ordering::Relaxed));
    std::thread::sleep(time);
    let (end, after) = (clock.now(), sink.received.load(Ordering::Relaxed));
    is_over.store(true, Ordering::Relaxed);
    for sender in senders {
        let sent = sender.join().map_err(|_panic| anyhow!("a sender failed"))?;
        sent?;
    }
    let kilobytes = u32::try_from((after - before) / 1_000)?;
    Ok(f64::from(kilobytes) * 1_000.0 / end.saturating_since(start).as_secs_f64())
}

fn send(mut stream: TcpStream, is_over: &AtomicBool) -> std::io::Result<()> {
    let chunk = vec![0; CHUNK_BYTES];
    while !is_over.load(Ordering::Relaxed) {
        stream.write_all(&chunk)?;
    }
    Ok(())
}
