//! Tests how a program reacts to faults: a client with a retry, between which and its server a proxy injects them.
//!
//! Start it with `cargo run -p steadfast-proxy --example test_a_client`.

#![expect(clippy::print_stdout, reason = "an example shows its results")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use steadfast_proxy::{Proxy, Select, Toxic};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = echo_server()?;
    let proxy = Proxy::to(server).seed(7).start_blocking()?;

    // The first connection is reset, so the client must try again.
    let first = Select {
        first_n: Some(1),
        ..Select::default()
    };
    proxy.add_toxic(Toxic::reset_peer(Duration::ZERO).upstream().select(first))?;
    let attempts = request_with_retry(proxy.local_addr())?;
    println!("a reset: succeeded with attempt {attempts}");

    // A black hole gives no sign, so the client needs a timeout.
    proxy.remove_toxics();
    proxy.add_toxic(Toxic::black_hole().lasting(Duration::from_millis(700)))?;
    let attempts = request_with_retry(proxy.local_addr())?;
    println!("a black hole: succeeded with attempt {attempts}");
    println!("{} connections", proxy.counters().accepted);
    Ok(())
}

/// The program under test. Returns the number of attempts.
fn request_with_retry(address: SocketAddr) -> io::Result<u32> {
    let mut attempt = 1;
    loop {
        match request(address) {
            Ok(()) => return Ok(attempt),
            Err(error) if attempt == 10 => return Err(error),
            Err(_) => attempt += 1,
        }
    }
}

fn request(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_millis(250)))?;
    stream.write_all(b"ping")?;
    stream.read_exact(&mut [0; 4])
}

fn echo_server() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || echo(stream));
        }
    });
    Ok(address)
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    while let Ok(len @ 1..) = stream.read(&mut buffer) {
        let Some(bytes) = buffer.get(..len) else {
            return;
        };
        if stream.write_all(bytes).is_err() {
            return;
        }
    }
}
