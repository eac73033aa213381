//! Starts and stops the gateway: the engine, the listeners and one event loop per shard start in this order, and stop in
//! reverse order.
//!
//! [`run`] is the entry point for the command line tool, [`start`] for callers that need the address, and
//! [`start_with_log`] for callers that wrap the log's state machine.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU16;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_engine::Engine;
use steadfast_engine::memory::MemoryEngine;
use steadfast_hub::Hub;
use steadfast_hub::policy::HubPolicy;
use steadfast_log::Log;
use steadfast_log::io::{Input, Output};
use tokio::runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;

use crate::accept;
use crate::admin::Admin;
use crate::config::StoreKind;
use crate::config::load::{LoadedConfig, STORE_KIND};
use crate::config::policy::{EnginePolicy, Policies};
use crate::diagnostics::DroppedLogLines;
use crate::engine::{EngineService, EngineSetup, RING_LIMITS, ShardEngine, log, memory};
use crate::error::ServeError;
use crate::event_loop::{self, EventLoop, ShardSettings};
use crate::listen;
use crate::shard_bus::{self, INBOX_LIMITS, Inbox, ShardBus};

/// How long the engine may take to close: one batch and one sync of a slow disk.
const ENGINE_CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A running gateway. [`Running::stop`] stops it; dropping this value stops it without waiting.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    shards: Vec<JoinHandle<io::Result<()>>>,
    /// Receives one message from each shard that ends, and closes after the last.
    ended: mpsc::Receiver<()>,
    stop: watch::Sender<bool>,
    admin: Arc<Admin>,
}

/// Serves until `shutdown` completes, then closes every connection and the engine. Calls `started` with the address.
/// `/readyz` shows how many log lines were dropped, which the caller counts.
///
/// Opening the log blocks the calling thread, which must therefore not run other tasks.
///
/// # Errors
///
/// When the gateway cannot start, when a write or a sync of the log fails, when an event loop ends unexpectedly, or when
/// the engine does not close cleanly.
pub async fn run(
    loaded: LoadedConfig,
    dropped_lines: DroppedLogLines,
    shutdown: impl Future<Output = ()>,
    started: impl FnOnce(SocketAddr),
) -> Result<(), ServeError> {
    let mut running = start_wrapped(&loaded, dropped_lines, |log| log)?;
    started(running.address());
    let mut shutdown = pin!(shutdown);
    let mut failed = running.admin.storage_failed();
    let storage_failed = async {
        let has_failed = match &mut failed {
            Some(failed) => failed.wait_for(|failed| *failed).await.is_ok(),
            None => false,
        };
        // Without an engine to watch, only the event loops can end.
        if !has_failed {
            std::future::pending::<()>().await;
        }
    };
    let mut storage_failed = pin!(storage_failed);
    let ended = poll_fn(|context| {
        if shutdown.as_mut().poll(context).is_ready() {
            return Poll::Ready(StopReason::ShutdownRequested);
        }
        if storage_failed.as_mut().poll(context).is_ready() {
            return Poll::Ready(StopReason::StorageFailed);
        }
        running
            .ended
            .poll_recv(context)
            .map(|_| StopReason::EventLoopEnded)
    })
    .await;
    match ended {
        StopReason::ShutdownRequested => running.stop().await,
        StopReason::EventLoopEnded => {
            running.stop().await?;
            Err(ServeError::EventLoopEnded)
        }
        StopReason::StorageFailed => {
            let reason = running.admin.storage_failure();
            tracing::error!("{reason}; the gateway exits, so that a restart reads what is stored");
            // The log cannot record a clean shutdown, which the next start does not need.
            drop(running.stop().await);
            Err(ServeError::StorageFailed { reason })
        }
    }
}

/// Why the gateway stops.
enum StopReason {
    ShutdownRequested,
    EventLoopEnded,
    /// Nothing can be acknowledged until a restart.
    StorageFailed,
}

/// Starts the gateway.
///
/// # Errors
///
/// When the configuration, the port or the data directory cannot be used.
pub fn start(loaded: impl Into<LoadedConfig>) -> Result<Running, ServeError> {
    start_wrapped(&loaded.into(), DroppedLogLines::default(), |log| log)
}

