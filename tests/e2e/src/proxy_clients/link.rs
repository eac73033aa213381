//! A plain socket on each side of a proxy, and what they observe.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// The limit of each read: far above every duration of a fault.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// A server without connections.
#[derive(Debug)]
pub(super) struct Upstream {
    listener: TcpListener,
    pub(super) address: SocketAddr,
}

/// A connection through a proxy: both sockets.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) client: TcpStream,
    pub(super) server: TcpStream,
}

/// How a socket's stream of bytes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Fin,
    Reset,
}

/// What a socket received until its end.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    /// The number of bytes of each read.
    pub(super) reads: Vec<usize>,
    pub(super) end: End,
    /// From the call to the end.
    pub(super) time: Duration,
}

impl Upstream {
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Connects through a proxy that listens at this address.
    pub(super) fn link(&self, proxy: SocketAddr) -> Result<Link> {
        let client = TcpStream::connect(proxy).context("connect")?;
        let (server, _) = self.listener.accept()?;
        for socket in [&client, &server] {
            socket.set_read_timeout(Some(WAIT_MAX))?;
            socket.set_nodelay(true)?;
        }
        Ok(Link { client, server })
    }
}

impl Link {
    /// The socket that sends in a direction, and the one that receives.
    pub(super) const fn ends(&mut self, stream: Stream) -> (&mut TcpStream, &mut TcpStream) {
        match stream {
            Stream::Upstream => (&mut self.client, &mut self.server),
            Stream::Downstream => (&mut self.server, &mut self.client),
        }
    }
}

/// A direction by the name of Toxiproxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Upstream,
    Downstream,
}

impl Stream {
    pub(super) const ALL: [Self; 2] = [Self::Upstream, Self::Downstream];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Downstream => "downstream",
        }
    }
}

/// Sends bytes and no more.
pub(super) fn send(socket: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    Ok(socket.write_all(bytes)?)
}

/// Closes the sending side.
pub(super) fn finish(socket: &TcpStream) -> Result<()> {
    Ok(socket.shutdown(Shutdown::Write)?)
}

/// Receives this number of bytes, and returns how long that took.
pub(super) fn receive(socket: &mut TcpStream, count: usize) -> Result<(Vec<u8>, Duration)> {
    let start = Instant::now();
    let mut bytes = vec![0; count];
    socket.read_exact(&mut bytes)?;
    Ok((bytes, start.elapsed()))
}

/// Receives until the end of the stream.
pub(super) fn receive_all(socket: &mut TcpStream) -> Result<Received> {
    let start = Instant::now();
    let (mut bytes, mut reads) = (Vec::new(), Vec::new());
    let mut buffer = vec![0; 0x10000];
    let end = loop {
        match socket.read(&mut buffer) {
            Ok(0) => break End::Fin,
            Ok(count) => {
                bytes.extend(buffer.iter().take(count));
                reads.push(count);
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break End::Reset,
            Err(error) => return Err(error).context("neither bytes nor an end"),
        }
    };
    Ok(Received {
        bytes,
        reads,
        end,
        time: start.elapsed(),
    })
}

/// Nothing arrives within this time.
pub(super) fn is_silent(socket: &mut TcpStream, time: Duration) -> Result<()> {
    socket.set_read_timeout(Some(time))?;
    let outcome = socket.read(&mut [0]);
    socket.set_read_timeout(Some(WAIT_MAX))?;
    let is_silent = matches!(&outcome, Err(error) if error.kind() == ErrorKind::WouldBlock);
    ensure!(is_silent, "{outcome:?} instead of nothing");
    Ok(())
}
