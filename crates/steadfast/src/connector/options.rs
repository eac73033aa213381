//! The options of a client's socket. Some systems lack two of them; the session detects a dead peer without them.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use super::DialErrorReason;

/// Idle time before the kernel sends a keepalive probe.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
/// Interval between two keepalive probes.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
/// Number of unacknowledged probes after which the connection is dropped.
const KEEPALIVE_COUNT: u32 = 2;
/// `TCP_NOTSENT_LOWAT`: maximum number of unsent bytes in the kernel, and so of bytes before a ping. 16 kbit/s take four
/// seconds for these 8 KiB, which is within the pong timeout.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 8 << 10;

/// Sets the options of a socket, and returns it.
pub(super) fn with_options(
    socket: TcpStream,
    user_timeout: Option<Duration>,
) -> Result<TcpStream, DialErrorReason> {
    set_options(&socket, user_timeout).map_err(DialErrorReason::Io)?;
    Ok(socket)
}

fn set_options(socket: &TcpStream, user_timeout: Option<Duration>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_COUNT);
    socket.set_tcp_keepalive(&keepalive)?;
    set_linux_options(&socket, user_timeout)
}

#[cfg(target_os = "linux")]
fn set_linux_options(socket: &SockRef<'_>, user_timeout: Option<Duration>) -> io::Result<()> {
    if user_timeout.is_some() {
        socket.set_tcp_user_timeout(user_timeout)?;
    }
    socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "the function of Linux can fail")]
fn set_linux_options(_socket: &SockRef<'_>, _user_timeout: Option<Duration>) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_kernel_drops_a_connection_after_the_given_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let timeout = Some(Duration::from_secs(70));

        let socket = TcpStream::connect(address).await.unwrap();
        let socket = with_options(socket, timeout).unwrap();

        let socket = SockRef::from(&socket);
        assert_eq!(socket.tcp_user_timeout().unwrap(), timeout);
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT_BYTES_MAX);
    }
}
