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
                Poll::Ready(ReadProgress::TurnOver) => {
                    // There may be more to read or to handle, but the other connections run first.
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
            match connection.poll_drain(context, now) {
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
            shard.connection(peer).map(|connection| {
                if !connection.endpoint.is_open() {
                    inbound.drop_commands();
                }
                connection.is_reading()
            })
        }) {
            None => return Poll::Ready(ReadProgress::Closed),
            // Resuming the read interest wakes the task.
            Some(false) => return Poll::Pending,
            Some(true) => {}
        }
        if inbound.has_unhandled() {
            event_loop.step(|shard, now| shard.resume(now, peer, inbound));
            return Poll::Ready(ReadProgress::after_turn(inbound));
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
                    ReadProgress::TurnOver
                } else {
                    ReadProgress::after_turn(inbound)
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
    /// The turn of the connection is over: the read filled the buffer, so more may have arrived, or not all of it is
    /// handled.
    TurnOver,
}

impl ReadProgress {
    /// The outcome of a turn, by what it has left. A paused connection has its next turn when it is resumed.
    const fn after_turn(inbound: &Inbound) -> Self {
        if inbound.has_unhandled() {
            Self::TurnOver
        } else {
            Self::Drained
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::num::NonZeroU16;
    use std::sync::Arc;

    use steadfast_clock::Clock;
    use steadfast_engine::memory::MemoryEngine;
    use steadfast_hub::Hub;
    use steadfast_hub::io::{Access, ClientId};
    use steadfast_machine::Seed;
    use steadfast_protocol::codec::Encoding;
    use steadfast_protocol::inbound::TURN_MAX;
    use steadfast_protocol::websocket::{Frame, Opcode};
    use tokio::runtime;

    use super::*;
    use crate::admin::Admin;
    use crate::config::load::LoadedConfig;
    use crate::config::policy::{EnginePolicy, Policies};
    use crate::config::{Config, StoreKind};
    use crate::connection::Connection;
    use crate::diagnostics::DroppedLogLines;
    use crate::engine::memory;
    use crate::engine::{EngineSetup, RING_LIMITS};
    use crate::event_loop::ShardSettings;
    use crate::shard::Shard;
    use crate::shard_bus::{self, INBOX_LIMITS};

    #[test]
    fn a_message_with_thousands_of_commands_delays_a_bystander_by_one_turn() {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let event_loop = event_loop();
            let turns = 4;
            let (mut greedy, _far) = connected(&event_loop, turns * TURN_MAX).await;
            let (mut bystander, _far) = connected(&event_loop, 1).await;

            // Both are ready, and the scheduler lets each of them run once before it lets one run again.
            let mut order = Vec::new();
            for _ in 0..turns {
                for (name, task) in [("greedy", &mut greedy), ("bystander", &mut bystander)] {
                    if poll_fn(|context| Poll::Ready(task.poll(context)))
                        .await
                        .is_ready()
                    {
                        panic!("{name} is closed");
                    }
                    if !task.inbound.has_unhandled() {
                        order.push(name);
                    }
                }
            }

            assert_eq!(order.first(), Some(&"bystander"));
            let until_greedy = order.iter().take_while(|name| **name == "bystander");
            assert_eq!(until_greedy.count(), turns - 1);
            assert!(!greedy.inbound.has_unhandled());
        });
    }

    #[test]
    fn a_connection_that_the_hub_closes_frees_its_incomplete_command_at_once() {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let event_loop = event_loop();
            let (mut task, mut far) = connected(&event_loop, 1).await;
            let mut begun = Vec::new();
            Frame::unfragmented(Opcode::Text, &[b' '; 9_000]).append_client(&mut begun, [0; 4]);
            begun[0] &= 0x7F;
            far.write_all(&begun).unwrap();
            while task.inbound.kept_bytes() < 9_000 {
                task.stream.readable().await.unwrap();
                let poll = poll_fn(|context| Poll::Ready(task.poll(context)));
                assert!(poll.await.is_pending());
            }

            event_loop.step(Shard::shut_down);
            let poll = poll_fn(|context| Poll::Ready(task.poll(context)));
            assert!(poll.await.is_pending());

            assert_eq!(task.inbound.kept_bytes(), 0);
        });
    }

    /// A connection whose client has sent a connect command and this many commands less one, in one message.
    async fn connected(
        event_loop: &Rc<EventLoop>,
        commands: usize,
    ) -> (ConnectionTask, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut far = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (near, _) = listener.accept().unwrap();
        near.set_nonblocking(true).unwrap();
        let near = tokio::net::TcpStream::from_std(near).unwrap();
        let rpcs = (2..=commands).map(|id| format!(r#"{{"id":{id},"rpc":{{}}}}"#));
        let connect = r#"{"id":1,"connect":{}}"#.to_owned();
        let commands: Vec<_> = std::iter::once(connect).chain(rpcs).collect();
        let message = commands.join("\n");
        let mut bytes = Vec::new();
        Frame::unfragmented(Opcode::Text, message.as_bytes()).append_client(&mut bytes, [0; 4]);
        far.write_all(&bytes).unwrap();
        near.readable().await.unwrap();
        let (stream, writing) = near.into_split();
        let (access, encoding) = (Access::Anonymous, Encoding::Json);
        let peer = event_loop
            .step(|shard, now| shard.open_client(now, writing, b"", ClientId(1), access, encoding));
        let task = ConnectionTask {
            event_loop: Rc::clone(event_loop),
            peer,
            stream,
            inbound: Inbound::new(encoding),
        };
        (task, far)
    }

    fn event_loop() -> Rc<EventLoop> {
        let mut config = Config::default();
        config.server.shards = 1;
        config.store.kind = StoreKind::Memory;
        let mut policies = Policies::try_from(&LoadedConfig::from(config)).unwrap();
        let sockets = policies.fit(1_000);
        let clock = Clock::start();
        let setup = EngineSetup {
            shards: NonZeroU16::MIN,
            ring: RING_LIMITS,
            clock,
        };
        let EnginePolicy::Memory(policy) = policies.engine else {
            panic!("another engine");
        };
        let machine = MemoryEngine::new(policy, 1, clock.now());
        let (engine, _shard_engines) = memory::start(&setup, machine).unwrap();
        let admin = Admin::new(engine, 1, clock, DroppedLogLines::default());
        let close_timeout = policies.config.server.close_timeout.0;
        Rc::new(EventLoop::new(
            Hub::new(policies.hubs[0].clone(), Seed::new(1), clock.now()),
            shard_bus::open(1, INBOX_LIMITS).0,
            clock,
            close_timeout,
            ShardSettings::new(&policies, sockets),
            Arc::new(admin),
        ))
    }

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
