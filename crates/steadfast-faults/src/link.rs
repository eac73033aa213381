//! The link between a client and a server, and the faults that are injected into it.
//!
//! A link is two byte streams. It has no socket, no clock and no randomness: its driver passes the time and the delays,
//! moves bytes in and out, and calls the link again when its next event is due. Which link a fault hits and how long it
//! lasts is decided by the driver.
//!
//! A driver that moves raw bytes, such as a proxy, sends each read as one chunk of [`Lane::Messages`]. It stops reading
//! while [`ByteStream::unsent_bytes`] is at its own limit, since the queue of unsent bytes has none.
//! A black hole lasts as long as the link.

mod byte_stream;

use std::sync::Arc;
use std::time::Duration;

use steadfast_machine::{Instant, Seed};

pub use byte_stream::{ByteStream, Chunk, Lane, ReadRate, StreamEnd};

use crate::toxic::{ActiveToxic, Directions, Ending, Identity, Path, Toxic, ToxicKind};

/// The direction of a byte stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

impl Direction {
    /// Returns the other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}

/// A fault that neither end of a link detects at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFault {
    /// Both directions drop all bytes.
    BlackholeBoth,
    /// One direction drops all bytes.
    Blackhole(Direction),
    /// Both directions deliver nothing for this time, then everything.
    Freeze(Duration),
    /// The direction to the server delivers nothing for this time, and the client's socket accepts no more bytes.
    StallUplink(Duration),
    /// The client reads at a low rate for a limited time, and its socket holds a limited number of bytes.
    SlowReader {
        /// The rate while the fault lasts.
        read_rate: ReadRate,
        /// The number of bytes that the network and the client's socket hold.
        window: usize,
        /// How long the fault lasts.
        time: Duration,
    },
    /// The machines of a toxic, as in a proxy.
    Toxic {
        /// What happens to the bytes.
        kind: ToxicKind,
        /// The affected directions.
        directions: Directions,
        /// The seed of its random numbers.
        seed: Seed,
        /// How long the fault lasts; `None` for a kind that ends the connection.
        time: Option<Duration>,
    },
}

impl LinkFault {
    /// The directions that drop all bytes.
    pub const fn blackholes(&self) -> &'static [Direction] {
        match self {
            Self::BlackholeBoth => &[Direction::ToServer, Direction::ToClient],
            Self::Blackhole(Direction::ToServer) => &[Direction::ToServer],
            Self::Blackhole(Direction::ToClient) => &[Direction::ToClient],
            Self::Freeze(_)
            | Self::StallUplink(_)
            | Self::SlowReader { .. }
            | Self::Toxic { .. } => &[],
        }
    }

    /// How long the fault lasts until the driver heals it; `None` if it lasts as long as the link.
    pub const fn time(&self) -> Option<Duration> {
        match self {
            Self::BlackholeBoth | Self::Blackhole(_) => None,
            Self::Freeze(time) | Self::StallUplink(time) | Self::SlowReader { time, .. } => {
                Some(*time)
            }
            Self::Toxic { time, .. } => *time,
        }
    }
}

/// Both directions of a connection.
#[derive(Debug)]
pub struct Link {
    to_server: ByteStream,
    to_client: ByteStream,
}

impl Link {
    /// A link without faults.
    pub const fn new(now: Instant) -> Self {
        Self {
            to_server: ByteStream::new(now),
            to_client: ByteStream::new(now),
        }
    }

    /// Returns the stream of a direction.
    pub const fn stream(&self, direction: Direction) -> &ByteStream {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }

