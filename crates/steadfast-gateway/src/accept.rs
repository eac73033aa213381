//! From a listener to connections: accepts while there is room, reads the first request, and carries out its verdict.
//!
//! Everything before the upgrade is bounded: in number, in bytes and in time. Decides nothing; [`crate::upgrade`] does.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use steadfast_hub::io::ClientId;
use steadfast_protocol::websocket::{Decoder, Role};
use tokio::io::{AsyncRead, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time;

use crate::core::Core;
use crate::http;
use crate::reader::{self, Reader};
use crate::upgrade::{self, Purpose, Refusal, Upgrade, Verdict};

/// The pause when the system has no descriptor or memory for another socket.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// How long a refused client may take to read the answer and go.
const LINGER: Duration = Duration::from_secs(2);

/// Accepts connections until it is dropped.
pub(crate) async fn accept(core: Rc<Core>, listener: TcpListener) {
    let mut is_exhausted = false;
    loop {
        core.wait_for_room().await;
        match listener.accept().await {
            Ok((stream, from)) => {
                is_exhausted = false;
                tokio::task::spawn_local(greet(Rc::clone(&core), stream, from));
            }
            Err(error) if is_of_one_connection(&error) => {
                tracing::debug!(%error, "a connection ended before it began");
            }
            Err(error) => {
                // Once a bout: the listener keeps what waits, and a full log file helps nobody.
                if !std::mem::replace(&mut is_exhausted, true) {
                    tracing::error!(%error, "cannot accept connections now, trying on");
                }
                time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

/// True when another connection may well be accepted at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Reads the first request of a connection and does what it is for.
async fn greet(core: Rc<Core>, mut stream: TcpStream, from: SocketAddr) {
    let _seat = core.seat();
    let mut head = Head {
        core: &core,
        stream: &mut stream,
        from: from.ip(),
        kept: Vec::new(),
    };
    let first = time::timeout(
        core.settings.handshake_timeout,
        poll_fn(|context| head.poll(context)),
    )
    .await;
    let kept = head.kept;
    match first {
        Ok(Some(First::Upgrade {
            upgrade,
            mut behind,
        })) => open(&core, stream, &upgrade, &mut behind),
        Ok(Some(First::Refuse(refusal))) => {
            if refusal.status == 403 {
                tracing::warn!(%from, why = refusal.why, "refused a web page");
            } else {
                tracing::debug!(%from, status = refusal.status, why = refusal.why, "refused a request");
            }
            Box::pin(answer(stream, &refusal)).await;
        }
        Ok(Some(First::Http)) => {
            let admin = std::sync::Arc::clone(&core.admin);
            // One request each, in the same time as an upgrade.
            let serve = Box::pin(http::serve(stream, kept, admin));
            drop(time::timeout(core.settings.handshake_timeout, serve).await);
        }
        Ok(None) => {}
        Err(_) => tracing::debug!(%from, "the first request did not arrive in time"),
    }
}

/// What the first request wants.
enum First {
    Upgrade {
        upgrade: Upgrade,
        /// WebSocket traffic that arrived with it.
        behind: Vec<u8>,
    },
    Refuse(Refusal),
    Http,
}

/// A request head on its way in. Nearly always it is whole at the first read, and nothing is kept.
struct Head<'a> {
    core: &'a Core,
    stream: &'a mut TcpStream,
    from: IpAddr,
    kept: Vec<u8>,
}

impl Head<'_> {
    /// Ends with what the request wants; none when the client is gone.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<First>> {
        loop {
            let mut memory = self.core.read_buffer.borrow_mut();
            // No more than a head, so that one connection cannot make the core keep more.
            let room = upgrade::HEAD_BYTES_MAX
                .saturating_sub(self.kept.len())
                .max(1);
            let mut buffer = ReadBuf::new(memory.get_mut(..room).unwrap_or_default());
            if ready!(Pin::new(&mut *self.stream).poll_read(context, &mut buffer)).is_err() {
                return Poll::Ready(None);
            }
            let read = buffer.filled();
            if read.is_empty() {
                return Poll::Ready(None);
            }
            if let Some(first) = self.judge(read) {
                return Poll::Ready(Some(first));
            }
        }
    }

    fn judge(&mut self, read: &[u8]) -> Option<First> {
        let rules = &self.core.settings.rules;
        let was_empty = self.kept.is_empty();
        if !was_empty {
            self.kept.extend_from_slice(read);
        }
        let input = if was_empty { read } else { &self.kept };
        match upgrade::examine(input, self.from, rules) {
            Verdict::Upgrade(upgrade) => {
                let behind = input.get(upgrade.head_len..).unwrap_or_default().to_vec();
                Some(First::Upgrade { upgrade, behind })
            }
            Verdict::Refuse(refusal) => Some(First::Refuse(refusal)),
            verdict @ (Verdict::Http | Verdict::Incomplete) => {
                if was_empty {
                    self.kept.extend_from_slice(read);
                }
                matches!(verdict, Verdict::Http).then_some(First::Http)
            }
        }
    }
}

/// Makes a connection of a socket, and a small task for it.
fn open(core: &Rc<Core>, stream: TcpStream, upgrade: &Upgrade, behind: &mut [u8]) {
    let (stream, writing) = stream.into_split();
    let (peer, limits) = match upgrade.purpose {
        Purpose::Client(access) => {
            let mut id = [0; 16];
            if let Err(error) = getrandom::fill(&mut id) {
                tracing::error!(%error, "no randomness for the id of a client");
                return;
            }
            let client = ClientId(u128::from_ne_bytes(id));
            let peer = core.step(|shard, now| {
                shard.open_client(now, writing, &upgrade.response, client, access)
            });
            (peer, core.settings.client_limits)
        }
        Purpose::Echo => (
            core.step(|shard, _| shard.open_echo(writing, &upgrade.response)),
            core.settings.echo_limits,
        ),
    };
    let mut decoder = Decoder::new(Role::Server, limits);
    if !behind.is_empty() {
        core.step(|shard, now| reader::feed(shard, now, peer, &mut decoder, behind));
    }
    tokio::task::spawn_local(
        Reader {
            core: Rc::clone(core),
            peer,
            stream,
            decoder,
        }
        .run(),
    );
}

/// Sends a refusal and lets the client read it: closing at once while it still sends would reset the connection.
async fn answer(mut stream: TcpStream, refusal: &Refusal) {
    let linger = async {
        stream.write_all(&refusal.response).await?;
        stream.shutdown().await?;
        drain(&mut stream).await
    };
    // A client that is gone or does not go has had its answer.
    drop(time::timeout(LINGER, linger).await);
}

/// Reads and drops until the client ends the stream.
pub(crate) async fn drain(stream: &mut TcpStream) -> io::Result<()> {
    let mut sink = [0; 512];
    while tokio::io::AsyncReadExt::read(stream, &mut sink).await? > 0 {}
    Ok(())
}
