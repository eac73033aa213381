//! An HTTP server that responds to every request with 503, as a reverse proxy does whose backend is down.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::Result;

const RESPONSE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\
    Retry-After: 2\r\nConnection: close\r\n\r\n";

/// Serves until the process is killed.
///
/// # Errors
///
/// When it cannot listen on the address.
pub fn serve(address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    for socket in listener.incoming() {
        // A client that has gone does not end the server.
        drop(socket.and_then(respond));
    }
    Ok(())
}

/// Reads the head of the request first: a socket that is closed with unread data resets the connection, and the response
/// with it.
fn respond(mut socket: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(&socket).lines();
    while lines.next().transpose()?.is_some_and(|it| !it.is_empty()) {}
    socket.write_all(RESPONSE)
}
