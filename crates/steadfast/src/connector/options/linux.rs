//! The options that only Linux has.

use std::io;
use std::time::Duration;

use socket2::SockRef;

/// `TCP_NOTSENT_LOWAT`: maximum number of unsent bytes in the kernel, and so of bytes before a ping. 16 kbit/s take four
/// seconds for these 8 KiB, which is within the pong timeout.
const UNSENT_BYTES_MAX: u32 = 8 << 10;

pub(super) fn set(socket: &SockRef<'_>, user_timeout: Option<Duration>) -> io::Result<()> {
    if user_timeout.is_some() {
        socket.set_tcp_user_timeout(user_timeout)?;
    }
    socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::super::tests::connect;
    use super::super::with_options;
    use super::*;

    #[tokio::test]
    async fn the_kernel_drops_a_connection_after_the_given_time() {
        let timeout = Some(Duration::from_secs(70));

        let socket = with_options(connect().await, timeout).unwrap();

        let socket = SockRef::from(&socket);
        assert_eq!(socket.tcp_user_timeout().unwrap(), timeout);
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT_BYTES_MAX);
    }
}
