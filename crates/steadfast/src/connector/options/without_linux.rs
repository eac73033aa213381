//! Other systems have none of these options.

use std::io;
use std::time::Duration;

use socket2::SockRef;

#[expect(clippy::unnecessary_wraps, reason = "the function of Linux can fail")]
pub(super) fn set(_socket: &SockRef<'_>, _user_timeout: Option<Duration>) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::connect;
    use super::super::{KEEPALIVE_AFTER, set_options};
    use super::*;

    #[tokio::test]
    async fn a_socket_has_the_options_that_every_system_has() {
        let socket = connect().await;

        set_options(&socket, Some(Duration::from_secs(70)), set).unwrap();

        assert!(socket.nodelay().unwrap());
        let socket = SockRef::from(&socket);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_AFTER);
    }
}
