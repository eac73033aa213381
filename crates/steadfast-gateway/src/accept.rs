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
use steadfast_protocol::websocket::{Decoder, Role};
use tokio::io::{AsyncRead, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time;

use crate::connection_task::ConnectionTask;
use crate::echo;
use crate::event_loop::EventLoop;
use crate::http;
use crate::upgrade::{self, HandshakeDecision, HttpRejection, Upgrade, UpgradePurpose};

/// The pause when the system has no file descriptor or memory for another socket.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// How long a rejected client may take to read the response and close.
const LINGER: Duration = Duration::from_secs(2);

/// Accepts connections until the future is dropped.
pub(crate) async fn accept(event_loop: Rc<EventLoop>, listener: TcpListener) {
    let mut is_exhausted = false;
    loop {
        event_loop.wait_for_capacity().await;
        match listener.accept().await {
            Ok((stream, from)) => {
                is_exhausted = false;
                tokio::task::spawn_local(handle_request(Rc::clone(&event_loop), stream, from));
            }
            Err(error) if is_connection_error(&error) => {
                tracing::debug!(%error, "connection aborted before it was accepted");
            }
            Err(error) => {
                // Logged once until an accept succeeds: the listener keeps pending connections, and repeated lines
                // would only fill the log file.
                if !std::mem::replace(&mut is_exhausted, true) {
                    tracing::error!(%error, "failed to accept connections; retrying");
                }
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
async fn handle_request(event_loop: Rc<EventLoop>, mut stream: TcpStream, from: SocketAddr) {
    let _permit = event_loop.acquire_handshake_permit();
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
            if rejection.status == 403 {
                tracing::warn!(%from, reason = rejection.reason, "web page rejected");
            } else {
                tracing::debug!(%from, status = rejection.status, reason = rejection.reason, "request rejected");
            }
            Box::pin(send_rejection(stream, &rejection)).await;
        }
        Ok(Some(FirstRequest::Http)) => {
            let admin = std::sync::Arc::clone(&event_loop.admin);
            // One request per connection, with the same timeout as an upgrade.
            let serve = Box::pin(http::serve(stream, buffered, admin));
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
            let capacity = upgrade::HEAD_BYTES_MAX
                .saturating_sub(self.buffered.len())
                .max(1);
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
    let limits = event_loop.settings.client_limits;
    let mut inbound = Inbound::new(Decoder::new(Role::Server, limits), encoding);
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
