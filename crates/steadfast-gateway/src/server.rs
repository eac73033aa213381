//! The whole process: log, then listeners, then one event loop for each core; and back again.
//!
//! [`run`] is the way in for the command line tool, [`start`] for those who need the address, [`start_with_log`] for
//! those who put something around the log.

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

use steadfast_hub::Hub;
use steadfast_hub::log::{Log, io as log_io};
use steadfast_hub::policy::hub::HubPolicy;
use steadfast_machine::Machine;
use tokio::runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;

use crate::accept;
use crate::admin::Admin;
use crate::clock::Clock;
use crate::config::StoreKind;
use crate::config::load::Loaded;
use crate::config::policy::Policies;
use crate::core::{self, Core, CoreSettings};
use crate::error::ServeError;
use crate::listen;
use crate::log::{CoreLog, LogService, LogSetup, RingLimits, Store};

/// How long the log may take to end: one group and one sync of a slow disk.
const LOG_CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// A gateway that serves. [`Running::stop`] ends it; dropping it ends it without waiting for anything.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    cores: Vec<JoinHandle<io::Result<()>>>,
    /// Gets one word from each core that ends, and closes after the last.
    ended: mpsc::Receiver<()>,
    stop: watch::Sender<bool>,
    admin: Arc<Admin>,
}

/// Serves until `shutdown` ends, then closes every connection and the log. `started` is told the address.
///
/// Opening the log blocks the calling thread, which must not be one that has other things to do.
///
/// # Errors
///
/// When it cannot start, when an event loop ends by itself, or when the log does not end cleanly.
pub async fn run(
    loaded: Loaded,
    shutdown: impl Future<Output = ()>,
    started: impl FnOnce(SocketAddr),
) -> Result<(), ServeError> {
    let mut running = start(loaded)?;
    started(running.address());
    let mut shutdown = pin!(shutdown);
    let ended = poll_fn(|context| {
        if shutdown.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ended::AsAsked);
        }
        running.ended.poll_recv(context).map(|_| Ended::ByItself)
    })
    .await;
    match ended {
        Ended::AsAsked => running.stop().await,
        Ended::ByItself => {
            running.stop().await?;
            Err(ServeError::CoreEnded)
        }
    }
}

/// Why serving ends.
enum Ended {
    AsAsked,
    ByItself,
}

/// Starts to serve.
///
/// # Errors
///
/// When the configuration, the port or the data directory cannot be used.
pub fn start(loaded: impl Into<Loaded>) -> Result<Running, ServeError> {
    start_with_log(loaded, |log| log)
}

/// Starts to serve with something around the log machine.
///
/// # Errors
///
/// As [`start`].
pub fn start_with_log<M>(
    loaded: impl Into<Loaded>,
    wrap: impl FnOnce(Log) -> M,
) -> Result<Running, ServeError>
where
    M: Machine<Input = log_io::Input, Output = log_io::Output, Timer = log_io::Timer>
        + Send
        + 'static,
{
    let mut policies = Policies::try_from(&loaded.into())?;
    let sockets_max = policies.fit(listen::raise_files_max());
    let server = &policies.config.server;
    let address = listen::probe(server.address, server.port)?;
    let clock = Clock::start();
    let (log, core_logs) = start_log(&policies, clock, wrap)?;
    let listeners = listen::listeners(address, policies.cores())?;
    let admin = Arc::new(Admin::new(log, policies.cores()));
    let settings = CoreSettings::new(&policies, sockets_max);
    let (stop, stopped) = watch::channel(false);
    let (tell_end, ended) = mpsc::channel(usize::from(policies.cores()));
    let mut cores = Vec::new();
    for ((policy, log), listener) in policies.hubs.iter().zip(core_logs).zip(listeners) {
        let parts = Parts {
            policy: policy.clone(),
            log,
            listener,
            clock,
            settings: settings.clone(),
            close_wait: server.close_wait.0,
            admin: Arc::clone(&admin),
            stopped: stopped.clone(),
        };
        let name = format!("core-{}", parts.policy.settings().shard);
        let last_word = LastWord(tell_end.clone());
        let thread = Builder::new().name(name).spawn(move || {
            let _last_word = last_word;
            parts.run()
        });
        cores.push(thread.map_err(|source| ServeError::Resources { source })?);
    }
    tracing::info!(%address, cores = cores.len(), "serving");
    Ok(Running {
        address,
        cores,
        ended,
        stop,
        admin,
    })
}

