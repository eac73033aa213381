//! Sockets of the generator: non-blocking, dialled from several loopback addresses, closed by reset.
//!
//! One source address has about 28,000 ports; a reset leaves none of them in `TIME_WAIT`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, connect, ipproto, recv, send, socket_with,
    sockopt,
};
use rustix::net::{RecvFlags, SendFlags};

/// Number of loopback addresses from which connections are dialled.
const SOURCES: usize = 8;

/// Starts to dial `port` on the loopback interface; `number` selects the source address.
/// The connection is established once the socket is writable.
pub fn dial(port: u16, number: usize) -> Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        flags,
        Some(ipproto::TCP),
    )
    .context("failed to create a socket; is the limit of open files high enough?")?;
    sockopt::set_tcp_nodelay(&fd, true)?;
    let last = u8::try_from(2 + number % SOURCES)?;
    bind(
        &fd,
        &SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0),
    )
    .context("failed to bind a source port")?;
    match connect(&fd, &SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(fd),
        Err(error) => Err(error).context("connection refused by the server"),
    }
}

/// Closes a connection by reset, so that its port is free immediately.
pub fn reset(fd: OwnedFd) {
    // Setting the option may fail on a socket that the server has already closed; it is then closed without a reset.
    let _ = sockopt::set_socket_linger(&fd, Some(Duration::ZERO));
    drop(fd);
}

/// The result of a read.
#[derive(Clone, Copy, Debug)]
pub enum Received {
    /// The number of bytes that were read.
    Bytes(usize),
    /// No data is available now.
    Nothing,
    /// The server has closed the connection.
    Closed,
}

/// Reads the available data into `buffer`.
pub fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> Result<Received> {
    match recv(fd, buffer, RecvFlags::empty()) {
        Ok((0, _)) | Err(Errno::CONNRESET) => Ok(Received::Closed),
        Ok((count, _)) => Ok(Received::Bytes(count)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(Received::Nothing),
        Err(error) => Err(error).context("failed to read from a socket"),
    }
}

/// Writes as many of the `bytes` as the socket accepts now, and returns their number.
pub fn transmit(fd: &OwnedFd, bytes: &[u8]) -> Result<usize> {
    match send(fd, bytes, SendFlags::NOSIGNAL) {
        Ok(count) => Ok(count),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(error) => Err(error).context("failed to write to a socket"),
    }
}
