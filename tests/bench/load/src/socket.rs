//! Sockets of the generator: non-blocking, dialled from several loopback addresses, closed by reset.
//!
//! One source address has about 28,000 ports; a reset leaves none of them waiting.

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

/// How many loopback addresses dials are spread over.
const SOURCES: usize = 8;

/// Begins to dial `port` on the loopback; `number` picks the source address.
/// The connection is up once the socket is writable.
pub fn dial(port: u16, number: usize) -> Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        flags,
        Some(ipproto::TCP),
    )
    .context("no socket; is the limit of open files high enough?")?;
    sockopt::set_tcp_nodelay(&fd, true)?;
    let last = u8::try_from(2 + number % SOURCES)?;
    bind(
        &fd,
        &SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0),
    )
    .context("no free source port")?;
    match connect(&fd, &SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(fd),
        Err(error) => Err(error).context("the server refused the connection"),
    }
}

/// Closes a connection by reset, so that its port is free at once.
pub fn reset(fd: OwnedFd) {
    // A socket that the server has closed already may refuse the option; closing it is then all there is to do.
    let _ = sockopt::set_socket_linger(&fd, Some(Duration::ZERO));
    drop(fd);
}

/// What a read gave.
#[derive(Clone, Copy, Debug)]
pub enum Received {
    /// This many bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The server has closed the connection.
    Closed,
}

/// Reads what is there into `buffer`.
pub fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> Result<Received> {
    match recv(fd, buffer, RecvFlags::empty()) {
        Ok((0, _)) | Err(Errno::CONNRESET) => Ok(Received::Closed),
        Ok((count, _)) => Ok(Received::Bytes(count)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(Received::Nothing),
        Err(error) => Err(error).context("read failed"),
    }
}

/// Writes as much of `bytes` as fits now and gives the count.
pub fn transmit(fd: &OwnedFd, bytes: &[u8]) -> Result<usize> {
    match send(fd, bytes, SendFlags::NOSIGNAL) {
        Ok(count) => Ok(count),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(error) => Err(error).context("write failed"),
    }
}