/// Starts the gateway with a wrapper around the log's state machine.
///
/// # Errors
///
/// The same errors as [`start`], and a configuration without a log.
pub fn start_with_log<M>(
    loaded: impl Into<LoadedConfig>,
    wrap: impl FnOnce(Log) -> M,
) -> Result<Running, ServeError>
where
    M: Engine<Input = Input, Output = Output> + Send + 'static,
{
    let loaded = loaded.into();
    match loaded.config.store.kind {
        StoreKind::Segments => start_wrapped(&loaded, DroppedLogLines::default(), wrap),
        StoreKind::Memory => {
            let message = "must be \"segments\" for a wrapper around the log".to_owned();
            Err(loaded.locate(STORE_KIND, message).into())
        }
    }
}

/// Starts the gateway; if its engine is the log, with a wrapper around it.
fn start_wrapped<M>(
    loaded: &LoadedConfig,
    dropped_lines: DroppedLogLines,
    wrap: impl FnOnce(Log) -> M,
) -> Result<Running, ServeError>
where
    M: Engine<Input = Input, Output = Output> + Send + 'static,
{
    let mut policies = Policies::try_from(loaded)?;
    let sockets = policies.fit(listen::raise_files_max());
    let server = &policies.config.server;
    let address = listen::probe(server.address, server.port)?;
    let clock = Clock::start();
    let (engine, shard_engines) = start_engine(&policies, clock, wrap)?;
    let listeners = listen::listeners(address, policies.shards())?;
    let admin = Arc::new(Admin::new(engine, policies.shards(), clock, dropped_lines));
    let settings = ShardSettings::new(&policies, sockets);
    let (stop, stopped) = watch::channel(false);
    let (ended_sender, ended) = mpsc::channel(usize::from(policies.shards()));
    let mut shards = Vec::new();
    let (bus, inboxes) = shard_bus::open(policies.shards(), INBOX_LIMITS);
    let ends = shard_engines.into_iter().zip(inboxes).zip(listeners);
    for (policy, ((engine, inbox), listener)) in policies.hubs.iter().zip(ends) {
        let shard = ShardThread {
            policy: policy.clone(),
            engine,
            bus: bus.clone(),
            inbox,
            listener,
            clock,
            settings: settings.clone(),
            close_timeout: server.close_timeout.0,
            admin: Arc::clone(&admin),
            stopped: stopped.clone(),
        };
        let name = format!("shard-{}", shard.policy.settings().shard);
        let exit_guard = ExitGuard(ended_sender.clone());
        let thread = Builder::new().name(name).spawn(move || {
            let _exit_guard = exit_guard;
            shard.run()
        });
        shards.push(thread.map_err(|source| ServeError::Resources { source })?);
    }
    tracing::info!(%address, shards = shards.len(), "gateway started");
    Ok(Running {
        address,
        shards,
        ended,
        stop,
        admin,
    })
}

impl Running {
    /// Returns the address that the gateway listens on; if port 0 was configured, with the port that was chosen.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes every connection with reconnect advice, then the engine.
    ///
    /// # Errors
    ///
    /// When an event loop had ended unexpectedly, or the engine does not close cleanly.
    pub async fn stop(mut self) -> Result<(), ServeError> {
        self.admin.begin_shutdown();
        // Fails only if no shard is left to receive it.
        let _ = self.stop.send(true);
        while self.ended.recv().await.is_some() {}
        let outcome = self.shards.drain(..).try_for_each(join);
        self.admin.close_engine(ENGINE_CLOSE_TIMEOUT)?;
        outcome
    }
}

fn join(event_loop: JoinHandle<io::Result<()>>) -> Result<(), ServeError> {
    match event_loop.join() {
        Ok(outcome) => outcome.map_err(|source| ServeError::Resources { source }),
        Err(_) => Err(ServeError::EventLoopEnded),
    }
}

