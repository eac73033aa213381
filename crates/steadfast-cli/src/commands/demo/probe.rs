//! Probes of the gateway over HTTP: whether it is ready after a start, and whether it responds while it is up.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::live::LiveStats;

/// The interval between two readiness checks of a starting gateway.
const READY_CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// The timeout of one readiness check.
const READY_CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// The interval from the end of a liveness check to the next one.
const LIVE_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The timeout of one liveness check.
const LIVE_CHECK_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Waits until the gateway serves.
pub(super) async fn until_ready(address: SocketAddr) {
    while !matches!(
        timeout(READY_CHECK_TIMEOUT, is_ok(address, "/readyz")).await,
        Ok(Ok(true))
    ) {
        sleep(READY_CHECK_INTERVAL).await;
    }
}

/// Reports indefinitely whether a gateway that is up responds.
pub(super) async fn watch_responses(address: SocketAddr, stats: &LiveStats) -> Infallible {
    loop {
        sleep(LIVE_CHECK_INTERVAL).await;
        match timeout(LIVE_CHECK_TIMEOUT, is_ok(address, "/livez")).await {
            Ok(Ok(is_live)) => stats.set_responsive(is_live),
            // The kernel refuses or resets a connection when the process has exited, which is reported as such.
            Ok(Err(_)) => {}
            Err(_) => stats.set_responsive(false),
        }
    }
}

async fn is_ok(address: SocketAddr, path: &str) -> io::Result<bool> {
    let mut socket = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut status = [0; 12];
    socket.read_exact(&mut status).await?;
    Ok(status == *b"HTTP/1.1 200")
}
