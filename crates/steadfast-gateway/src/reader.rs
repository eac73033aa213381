//! The task of one connection: writes what waits, reads what came, and hands whole messages on.
//!
//! Its future is small: it reads into the buffer of the core, and the decoder keeps only what is cut.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use steadfast_hub::io::{ConnectionLoss, Input, PeerId};
use steadfast_machine::Instant;
use steadfast_protocol::websocket::{Decoder, WebSocketEvent};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;

use crate::connection::{Kind, Phase};
use crate::core::Core;
use crate::shard::Shard;

/// One connection's reading half.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) core: Rc<Core>,
    pub(crate) peer: PeerId,
    pub(crate) stream: OwnedReadHalf,
    pub(crate) decoder: Decoder,
}

impl Reader {
    /// Serves the connection until it is gone.
    pub(crate) async fn run(mut self) {
        poll_fn(|context| self.poll(context)).await;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.drain(context);
        loop {
            match self.poll_read(context) {
                Poll::Ready(Progress::Gone) => return Poll::Ready(()),
                Poll::Ready(Progress::Some) => {}
                Poll::Ready(Progress::Full) => {
                    // More is there, but the other connections come first.
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Writes what waits; reading goes on beside it.
    fn drain(&self, context: &mut Context<'_>) {
        let peer = self.peer;
        let waits = self.core.look(|shard| {
            shard.connection(peer).is_some_and(|connection| {
                connection.remember(context.waker());
                connection.has_backlog()
            })
        });
        if !waits {
            return;
        }
        self.core.step(|shard, now| {
            let Some(connection) = shard.connection(peer) else {
                return;
            };
            let waited = connection.backlog_bytes().unwrap_or_default();
            match connection.poll_drain(context) {
                Poll::Ready(Ok(())) => shard.on_drained(now, peer),
                Poll::Ready(Err(_)) => shard.on_lost(now, peer, ConnectionLoss::IoError),
                Poll::Pending => {
                    let waits = connection.backlog_bytes().unwrap_or_default();
                    shard.on_written(now, peer, waited - waits);
                }
            }
        });
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Progress> {
        let Self {
            core,
            peer,
            stream,
            decoder,
        } = self;
        let (core, peer) = (&*core, *peer);
        match core.look(|shard| {
            shard
                .connection(peer)
                .map(|connection| connection.is_read())
        }) {
            None => return Poll::Ready(Progress::Gone),
            // Whoever resumes reading wakes the task.
            Some(false) => return Poll::Pending,
            Some(true) => {}
        }
        let mut memory = core.read_buffer.borrow_mut();
        let mut buffer = ReadBuf::new(&mut memory);
        let read = Pin::new(stream).poll_read(context, &mut buffer);
        let is_full = buffer.remaining() == 0;
        let input = buffer.filled_mut();
        match read {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) if !input.is_empty() => {
                core.step(|shard, now| feed(shard, now, peer, decoder, input));
                Poll::Ready(if is_full {
                    Progress::Full
                } else {
                    Progress::Some
                })
            }
            Poll::Ready(outcome) => {
                let loss = if outcome.is_ok() {
                    ConnectionLoss::EndOfStream
                } else {
                    ConnectionLoss::IoError
                };
                core.step(|shard, now| shard.on_lost(now, peer, loss));
                Poll::Ready(Progress::Gone)
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.core.on_panic();
        }
    }
}

/// What a read brought.
enum Progress {
    /// The connection is gone.
    Gone,
    /// All that was there.
    Some,
    /// As much as the buffer takes.
    Full,
}

/// Decodes one read and carries its events to the hub.
pub(crate) fn feed(
    shard: &mut Shard,
    now: Instant,
    peer: PeerId,
    decoder: &mut Decoder,
    input: &mut [u8],
) {
    let mut has_message = false;
    let mut reading = decoder.read(input);
    loop {
        let event = reading.next_event();
        let Some((phase, kind)) = shard.standing(peer) else {
            return;
        };
        match event {
            Ok(Some(WebSocketEvent::Message {
                kind: message_kind,
                payload,
            })) if phase == Phase::Open => match kind {
                Kind::Client => {
                    has_message = true;
                    let message = Bytes::copy_from_slice(payload);
                    shard.handle(now, Input::Received { peer, message });
                }
                Kind::Echo => shard.echo(peer, message_kind, payload),
            },
            Ok(Some(WebSocketEvent::Ping(payload))) if phase == Phase::Open => {
                shard.pong(peer, payload)
            }
            // What arrives after our close frame is dropped, except for the peer's own.
            Ok(Some(
                WebSocketEvent::Message { .. } | WebSocketEvent::Ping(_) | WebSocketEvent::Pong(_),
            )) => {}
            Ok(Some(WebSocketEvent::Close { code, reason })) => {
                return shard.on_close_frame(now, peer, code, reason);
            }
            Ok(None) => break,
            Err(error) => return shard.on_malformed(now, peer, error),
        }
    }
    if !has_message && shard.standing(peer) == Some((Phase::Open, Kind::Client)) {
        shard.handle(now, Input::BytesReceived { peer });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Connection;

    #[test]
    fn an_idle_connection_holds_little() {
        // The task adds its header and the runtime its registration, about half a KiB together.
        assert!(size_of::<Reader>() <= 128, "{}", size_of::<Reader>());
        assert!(size_of::<Connection>() <= 64, "{}", size_of::<Connection>());
    }
}