fn start_engine<M>(
    policies: &Policies,
    clock: Clock,
    wrap: impl FnOnce(Log) -> M,
) -> Result<(EngineService, Vec<ShardEngine>), ServeError>
where
    M: Engine<Input = Input, Output = Output> + Send + 'static,
{
    let setup = EngineSetup {
        shards: NonZeroU16::new(policies.shards()).unwrap_or(NonZeroU16::MIN),
        ring: RING_LIMITS,
        clock,
    };
    match policies.engine {
        EnginePolicy::Log(policy) => {
            let machine = wrap(Log::new(policy, clock.now()));
            let directory = &policies.config.store.directory;
            let (service, shards, _) = log::start(&setup, directory, machine)?;
            Ok((service, shards))
        }
        EnginePolicy::Memory(policy) => {
            let resources = |source| ServeError::Resources { source };
            let incarnation = getrandom::u64()
                .map_err(io::Error::other)
                .map_err(resources)?;
            let machine = MemoryEngine::new(policy, incarnation, clock.now());
            memory::start(&setup, machine).map_err(resources)
        }
    }
}

/// Reports that a shard's thread ends, even when it panics.
struct ExitGuard(mpsc::Sender<()>);

impl Drop for ExitGuard {
    fn drop(&mut self) {
        // The channel has capacity for one message per shard, and without a receiver no message is needed.
        let _ = self.0.try_send(());
    }
}

/// Everything that the thread of one shard owns.
struct ShardThread {
    policy: HubPolicy,
    engine: ShardEngine,
    bus: ShardBus,
    inbox: Inbox,
    listener: TcpListener,
    clock: Clock,
    settings: ShardSettings,
    close_timeout: Duration,
    admin: Arc<Admin>,
    stopped: watch::Receiver<bool>,
}

impl ShardThread {
    /// Runs the shard's thread until the gateway stops.
    fn run(self) -> io::Result<()> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(runtime::LocalOptions::default())?;
        runtime.block_on(self.serve())
    }

    async fn serve(self) -> io::Result<()> {
        let Self {
            policy,
            engine,
            bus,
            inbox,
            listener,
            clock,
            settings,
            close_timeout,
            admin,
            mut stopped,
        } = self;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let hub = Hub::new(
            policy,
            event_loop::seed().map_err(io::Error::other)?,
            clock.now(),
        );
        let event_loop = Rc::new(EventLoop::new(
            hub,
            bus,
            clock,
            close_timeout,
            settings,
            admin,
        ));
        let accepting = spawn_local(accept::accept(Rc::clone(&event_loop), listener));
        let essential_tasks = [
            spawn_local(event_loop::finish_iterations(Rc::clone(&event_loop))),
            spawn_local(event_loop::run_timer(Rc::clone(&event_loop))),
            spawn_local(event_loop::exchange_with_engine(
                Rc::clone(&event_loop),
                engine,
            )),
            spawn_local(event_loop::receive_messages(Rc::clone(&event_loop), inbox)),
            spawn_local({
                let event_loop = Rc::clone(&event_loop);
                async move { event_loop.panicked().await }
            }),
        ];
        until_stopped(&mut stopped, essential_tasks).await?;
        accepting.abort();
        event_loop.shut_down().await;
        Ok(())
    }
}

/// Waits until the gateway stops. Fails when an essential task ends: a panic in one of them must not leave a shard that
/// accepts clients but does not serve them.
async fn until_stopped(
    stopped: &mut watch::Receiver<bool>,
    mut essential_tasks: [LocalTask; 5],
) -> io::Result<()> {
    // An error means that `Running` was dropped, which stops the gateway as well.
    let mut stopped = pin!(stopped.wait_for(|is_stopped| *is_stopped));
    poll_fn(|context| {
        if stopped.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let has_ended = essential_tasks
            .iter_mut()
            .any(|task| Pin::new(task).poll(context).is_ready());
        if has_ended {
            return Poll::Ready(Err(io::Error::other("a task of the event loop ended")));
        }
        Poll::Pending
    })
    .await
}

/// A task of the event loop.
type LocalTask = tokio::task::JoinHandle<()>;