    /// Returns the stream of a direction, to send to it, to read from it or to end it.
    pub const fn stream_mut(&mut self, direction: Direction) -> &mut ByteStream {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    /// Whether no fault affects the link now.
    pub fn is_healthy(&self, now: Instant) -> bool {
        self.to_server.is_healthy(now) && self.to_client.is_healthy(now)
    }

    /// Injects a fault. A fault with a time lasts until [`Self::heal`] is called.
    pub fn inject(&mut self, now: Instant, fault: LinkFault) {
        match fault {
            LinkFault::BlackholeBoth => {
                self.to_server.blackhole();
                self.to_client.blackhole();
            }
            LinkFault::Blackhole(direction) => self.stream_mut(direction).blackhole(),
            LinkFault::Freeze(time) => {
                self.to_server.freeze(now + time);
                self.to_client.freeze(now + time);
            }
            LinkFault::StallUplink(time) => {
                self.to_server.freeze(now + time);
                self.to_server.shrink_window(0);
            }
            LinkFault::SlowReader {
                read_rate, window, ..
            } => {
                self.to_client.limit_read_rate(read_rate);
                self.to_client.shrink_window(window);
            }
            LinkFault::Toxic {
                kind,
                directions,
                seed,
                ..
            } => {
                let identity = Identity {
                    seed,
                    proxy: "link".into(),
                    connection: 1,
                    source: None,
                };
                let toxic = Toxic::new(kind).directions(directions);
                self.add_toxics(now, identity, &[ActiveToxic::new(toxic, now).into()]);
            }
        }
    }

    /// Lets bytes pass the machines of those toxics that affect the connection with this identity, as the same toxics of
    /// a proxy do from now on. Replaces the toxics before.
    pub fn add_toxics(&mut self, now: Instant, identity: Identity, toxics: &[Arc<ActiveToxic>]) {
        let path = Path::new(identity, now, now, toxics);
        let (to_server, to_client) = path.into_pipelines();
        self.to_server.set_pipeline(to_server);
        self.to_client.set_pipeline(to_client);
    }

    /// Takes the ending of the link that a toxic requested, which the driver executes.
    pub fn take_ending(&mut self) -> Option<Ending> {
        let ending = self.to_server.take_ending();
        ending.or_else(|| self.to_client.take_ending())
    }

    /// Ends a fault whose time has passed. A black hole cannot be healed.
    pub fn heal(&mut self, now: Instant) {
        self.to_server.restore(now);
        self.to_client.restore(now);
    }

    /// The network closes the link: each end detects it after the delay, without the bytes that are unsent.
    pub fn close(&mut self, now: Instant, delay: Duration) {
        for stream in [&mut self.to_client, &mut self.to_server] {
            stream.discard_unsent();
            stream.end(now, delay, StreamEnd::Closed);
        }
    }

    /// The network resets the link: each end detects it after its delay, and the bytes in flight are lost.
    pub fn reset(&mut self, now: Instant, to_client: Duration, to_server: Duration) {
        self.to_client.reset(now, to_client);
        self.to_server.reset(now, to_server);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const DELAY: Duration = Duration::from_millis(5);

    #[test]
    fn a_stalled_uplink_accepts_and_delivers_again_when_it_is_healed() {
        let mut link = Link::new(at(0));

        link.inject(at(0), LinkFault::StallUplink(Duration::from_millis(100)));
        send(&mut link, Direction::ToServer, at(1));
        assert!(!link.is_healthy(at(1)));
        assert_eq!(link.stream(Direction::ToServer).unsent_bytes(), 1);

        link.heal(at(100));
        link.stream_mut(Direction::ToServer).refill(at(100), DELAY);
        assert!(link.is_healthy(at(100)));
        assert!(read(&mut link, Direction::ToServer, at(105)).is_some());
    }

    #[test]
    fn a_blackhole_in_one_direction_leaves_the_other_open() {
        let mut link = Link::new(at(0));

        link.inject(at(0), LinkFault::Blackhole(Direction::ToClient));
        send(&mut link, Direction::ToServer, at(1));
        send(&mut link, Direction::ToClient, at(1));

        assert!(read(&mut link, Direction::ToServer, at(100)).is_some());
        assert_eq!(read(&mut link, Direction::ToClient, at(100)), None);
        link.heal(at(100));
        assert!(!link.is_healthy(at(200)));
    }

    #[test]
    fn a_slow_reader_keeps_few_bytes_in_its_window() {
        let mut link = Link::new(at(0));
        let read_rate = ReadRate {
            bytes_per_second: 1,
        };

        link.inject(
            at(0),
            LinkFault::SlowReader {
                read_rate,
                window: 1,
                time: Duration::from_secs(1),
            },
        );
        send(&mut link, Direction::ToClient, at(1));
        send(&mut link, Direction::ToClient, at(1));

        assert_eq!(link.stream(Direction::ToClient).unsent_bytes(), 1);
        assert!(!link.is_healthy(at(1)));
    }

    #[test]
    fn both_ends_detect_a_reset_after_their_own_delay() {
        let mut link = Link::new(at(0));

        link.reset(at(0), DELAY, 2 * DELAY);

        let reset = Some(Chunk::End(StreamEnd::Reset));
        assert_eq!(read(&mut link, Direction::ToClient, at(5)), reset);
        assert_eq!(read(&mut link, Direction::ToServer, at(9)), None);
        assert_eq!(read(&mut link, Direction::ToServer, at(10)), reset);
    }

    fn at(millis: u64) -> Instant {
        Instant::START + Duration::from_millis(millis)
    }

    fn send(link: &mut Link, direction: Direction, now: Instant) {
        let frame = Bytes::from_static(b"x");
        link.stream_mut(direction)
            .send(now, DELAY, frame, Lane::Messages);
    }

    fn read(link: &mut Link, direction: Direction, now: Instant) -> Option<Chunk> {
        link.stream_mut(direction).read(now, usize::MAX)
    }
}
