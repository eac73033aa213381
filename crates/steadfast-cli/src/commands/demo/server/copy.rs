//! Copies bytes between two sockets. The end of one connection ends the other one in the same way, so that a client sees
//! a kill of the gateway as if it were connected directly.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;

/// One of the two connections.
#[derive(Debug)]
pub(super) struct End {
    pub(super) socket: TcpStream,
    /// What was already received for the other connection.
    pub(super) received: Bytes,
}

/// Copies in both directions until both have ended. A direction reads no more than it can write, and the end of one
/// direction leaves the other one open.
pub(super) async fn both_ways(mut one: End, mut other: End) {
    if copy(&mut one, &mut other).await.is_err() {
        // One connection was reset, as when a process is killed. Without linger time, closing the other resets it too;
        // an error means that it is closed already.
        let _ = one.socket.set_zero_linger();
        let _ = other.socket.set_zero_linger();
    }
}

async fn copy(one: &mut End, other: &mut End) -> io::Result<(u64, u64)> {
    one.socket.write_all(&other.received).await?;
    other.socket.write_all(&one.received).await?;
    copy_bidirectional(&mut one.socket, &mut other.socket).await
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    /// How long a writer makes no progress before it counts as stopped.
    const STOPPED_AFTER: Duration = Duration::from_millis(500);

    #[tokio::test]
    async fn bytes_received_before_come_first_and_a_half_closed_connection_stays_open() {
        let (mut client, mut gateway) = connected(b"early ").await;

        client.write_all(b"request").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(read_to_end(&mut gateway).await.unwrap(), b"early request");
        gateway.write_all(b"reply").await.unwrap();
        gateway.shutdown().await.unwrap();

        assert_eq!(read_to_end(&mut client).await.unwrap(), b"reply");
    }

    #[tokio::test]
    async fn a_reset_is_passed_on_as_a_reset() {
        let (mut client, gateway) = connected(b"").await;

        gateway.set_zero_linger().unwrap();
        drop(gateway);

        let error = read_to_end(&mut client).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_writer_stops_while_the_other_end_does_not_read_and_nothing_is_lost() {
        let (mut client, mut gateway) = connected(b"").await;
        let block = vec![7; 1 << 16];
        let mut written = 0;

        while let Ok(count) = timeout(STOPPED_AFTER, gateway.write(&block)).await {
            written += count.unwrap();
        }
        gateway.shutdown().await.unwrap();

        assert_eq!(read_to_end(&mut client).await.unwrap().len(), written);
    }

    /// Two sockets whose other ends are copied to each other; `received` was received from the first one.
    async fn connected(received: &'static [u8]) -> (TcpStream, TcpStream) {
        let (client, from_client) = pair().await;
        let (gateway, from_gateway) = pair().await;
        let end = |socket, received| End {
            socket,
            received: Bytes::from_static(received),
        };
        tokio::spawn(both_ways(
            end(from_client, received),
            end(from_gateway, b""),
        ));
        (client, gateway)
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await;
        (client.unwrap(), listener.accept().await.unwrap().0)
    }

    async fn read_to_end(socket: &mut TcpStream) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).await?;
        Ok(bytes)
    }
}
