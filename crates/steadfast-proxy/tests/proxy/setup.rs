//! A client, a proxy and a server with plain blocking sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_proxy::{
    BlockingProxy, Builder, ConnectionInfo, Event, EventKind, Events, Proxy, Toxic,
};

/// After this time a test fails instead of waiting.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long nothing must arrive, to count as nothing.
pub(crate) const QUIET: Duration = Duration::from_millis(150);

/// One connection through a proxy.
pub(crate) struct Pair {
    pub(crate) proxy: BlockingProxy,
    pub(crate) listener: TcpListener,
    pub(crate) client: TcpStream,
    pub(crate) server: TcpStream,
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

pub(crate) fn start(builder: Builder) -> BlockingProxy {
    builder.seed(7).start_blocking().unwrap()
}

/// A connection that is affected by these toxics from its start.
pub(crate) fn pair(toxics: impl IntoIterator<Item = Toxic>) -> Pair {
    let (listener, address) = listener();
    let builder = toxics.into_iter().fold(Proxy::to(address), Builder::toxic);
    let proxy = start(builder);
    let client = connect(&proxy);
    let server = accept(&listener);
    Pair {
        proxy,
        listener,
        client,
        server,
    }
}

impl Pair {
    /// Adds a toxic, and waits until it affects this connection: what the connection is reading at the instant of the call
    /// may still pass.
    pub(crate) fn affect(&self, toxic: Toxic) {
        let mut events = self.proxy.events();
        self.proxy.add_toxic(toxic).unwrap();
        let is_affected = |kind: &EventKind| matches!(kind, EventKind::Affected { .. });
        wait_for_event(&self.proxy, &mut events, is_affected);
    }

    /// Another connection through the same proxy.
    pub(crate) fn another(&self) -> (TcpStream, TcpStream) {
        let client = connect(&self.proxy);
        (client, accept(&self.listener))
    }
}

pub(crate) fn connect(proxy: &Proxy) -> TcpStream {
    patient(TcpStream::connect(proxy.local_addr()).unwrap())
}

pub(crate) fn accept(listener: &TcpListener) -> TcpStream {
    patient(listener.accept().unwrap().0)
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

pub(crate) fn send(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
}

/// Reads exactly this many bytes.
pub(crate) fn receive(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Reads everything up to the FIN.
pub(crate) fn receive_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

pub(crate) fn assert_quiet(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(QUIET)).unwrap();
    let error = stream.read(&mut [0; 64]).expect_err("nothing arrives");
    assert!(
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{error}"
    );
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
}

pub(crate) fn assert_reset(stream: &mut TcpStream) {
    let error = stream.read(&mut [0; 64]).expect_err("it is reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

/// Closes a socket with a reset.
pub(crate) fn reset(stream: TcpStream) {
    let socket = socket2::SockRef::from(&stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// The bytes of a pattern in which no two parts are alike.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|index| u8::try_from(index * 7 % 251).unwrap())
        .collect()
}

/// Runs an action and returns its result with the time that it took.
pub(crate) fn timed<T>(action: impl FnOnce() -> T) -> (T, Duration) {
    let clock = Clock::start();
    let before = clock.now();
    let result = action();
    (result, clock.now() - before)
}

/// Waits until the condition holds for the open connections.
pub(crate) fn wait_for(proxy: &Proxy, condition: impl Fn(&[ConnectionInfo]) -> bool) {
    let clock = Clock::start();
    while !condition(&proxy.connections()) {
        assert!(
            clock.now() - steadfast_proxy::Instant::START < PATIENCE,
            "{:?}",
            proxy.connections()
        );
        std::thread::yield_now();
    }
}

/// Waits for an event.
pub(crate) fn wait_for_event(
    proxy: &BlockingProxy,
    events: &mut Events,
    is_it: impl Fn(&EventKind) -> bool,
) -> Event {
    proxy.wait(async {
        loop {
            let event = events.next().await.expect("the proxy lives");
            if is_it(&event.kind) {
                return event;
            }
        }
    })
}
