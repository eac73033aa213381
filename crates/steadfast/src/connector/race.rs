//! TCP to the first of several addresses that answers (RFC 8305, "Happy Eyeballs").
//!
//! Families alternate, each attempt starts 250 ms after the one before or as soon as that one failed, the first
//! connection wins and the others are dropped.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::sleep;

use super::Failure;

/// The wait before the next address is tried beside those under way (RFC 8305, section 8, recommends 250 ms).
const NEXT_AFTER: Duration = Duration::from_millis(250);

/// Addresses tried at the most; more say nothing new about a server.
const ADDRESSES_MAX: usize = 16;

/// Alternates the families, beginning with that of the first address, and keeps the system's order within each.
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

/// Connects to the first address that answers; fails with the last error when none does.
pub(super) async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
    let mut waiting: VecDeque<SocketAddr> = addresses.iter().copied().collect();
    let mut under_way = UnderWay::default();
    while let Some(address) = waiting.pop_front() {
        under_way.start(address);
        let is_last = waiting.is_empty();
        let mut pause = pin!(sleep(NEXT_AFTER));
        let step = poll_fn(|context| {
            if let Poll::Ready(outcome) = under_way.poll(context) {
                return Poll::Ready(outcome);
            }
            if !is_last && pause.as_mut().poll(context).is_ready() {
                return Poll::Ready(Step::NextIsDue);
            }
            Poll::Pending
        });
        match step.await {
            Step::Connected(socket) => return Ok(socket),
            Step::NextIsDue | Step::AllFailed => {}
        }
    }
    Err(under_way.last_error.map_or(Failure::NoAddress, Failure::Io))
}

/// What ends a wait.
enum Step {
    Connected(TcpStream),
    AllFailed,
    NextIsDue,
}

type Attempt = Pin<Box<dyn Future<Output = std::io::Result<TcpStream>> + Send>>;

/// The attempts that have begun and not ended.
#[derive(Default)]
struct UnderWay {
    attempts: Vec<Attempt>,
    last_error: Option<std::io::Error>,
}

impl UnderWay {
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
    fn families_alternate_and_nothing_is_tried_twice() {
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
    fn an_address_that_refuses_gives_way_to_the_next_at_once() {
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
    fn with_no_address_left_the_last_error_is_told() {
        let gone = TcpListener::bind("127.0.0.2:0")
            .unwrap()
            .local_addr()
            .unwrap();

        let failure = block_on(connect(&[gone])).unwrap_err();

        assert!(
            matches!(&failure, Failure::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused),
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
