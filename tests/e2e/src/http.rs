//! Requests to a gateway or a demo on this machine.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Result;

/// Sends a request without a body and returns the whole response. The timeout is that of the connect and of each read.
pub(crate) fn request(
    method: &str,
    address: SocketAddr,
    path: &str,
    timeout: Duration,
) -> Result<String> {
    let mut socket = TcpStream::connect_timeout(&address, timeout)?;
    socket.set_read_timeout(Some(timeout))?;
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut response = String::new();
    socket.read_to_string(&mut response)?;
    Ok(response)
}