impl Running {
    /// Where it listens; the port is a real one even if 0 was asked for.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes every connection with the advice to come back, then the log.
    ///
    /// # Errors
    ///
    /// When an event loop ended by itself before, or the log does not end cleanly.
    pub async fn stop(mut self) -> Result<(), ServeError> {
        self.admin.begin_shutdown();
        // Fails only if no core is left to hear it.
        let _ = self.stop.send(true);
        while self.ended.recv().await.is_some() {}
        let outcome = self.cores.drain(..).try_for_each(join);
        self.admin.close_log(LOG_CLOSE_DEADLINE)?;
        outcome
    }
}

fn join(core: JoinHandle<io::Result<()>>) -> Result<(), ServeError> {
    match core.join() {
        Ok(outcome) => outcome.map_err(|source| ServeError::Resources { source }),
        Err(_) => Err(ServeError::CoreEnded),
    }
}

fn start_log<M>(
    policies: &Policies,
    clock: Clock,
    wrap: impl FnOnce(Log) -> M,
) -> Result<(LogService, Vec<CoreLog>), ServeError>
where
    M: Machine<Input = log_io::Input, Output = log_io::Output, Timer = log_io::Timer>
        + Send
        + 'static,
{
    let store = &policies.config.store;
    let setup = LogSetup {
        store: match store.kind {
            StoreKind::Memory => Store::Memory,
            StoreKind::Segments => Store::Directory(store.directory.clone()),
        },
        cores: NonZeroU16::new(policies.cores()).unwrap_or(NonZeroU16::MIN),
        ring: RingLimits::DEFAULT,
        clock,
    };
    let machine = wrap(Log::new(policies.log, clock.now()));
    Ok(LogService::start(&setup, machine)?)
}

/// Says that a core's thread ends, even when it panics.
struct LastWord(mpsc::Sender<()>);

impl Drop for LastWord {
    fn drop(&mut self) {
        // There is room for one word from each core, and without a listener nobody needs it.
        let _ = self.0.try_send(());
    }
}

/// What one core is made of, on its way to its thread.
struct Parts {
    policy: HubPolicy,
    log: CoreLog,
    listener: TcpListener,
    clock: Clock,
    settings: CoreSettings,
    close_wait: Duration,
    admin: Arc<Admin>,
    stopped: watch::Receiver<bool>,
}

impl Parts {
    /// The life of a core's thread.
    fn run(self) -> io::Result<()> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(runtime::LocalOptions::default())?;
        runtime.block_on(self.serve())
    }

    async fn serve(self) -> io::Result<()> {
        let Self {
            policy,
            log,
            listener,
            clock,
            settings,
            close_wait,
            admin,
            mut stopped,
        } = self;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let hub = Hub::new(policy, core::seed().map_err(io::Error::other)?, clock.now());
        let core = Rc::new(Core::new(hub, clock, close_wait, settings, admin));
        let accepting = spawn_local(accept::accept(Rc::clone(&core), listener));
        let vital = [
            spawn_local(core::end_turns(Rc::clone(&core))),
            spawn_local(core::keep_time(Rc::clone(&core))),
            spawn_local(core::keep_log(Rc::clone(&core), log)),
            spawn_local({
                let core = Rc::clone(&core);
                async move { core.panicked().await }
            }),
        ];
        until_stopped(&mut stopped, vital).await?;
        accepting.abort();
        core.shut_down().await;
        Ok(())
    }
}

/// Ends when the process stops. Fails when a task ends without which the core is of no use: a panic in one of them must
/// not leave a core behind that accepts clients and serves none.
async fn until_stopped(
    stopped: &mut watch::Receiver<bool>,
    mut vital: [JoinedTask; 4],
) -> io::Result<()> {
    // An error means that the owner is gone, which is an end as well.
    let mut stopped = pin!(stopped.wait_for(|is_stopped| *is_stopped));
    poll_fn(|context| {
        if stopped.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let has_ended = vital
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
type JoinedTask = tokio::task::JoinHandle<()>;
