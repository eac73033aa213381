//! The memory of a relay per open connection.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use anyhow::{Result, anyhow};

use crate::relay::{Kind, Relay};

/// Opens connections, each of which has moved a few bytes in both directions, and returns the resident bytes of each.
pub(crate) fn run(kind: Kind, connections: u32) -> Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let relay = Relay::start(kind, listener.local_addr()?)?;
    let echo = std::thread::spawn(move || -> std::io::Result<Vec<TcpStream>> {
        let mut open = Vec::new();
        for _ in 0..=connections {
            let (mut stream, _) = listener.accept()?;
            let mut bytes = [0; 4];
            stream.read_exact(&mut bytes)?;
            stream.write_all(&bytes)?;
            open.push(stream);
        }
        Ok(open)
    });
    // The first connection allocates what all share.
    let mut open = vec![exchange(&relay)?];
    let before = relay.resident_bytes()?;
    for _ in 0..connections {
        open.push(exchange(&relay)?);
    }
    let after = relay.resident_bytes()?;
    let servers = echo
        .join()
        .map_err(|_panic| anyhow!("the server failed"))??;
    drop((open, servers));
    let kib = u32::try_from(after.saturating_sub(before) / 1024)?;
    Ok(f64::from(kib) * 1024.0 / f64::from(connections))
}

fn exchange(relay: &Relay) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(relay.address())?;
    stream.write_all(b"ping")?;
    stream.read_exact(&mut [0; 4])?;
    Ok(stream)
}
