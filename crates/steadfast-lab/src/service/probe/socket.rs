//! A TCP connection whose operations together have a time limit.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_machine::Instant;

use super::Unsuccessful;

/// The connection of one attempt.
#[derive(Debug)]
pub(in crate::service) struct Socket {
    stream: TcpStream,
    clock: Clock,
    deadline: Instant,
}

impl Socket {
    pub(super) fn connect(
        address: SocketAddr,
        clock: Clock,
        timeout: Duration,
    ) -> Result<Self, Unsuccessful> {
        let deadline = clock.now() + timeout;
        let stream = TcpStream::connect_timeout(&address, timeout)
            .map_err(|error| Unsuccessful::Silent(error.to_string()))?;
        Ok(Self {
            stream,
            clock,
            deadline,
        })
    }

    /// Writes all bytes.
    pub(in crate::service) fn write(&mut self, bytes: &[u8]) -> Result<(), Unsuccessful> {
        let remaining = self.remaining()?;
        let written = self
            .stream
            .set_write_timeout(Some(remaining))
            .and_then(|()| self.stream.write_all(bytes));
        written.map_err(|error| Unsuccessful::Silent(error.to_string()))
    }

    /// Adds the next bytes, up to a total length, and returns how many they are; 0 at the end.
    pub(in crate::service) fn read(
        &mut self,
        received: &mut Vec<u8>,
        max: usize,
    ) -> Result<usize, Unsuccessful> {
        let mut part = [0; 4_096];
        let remaining = self.remaining()?;
        let read = self
            .stream
            .set_read_timeout(Some(remaining))
            .and_then(|()| self.stream.read(&mut part));
        let length = read.map_err(|error| {
            let kind = error.kind();
            if kind == io::ErrorKind::WouldBlock || kind == io::ErrorKind::TimedOut {
                timed_out()
            } else {
                Unsuccessful::Silent(error.to_string())
            }
        })?;
        if received.len() + length > max {
            return Err(Unsuccessful::Negative(format!(
                "the response has more than {max} bytes"
            )));
        }
        received.extend(part.get(..length).unwrap_or_default());
        Ok(length)
    }

    fn remaining(&self) -> Result<Duration, Unsuccessful> {
        let remaining = self.deadline.saturating_since(self.clock.now());
        if remaining.is_zero() {
            return Err(timed_out());
        }
        Ok(remaining)
    }
}

fn timed_out() -> Unsuccessful {
    Unsuccessful::Silent("timed out".to_owned())
}
