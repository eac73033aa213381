//! Accepts connections, and pauses after a failure, most likely because the limit of open files is reached.
//!
//! The driver waits for this among other things, which must not wait for the pause: so it lasts over waits that are
//! abandoned.

use std::io;
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_machine::Instant;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::sleep;

/// The pause after a failure.
const PAUSE: Duration = Duration::from_millis(100);

/// What connections are accepted from.
pub(super) trait Listen {
    /// A connection that was accepted.
    type Stream;

    async fn accept(&mut self) -> io::Result<Self::Stream>;
}

impl Listen for UnixListener {
    type Stream = UnixStream;

    async fn accept(&mut self) -> io::Result<UnixStream> {
        Self::accept(self).await.map(|(stream, _)| stream)
    }
}

impl Listen for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        Self::accept(self).await.map(|(stream, _)| stream)
    }
}

/// A listener, and the pause after a failure.
#[derive(Debug)]
pub(super) struct Acceptor<L> {
    listener: L,
    pause: Duration,
    resume_at: Option<Instant>,
    /// Whether the last attempt has failed, which is logged once.
    is_failing: bool,
}

impl<L: Listen> Acceptor<L> {
    pub(super) const fn new(listener: L) -> Self {
        Self {
            listener,
            pause: PAUSE,
            resume_at: None,
            is_failing: false,
        }
    }

    /// The next connection. Dropping the future loses none.
    pub(super) async fn next(&mut self, clock: &Clock) -> L::Stream {
        loop {
            if let Some(at) = self.resume_at {
                sleep(at.saturating_since(clock.now())).await;
                self.resume_at = None;
            }
            match self.listener.accept().await {
                Ok(stream) => {
                    self.is_failing = false;
                    return stream;
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.is_failing, true) {
                        tracing::warn!(%error, "no program can connect");
                    }
                    self.resume_at = Some(clock.now() + self.pause);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the attempts, all of which fail.
    #[derive(Default)]
    struct Exhausted(usize);

    impl Listen for Exhausted {
        type Stream = ();

        async fn accept(&mut self) -> io::Result<()> {
            self.0 += 1;
            Err(io::ErrorKind::Other.into())
        }
    }

    #[tokio::test]
    async fn a_failure_pauses_only_accepting_also_if_the_wait_is_abandoned() {
        let clock = Clock::start();
        let mut acceptor = Acceptor::new(Exhausted::default());
        acceptor.pause = Duration::from_hours(1);

        for _ in 0..3 {
            tokio::select! {
                biased;
                () = acceptor.next(&clock) => panic!("nothing is accepted"),
                // What else the driver has to do.
                () = std::future::ready(()) => {}
            }
        }

        assert_eq!(acceptor.listener.0, 1);
    }
}
