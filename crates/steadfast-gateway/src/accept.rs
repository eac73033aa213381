//! From a listener to connections: accepts while there is capacity, reads the first request, and executes the decision
//! about it.
//!
//! Everything before the upgrade is bounded in number, bytes and time. [`crate::upgrade`] makes the decisions.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use steadfast_hub::io::{Access, ClientId};
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::inbound::Inbound;
use tokio::io::{AsyncRead, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time;

use crate::connection_task::ConnectionTask;
use crate::diagnostics::Refused;
use crate::echo;
use crate::event_loop::{EventLoop, HandshakePermit};
use crate::http;
use crate::upgrade::{self, HandshakeDecision, HttpRejection, Upgrade, UpgradePurpose};

/// The pause when the system has no file descriptor or memory for another socket.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// How long a rejected client may take to read the response and close.
const LINGER: Duration = Duration::from_secs(2);

/// Accepts connections until the future is dropped.
pub(crate) async fn accept(event_loop: Rc<EventLoop>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                if event_loop.free_capacity() {
                    // The sockets that were dropped are closed before another one is accepted.
                    tokio::task::yield_now().await;
                }
                event_loop.start_handshake(from, |permit| {
                    let event_loop = Rc::clone(&event_loop);
                    tokio::task::spawn_local(handle_request(event_loop, stream, from, permit))
                });
            }
            Err(error) if is_connection_error(&error) => {
                tracing::debug!(%error, "connection aborted before it was accepted");
            }
            Err(error) => {
                let files_max = event_loop.settings.sockets.source;
                event_loop.step(|shard, now| shard.log(now, Refused::Accept { error, files_max }));
                time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

/// Whether the error concerns one connection only, so that the next one can be accepted at once.
fn is_connection_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Reads the first request of a connection and handles it.
async fn handle_request(
    event_loop: Rc<EventLoop>,
    mut stream: TcpStream,
    from: SocketAddr,
    _permit: HandshakePermit,
) {
    let mut head = RequestHead {
        event_loop: &event_loop,
        stream: &mut stream,
        from: from.ip(),
        buffered: Vec::new(),
    };
    let first = time::timeout(
        event_loop.settings.handshake_timeout,
        poll_fn(|context| head.poll(context)),
    )
    .await;
    let buffered = head.buffered;
    match first {
        Ok(Some(FirstRequest::Upgrade {
            upgrade,
            mut early_bytes,
        })) => match upgrade.purpose {
            UpgradePurpose::Client { .. } if !event_loop.has_socket_for_client() => {
                let limit = event_loop.settings.sockets.source;
                Box::pin(refuse(
                    &event_loop,
                    stream,
                    from,
                    &upgrade::without_socket(limit),
                ))
                .await;
            }
            UpgradePurpose::Client { access, encoding } => {
                let response = &upgrade.response;
                let early = &mut early_bytes;
                open_client(&event_loop, stream, response, access, encoding, early);
            }
            UpgradePurpose::Echo => {
                let settings = event_loop.settings.echo;
                let echo = echo::serve(stream, &upgrade.response, &mut early_bytes, settings);
                Box::pin(echo).await;
            }
        },
        Ok(Some(FirstRequest::Reject(rejection))) => {
            Box::pin(refuse(&event_loop, stream, from, &rejection)).await;
        }
        Ok(Some(FirstRequest::Http)) => {
            let admin = std::sync::Arc::clone(&event_loop.admin);
            // One request per connection, with the same timeout as an upgrade.
            let fields_max = event_loop.settings.rules.head.fields_max;
            let serve = Box::pin(http::serve(stream, buffered, fields_max, admin));
            drop(time::timeout(event_loop.settings.handshake_timeout, serve).await);
        }
        Ok(None) => {}
        Err(_) => {
            tracing::debug!(%from, "handshake timeout expired before the first request was complete");
        }
    }
}

/// A complete first request.
enum FirstRequest {
    Upgrade {
        upgrade: Upgrade,
        /// WebSocket bytes that arrived with the request.
        early_bytes: Vec<u8>,
    },
    Reject(HttpRejection),
    Http,
}

/// A request head that is being received. Nearly always the first read completes it, and nothing is buffered.
struct RequestHead<'a> {
    event_loop: &'a EventLoop,
    stream: &'a mut TcpStream,
    from: IpAddr,
    buffered: Vec<u8>,
}

impl RequestHead<'_> {
    /// Completes with the request, or with `None` when the client has disconnected.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<FirstRequest>> {
        loop {
            let mut memory = self.event_loop.read_buffer.borrow_mut();
            // At most one head is read, so that one connection cannot make the shard buffer more.
            let bytes_max = self.event_loop.settings.rules.head.bytes_max;
            let capacity = bytes_max.saturating_sub(self.buffered.len()).max(1);
            let mut buffer = ReadBuf::new(memory.get_mut(..capacity).unwrap_or_default());
            if ready!(Pin::new(&mut *self.stream).poll_read(context, &mut buffer)).is_err() {
                return Poll::Ready(None);
            }
            let read = buffer.filled();
            if read.is_empty() {
                return Poll::Ready(None);
            }
            if let Some(first) = self.classify(read) {
                return Poll::Ready(Some(first));
            }
        }
    }

    fn classify(&mut self, read: &[u8]) -> Option<FirstRequest> {
        let rules = &self.event_loop.settings.rules;
        let was_empty = self.buffered.is_empty();
        if !was_empty {
            self.buffered.extend_from_slice(read);
            // A head that arrives byte by byte is not parsed for each byte: only a line break can complete it.
            if !read.contains(&b'\n') && self.buffered.len() < rules.head.bytes_max {
                return None;
            }
        }
        let input = if was_empty { read } else { &self.buffered };
        match upgrade::examine(input, self.from, rules) {
            HandshakeDecision::Upgrade(upgrade) => {
                let early_bytes = input.get(upgrade.head_len..).unwrap_or_default().to_vec();
                Some(FirstRequest::Upgrade {
                    upgrade,
                    early_bytes,
                })
            }
            HandshakeDecision::Reject(rejection) => Some(FirstRequest::Reject(rejection)),
            decision @ (HandshakeDecision::Http | HandshakeDecision::Incomplete) => {
                if was_empty {
                    self.buffered.extend_from_slice(read);
                }
                matches!(decision, HandshakeDecision::Http).then_some(FirstRequest::Http)
            }
        }
    }
}

