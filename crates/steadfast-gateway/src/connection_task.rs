//! The task of one connection: writes its send buffer, reads its socket, and passes what it reads to the shard.
//!
//! The future of the task is small: the task reads into the buffer of the event loop, and keeps only incomplete frames,
//! and what the hub does not accept yet.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use steadfast_hub::io::{ConnectionLoss, PeerId};
use steadfast_protocol::inbound::Inbound;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;

use crate::event_loop::EventLoop;

/// The reading half of one connection.
#[derive(Debug)]
pub(crate) struct ConnectionTask {
    pub(crate) event_loop: Rc<EventLoop>,
    pub(crate) peer: PeerId,
    pub(crate) stream: OwnedReadHalf,
    pub(crate) inbound: Inbound,
}

impl ConnectionTask {
    /// Serves the connection until it is closed.
    pub(crate) async fn run(mut self) {
        poll_fn(|context| self.poll(context)).await;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.flush_send_buffer(context);
        loop {
            match self.poll_read(context) {
                Poll::Ready(ReadProgress::Closed) => return Poll::Ready(()),
                Poll::Ready(ReadProgress::Drained) => {}
                Poll::Ready(ReadProgress::BufferFull) => {
                    // There may be more to read, but the other connections run first.
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Writes the send buffer; reading continues independently.
    fn flush_send_buffer(&self, context: &mut Context<'_>) {
        let peer = self.peer;
        let is_waiting = self.event_loop.with_shard(|shard| {
            shard.connection(peer).is_some_and(|connection| {
                connection.store_waker(context.waker());
                connection.has_send_buffer()
            })
        });
        if !is_waiting {
            return;
        }
        self.event_loop.step(|shard, now| {
            let Some(connection) = shard.connection(peer) else {
                return;
            };
            let waited = connection.send_buffer_bytes().unwrap_or_default();
            match connection.poll_drain(context) {
                Poll::Ready(Ok(())) => shard.on_drained(now, peer),
                Poll::Ready(Err(_)) => shard.on_lost(now, peer, ConnectionLoss::IoError),
                Poll::Pending => {
                    let is_waiting = connection.send_buffer_bytes().unwrap_or_default();
                    shard.on_written(now, peer, waited - is_waiting);
                }
            }
        });
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<ReadProgress> {
        let Self {
            event_loop,
            peer,
            stream,
            inbound,
        } = self;
        let (event_loop, peer) = (&*event_loop, *peer);
        match event_loop.with_shard(|shard| {
            shard
                .connection(peer)
                .map(|connection| connection.is_reading())
        }) {
            None => return Poll::Ready(ReadProgress::Closed),
            // Resuming the read interest wakes the task.
            Some(false) => return Poll::Pending,
            Some(true) => {}
        }
        if inbound.has_unhandled() {
            event_loop.step(|shard, now| shard.resume(now, peer, inbound));
            return Poll::Ready(ReadProgress::Drained);
        }
        let mut memory = event_loop.read_buffer.borrow_mut();
        let mut buffer = ReadBuf::new(&mut memory);
        let read = Pin::new(stream).poll_read(context, &mut buffer);
        let is_full = buffer.remaining() == 0;
        let input = buffer.filled_mut();
        match read {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) if !input.is_empty() => {
                event_loop.step(|shard, now| shard.receive(now, peer, inbound, input));
                Poll::Ready(if is_full {
                    ReadProgress::BufferFull
                } else {
                    ReadProgress::Drained
                })
            }
            Poll::Ready(outcome) => {
                let loss = if outcome.is_ok() {
                    ConnectionLoss::EndOfStream
                } else {
                    ConnectionLoss::IoError
                };
                event_loop.step(|shard, now| shard.on_lost(now, peer, loss));
                Poll::Ready(ReadProgress::Closed)
            }
        }
    }
}

impl Drop for ConnectionTask {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.event_loop.on_panic();
        }
    }
}

/// The outcome of a read.
enum ReadProgress {
    /// The connection is closed.
    Closed,
    /// Everything that had arrived was read, or what was read before is handled.
    Drained,
    /// The read filled the buffer, so more may have arrived.
    BufferFull,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Connection;

    #[test]
    fn an_idle_connection_needs_little_memory() {
        // The task adds its header, and the runtime adds its registration: about half a KiB in total.
        assert!(
            size_of::<ConnectionTask>() <= 128,
            "{}",
            size_of::<ConnectionTask>()
        );
        assert!(size_of::<Connection>() <= 64, "{}", size_of::<Connection>());
    }
}
