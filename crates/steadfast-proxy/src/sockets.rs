//! Options of sockets.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

/// The number of clients that the operating system accepts before the proxy does.
const BACKLOG: i32 = 1024;

/// Each piece that a toxic passes leaves at once.
pub(crate) fn prepare(stream: &TcpStream) {
    // A socket without this option, such as one that has ended, shows its state at the first read.
    drop(stream.set_nodelay(true));
}

/// Closes a socket with a reset.
pub(crate) fn reset(stream: TcpStream) {
    // Without the option the socket closes with a FIN, which is the best that is left.
    drop(SockRef::from(&stream).set_linger(Some(Duration::ZERO)));
    drop(stream);
}

/// Binds a listener.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A port that was in use a moment ago can be bound again.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Whether a connection to `address` reaches a listener on `listener` of this machine.
pub(crate) fn reaches(address: SocketAddr, listener: SocketAddr) -> bool {
    if address.port() != listener.port() {
        return false;
    }
    let (address, listener) = (address.ip().to_canonical(), listener.ip().to_canonical());
    if address == listener {
        return true;
    }
    // A dial of the unspecified address reaches the machine itself.
    listener.is_unspecified() && is_local(address)
        || address.is_unspecified() && listener.is_loopback()
}

/// Whether the address belongs to this machine: only such addresses can be bound.
fn is_local(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified() || UdpSocket::bind((address, 0)).is_ok()
}