/// Turns a socket into a client's connection and spawns its task.
fn open_client(
    event_loop: &Rc<EventLoop>,
    stream: TcpStream,
    response: &[u8],
    access: Access,
    encoding: Encoding,
    early_bytes: &mut [u8],
) {
    let mut id = [0; 16];
    if let Err(error) = getrandom::fill(&mut id) {
        tracing::error!(%error, "failed to generate a client id; connection dropped");
        return;
    }
    let client = ClientId(u128::from_ne_bytes(id));
    let (stream, writing) = stream.into_split();
    let peer = event_loop
        .step(|shard, now| shard.open_client(now, writing, response, client, access, encoding));
    let mut inbound = Inbound::new(encoding);
    if !early_bytes.is_empty() {
        event_loop.step(|shard, now| shard.receive(now, peer, &mut inbound, early_bytes));
    }
    tokio::task::spawn_local(
        ConnectionTask {
            event_loop: Rc::clone(event_loop),
            peer,
            stream,
            inbound,
        }
        .run(),
    );
}

/// Logs and sends a rejection.
async fn refuse(
    event_loop: &EventLoop,
    stream: TcpStream,
    from: SocketAddr,
    rejection: &HttpRejection,
) {
    if let Some(refused) = Refused::request(from, rejection) {
        event_loop.step(|shard, now| shard.log(now, refused));
    }
    send_rejection(stream, rejection).await;
}

/// Sends a rejection and lets the client read it: closing at once while the client still sends would reset the
/// connection.
async fn send_rejection(mut stream: TcpStream, rejection: &HttpRejection) {
    let linger = async {
        stream.write_all(&rejection.response).await?;
        stream.shutdown().await?;
        drain(&mut stream).await
    };
    // The connection is closed in any case, so it does not matter whether the client disconnected or stays.
    drop(time::timeout(LINGER, linger).await);
}

/// Reads and discards until the client ends the stream.
pub(crate) async fn drain(stream: &mut TcpStream) -> io::Result<()> {
    let mut sink = [0; 512];
    while tokio::io::AsyncReadExt::read(stream, &mut sink).await? > 0 {}
    Ok(())
}
