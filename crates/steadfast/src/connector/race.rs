//! Connects by TCP to the first of several addresses that accepts (RFC 8305, "Happy Eyeballs").
//!
//! Families alternate. Each attempt starts 250 ms after the previous attempt, or earlier when all attempts in progress
//! have failed. The first connection is used, and the other attempts are dropped.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::sleep;

use super::DialErrorReason;

/// The delay before the next address is tried concurrently (RFC 8305, section 8, recommends 250 ms).
const NEXT_AFTER: Duration = Duration::from_millis(250);

/// Maximum number of addresses that are tried; more do not improve the chance of a connection.
const ADDRESSES_MAX: usize = 16;

/// Alternates the address families. The family of the first address is first; each family keeps the system's order.
pub(super) fn interleave(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut first = VecDeque::new();
    let mut second = VecDeque::new();
    for address in addresses {
        let is_first = first
            .front()
            .is_none_or(|leader: &SocketAddr| leader.is_ipv4() == address.is_ipv4());
        let family = if is_first { &mut first } else { &mut second };
        if !family.contains(&address) {
            family.push_back(address);
        }
    }
    let mut mixed = Vec::new();
    while mixed.len() < ADDRESSES_MAX && !(first.is_empty() && second.is_empty()) {
        mixed.extend(first.pop_front());
        mixed.extend(second.pop_front());
    }
    mixed
}

/// Connects to the first address that accepts; fails with the last error when no address accepts.
pub(super) async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, DialErrorReason> {
    let mut remaining: VecDeque<SocketAddr> = addresses.iter().copied().collect();
    let mut in_progress = AttemptsInProgress::default();
    while let Some(address) = remaining.pop_front() {
        in_progress.start(address);
        let is_last = remaining.is_empty();
        let mut delay = pin!(sleep(NEXT_AFTER));
        let step = poll_fn(|context| {
            if let Poll::Ready(outcome) = in_progress.poll(context) {
                return Poll::Ready(outcome);
            }
            if !is_last && delay.as_mut().poll(context).is_ready() {
                return Poll::Ready(Step::NextIsDue);
            }
            Poll::Pending
        });
        match step.await {
            Step::Connected(socket) => return Ok(socket),
            Step::NextIsDue | Step::AllFailed => {}
        }
    }
    Err(in_progress
        .last_error
        .map_or(DialErrorReason::NoAddress, DialErrorReason::Io))
}

/// The result of waiting for the attempts.
enum Step {
    Connected(TcpStream),
    AllFailed,
    NextIsDue,
}

type ConnectAttempt = Pin<Box<dyn Future<Output = std::io::Result<TcpStream>> + Send>>;

/// The attempts that are in progress.
#[derive(Default)]
struct AttemptsInProgress {
    attempts: Vec<ConnectAttempt>,
    last_error: Option<std::io::Error>,
}

impl AttemptsInProgress {
    fn start(&mut self, address: SocketAddr) {
        self.attempts.push(Box::pin(TcpStream::connect(address)));
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        let mut connected = None;
        let last_error = &mut self.last_error;
        self.attempts
            .retain_mut(|attempt| match attempt.as_mut().poll(context) {
                Poll::Pending => true,
                Poll::Ready(Ok(socket)) => {
                    connected.get_or_insert(socket);
                    false
                }
                Poll::Ready(Err(error)) => {
                    *last_error = Some(error);
                    false
                }
            });
        match connected {
            Some(socket) => Poll::Ready(Step::Connected(socket)),
            None if self.attempts.is_empty() => Poll::Ready(Step::AllFailed),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn families_alternate_and_no_address_is_tried_twice() {
        let mixed = interleave(
            [
                "[::1]:1",
                "[::2]:1",
                "[::1]:1",
                "127.0.0.1:1",
                "127.0.0.2:1",
                "127.0.0.3:1",
            ]
            .map(address)
            .into_iter(),
        );

        let expected = [
            "[::1]:1",
            "127.0.0.1:1",
            "[::2]:1",
            "127.0.0.2:1",
            "127.0.0.3:1",
        ];
        assert_eq!(mixed, expected.map(address));
    }

    #[test]
    fn the_next_address_is_tried_immediately_after_a_refused_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        let gone = TcpListener::bind("127.0.0.2:0")
            .unwrap()
            .local_addr()
            .unwrap();

        let socket = block_on(connect(&[gone, good])).unwrap();

        assert_eq!(socket.peer_addr().unwrap(), good);
    }

    #[test]
    fn the_last_error_is_returned_when_all_addresses_fail() {
        let gone = TcpListener::bind("127.0.0.2:0")
            .unwrap()
            .local_addr()
            .unwrap();

        let failure = block_on(connect(&[gone])).unwrap_err();

        assert!(
            matches!(&failure, DialErrorReason::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused),
            "{failure:?}"
        );
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(future)
    }
}
